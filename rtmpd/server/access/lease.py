"""The limits of time and bitrate that a callback sets for an admitted client."""

from __future__ import annotations

import math
from typing import Final

from .question import Verdict

LEASE_EXPIRED: Final = "lease_expired"
BITRATE_EXCEEDED: Final = "bitrate_exceeded"

_WINDOW_S: Final = 10.0


class Lease:
    """The limits of one publish or play, from ``now`` on (monotonic seconds): it ends with ``lease_s``, and when
    over ten seconds more than ``max_bps`` came."""

    __slots__ = ("_ends_at", "_max_bps", "_seen_bytes", "_window_at")

    def __init__(self, verdict: Verdict, now: float) -> None:
        self._ends_at = now + verdict.lease_s if verdict.lease_s else math.inf
        self._max_bps = verdict.max_bps or math.inf
        self._window_at = now
        self._seen_bytes = 0

    def begin_again(self, now: float) -> None:
        """Count the media of another session of the same admission; the end stays where it was."""
        self._window_at, self._seen_bytes = now, 0

    def overdue(self, now: float, total_bytes: int) -> str:
        """Return why it is over at ``now``, with ``total_bytes`` of media by then; "" if it is not."""
        if now >= self._ends_at:
            return LEASE_EXPIRED
        passed_s = now - self._window_at
        if passed_s < _WINDOW_S:
            return ""
        bits = (total_bytes - self._seen_bytes) * 8
        self._window_at, self._seen_bytes = now, total_bytes
        return BITRATE_EXCEEDED if bits > self._max_bps * passed_s else ""


def lease_of(verdict: Verdict, now: float) -> Lease | None:
    """Return the lease of a verdict, None if it sets no limit."""
    return Lease(verdict, now) if verdict.lease_s or verdict.max_bps else None
