"""A token bucket: an average rate, and a burst."""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    """Starts full with ``burst`` tokens and gains ``per_s`` a second, never more than ``burst``. ``monotonic`` is the
    clock."""

    __slots__ = ("_at", "_monotonic", "_tokens", "burst", "per_s")

    def __init__(self, per_s: float, burst: float, monotonic: Callable[[], float]) -> None:
        self.per_s = per_s
        self.burst = burst
        self._tokens = float(burst)
        self._monotonic = monotonic
        self._at = monotonic()

    def take(self) -> bool:
        """Spend a token; return false, with nothing spent, if the bucket is empty."""
        now = self._monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self) -> float:
        """Return the seconds until there is a token again, 0 if there is one."""
        gained = (self._monotonic() - self._at) * self.per_s
        return max(1 - self._tokens - gained, 0.0) / self.per_s
