"""Wall and monotonic time as an object, so that tests own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

#: 9999-12-31T23:59:59Z in Unix seconds, the last second that RFC 3339 can write.
LAST_MOMENT_S = 253_402_300_799


def rfc3339(unix_s: float) -> str:
    """Return Unix time as RFC 3339 has it, in UTC with milliseconds: ``2026-01-02T03:04:05.678Z``. What lies before
    1970 or after 9999 becomes the nearest moment that does not."""
    whole, ms = divmod(int(min(max(unix_s, 0.0), LAST_MOMENT_S) * 1000 + 0.0005), 1000)  # 0.0005: floats fall short
    return f"{_second(whole)}.{ms:03}Z"


@lru_cache(maxsize=64)  # events come by the thousand in one second
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))


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
        """Move both clocks forward, without a wait."""
        self._wall += seconds
        self._monotonic += seconds
