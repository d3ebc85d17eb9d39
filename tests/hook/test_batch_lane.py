"""Lanes that deliver many events in one execution."""

from __future__ import annotations

import gevent
import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.lane.batching import Batching
from rtmpd.hook.lane.schedule import Schedule
from rtmpd.hook.manager import HookManager
from rtmpd.settings import DeliverySettings, HooksSettings, RetrySettings
from tests.support.waiting import until

PATIENT = RetrySettings(max_attempts=1000, initial_delay_s=0.01, max_delay_s=0.02)


class Gatherer:
    """Takes batches; ``answer`` makes the answers of one from its names."""

    type = "test"
    id = "gatherer"

    def __init__(self, answers_each=False, answer=None):
        self.answers_each = answers_each
        self.answer = answer
        self.batches = []
        self.marks = []  # of each event in each batch, why it may have been received before
        self.running = set()
        self.clashes = []

    def execute_batch(self, events, deadline):
        keys = {event.stream_key for event in events}
        self.clashes += keys & self.running
        self.running |= keys
        try:
            gevent.sleep(0.001)
            names = [f"{event.stream_key}{event.data['count']}" for event in events]
            self.batches.append(names)
            self.marks.append([getattr(event, "redelivered", "") for event in events])
            return self.answer(names) if self.answer else [None] * len(events)
        finally:
            self.running -= keys

    def close(self):
        pass

    @property
    def names(self):
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def manager():
    manager = HookManager(HooksSettings(), Clock())
    yield manager
    manager.close(0)


def register(manager, hook, size=4, age_s=0.0, concurrency=4, order="key", bytes=0):
    delivery = DeliverySettings(batch_events=size, batch_age_s=age_s, order=order, batch_bytes=bytes)
    manager.register(hook, concurrency=concurrency, delivery=delivery, retry=PATIENT)
    return hook


def emit(manager, *names):
    for name in names:
        manager.emit("subscriber_count", stream_key=name[0], count=int(name[1:]))


def numbered(key, count):
    return [f"{key}{number}" for number in range(count)]


def in_order(names, key):
    return [name for name in names if name[0] == key]


def test_a_full_batch_does_not_wait(manager):
    hook = register(manager, Gatherer(), age_s=60.0)
    emit(manager, "a0", "b0", "a1", "b1")
    until(lambda: hook.batches)
    assert hook.batches == [["a0", "b0", "a1", "b1"]]


def test_the_first_waits_no_longer_than_the_age(manager):
    hook = register(manager, Gatherer(), size=100, age_s=0.05)
    emit(manager, "a0", "a1")
    gevent.sleep(0)
    assert hook.batches == []
    until(lambda: hook.batches)
    assert hook.batches == [["a0", "a1"]]
    emit(manager, "a2")
    until(lambda: len(hook.batches) == 2)


def test_events_of_one_key_are_in_one_batch_at_a_time(manager):
    hook = register(manager, Gatherer())
    emit(manager, *[name for pair in zip(*(numbered(key, 50) for key in "abc"), strict=True) for name in pair])
    until(lambda: len(hook.names) == 150)
    assert hook.clashes == []
    assert all(in_order(hook.names, key) == numbered(key, 50) for key in "abc")


def test_where_each_has_an_answer_a_key_has_one_event_in_a_batch(manager):
    hook = register(manager, Gatherer(answers_each=True))
    emit(manager, "a0", "a1", "b0", "a2")
    until(lambda: len(hook.names) == 4)
    assert all(len({name[0] for name in batch}) == len(batch) for batch in hook.batches)
    assert in_order(hook.names, "a") == ["a0", "a1", "a2"]


def test_one_that_is_tried_again_is_overtaken_by_none_of_its_key(manager):
    failures = iter([True])

    def answer(names):
        return [TransientDeliveryError("later") if name == "a0" and next(failures, None) else None for name in names]

    hook = register(manager, Gatherer(answers_each=True, answer=answer))
    emit(manager, "a0", "b0", "a1", "b1")
    until(lambda: len(hook.names) == 5)
    assert in_order(hook.names, "a") == ["a0", "a0", "a1"]


