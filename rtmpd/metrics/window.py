"""Recent values: the maximum over a sliding window, and a percentile of samples."""

from __future__ import annotations

from collections import deque

from ..clock import Clock


class Peak:
    """The largest value noted in the last one to two windows. Reading does not reset it. ``window_s`` may be
    changed."""

    __slots__ = ("_before", "_clock", "_now", "_until", "window_s")

    def __init__(self, clock: Clock, window_s: float) -> None:
        self._clock = clock
        self.window_s = window_s
        self._until = clock.monotonic() + window_s
        self._before = self._now = 0.0

    def note(self, value: float) -> None:
        """Note a value, not negative."""
        self._turn()
        if value > self._now:
            self._now = value

    def value(self) -> float:
        """Return the largest value, 0 if there was none."""
        self._turn()
        return max(self._before, self._now)

    def _turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._until:
            self._before = self._now if now < self._until + self.window_s else 0.0
            self._now = 0.0
            self._until = now + self.window_s


class Samples:
    """Values since the last ``take``, at most the latest ``most``."""

    __slots__ = ("_values",)

    def __init__(self, most: int = 1000) -> None:
        self._values: deque[float] = deque(maxlen=most)

    def note(self, value: float) -> None:
        """Note a value."""
        self._values.append(value)

    def take(self, share: float = 0.95) -> float:
        """Return the percentile ``share`` (nearest rank), 0 without values, and forget all values."""
        values = sorted(self._values)
        self._values.clear()
        return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0
