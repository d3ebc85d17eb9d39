"""How many executions at once an endpoint can take, found out by asking for one more.

Additive increase, multiplicative decrease, as TCP does it: while answers come as quickly as ever the limit grows by one
for each limit's worth of answers; when they slow down, or a fault says that it was too much, it shrinks.
Only answers that were a success tell how long one takes.
"""

from __future__ import annotations

_SHRINK = 0.75
_WEIGHT = 0.1  # of one answer in the averages
_DEVIATIONS = 2.5
_JITTER_S = 0.005  # what a scheduler does to an answer is no sign of anything


class Adaptive:
    """``limit`` is from 1 to ``most``. Never switches."""

    __slots__ = ("_deviation", "_limit", "_mean", "_since", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = 1.0
        self._mean = 0.0
        self._deviation = 0.0
        self._since = 0  # answers since it shrank: those of before are still under way, and tell of the old limit

    @property
    def limit(self) -> int:
        return min(int(self._limit), self.most)

    def succeeded(self, seconds: float, active: int) -> None:
        """An answer came after ``seconds``, while so many executions were under way with it."""
        self._since += 1
        usual = self._mean + _DEVIATIONS * self._deviation + _JITTER_S
        if self._mean and seconds > usual and self._since > self._limit:
            self._shrink()
        elif active >= self.limit:
            self._limit = min(self._limit + 1 / self._limit, float(self.most))
        error = seconds - self._mean if self._mean else 0.0
        self._mean = self._mean + _WEIGHT * error if self._mean else seconds
        self._deviation += _WEIGHT * (abs(error) - self._deviation)

    def failed(self) -> None:
        """The endpoint had too much, or could not be asked."""
        if self._since > self._limit / 2 or self._limit <= 2:
            self._shrink()

    def _shrink(self) -> None:
        self._limit = max(self._limit * _SHRINK, 1.0)
        self._since = 0
