"""Measures how late the event loop is, with a timer that is due ten times a second.

Its callback runs in the hub, without a greenlet switch, and costs a few microseconds. The loop is late because of a
long computation, a blocking system call or a busy machine.
"""

from __future__ import annotations

from typing import Any

from gevent.hub import get_hub

from ..clock import Clock
from ..metrics.registry import Histogram
from ..metrics.window import Peak

_PERIOD_S = 0.1


class LagMeter:
    """``start`` and ``stop`` once each. ``peak`` is in seconds."""

    def __init__(self, clock: Clock, histogram: Histogram, peak: Peak) -> None:
        self._clock = clock
        self._histogram = histogram
        self.peak = peak
        self._due = 0.0
        self._timer: Any = None

    def start(self) -> None:
        """Start to measure."""
        self._due = self._clock.monotonic() + _PERIOD_S
        self._timer = get_hub().loop.timer(_PERIOD_S, _PERIOD_S, ref=False)
        self._timer.start(self._tick, update=True)

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _tick(self) -> None:
        now = self._clock.monotonic()
        lag_s = max(now - self._due, 0.0)
        self._due = now + _PERIOD_S
        self._histogram.observe(lag_s)
        self.peak.note(lag_s)
