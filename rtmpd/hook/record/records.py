"""What is remembered of tries and of ends: counted, in the log of attempts, and in the audit trail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from ...clock import Clock
from ...event.event import Event
from ...metrics.fault import RECORD_NOT_WRITTEN, Fault
from ...settings import HooksSettings
from ..sink.base import Hook
from . import audit
from .attempts import AttemptLog
from .audit import AuditTrail
from .witness import DELIVERED, FAILED, Witness

_ATTEMPTS = "attempts.db"


class Records:
    """A witness that writes down what it sees and tells ``counts`` too. Attempts go to a file beside the event log, if
    there is one. Raises StartError if the audit trail can not be written."""

    def __init__(self, settings: HooksSettings, clock: Clock, counts: Witness) -> None:
        self._clock = clock
        self._counts = counts
        store = settings.store.path
        path = os.path.join(os.path.dirname(store), _ATTEMPTS) if store else ""
        self.attempts = AttemptLog(path, settings.attempt_log)
        self.audit = AuditTrail(settings.audit, clock) if settings.audit.file else None

    def tried(
        self, hook: Hook, event: Event, attempt: int, seconds: float, doubt: str, code: str = "", error: str = ""
    ) -> None:
        """``witness.Witness``."""
        self._counts.tried(hook, event, attempt, seconds, doubt, code, error)
        outcome = FAILED if code else DELIVERED
        at = self._clock.wall()
        duration_ms = round(seconds * 1000)
        self.attempts.add(hook.id, event.id, event.type, attempt, outcome, code, error, duration_ms, doubt, at)
        if self.audit is not None and not code:
            facts = {"hook_id": hook.id, "event_id": event.id, "event_type": event.type, "attempt": attempt}
            self.audit.record(audit.DELIVERED, **facts)

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        """``witness.Witness``."""
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
