"""The timer of a lane: the end of a pause, a retry that is due, or a batch that has waited long enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

from ...clock import Clock

_MIN_S = 0.001


class Timer:
    """Calls ``ring`` once, at the monotonic moment ``at``; it may be set anew at any time.

    ``ring`` runs in the hub, so it must not switch. A loop timer and not a greenlet: a busy lane with an endpoint that
    fails now and then sets it hundreds of times a second.
    """

    __slots__ = ("_clock", "_fires_at", "_ring", "_timer", "at")

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._timer: Any = None
        self._fires_at = 0.0  # of the loop's timer: not after ``at``; if that is too early it is started again then
        self.at: float | None = None

    def set(self, at: float) -> None:
        """Ring at that moment instead of the one that was set before."""
        self.at = at
        if self._timer is None or at < self._fires_at:
            self._close()
            self._start()

    def stop(self) -> None:
        """Do not ring."""
        self.at = None
        self._close()

    def check(self) -> None:
        """Ring if the moment has come, else go on waiting for it."""
        self._close()
        if self.at is None:
            return
        if self._clock.monotonic() < self.at:
            self._start()
            return
        self.at = None
        self._ring()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _start(self) -> None:
        assert self.at is not None
        self._fires_at = self.at
        self._timer = get_hub().loop.timer(max(self.at - self._clock.monotonic(), _MIN_S))
        self._timer.start(self.check, update=True)
