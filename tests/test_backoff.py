"""How long to wait after a failed try."""

from itertools import count

import pytest

from rtmpd.backoff import EXPONENTIAL, FIXED, LINEAR, Backoff


def waits(backoff: Backoff) -> list[float]:
    """All waits until it gives up."""
    found: list[float] = []
    for attempts in count(1):
        wait_s = backoff(attempts)
        if wait_s is None:
            return found
        found.append(wait_s)
    raise AssertionError


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (EXPONENTIAL, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]),
        (LINEAR, [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]),
        (FIXED, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_each_strategy_grows_in_its_way_up_to_its_cap(strategy: str, expected: list[float]) -> None:
    assert waits(Backoff(7, 0.5, 5.0, strategy)) == expected


def test_the_first_try_is_one_of_the_attempts() -> None:
    assert waits(Backoff()) == []
    assert waits(Backoff(max_attempts=3)) == [1.0, 2.0]


def test_a_list_takes_the_place_of_the_strategy_and_its_last_delay_repeats() -> None:
    assert waits(Backoff(5, 1.0, 2.0, delays_s=(0.0, 300.0, 7.0))) == [0.0, 300.0, 7.0, 7.0]


def test_jitter_makes_a_delay_shorter_by_up_to_half() -> None:
    drawn = iter([0.0, 0.5, 1.0])
    assert waits(Backoff(4, 8.0, strategy=FIXED, random=lambda: next(drawn))) == [4.0, 6.0, 8.0]


def test_no_number_of_attempts_is_too_many_for_a_pause() -> None:
    assert Backoff(max_s=60.0).pause_s(10**9) == 60.0
    assert Backoff(max_s=60.0, strategy=LINEAR).pause_s(10**9) == 60.0
