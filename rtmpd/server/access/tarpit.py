"""Delays for addresses that are refused over and over: each refusal waits longer than the one before."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ...clock import Clock

ADDRESSES: Final = 10_000
FORGIVEN_AFTER_S: Final = 600.0
_DOUBLINGS: Final = 30


class Tarpit:
    """Counts refusals by address, for the last ``ADDRESSES`` addresses that had one. The first refusal is
    sent at once, the second after ``first_s``, each further one after twice the last delay, up to ``max_s``;
    ten minutes without one and all is forgotten."""

    def __init__(self, first_s: float, max_s: float, clock: Clock) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._clock = clock
        self._refusals: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._refusals)

    def refused(self, address: str) -> float:
        """Count one more refusal; return how many seconds to wait before it is sent."""
        now = self._clock.monotonic()
        count, at = self._refusals.pop(address, (0, now))
        count = 0 if now - at > FORGIVEN_AFTER_S else count
        self._refusals[address] = count + 1, now
        if len(self._refusals) > ADDRESSES:
            self._refusals.popitem(last=False)
        return min(self._first_s * 2 ** min(count - 1, _DOUBLINGS), self._max_s) if count else 0.0
