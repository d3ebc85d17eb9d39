"""Whether an endpoint is worth being asked: a breaker with a half-open state and a slow start.

::

    closed --(so many faults in a row)--> open --(pause over)--> half open --(a success)--> closed
                                            ^                        |
                                            +-------(a fault)--------+

After it closes, the number of executions at once starts with one and doubles with each success: an
endpoint that has just come back is not met by everything that has waited for it. Nothing here waits or tells
the time: the lane does, and an open breaker whose pause is over is half open.
"""

from __future__ import annotations


class Breaker:
    """Opens after ``failures`` faults in a row. ``faults`` counts those since the last success, ``tries`` the failed
    ones since it opened, the one that opened it included. Never switches."""

    __slots__ = ("_failures", "_window", "faults", "tries")

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._window = 0  # 0 is no window: as many as the lane may have
        self.faults = 0
        self.tries = 0

    @property
    def is_quiet(self) -> bool:
        """Whether a success would change nothing, as is usual."""
        return not self.faults and not self._window

    @property
    def is_open(self) -> bool:
        return self.tries > 0

    def limit(self, concurrency: int) -> int:
        """How many executions may be under way: of an open breaker's lane one, the probe."""
        if self.tries:
            return 1
        return min(self._window, concurrency) if self._window else concurrency

    def failed(self, at_once: bool = False) -> bool:
        """Count a fault; true if the breaker opens by it. ``at_once`` does not wait for more of them."""
        self.faults += 1
        if self.tries:
            self.tries += 1
            return False
        if not at_once and self.faults < self._failures:
            return False
        self.tries = 1
        return True

    def succeeded(self, concurrency: int) -> bool:
        """Count a success; true if the breaker closes by it."""
        self.faults = 0
        if self.tries:
            self.tries = 0
            self._window = 1
            return True
        if self._window:
            self._window = self._window * 2 if self._window * 2 < concurrency else 0
        return False
