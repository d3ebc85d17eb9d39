"""What a lane may deliver now."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rtmpd.event.event import Event
from rtmpd.hook.lane.schedule import Delivery, Schedule
from rtmpd.settings import ORDER_KEY, ORDER_NONE, ORDER_STRICT


def event(name: str) -> Event:
    """``a1``: the event number 1 of the stream a; ``-1`` one of no stream."""
    return Event("publish_start", 0, stream_key=name[0].strip("-"), seq=int(name[1:]))


def scheduled(names: str, order: str = ORDER_KEY) -> Schedule:
    schedule = Schedule(order)
    for moment, name in enumerate(names.split()):
        schedule.add(event(name), float(moment))
    return schedule


def name_of(delivery: Delivery) -> str:
    return f"{delivery.event.stream_key or '-'}{delivery.event.seq}"


def names_of(deliveries: Iterable[Delivery]) -> str:
    return " ".join(name_of(delivery) for delivery in deliveries)


def all_of(schedule: Schedule, now: float = 0.0) -> list[Delivery]:
    """Take until there is nothing more to be had: first what is tried again."""
    taken = []
    while delivery := schedule.take_due(now) or schedule.take():
        taken.append(delivery)
    return taken


@pytest.mark.parametrize(
    ("order", "at_once"),
    [(ORDER_NONE, "a1 a2 b1 -1 -2 a3"), (ORDER_KEY, "a1 b1 -1 -2"), (ORDER_STRICT, "a1")],
)
def test_what_may_be_under_way_together_is_a_matter_of_the_order(order: str, at_once: str) -> None:
    assert names_of(all_of(scheduled("a1 a2 b1 -1 -2 a3", order))) == at_once


def test_the_key_is_the_stream_else_the_connection() -> None:
    schedule = Schedule(ORDER_KEY)
    for stream, conn in (("live/a", "c1"), ("live/a", "c2"), ("", "c1"), ("", "c1"), ("", "c2")):
        schedule.add(Event("publish_start", 0, conn, stream), 0.0)
    assert [(d.event.stream_key, d.event.conn_id) for d in all_of(schedule)] == [
        ("live/a", "c1"), ("", "c1"), ("", "c2"),
    ]  # fmt: skip


def test_the_next_of_a_key_comes_when_the_one_before_has_ended() -> None:
    schedule = scheduled("a1 a2 b1 b2 a3")
    a1, b1 = all_of(schedule)
    schedule.done(b1)
    schedule.done(a1)
    assert names_of(all_of(schedule)) == "a2 b2"


def test_what_is_held_comes_again_at_its_moment_and_before_the_others_of_its_key() -> None:
    schedule = scheduled("a1 b1 a2 c1")
    a1, b1, c1 = all_of(schedule)
    schedule.done(c1)
    schedule.hold(b1, 5.0)
    schedule.hold(a1, 7.0)
    assert (len(schedule), schedule.runnable, schedule.waiting, schedule.held) == (3, 0, 1, 2)
    assert schedule.next_at == 5.0 and schedule.blocked == 3
    assert names_of(all_of(schedule, 4.9)) == ""
    assert names_of(all_of(schedule, 5.0)) == "b1"
    assert names_of(all_of(schedule, 9.0)) == "a1"
    schedule.done(a1)
    assert names_of(all_of(schedule)) == "a2" and schedule.blocked == 0


def test_what_is_held_is_in_the_way_of_its_own_key_only() -> None:
    schedule = scheduled("a1 b1")
    a1, b1 = all_of(schedule)
    schedule.hold(a1, 60.0)
    schedule.done(b1)
    for name in ("a2", "b2", "a3", "c1"):
        schedule.add(event(name), 9.0)
    assert schedule.blocked == 3
    assert names_of(all_of(schedule)) == "b2 c1"


def test_what_is_hastened_is_due_at_once() -> None:
    schedule = scheduled("a1 b1")
    a1, b1 = all_of(schedule)
    schedule.hold(b1, 60.0)
    schedule.hold(a1, 90.0)
    schedule.hasten()
    assert names_of(all_of(schedule)) == "a1 b1"


def test_those_that_were_held_together_come_again_one_by_one_in_front_of_their_key() -> None:
    schedule = scheduled("a1 a2 b1 a3 a4")
    a1, b1 = all_of(schedule)
    a2, a3 = schedule.take_next(a1), schedule.take_next(a1)
    assert a2 and a3
    schedule.hold(a1, 0.0, [a2, a3])
    assert (len(schedule), schedule.runnable, schedule.waiting) == (4, 0, 1)
    assert schedule.blocked == 4
    assert schedule.take_due(0.0) is a1 and schedule.take_next(a1) is a2
    schedule.hold(a1, 0.0, [a2])
    schedule.done(b1)
    order = []
    while delivery := schedule.take_due(0.0) or schedule.take():
        order.append(delivery)
        schedule.done(delivery)
    assert names_of(order) == "a1 a2 a3 a4"


def test_clearing_takes_what_was_held_together_too() -> None:
    schedule = scheduled("a1 b1 a2 b2 b3")
    a1, b1 = all_of(schedule)
    b2 = schedule.take_next(b1)
    assert b2
    schedule.hold(b1, 0.0, [b2])  # a2 is older than b2, and nobody has tried it
    assert sorted(names_of(schedule.clear()).split()) == ["a2", "b1", "b2", "b3"]
    schedule.done(a1)
    assert not len(schedule) and not schedule.runnable


def test_clearing_takes_what_was_held_with_one_that_is_under_way() -> None:
    schedule = scheduled("a1 a2 a3")
    (a1,) = all_of(schedule)
    a2 = schedule.take_next(a1)
    assert a2
    schedule.hold(a1, 0.0, [a2])
    assert schedule.take_due(0.0) is a1
    assert schedule.oldest_since() == 1.0
    assert names_of(schedule.clear()) == "a2 a3"
    schedule.done(a1)
    assert not len(schedule) and not schedule.runnable


def test_the_oldest_is_shed_wherever_it_waits() -> None:
    schedule = scheduled("a1 a2 b1 b2")
    schedule.take()
    assert names_of(schedule.shed() for _ in range(3)) == "a2 b1 b2"
    assert schedule.take() is None and not len(schedule)


def test_what_waited_behind_something_shed_moves_up() -> None:
    schedule = scheduled("a1 a2 a3")
    schedule.shed()
    assert names_of(all_of(schedule)) == "a2"


def test_what_is_too_old_is_taken_out_and_nothing_else() -> None:
    schedule = scheduled("a1 a2 b1 a3 b2")
    assert names_of(schedule.shed_born_before(3.0)) == "a1 a2 b1"
    assert names_of(all_of(schedule)) == "a3 b2"
    assert schedule.oldest_since() is None


def test_what_is_held_and_too_old_is_taken_out_when_it_is_due() -> None:
    schedule = scheduled("a1 a2 b1")
    a1, b1 = all_of(schedule)
    schedule.hold(b1, 5.0)
    schedule.hold(a1, 7.0)
    assert names_of(schedule.due_born_before(2.0, now=4.0)) == ""
    assert names_of(schedule.due_born_before(2.0, now=8.0)) == "b1 a1"
    assert names_of(all_of(schedule)) == "a2"


def test_clearing_leaves_only_what_is_under_way() -> None:
    schedule = scheduled("a1 a2 b1 b2 c1")
    a1, b1, c1 = all_of(schedule)
    schedule.hold(b1, 0.0)
    assert schedule.oldest_since() == 1.0
    assert names_of(schedule.clear()) == "b1 a2 b2"
    schedule.done(a1)
    schedule.done(c1)
    assert schedule.take() is None
    schedule.add(event("a3"), 9.0)
    assert names_of(all_of(schedule)) == "a3"


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_nothing_is_kept_of_keys_that_are_through(keys: list[str], at_once: int) -> None:
    schedule = Schedule(ORDER_KEY)
    for number, key in enumerate(keys):
        schedule.add(event(f"{key}{number}"), 0.0)
    under_way: list[Delivery] = []
    while len(schedule) or under_way:
        while len(under_way) < at_once and (delivery := schedule.take()):
            under_way.append(delivery)
        schedule.done(under_way.pop(0))
    assert not schedule._behind and not schedule._waiting and not schedule._runnable and not schedule._following


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens to a schedule, in whatever order. What is under way are runs: a delivery and its followers."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = Schedule(ORDER_KEY)
        self.added: list[Delivery] = []
        self.ended: set[int] = set()
        self.under_way: list[list[Delivery]] = []
        self.now = 0.0

    @rule(key=st.sampled_from("abcd-"))
    def add(self, key: str) -> None:
        moment = len(self.added) + 1
        self.added.append(self.schedule.add(event(f"{key}{moment}"), float(moment)))

    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        delivery = self.schedule.take_due(self.now) or self.schedule.take()
        if delivery is None:
            assert not self.schedule.runnable and not self.schedule.is_due(self.now)
            return
        run = [delivery]
        assert delivery.key not in [other[0].key for other in self.under_way if other[0].key]
        while len(run) < most and (follower := self.schedule.take_next(delivery)):
            run.append(follower)
        if delivery.key:
            left = [each for each in self.added if each.key == delivery.key and each.number not in self.ended]
            assert run == left[: len(run)]
        self.under_way.append(run)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), ends=st.integers(0, 4))
    def finish(self, data: st.DataObject, ends: int) -> None:
        """Some of a run may have to be tried again, any of them."""
        run = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        over = run if ends >= len(run) else data.draw(st.lists(st.sampled_from(run), max_size=ends, unique=True))
        for delivery in over:
            self._end(delivery)
        if again := [delivery for delivery in run if delivery not in over]:
            self.schedule.hold(again[0], self.now + data.draw(st.integers(0, 3)), again[1:])
        else:
            self.schedule.done(run[0])

    @precondition(lambda self: self.schedule.waiting)
    @rule()
    def shed(self) -> None:
        self._end(self.schedule.shed())

    @rule(age=st.integers(0, 10))
    def expire(self, age: int) -> None:
        for late in self.schedule.shed_born_before(len(self.added) - age):
            self._end(late)
        for late in self.schedule.due_born_before(len(self.added) - age, self.now):
            self._end(late)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def hasten(self) -> None:
        self.schedule.hasten()

    @rule()
    def clear(self) -> None:
        for delivery in self.schedule.clear():
            self._end(delivery)
        assert not len(self.schedule) and not self.schedule.runnable and not self.schedule.held

    def _end(self, delivery: Delivery) -> None:
        assert delivery.number not in self.ended
        self.ended.add(delivery.number)

    @invariant()
    def nothing_is_lost(self) -> None:
        under_way = sum(map(len, self.under_way))
        assert len(self.schedule) + under_way + len(self.ended) == len(self.added)

    @invariant()
    def what_can_run_does_run(self) -> None:
        free = self.schedule.waiting and not self.under_way and not self.schedule.held
        assert not free or self.schedule.runnable

    @invariant()
    def what_is_blocked_is_what_is_held_and_what_comes_after_it(self) -> None:
        keys = {delivery.key for _, _, delivery in self.schedule._held if delivery.key}
        under_way = {delivery.number for run in self.under_way for delivery in run}
        left = [each for each in self.added if each.number not in self.ended | under_way]
        alone = sum(1 for _, _, delivery in self.schedule._held if not delivery.key)
        assert self.schedule.blocked == alone + sum(1 for each in left if each.key in keys)


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestAnyHistory = AnyHistory.TestCase
