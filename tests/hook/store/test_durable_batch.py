"""Batches of hooks that may count on their events, when the lane ends while one is under way."""

from __future__ import annotations

import pytest

from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
from rtmpd.settings import GUARANTEE_AT_LEAST_ONCE, DeliverySettings
from tests.support.hooks import Signal
from tests.support.waiting import until

from .test_durable import add, managed, settled

__all__ = ["managed"]

BATCHES = DeliverySettings(guarantee_level=GUARANTEE_AT_LEAST_ONCE, batch_events=4)
RESET = TransientDeliveryError("reset", "network")
REFUSED = PermanentDeliveryError("cannot read it", "status:422")
GONE = PermanentDeliveryError("gone", "status:410")
BUSY = TransientDeliveryError("busy", "status:503")


class Scripted:
    """Takes batches. Each has an answer of ``script``: an error for all, or one or None for each; without one it is
    taken. The last one of the script is not given before ``go`` is set."""

    type = "test"
    id = "scripted"
    answers_each = False

    def __init__(self, *script):
        self.script = script
        self.go = Signal()
        self.asked = 0
        self.taken = []
        self.closed = False

    def execute_batch(self, events, deadline):
        self.asked += 1
        answer = self.script[self.asked - 1] if self.asked <= len(self.script) else None
        if self.asked == len(self.script):
            self.go.wait()
        if isinstance(answer, Exception):
            raise answer
        errors = answer or [None] * len(events)
        self.taken += [event.data["session_id"] for event, error in zip(events, errors, strict=True) if error is None]
        return errors

    def close(self):
        self.closed = True


def publish(manager, *sessions, streams=1):
    for session in sessions:
        manager.emit("publish_start", stream_key=f"live/{session % streams}", session_id=session)


def succeeded(manager, first):
    """The hook that takes the place of the first one, which gets its last answer then, when it has taken everything."""
    lane = manager.lanes["scripted"]
    manager.unregister("scripted")
    second = add(manager, Scripted(), delivery=BATCHES)
    until(lambda: lane.is_ending)
    first.go.set()
    settled(manager)
    return second


@pytest.mark.parametrize(
    ("script", "taken_by_the_first"),
    [
        ([RESET], []),
        ([REFUSED], []),
        ([REFUSED, RESET], []),
        ([[None, BUSY, None, None]], [1, 3, 4]),
    ],
    ids=["failed", "refused", "half of it failed", "mixed"],
)
def test_a_lane_that_ends_delivers_nothing_after_a_batch_that_failed(managed, script, taken_by_the_first):
    manager = managed()
    first = add(manager, Scripted(*script), delivery=BATCHES, concurrency=1)
    publish(manager, *range(1, 13))
    until(lambda: first.asked == len(script))
    second = succeeded(manager, first)
    assert first.taken == taken_by_the_first
    assert second.taken == list(range(2 if taken_by_the_first else 1, 13))


def test_a_lane_that_failed_often_leaves_all_of_it_in_order(managed):
    """What was held together is older than what waits, and younger than what waits of others."""
    manager = managed()
    first = add(manager, Scripted(*[RESET] * 20), delivery=BATCHES)
    publish(manager, *range(40), streams=3)
    until(lambda: first.asked == 20)
    second = succeeded(manager, first)
    for stream in range(3):
        assert [session for session in second.taken if session % 3 == stream] == list(range(stream, 40, 3))


@pytest.mark.parametrize("guarantee", ["none", GUARANTEE_AT_LEAST_ONCE])
def test_what_is_left_of_a_batch_that_was_refused_waits_for_nobody(managed, guarantee):
    manager = managed()
    delivery = DeliverySettings(guarantee_level=guarantee, batch_events=4, batch_age_s=0.05)
    hook = add(manager, Scripted(REFUSED, None), delivery=delivery, concurrency=1)
    hook.go.set()
    publish(manager, 1, 2, 3, 4)
    until(lambda: hook.taken == [1, 2, 3, 4])


def test_an_endpoint_that_goes_while_it_has_half_of_a_batch_gets_nothing_more(managed):
    manager = managed()
    delivery = DeliverySettings(batch_events=4)
    hook = add(manager, Scripted(REFUSED, GONE), delivery=delivery, concurrency=1)
    hook.go.set()
    publish(manager, 1, 2, 3, 4)
    until(lambda: manager.lanes["scripted"].dead_letters.counts)
    assert hook.taken == [] and manager.lanes["scripted"].queued == 0
    assert sum(manager.lanes["scripted"].dead_letters.counts.values()) == 4
