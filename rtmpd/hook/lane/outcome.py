"""What becomes of one try: who is told, who pays, and whether there will be another one."""

from __future__ import annotations

from collections.abc import Callable

from ...clock import Clock
from ...errors import DeliveryError, NotSentError, TransientDeliveryError
from ...event.event import Event
from ...log import logger
from ...settings import HookSettings
from .. import fault
from ..record.witness import Witness
from ..redelivery import ERROR, TIMEOUT
from ..sink.base import Hook
from ..store.feed import Feed
from ..trace import trace_id
from . import deadletter
from .deadletter import DeadLetters
from .drops import Tell
from .health import Health
from .schedule import Delivery


class Outcomes:
    """The bookkeeping of one lane. ``waiting`` gives the number of events that wait and the age of the oldest in
    seconds, ``gone`` is called when the endpoint is gone for good. No method switches."""

    def __init__(
        self,
        hook: Hook,
        settings: HookSettings,
        clock: Clock,
        health: Health,
        letters: DeadLetters,
        feed: Feed | None,
        witness: Witness,
        tell: Tell,
        waiting: Callable[[], tuple[int, float]],
        gone: Callable[[], None],
    ) -> None:
        self._hook = hook
        self._clock = clock
        self._health = health
        self._letters = letters
        self._feed = feed
        self._witness = witness
        self._tell = tell
        self._waiting = waiting
        self._gone = gone
        self._retryable = settings.retry.retryable_errors
        self._log = logger(f"hook.{hook.id}")  # a logger of its own: one noisy hook does not throttle another's lines
        self.executed = self.failed = self.retried = 0
        self.disabled_by = ""  # the error that did it; "" if the endpoint is not gone
        self.last_call = False

    @property
    def leaves_to_feed(self) -> bool:
        """Whether the lane is at its end, or its endpoint is, and what is not settled is left to the log."""
        return self._feed is not None and (self.last_call or bool(self.disabled_by))

    def of(self, delivery: Delivery, error: DeliveryError | None, started: float, active: int, pays: bool) -> bool:
        """One try is over; whether the event is not settled, and is to be tried again. ``active`` counts the executions
        that are under way, this one included; ``pays`` is false if the lane has paid for the same failure already."""
        if error is not None:
            return self._failed(delivery, error, started, pays)
        seconds = self._clock.monotonic() - started
        self.executed += 1
        if self._log.tells_debug:
            self._log.debug("Hook executed successfully", **self._facts(delivery, started))
        self._witness.tried(self._hook, delivery.event, delivery.attempts + 1, seconds, delivery.doubt)
        self._settle(delivery)
        faults = self._health.faults
        if pays and self._health.succeeded(seconds, active):
            self._report_health("hook_recovered", faults)
        return False

    def bury(self, delivery: Delivery, reason: str, last_error: str) -> None:
        """The hook will not get the event."""
        self.letter(delivery.event, reason, delivery.attempts, last_error)
        self._settle(delivery)

    def letter(self, event: Event, reason: str, attempts: int, last_error: str) -> None:
        """The same for one that is in no log."""
        self._witness.buried(self._hook, event, reason, attempts, last_error)
        self._letters.bury(event, reason, attempts, last_error)

    def _settle(self, delivery: Delivery) -> None:
        if delivery.seq and self._feed:
            self._feed.settled_one(delivery.seq)

    def _failed(self, delivery: Delivery, error: DeliveryError, started: float, pays: bool) -> bool:
        self.failed += 1
        facts = self._facts(delivery, started)
        seconds, tries = self._clock.monotonic() - started, delivery.attempts + 1
        self._witness.tried(self._hook, delivery.event, tries, seconds, delivery.doubt, error.code, str(error))
        if not isinstance(error, NotSentError):
            delivery.doubt = TIMEOUT if error.code == "timeout" else ERROR
        if error.code == deadletter.BUG:  # the traceback has been logged
            delivery.attempts += 1
            self.bury(delivery, deadletter.BUG, str(error))
            return False
        is_held = self._judge(delivery, error, pays)
        if self._health.is_patient:
            facts["attempt"] = delivery.attempts
        self._log.error("Hook execution failed", **facts, error=str(error), code=error.code)
        return is_held

    def _judge(self, delivery: Delivery, error: DeliveryError, pays: bool) -> bool:
        """The fault decides who pays."""
        verdict = fault.fault_of(error, self._retryable)
        is_patient = self._health.is_patient and not self.last_call
        is_free = verdict == fault.AUTH or isinstance(error, NotSentError)
        delivery.attempts += not (is_patient and is_free)
        if self.leaves_to_feed and verdict != fault.EVENT:
            return True
        if self.disabled_by and not self._feed:  # by another one, while this was under way
            self.bury(delivery, deadletter.DISABLED, str(error))
        elif not is_patient:
            self.bury(delivery, deadletter.ATTEMPTS if verdict == fault.ENDPOINT else deadletter.REFUSED, str(error))
        elif verdict == fault.EVENT:
            self.bury(delivery, deadletter.REFUSED, str(error))
        elif verdict == fault.GONE:
            self._disable(delivery, str(error))
            return self.leaves_to_feed
        elif verdict == fault.ENDPOINT and self._health.is_last(delivery.attempts):
            self.bury(delivery, deadletter.ATTEMPTS, str(error))
            self._blame(verdict, delivery, error, pays)
        else:
            self.retried += 1
            if delivery.seq and self._feed:
                self._feed.tried(delivery.seq, delivery.attempts)
            self._blame(verdict, delivery, error, pays)
            return True
        return False

    def _blame(self, verdict: str, delivery: Delivery, error: DeliveryError, pays: bool) -> None:
        """The lane pays."""
        if not pays or (self._health.is_open and delivery is not self._health.probe):
            return  # it was under way before the breaker opened, and tells nothing new
        wish_s = error.retry_after_s if isinstance(error, TransientDeliveryError) else None
        if self._health.failed(verdict, delivery.attempts, wish_s):
            self._report_health("hook_degraded", self._health.faults)

    def _disable(self, delivery: Delivery, error: str) -> None:
        """The endpoint is gone for good. What comes from the log stays there, in case it is not."""
        if not self.disabled_by:
            self.disabled_by = self._health.why = error
            self._log.error("Hook disabled, its endpoint is gone", hook_id=self._hook.id, error=error)
            self._tell("hook_degraded", {**self._facts_of_health(1), "fault": fault.GONE})
        if not self._feed:
            self.bury(delivery, deadletter.DISABLED, error)
        self._gone()

    # --- what is told -------------------------------------------------------------------------------

    def _facts(self, delivery: Delivery, started: float) -> dict[str, object]:
        event = delivery.event
        return {
            "hook_type": self._hook.type,
            "hook_id": self._hook.id,
            "event_type": event.type,
            "event_id": event.id,
            "trace_id": trace_id(event) or None,
            "conn_id": event.conn_id or None,
            "stream_key": event.stream_key or None,
            "duration_ms": round((self._clock.monotonic() - started) * 1000),
        }

    def bug(self, delivery: Delivery, started: float, words: str) -> None:
        """Log the exception that is being handled: it is the hook's own."""
        self._log.exception("Hook execution failed", **self._facts(delivery, started), error=words)

    def _report_health(self, type: str, faults: int) -> None:
        facts = self._facts_of_health(faults)
        say = self._log.warning if type == "hook_degraded" else self._log.info
        say("Hook is only probed" if type == "hook_degraded" else "Hook is back", **facts)
        self._tell(type, facts)

    def _facts_of_health(self, faults: int) -> dict[str, object]:
        backlog, oldest_s = self._waiting()
        return {
            "hook_id": self._hook.id,
            "fault": self._health.why,
            "failures": faults,
            "backlog": backlog,
            "oldest_sec": oldest_s,
        }
