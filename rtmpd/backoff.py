"""Backoff: the delay after each failed attempt, and when to give up.

===========  ============================================================
strategy     seconds after the n-th failed try, n from 0
===========  ============================================================
exponential  ``initial_s * 2 ** n``, at most ``max_s``
linear       ``initial_s * (n + 1)``, at most ``max_s``
fixed        ``initial_s``, at most ``max_s``
===========  ============================================================

An explicit list of delays replaces all three. It is used as written, so ``max_s`` does not
cut it, and its last delay repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

EXPONENTIAL = "exponential"
LINEAR = "linear"
FIXED = "fixed"

_DOUBLINGS = 64  # far over any ``max_s``, far below the greatest float

_FACTORS: dict[str, Callable[[int], int]] = {
    EXPONENTIAL: lambda n: 2 ** min(n, _DOUBLINGS),
    LINEAR: lambda n: n + 1,
    FIXED: lambda n: 1,
}


@dataclass(frozen=True, slots=True)
class Backoff:
    """``(attempts) -> seconds or None``. ``max_attempts`` counts every try, the first included.

    ``random`` returns a number from 0 up to 1. With it a delay is multiplied by 0.5 to 1.0, so that
    clients that failed together do not come back together; without it delays have no jitter.
    """

    max_attempts: int = 1
    initial_s: float = 1.0
    max_s: float = 60.0
    strategy: str = EXPONENTIAL
    delays_s: tuple[float, ...] = ()
    random: Callable[[], float] | None = None

    def __call__(self, attempts: int) -> float | None:
        """Return the seconds to wait after ``attempts`` failed attempts (1 or more); None means to give up."""
        return None if attempts >= self.max_attempts else self.pause_s(attempts)

    def pause_s(self, attempts: int) -> float:
        """Return the same without giving up, for operations that are retried for ever."""
        nth = max(attempts, 1) - 1
        if self.delays_s:
            delay_s = self.delays_s[min(nth, len(self.delays_s) - 1)]
        else:
            delay_s = min(self.initial_s * _FACTORS[self.strategy](nth), self.max_s)
        return delay_s if self.random is None else delay_s * (0.5 + self.random() / 2)
