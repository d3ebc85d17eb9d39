"""Passes each attempt and each final result to the metrics, the log of attempts and the audit trail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from ...clock import Clock
from ...errors import DeliveryError, NotSentError
from ...event.birth import trace_id_of
from ...event.event import Event
from ...metrics.fault import RECORD_NOT_WRITTEN, Fault
from ...settings import HooksSettings
from ..sink.base import Hook
from . import audit
from .attempts import Attempt, AttemptLog
from .audit import AuditTrail

DELIVERED = "delivered"
FAILED = "failed"
NOT_SENT = "not_sent"

_ATTEMPTS = "attempts.db"


class Tried(NamedTuple):
    """One try that is over. ``attempt`` counts from 1; ``reason`` says why the event may have been received before
    (``redelivery.REASONS``), "" if it cannot have been; ``error`` is None if it was a success."""

    hook: Hook
    event: Event
    attempt: int
    seconds: float
    reason: str
    error: DeliveryError | None

    @property
    def outcome(self) -> str:
        """One of the words above."""
        if self.error is None:
            return DELIVERED
        return NOT_SENT if isinstance(self.error, NotSentError) else FAILED

    def facts(self) -> dict[str, object]:
        """What to log of it."""
        event = self.event
        return {
            "hook_type": self.hook.type,
            "hook_id": self.hook.id,
            "event_type": event.type,
            "event_id": event.id,
            "trace_id": trace_id_of(event.id) or None,
            "conn_id": event.conn_id or None,
            "stream_key": event.stream_key or None,
            "duration_ms": round(self.seconds * 1000),
        }


class Observer(Protocol):
    """Sees what becomes of each try and each event, from the lanes' workers. No method waits, switches or raises."""

    def tried(self, tried: Tried) -> None:
        """One try is over."""

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        """The hook will not get the event."""


class NoObserver:
    """Nobody looks."""

    def tried(self, tried: Tried) -> None:
        pass

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        pass


class Records:
    """An observer that writes down what it sees, and passes it on to ``counts``. Attempts go to a file beside the event
    log, if there is one. Raises StartError if the audit trail cannot be written."""

    def __init__(self, settings: HooksSettings, clock: Clock, counts: Observer) -> None:
        self._clock = clock
        self._counts = counts
        store = settings.store.path
        path = os.path.join(os.path.dirname(store), _ATTEMPTS) if store else ""
        self.attempts = AttemptLog(path, settings.attempt_log)
        self.audit = AuditTrail(settings.audit, clock) if settings.audit.file else None

    def tried(self, tried: Tried) -> None:
        """``Observer``."""
        self._counts.tried(tried)
        hook, event, attempt, seconds, reason, error = tried
        self.attempts.add(
            Attempt(
                hook.id,
                event.id,
                event.type,
                attempt,
                tried.outcome,
                error.code if error else "",
                str(error) if error else "",
                round(seconds * 1000),
                reason,
                self._clock.wall(),
            )
        )
        if self.audit is not None and error is None:
            facts = {"hook_id": hook.id, "event_id": event.id, "event_type": event.type, "attempt": attempt}
            self.audit.record(audit.DELIVERED, **facts)

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        """``Observer``."""
        self._counts.buried(hook, event, reason, attempts, error)
        if self.audit is not None:
            self.audit.record(
                audit.DEAD, hook_id=hook.id, event_id=event.id, event_type=event.type, attempt=attempts, code=reason
            )

    def gap(self, hook_id: str, data: Mapping[str, object]) -> None:
        """The hook will not get these numbers."""
        if self.audit is not None:
            self.audit.record(audit.GAP, **data)

    def act(self, act: str, **facts: object) -> None:
        """An operator did something."""
        if self.audit is not None:
            self.audit.record(act, **facts)

    def faults(self) -> Iterator[Fault]:
        """Yield what cannot be written down now."""
        for record in (self.attempts, self.audit):
            if record is not None and record.fault:
                yield Fault(RECORD_NOT_WRITTEN, record.path, record.fault)

    def reopen(self) -> None:
        """The log files were renamed. Never waits."""
        if self.audit is not None:
            self.audit.reopen()

    def close(self) -> None:
        """Write what has gathered. May switch greenlets."""
        self.attempts.close()
        if self.audit is not None:
            self.audit.close()
