"""One hook's lane: a bounded queue and the few greenlets that empty it.

A hook that hangs keeps its own greenlets busy and its own queue full; no other lane notices.
Events of a lane start in the order in which they were emitted.
"""

from __future__ import annotations

from collections import deque

import gevent
from gevent import Greenlet
from gevent.lock import Semaphore

from ..clock import Clock
from ..errors import DeliveryError
from ..event.event import Event
from ..log import logger
from ..settings import HookSettings
from .sink.base import Hook

REPORT_S = 10.0

_KILL_WAIT_S = 1.0


class Lane:
    """The queue and the workers of one hook. ``concurrency`` may be changed while it runs.

    Workers are started as work needs them and then stay: waking one costs a twentieth of starting
    one, and it is the emitter who pays. ``configured`` tells hooks of the settings from registered ones.
    """

    __slots__ = (
        "_clock",
        "_log",
        "_queue",
        "_ready",
        "_report_at",
        "_unreported",
        "active",
        "concurrency",
        "configured",
        "dropped",
        "executed",
        "failed",
        "hook",
        "settings",
        "workers",
    )

    def __init__(self, hook: Hook, settings: HookSettings, concurrency: int, clock: Clock, configured: bool) -> None:
        self.hook = hook
        self.settings = settings
        self.concurrency = concurrency
        self.configured = configured
        self.workers: set[Greenlet[[], None]] = set()
        self.active = self.executed = self.failed = self.dropped = 0
        self._clock = clock
        self._log = logger(f"hook.{hook.id}")  # a logger of its own: one noisy hook does not throttle another's lines
        self._queue: deque[Event] = deque()
        self._ready = Semaphore(0)  # a permit for each event queued; one without an event ends a worker
        self._unreported = 0
        self._report_at = 0.0

    @property
    def queued(self) -> int:
        return len(self._queue)

    def offer(self, event: Event) -> None:
        """Take the event; a full queue sheds its oldest. Never switches."""
        queue = self._queue
        queue.append(event)
        if len(queue) > self.settings.queue_events:
            queue.popleft()
            self._count_drop()
            return
        self._ready.release()
        idle = len(self.workers) - self.active
        if len(queue) > idle and len(self.workers) < self.concurrency:
            worker = gevent.spawn(self._work)
            worker.name = f"hook-{self.hook.id}"
            self.workers.add(worker)

    def retire(self) -> None:
        """Let the workers end when the queue is empty; nothing may be offered any more. Never switches."""
        for _ in self.workers:
            self._ready.release()

    def abandon(self) -> int:
        """Give up what is queued and end what is running; how many events that were. May switch greenlets."""
        lost = len(self._queue) + self.active
        self._queue.clear()
        gevent.killall(list(self.workers), block=True, timeout=_KILL_WAIT_S)
        return lost

    def _work(self) -> None:
        worker = gevent.getcurrent()
        try:
            while self._may_work():
                self._execute(self._queue.popleft())
                if not self._queue:
                    self._report_drops()
        finally:
            self.workers.discard(worker)

    def _may_work(self) -> bool:
        """Wait for an event; false when this worker is to end. Switches greenlets."""
        self._ready.acquire()
        if len(self.workers) > self.concurrency and self._queue:  # the cap was lowered
            self._ready.release()
            return False
        return bool(self._queue)

    def _execute(self, event: Event) -> None:
        started = self._clock.monotonic()
        self.active += 1
        try:
            self.hook.execute(event, started + self.settings.timeout_s)
        except DeliveryError as error:
            self.failed += 1
            self._log.error("Hook execution failed", **self._facts(event, started), error=str(error), code=error.code)
        except (Exception, gevent.Timeout):  # noqa: BLE001  a hook is foreign code; the lane outlives its bugs
            self.failed += 1
            self._log.exception("Hook execution failed", **self._facts(event, started), error="bug in the hook")
        else:
            self.executed += 1
            self._log.debug("Hook executed successfully", **self._facts(event, started))
        finally:
            self.active -= 1

    def _facts(self, event: Event, started: float) -> dict[str, object]:
        return {
            "hook_type": self.hook.type,
            "hook_id": self.hook.id,
            "event_type": event.type,
            "event_id": event.id,
            "conn_id": event.conn_id or None,
            "stream_key": event.stream_key or None,
            "duration_ms": round((self._clock.monotonic() - started) * 1000),
        }

    def _count_drop(self) -> None:
        self.dropped += 1
        self._unreported += 1
        if self._clock.monotonic() >= self._report_at:
            self._report_drops()

    def _report_drops(self) -> None:
        """Say how many were shed since the last time, if any; while it goes on at most once per interval."""
        if self._unreported:
            self._report_at = self._clock.monotonic() + REPORT_S
            self._log.warning("Hook queue is full, oldest events dropped", hook_id=self.hook.id, count=self._unreported)
            self._unreported = 0
