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


def all_of(schedule: Schedule) -> list[Delivery]:
    """Take until there is nothing more to be had."""
    taken = []
    while delivery := schedule.take():
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


def test_what_is_held_comes_again_before_the_others_of_its_key_and_before_all_that_came_later() -> None:
    schedule = scheduled("a1 b1 a2 c1")
    a1, b1, c1 = all_of(schedule)
    schedule.done(c1)
    schedule.hold(b1)
    schedule.hold(a1)
    assert (len(schedule), schedule.runnable, schedule.waiting) == (3, 2, 1)
    assert names_of(all_of(schedule)) == "a1 b1"


def test_those_that_were_held_together_come_again_one_by_one_in_front_of_their_key() -> None:
    schedule = scheduled("a1 a2 b1 a3 a4")
    a1, b1 = all_of(schedule)
    a2, a3 = schedule.follow(a1), schedule.follow(a1)
    assert a2 and a3
    schedule.hold(a1, [a2, a3])
    assert (len(schedule), schedule.runnable, schedule.waiting) == (4, 1, 1)
    assert schedule.take() is a1 and schedule.follow(a1) is a2
    schedule.hold(a1, [a2])
    schedule.done(b1)
    order = []
    while delivery := schedule.take():
        order.append(delivery)
        schedule.done(delivery)
    assert names_of(order) == "a1 a2 a3 a4"


def test_clearing_takes_what_was_held_together_too() -> None:
    schedule = scheduled("a1 b1 a2 b2 b3")
    a1, b1 = all_of(schedule)
    b2 = schedule.follow(b1)
    assert b2
    schedule.hold(b1, [b2])  # a2 is older than b2, and nobody has tried it
    assert sorted(names_of(schedule.clear()).split()) == ["a2", "b1", "b2", "b3"]
    schedule.done(a1)
    assert not len(schedule) and not schedule.runnable


def test_clearing_takes_what_was_held_with_one_that_is_under_way() -> None:
    schedule = scheduled("a1 a2 a3")
    (a1,) = all_of(schedule)
    a2 = schedule.follow(a1)
    assert a2
    schedule.hold(a1, [a2])
    assert schedule.take() is a1
    assert schedule.oldest_since() == 1.0
    assert names_of(schedule.clear()) == "a2 a3"
    schedule.done(a1)
    assert not len(schedule) and not schedule.runnable


def test_an_old_one_that_waits_comes_before_a_younger_one_that_is_held() -> None:
    schedule = scheduled("a1 b1", ORDER_NONE)
    a1, b1 = all_of(schedule)
    schedule.add(event("c1"), 2.0)
    schedule.hold(b1)
    schedule.hold(a1)
    assert names_of(all_of(schedule)) == "a1 b1 c1"


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
    assert names_of(schedule.expired(3.0)) == "a1 a2 b1"
    assert names_of(all_of(schedule)) == "a3 b2"
    assert schedule.oldest_since() is None


def test_clearing_leaves_only_what_is_under_way() -> None:
    schedule = scheduled("a1 a2 b1 b2 c1")
    a1, b1, c1 = all_of(schedule)
    schedule.hold(b1)
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

    @rule(key=st.sampled_from("abcd-"))
    def add(self, key: str) -> None:
        moment = len(self.added) + 1
        self.added.append(self.schedule.add(event(f"{key}{moment}"), float(moment)))

    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        delivery = self.schedule.take()
        if delivery is None:
            assert not self.schedule.runnable
            return
        run = [delivery]
        assert delivery.key not in [other[0].key for other in self.under_way if other[0].key]
        while len(run) < most and (follower := self.schedule.follow(delivery)):
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
            self.schedule.hold(again[0], again[1:])
        else:
            self.schedule.done(run[0])

    @precondition(lambda self: self.schedule.waiting)
    @rule()
    def shed(self) -> None:
        self._end(self.schedule.shed())

    @rule(age=st.integers(0, 10))
    def expire(self, age: int) -> None:
        for late in self.schedule.expired(len(self.added) - age):
            self._end(late)

    @rule()
    def clear(self) -> None:
        for delivery in self.schedule.clear():
            self._end(delivery)
        assert not len(self.schedule) and not self.schedule.runnable

    def _end(self, delivery: Delivery) -> None:
        assert delivery.number not in self.ended
        self.ended.add(delivery.number)

    @invariant()
    def nothing_is_lost(self) -> None:
        under_way = sum(map(len, self.under_way))
        assert len(self.schedule) + under_way + len(self.ended) == len(self.added)

    @invariant()
    def what_can_run_does_run(self) -> None:
        free = self.schedule.waiting and not self.under_way and not self.schedule._held
        assert not free or self.schedule.runnable


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestAnyHistory = AnyHistory.TestCase
