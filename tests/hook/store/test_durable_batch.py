"""Batches of hooks that may count on their events, when the lane ends while one is under way."""

from __future__ import annotations

import gevent
import pytest

from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
from rtmpd.settings import GUARANTEE_AT_LEAST_ONCE, DeliverySettings

from ..waiting import until
from .test_durable import PATIENT, add, managed, settled

__all__ = ["managed"]

BATCHES = DeliverySettings(guarantee_level=GUARANTEE_AT_LEAST_ONCE, batch_events=4)


class Gate:
    """Takes batches; the first one waits until ``answers`` has been given, a word for each event or an error."""

    type = "test"
    id = "gate"
    answers_each = False

    def __init__(self, answers=None):
        self.answers = answers
        self.is_asked = False
        self.taken = []

    def execute_batch(self, events, deadline):
        self.is_asked = True
        while self.answers is None:
            gevent.sleep(0.001)
        if isinstance(self.answers, Exception):
            raise self.answers
        errors = self.answers or [None] * len(events)
        self.taken += [event.data["session_id"] for event, error in zip(events, errors, strict=True) if error is None]
        return errors

    def close(self):
        pass


@pytest.mark.parametrize(
    ("answers", "taken_by_the_first"),
    [
        (TransientDeliveryError("reset", "network"), []),
        (PermanentDeliveryError("cannot read it", "status:422"), []),
        ([None, TransientDeliveryError("busy", "status:503"), None, None], ["1", "3", "4"]),
    ],
    ids=["failed", "refused", "mixed"],
)
def test_a_lane_that_ends_delivers_nothing_after_a_batch_that_failed(managed, answers, taken_by_the_first):
    manager = managed()
    first = add(manager, Gate(), delivery=BATCHES)
    for session in range(1, 13):
        manager.emit("publish_start", stream_key="live/a", session_id=str(session))
    until(lambda: first.is_asked)
    manager.unregister("gate")
    second = add(manager, Gate([]), delivery=BATCHES)
    gevent.sleep(0.01)
    first.answers = answers
    settled(manager)
    assert first.taken == taken_by_the_first
    assert second.taken == [str(n) for n in range(taken_by_the_first.count("1") + 1, 13)]


def test_a_lane_that_failed_often_leaves_all_of_it_in_order(managed):
    """What was held together is older than what waits, and younger than what waits of others."""
    manager = managed()
    first = add(manager, Gate(TransientDeliveryError("reset", "network")), delivery=BATCHES, retry=PATIENT)
    for session in range(40):
        manager.emit("publish_start", stream_key=f"live/{session % 3}", session_id=str(session))
    until(lambda: first.is_asked)
    gevent.sleep(0.03)
    manager.unregister("gate")
    second = add(manager, Gate([]), delivery=BATCHES)
    settled(manager)
    for stream in range(3):
        mine = [int(session) for session in second.taken if int(session) % 3 == stream]
        assert mine == list(range(stream, 40, 3))
