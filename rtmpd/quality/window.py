"""Rates over a sliding window, levels they are held against, and alerts that do not flap.

All times are milliseconds of the media clock, handed in by the caller. Nothing switches or raises.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

RAISED: Final = "raised"
CLEARED: Final = "cleared"

_FULL: Final = 0.9  # of the window, from which on its rate counts
_MEMORY_WINDOWS: Final = 12
_WINDOWS_OF_A_RISE: Final = 2


class Window:
    """How fast frames and bytes of a track come. Bounded: one entry for each sample within the window."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: deque[tuple[int, int, int]] = deque()

    def rates(self, at_ms: int, frames: int, bytes: int, window_ms: int) -> tuple[float, float] | None:
        """The counts at a time; frames and bytes per second, None until the window is full. Times that stand still
        or run back are left out."""
        entries = self._entries
        if not entries or at_ms > entries[-1][0]:
            entries.append((at_ms, frames, bytes))
            begin_ms = at_ms - window_ms
            while len(entries) > 2 and entries[1][0] <= begin_ms:
                entries.popleft()
        from_ms, from_frames, from_bytes = entries[0]
        to_ms, to_frames, to_bytes = entries[-1]
        span_ms = to_ms - from_ms
        if span_ms < window_ms * _FULL or not span_ms:
            return None
        return (to_frames - from_frames) * 1000 / span_ms, (to_bytes - from_bytes) * 1000 / span_ms

    def clear(self) -> None:
        """Forget all entries."""
        self._entries.clear()


@dataclass(frozen=True, slots=True)
class Shift:
    """A level that was left."""

    previous: float
    current: float

    @property
    def percent(self) -> float:
        """The change relative to the level, negative for a drop."""
        return (self.current - self.previous) * 100 / self.previous


class Level:
    """What is usual: between the lowest and the highest rate of twelve windows, up to the one before the latest.

    These two and not the mean, as rates of real encoders go up and down with what is in the picture; and not the
    latest, as a window that slides over a change shows it little by little. A rate that stays outside by the allowed
    share for a whole window, so that the window holds nothing older than the change, is one; then the new level is
    learned from there. A rise has to stay for two, as a burst of a second or two lifts the whole window that holds it.
    """

    __slots__ = ("_highest", "_latest", "_left_ms", "_lowest", "_rises", "_since_ms")

    def __init__(self) -> None:
        self._latest: deque[tuple[int, float]] = deque()
        self._lowest: deque[tuple[int, float]] = deque()  # each with no lower one after it: the first is the lowest
        self._highest: deque[tuple[int, float]] = deque()  # likewise
        self._since_ms = -1
        self._left_ms = -1  # since when the rate is outside
        self._rises = False

    def restart(self) -> None:
        """Forget all that was measured and begin again."""
        self._latest.clear()
        self._lowest.clear()
        self._highest.clear()
        self._since_ms = self._left_ms = -1

    def hold(self) -> None:
        """What is measured now says nothing: it neither changes the level nor leaves it."""
        self._left_ms = -1

    def judge(
        self, at_ms: int, rate: float, drop: float, learn_ms: int, window_ms: int, rise: float = 0
    ) -> Shift | None:
        """Add one rate; return the change that it completes, or None. ``drop`` and ``rise`` are percent, 0: never."""
        if self._since_ms < 0:
            self._since_ms = at_ms
        if self._left_ms < 0:
            self._age(at_ms, window_ms)
        lowest = self._lowest[0][1] if self._lowest else 0.0
        highest = self._highest[0][1] if self._highest else 0.0
        rises = rate > highest
        usual = highest if rises else lowest
        by, limit = (rate - usual, rise) if rises else (usual - rate, drop)
        if usual and limit and by * 100 > usual * limit and at_ms - self._since_ms >= learn_ms:
            if self._left_ms < 0 or rises != self._rises:
                self._left_ms, self._rises = at_ms, rises
            if at_ms - self._left_ms < window_ms * (_WINDOWS_OF_A_RISE if rises else 1):
                return None
            self.restart()
            return Shift(usual, rate)
        self._left_ms = -1
        self._latest.append((at_ms, rate))
        return None

    def _age(self, at_ms: int, window_ms: int) -> None:
        latest = self._latest
        while latest and latest[0][0] <= at_ms - window_ms:
            known = latest.popleft()
            while self._lowest and self._lowest[-1][1] >= known[1]:
                self._lowest.pop()
            while self._highest and self._highest[-1][1] <= known[1]:
                self._highest.pop()
            self._lowest.append(known)
            self._highest.append(known)
        oldest_ms = at_ms - (_MEMORY_WINDOWS + 1) * window_ms
        for extremes in (self._lowest, self._highest):
            while extremes and extremes[0][0] < oldest_ms:
                extremes.popleft()


class Alert:
    """Raised once, cleared once, and then quiet for a while."""

    __slots__ = ("_quiet_until_ms", "is_raised")

    def __init__(self) -> None:
        self.is_raised = False
        self._quiet_until_ms = 0

    def judge(self, at_ms: int, is_bad: bool, is_good: bool, cool_down_ms: int) -> str:
        """The new state if it changes, else "". What is neither bad nor good changes nothing."""
        if self.is_raised and is_good:
            self.is_raised = False
            self._quiet_until_ms = at_ms + cool_down_ms
            return CLEARED
        if not self.is_raised and is_bad and at_ms >= self._quiet_until_ms:
            self.is_raised = True
            return RAISED
        return ""