def test_a_failed_batch_comes_again_as_it_was(manager):
    failures = iter(range(3))

    def answer(names):
        if next(failures, None) is not None:
            raise TransientDeliveryError("down", "status:503")
        return [None] * len(names)

    hook = register(manager, Gatherer(answer=answer), concurrency=1)
    emit(manager, *numbered("a", 10))
    until(lambda: manager.stats()["hooks"]["gatherer"]["executed"] == 10)
    assert hook.batches[:4] == [numbered("a", 4)] * 4
    assert [name for batch in hook.batches[3:] for name in batch] == numbered("a", 10)


def test_what_was_delivered_after_one_of_its_key_that_failed_goes_again_and_says_so(manager):
    failures = iter([True])

    def answer(names):
        return [TransientDeliveryError("down", "status:503") if next(failures, None) else None for _ in names]

    hook = register(manager, Gatherer(answer=answer), concurrency=1)
    emit(manager, "a0", "a1")
    until(lambda: manager.stats()["hooks"]["gatherer"]["executed"] == 2)
    assert (hook.batches, hook.marks) == ([["a0", "a1"]] * 2, [["", ""], ["error", "error"]])


def test_half_of_a_refused_batch_is_half_of_what_was_in_it(manager):
    def answer(names):
        if len(names) > 1:
            raise PermanentDeliveryError("too much", "status:413")
        return [None]

    hook = register(manager, Gatherer(answer=answer), size=8, concurrency=1)
    emit(manager, "a0", "a1", "a2")
    until(lambda: manager.stats()["hooks"]["gatherer"]["executed"] == 3)
    assert hook.batches[:2] == [["a0", "a1", "a2"], ["a0"]]


def test_a_retry_does_not_lengthen_the_wait_of_new_events():
    clock, schedule = FakeClock(), Schedule("key")
    batching = Batching(Gatherer(), DeliverySettings(batch_events=4, batch_age_s=1.0), clock, lambda: None)
    held = schedule.add(Event("publish_start", 1, stream_key="a"), 0.0)
    schedule.take()
    schedule.hold(held, 0.0)
    schedule.add(Event("publish_start", 1, stream_key="b"), 0.0)
    batching._timer.set(clock.monotonic() + 1.0)
    retry = schedule.take_due(0.0)
    assert batching.gather(retry, schedule, lambda: None) == [[held]]
    assert batching._timer.at == clock.monotonic() + 1.0
    new = schedule.take()
    batching.gather(new, schedule, schedule.take)
    assert batching._timer.at is None


@pytest.mark.parametrize("error", [PermanentDeliveryError("too much", "status:413"), ValueError("bug")])
def test_a_refused_batch_is_divided_until_the_one_to_blame_is_alone(manager, error):
    def answer(names):
        if "a5" in names:
            raise error
        return [None] * len(names)

    hook = register(manager, Gatherer(answer=answer), size=8, concurrency=1)
    emit(manager, *numbered("a", 24))
    until(lambda: manager.stats()["hooks"]["gatherer"]["executed"] == 23)
    assert [letter.event.data["count"] for letter in manager.dead_letters("gatherer")] == [5]
    delivered = [name for batch in hook.batches if "a5" not in batch for name in batch]
    assert delivered == [name for name in numbered("a", 24) if name != "a5"]
    assert len(hook.batches[-1]) > 1


def test_a_batch_is_bounded_in_bytes(manager):
    hook = register(manager, Gatherer(), size=100, bytes=250, concurrency=1)
    emit(manager, *numbered("a", 12))
    until(lambda: len(hook.names) == 12)
    assert all(len(batch) <= 3 for batch in hook.batches)


def test_the_lane_pays_once_for_a_batch(manager):
    hook = register(manager, Gatherer(answer=lambda names: [TransientDeliveryError("down", "status:503")] * len(names)))
    emit(manager, "a0", "b0", "c0", "d0")
    until(lambda: len(hook.batches) == 2)
    assert manager._lanes["gatherer"]._health.failures <= 3
    hook.answer = None
    until(lambda: manager.stats()["hooks"]["gatherer"]["executed"] == 4)
