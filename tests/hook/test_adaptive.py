"""How many executions at once an endpoint can take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtmpd.hook.lane.adaptive import Adaptive


def answered(limit: Adaptive, seconds: float, times: int) -> None:
    for _ in range(times):
        limit.succeeded(seconds, limit.limit)


def test_it_begins_with_one_and_grows_to_the_cap_while_answers_are_quick() -> None:
    limit = Adaptive(8)
    assert limit.limit == 1
    answered(limit, 0.01, 200)
    assert limit.limit == 8


def test_it_does_not_grow_when_less_was_asked_for() -> None:
    limit = Adaptive(8)
    for _ in range(100):
        limit.succeeded(0.01, 0)
    assert limit.limit == 1


def test_slow_answers_shrink_it() -> None:
    limit = Adaptive(8)
    answered(limit, 0.01, 200)
    answered(limit, 0.2, 10)
    assert limit.limit < 8


def test_faults_shrink_it_once_for_those_that_were_under_way_together() -> None:
    limit = Adaptive(16)
    answered(limit, 0.01, 1000)
    limit.failed()
    once = limit.limit
    for _ in range(5):
        limit.failed()
    assert once == limit.limit == 12


@given(st.lists(st.one_of(st.none(), st.floats(0, 60)), max_size=300), st.integers(1, 64))
def test_it_never_leaves_its_bounds(answers: list[float | None], most: int) -> None:
    limit = Adaptive(most)
    for seconds in answers:
        if seconds is None:
            limit.failed()
        else:
            limit.succeeded(seconds, most)
        assert 1 <= limit.limit <= most
