"""Who sees what becomes of each try and each event: counters, the log of attempts, the audit trail."""

from __future__ import annotations

from typing import Protocol

from ...event.event import Event
from ..sink.base import Hook

DELIVERED = "delivered"
FAILED = "failed"


class Witness(Protocol):
    """Told by the lanes. No method waits, switches or raises."""

    def tried(
        self, hook: Hook, event: Event, attempt: int, seconds: float, doubt: str, code: str = "", error: str = ""
    ) -> None:
        """One try is over; ``code`` and ``error`` are empty if it was a success."""

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        """The hook will not get the event."""


class NoWitness:
    """Nobody looks."""

    def tried(
        self, hook: Hook, event: Event, attempt: int, seconds: float, doubt: str, code: str = "", error: str = ""
    ) -> None:
        pass

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        pass
