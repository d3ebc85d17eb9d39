"""Collects several events for one execution.

It gathers until there are ``batch_events``, or until the first of them has waited ``batch_age``. Where one answer is
for all of them, events of one key go together in their order; where each has its own, one of each key at a time, so
that one that is to be tried again has overtaken none. New events and those that are tried again are not mixed: what an
endpoint cannot stand would take others with it. An endpoint that refuses a batch gets smaller ones, down to the single
event that is to blame, which is dead then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from ...clock import Clock
from ...errors import DeliveryError
from ...event.event import Event
from ...settings import DeliverySettings
from .. import fault
from ..sink.base import Hook
from . import deadletter
from .schedule import Delivery, Schedule
from .timer import Timer

_MIN_GRAIN_S = 0.02


class BatchHook(Hook, Protocol):
    """A hook that takes many events at once. ``answers_each`` is whether each has an outcome of its own."""

    @property
    def answers_each(self) -> bool: ...

    def execute_batch(self, events: Sequence[Event], deadline: float) -> Sequence[DeliveryError | None]:
        """Deliver the events before ``deadline`` (monotonic seconds); what became of each, in their order. Raises
        DeliveryError if the same became of all. May switch greenlets."""
        ...


class Batching:
    """The batches of one lane, whose ``hook`` takes them (its settings say so). ``gathered`` is called when the first
    event has waited as long as it may."""

    def __init__(self, hook: Hook, settings: DeliverySettings, clock: Clock, gathered: Callable[[], None]) -> None:
        self._hook = cast(BatchHook, hook)
        self._settings = settings
        self._size = settings.batch_events
        self._answers_each = self._hook.answers_each
        self._clock = clock
        self._wake = gathered
        self._timer = Timer(clock, self._gathered)
        self._is_ripe = False

    def is_ripe(self, schedule: Schedule, is_ending: bool) -> bool:
        """Whether a batch may go; if not, it is seen to that it does in time. What is tried again waits for nothing."""
        age_s = self._settings.batch_age_s
        if self._is_ripe or is_ending or not age_s or schedule.waiting >= self._size:
            return True
        now = self._clock.monotonic()
        if schedule.is_due(now):
            return True
        if schedule.waiting and self._timer.at is None:
            self._timer.set(now + age_s)
        return False

    def gather(self, head: Delivery, schedule: Schedule, more: Callable[[], Delivery | None]) -> list[list[Delivery]]:
        """The runs of one batch: that of ``head``, which was taken, and of what ``more`` takes."""
        runs: list[list[Delivery]] = []
        count, room = 0, self._settings.batch_bytes or float("inf")
        following: Delivery | None = head
        while following:
            run = [following]
            room -= len(following.event.json())
            while not self._answers_each and room > 0 and count + len(run) < self._size:
                if not (follower := schedule.take_next(run[0])):
                    break
                run.append(follower)
                room -= len(follower.event.json())
            count += len(run)
            runs.append(run)
            following = more() if count < self._size and room > 0 else None
        if not head.is_retry:
            self.stop()
        return runs

    def execute(self, events: Sequence[Event], deadline: float) -> Sequence[DeliveryError | None]:
        """Have the hook deliver them (``BatchHook.execute_batch``). May switch greenlets."""
        return self._hook.execute_batch(events, deadline)

    def is_refused(self, errors: Sequence[DeliveryError | None], patterns: tuple[str, ...]) -> bool:
        """Return whether the endpoint took offence at something in a batch, and it is not known at what."""
        error = errors[0]
        is_one_answer = len(errors) > 1 and error is not None and all(each is error for each in errors)
        if is_one_answer and error and (error.code == deadletter.BUG or fault.fault_of(error, patterns) == fault.EVENT):
            self._size = max(len(errors) // 2, 1)
            return True
        self._size = min(self._size * 2, self._settings.batch_events)
        return False

    def rounded(self, at: float) -> float:
        """A moment of another try, a little later: those that failed one by one come again together."""
        grain_s = max(self._settings.batch_age_s, _MIN_GRAIN_S)
        return math.ceil(at / grain_s) * grain_s

    def stop(self) -> None:
        """Begin to gather anew."""
        self._is_ripe = False
        self._timer.stop()

    def _gathered(self) -> None:
        """In the hub."""
        self._is_ripe = True
        self._wake()
