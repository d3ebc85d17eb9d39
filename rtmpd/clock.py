"""Wall and monotonic time as an object, so that tests own time."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The system's clocks. ``wall`` is Unix time in seconds, ``monotonic`` seconds since an
    arbitrary moment that never runs backwards; both are floats."""

    __slots__ = ()

    # the functions themselves: time is looked at a dozen times in a short session
    wall: Callable[[], float] = staticmethod(time.time)
    monotonic: Callable[[], float] = staticmethod(time.monotonic)


class FakeClock(Clock):
    """A clock that stands still until ``advance`` moves it; for tests."""

    __slots__ = ("_monotonic", "_wall")

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 1000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._wall += seconds
        self._monotonic += seconds
