"""A token bucket: so many events on the average, and so many at once."""

from __future__ import annotations

from ...clock import Clock
from ...settings import RateLimit


class TokenBucket:
    """Starts full with ``burst`` tokens and gains ``limit.events`` per ``limit.window_s``, never more than
    ``burst``; 0 means ``limit.events``. Two numbers are all it holds. Never switches."""

    __slots__ = ("_at", "_clock", "_per_s", "_tokens", "burst", "limit")

    def __init__(self, limit: RateLimit, burst: int, clock: Clock) -> None:
        self.limit = limit
        self.burst = burst or limit.events
        self._per_s = limit.events / limit.window_s
        self._tokens = float(self.burst)
        self._clock = clock
        self._at = clock.monotonic()

    def take(self) -> bool:
        """Spend a token; false, and nothing spent, if there is none."""
        now = self._clock.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self) -> float:
        """Seconds until there is a token again, 0 if there is one."""
        gained = (self._clock.monotonic() - self._at) * self._per_s
        return max(1 - self._tokens - gained, 0.0) / self._per_s

    def is_for(self, limit: RateLimit, burst: int) -> bool:
        """Whether a bucket made of these settings would be like this one."""
        return self.limit == limit and self.burst == (burst or limit.events)
