"""Counts dropped events of a bounded queue, and reports them at most once per interval."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import Greenlet

from ...clock import Clock
from ...event.event import Event
from ...log import logger

REPORT_S = 10.0

#: Emits an event about the hook, of that type and with that data. Never raises.
EmitAbout = Callable[[str, dict[str, object]], None]


class Drops:
    """The dropped events of one hook. ``count`` is their number since the start."""

    __slots__ = (
        "_clock",
        "_emit",
        "_first",
        "_hook_id",
        "_last",
        "_log",
        "_report_at",
        "_timer",
        "_unreported",
        "count",
    )

    def __init__(self, hook_id: str, clock: Clock, emit: EmitAbout) -> None:
        self._hook_id = hook_id
        self._clock = clock
        self._emit = emit
        self._log = logger(f"hook.{hook_id}")
        self.count = self._unreported = 0
        self._first = self._last = 0
        self._report_at = 0.0
        self._timer: Greenlet[[], None] | None = None

    def add(self, event: Event) -> None:
        """The event was dropped."""
        self.count += 1
        if not self._unreported:
            self._first = event.seq
        self._unreported += 1
        self._last = event.seq
        if self._clock.monotonic() >= self._report_at:
            self.report()
        elif self._timer is None:
            self._timer = gevent.spawn_later(REPORT_S, self.report)
            self._timer.name = f"hook-drops-{self._hook_id}"

    def report(self) -> None:
        """Report how many were dropped since the last time, if any."""
        if self._timer is not None:
            if self._timer is not gevent.getcurrent():
                self._timer.kill(block=False)
            self._timer = None
        if not self._unreported:
            return
        count, self._unreported = self._unreported, 0
        self._report_at = self._clock.monotonic() + REPORT_S  # before the event, which may make a queue drop some too
        self._log.warning("Hook queue is full, oldest events dropped", hook_id=self._hook_id, count=count)
        facts = {"hook_id": self._hook_id, "count": count, "reason": "queue_full"}
        self._emit("events_dropped", {**facts, "from_seq": self._first, "to_seq": self._last})
