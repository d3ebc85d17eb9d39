"""The pause of a lane: one timer at most, on monotonic time."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent import Greenlet

from ...clock import Clock

_SHORTEST_TIMER_S = 0.001


class Pause:
    """Calls ``over`` when it is over. ``is_on`` tells whether it lasts, ``until`` the monotonic moment of its end.
    Never switches."""

    __slots__ = ("_clock", "_name", "_over", "_timer", "is_on", "until")

    def __init__(self, name: str, clock: Clock, over: Callable[[], None]) -> None:
        self._name = name
        self._clock = clock
        self._over = over
        self._timer: Greenlet[[], None] | None = None
        self.is_on = False
        self.until = 0.0

    def last(self, seconds: float) -> None:
        """Begin, or go on, for so long from now; one that lasts longer anyway stays as it is."""
        self.until = max(self.until, self._clock.monotonic() + seconds)
        if not self.is_on:
            self.is_on = True
            self._start_timer()

    def end(self) -> None:
        """Be over without telling so."""
        self.is_on = False
        if self._timer is not None:
            self._timer.kill(block=False)
            self._timer = None

    def look(self) -> None:
        """See whether it is over, for what the timer waited for may have been put off."""
        if self._clock.monotonic() < self.until:
            self._start_timer()
            return
        self.is_on = False
        self._timer = None
        self._over()

    def _start_timer(self) -> None:
        left_s = self.until - self._clock.monotonic()
        self._timer = gevent.spawn_later(max(left_s, _SHORTEST_TIMER_S), self.look)
        self._timer.name = self._name
