"""The wall clock jumps while events are delivered and tried again: no burst, no stall, ids that rise."""

from __future__ import annotations

import time
from collections import Counter

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import TransientDeliveryError
from rtmpd.settings import RetrySettings
from tests.support.waiting import until

from .auditor import audit
from .inproc import Noting, ends, is_drained, managed, noting_accepted, publish

_YEAR_S = 365.25 * 86400
STEADY = RetrySettings(max_attempts=1000, initial_delay_s=0.05, backoff_strategy="fixed", breaker_failures=1000)


class MovableClock(Clock):
    """``shift_s`` is how wrong the wall clock is; ``frozen_at`` where it stands still."""

    __slots__ = ("frozen_at", "shift_s")

    def __init__(self) -> None:
        self.shift_s = 0.0
        self.frozen_at: float | None = None

    def wall(self) -> float:
        return time.time() + self.shift_s if self.frozen_at is None else self.frozen_at


def jump(seconds):
    def do(clock):
        clock.shift_s = seconds

    return do


def freeze(clock):
    clock.frozen_at = time.time()


def most_tried(lines):
    """How often the event was tried that was tried most often."""
    return max(Counter(line["id"] for line in lines).values(), default=0)


@pytest.mark.parametrize(
    "move",
    [jump(3600), jump(-3600), jump(10 * _YEAR_S), jump(-10 * _YEAR_S), freeze],
    ids=["+1h", "-1h", "+10y", "-10y", "frozen"],
)
def test_a_jump_of_the_clock_neither_bursts_nor_stalls(move, tmp_path):
    accepted, received = [], []
    clock = MovableClock()
    is_down = True

    def answer(event):
        if is_down:
            raise TransientDeliveryError("down", "status:503")

    with noting_accepted(accepted):
        taker = Noting("taker", received)
        taker.answer = answer
        manager = managed(str(tmp_path / "events.db"), taker, clock=clock, retry=STEADY)
        lane = manager.lanes["taker"]
        lane.concurrency = 1
        publish(manager, 0, 100)
        until(lambda: len(accepted) == 100 and len(received) >= 2)
        move(clock)
        tried, began = len(received), time.monotonic()
        publish(manager, 100, 100)
        until(lambda: len(accepted) == 200 and most_tried(received[tried:]) >= 6)
        most, passed_s = most_tried(received[tried:]), time.monotonic() - began
        assert most <= passed_s / 0.05 + 2, "each event waits between its tries as long as it did before"
        is_down = False
        manager.events.retention.tidy()
        until(lambda: is_drained(manager), timeout_s=10)
        verdict = audit(accepted, received, ends(manager))
        manager.close(1)
    assert verdict.is_good and verdict.taken == 200, verdict
    ids = [line["id"] for line in sorted(accepted, key=lambda line: line["seq"])]
    assert ids == sorted(ids) and len(set(ids)) == 200


def test_a_store_from_the_future_is_delivered(tmp_path):
    """The clock was right again when rtmpd was started anew."""
    accepted, received = [], []
    clock = MovableClock()
    clock.shift_s = 10 * _YEAR_S
    with noting_accepted(accepted):
        manager = managed(str(tmp_path / "events.db"), Noting("taker", received, held=True), clock=clock)
        publish(manager, 0, 100)
        until(lambda: len(accepted) == 100)
        manager.close(0)
        again = managed(str(tmp_path / "events.db"), Noting("taker", received), clock=MovableClock())
        publish(again, 100, 100)
        again.events.retention.tidy()
        until(lambda: len(accepted) == 200 and is_drained(again))
        gevent.sleep(0)
        verdict = audit(accepted, received, ends(again))
        again.close(1)
    assert verdict.is_good and verdict.taken == 200, verdict
