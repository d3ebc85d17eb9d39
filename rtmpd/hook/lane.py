"""One hook's lane: what it has to deliver, and the few greenlets that do it.

A hook that hangs keeps its own greenlets busy and its own queue full; no other lane notices. Events of one key are
delivered one after another, those of different keys at the same time (``schedule``).

A hook with ``max_attempts = 1`` gets each event once, whatever became of the one before. With more, the
lane looks at whose fault a failure is (``fault``): an event that is at fault is dead at once; if it is the
endpoint, the event is held in front of the others of its key and the whole lane pauses, at least as long as a
``Retry-After`` says; after enough of that the breaker opens and the lane only probes.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import gevent
from gevent import Greenlet
from gevent.lock import Semaphore

from ..backoff import Backoff
from ..clock import Clock
from ..errors import DeliveryError, TransientDeliveryError
from ..event.event import Event
from ..log import logger
from ..settings import HookSettings
from . import deadletter, fault
from .breaker import Breaker
from .deadletter import DeadLetters
from .drops import Drops, Tell
from .pause import Pause
from .schedule import Delivery, Schedule
from .sink.base import Hook

ACTIVE = "active"
PAUSED = "paused"
OPEN = "open"
DISABLED = "disabled"

_KILL_WAIT_S = 1.0


class Lane:
    """The deliveries and the workers of one hook. ``concurrency`` may be changed while it runs.

    Workers are started as work needs them and then stay: waking one costs a twentieth of starting
    one, and it is the emitter who pays. ``configured`` tells hooks of the settings from registered ones;
    ``tell`` is given what happens to the lane as an event, ``letters`` what it can not deliver; ``follower`` is the
    lane that takes those to their URL, and ends after this one.
    """

    __slots__ = (
        "_backoff",
        "_breaker",
        "_clock",
        "_concurrency",
        "_drops",
        "_last_call",
        "_limit",
        "_log",
        "_pause",
        "_probe",
        "_ready",
        "_schedule",
        "_sleeping",
        "_tell",
        "_try_s",
        "_why",
        "active",
        "configured",
        "disabled",
        "executed",
        "failed",
        "follower",
        "hook",
        "letters",
        "retried",
        "settings",
        "workers",
    )

    def __init__(
        self,
        hook: Hook,
        settings: HookSettings,
        concurrency: int,
        clock: Clock,
        configured: bool,
        tell: Tell,
        letters: DeadLetters,
        follower: Lane | None = None,
    ) -> None:
        self.hook = hook
        self.settings = settings
        self.configured = configured
        self.letters = letters
        self.follower = follower
        self.workers: set[Greenlet[[], None]] = set()
        self.active = self.executed = self.failed = self.retried = 0
        self.disabled = self._last_call = False
        self._clock = clock
        self._tell = tell
        self._log = logger(f"hook.{hook.id}")  # a logger of its own: one noisy hook does not throttle another's lines
        self._schedule = Schedule(settings.delivery.order)
        self._breaker = Breaker(settings.retry.breaker_failures)
        self._backoff = _backoff(settings)
        self._drops = Drops(hook.id, clock, tell)
        confirm_s = settings.delivery.confirm_timeout_s
        self._try_s = min(settings.timeout_s, confirm_s) if confirm_s else settings.timeout_s
        self._ready = Semaphore(0)  # a permit for each worker that was woken
        self._sleeping = 0  # workers that wait for a permit and have none on its way
        self._pause = Pause(f"hook-pause-{hook.id}", clock, self._wake)
        self._probe: Delivery | None = None  # what was taken last while the breaker was open
        self._why = ""
        self._concurrency = self._limit = concurrency

    @property
    def concurrency(self) -> int:
        return self._concurrency

    @concurrency.setter
    def concurrency(self, number: int) -> None:
        self._concurrency = number
        self._limit = self._breaker.limit(number)

    @property
    def queued(self) -> int:
        return len(self._schedule)

    @property
    def dropped(self) -> int:
        return self._drops.count

    @property
    def state(self) -> str:
        """``active``, ``paused``, ``open`` (it only probes) or ``disabled``."""
        if self.disabled:
            return DISABLED
        if self._breaker.is_open:
            return OPEN
        return PAUSED if self._pause.is_on else ACTIVE

    def with_follower(self) -> list[Lane]:
        """This lane and, if it has one, the one that takes its dead letters away."""
        return [self, self.follower] if self.follower else [self]

    def offer(self, event: Event) -> None:
        """Take the event; a full queue sheds its oldest. Never switches."""
        if self.disabled:
            self.letters.bury(event, deadletter.DISABLED, 0, self._why)
            return
        schedule = self._schedule
        schedule.add(event, self._clock.monotonic())
        if schedule.waiting > self.settings.queue_events:
            self._drops.add(schedule.shed().event)
        if not self._pause.is_on:
            self._wake()

    def retire(self) -> None:
        """Deliver what there is, each event with one more try and without a pause, and end; nothing may be offered
        any more. Never switches."""
        self._last_call = True
        self._pause.end()
        for _ in range(self._sleeping):
            self._ready.release()
        self._sleeping = 0
        self._limit = self._concurrency
        self._drops.report()
        self._wake()

    def join(self) -> None:
        """Wait until a lane that was retired has ended. Switches greenlets."""
        while self.workers:
            gevent.joinall(list(self.workers))

    def abandon(self) -> int:
        """Give up what is queued and end what is running; how many events that were. May switch greenlets."""
        lost = len(self._schedule) + self.active
        for _ in self._schedule.clear():
            pass
        self._pause.end()
        gevent.killall(list(self.workers), block=True, timeout=_KILL_WAIT_S)
        return lost

    # --- workers ------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """See to it that somebody takes what is runnable, if the lane may do more than it does. Never switches."""
        spare = len(self.workers) - self._sleeping - self.active  # they are awake and will look by themselves
        if self._schedule.runnable <= spare or self.active + spare >= self._limit:
            return
        if self._sleeping:
            self._sleeping -= 1
            self._ready.release()
        elif len(self.workers) < self._concurrency:
            worker = gevent.spawn(self._work)
            worker.name = f"hook-{self.hook.id}"
            self.workers.add(worker)

    def _work(self) -> None:
        worker = gevent.getcurrent()
        try:
            while True:
                if delivery := self._take():
                    self._wake()  # there may be something for another one
                    self._deliver(delivery)
                elif self._last_call or len(self.workers) > self._concurrency:
                    return
                else:
                    self._sleeping += 1
                    self._ready.acquire()
        finally:
            self.workers.discard(worker)

    def _take(self) -> Delivery | None:
        """What to deliver now, None if there is nothing that may be. It counts as active then."""
        if self._pause.is_on or self.active >= self._limit:
            return None
        if self.settings.delivery.max_age_s:
            self._bury_expired()
        delivery = self._schedule.take()
        if delivery is not None:
            self.active += 1
            self._probe = delivery if self._breaker.tries else None
        return delivery

    def _bury_expired(self) -> None:
        """What is too old is dead, held or not."""
        for late in self._schedule.expired(self._clock.monotonic() - self.settings.delivery.max_age_s):
            self.letters.bury(late.event, deadletter.EXPIRED, late.attempts, "")

    def _deliver(self, delivery: Delivery) -> None:
        started = self._clock.monotonic()
        error: DeliveryError | None = None
        try:
            self.hook.execute(delivery.event, started + self._try_s)
        except DeliveryError as failure:
            error = failure
        except (Exception, gevent.Timeout):  # noqa: BLE001  a hook is foreign code; the lane outlives its bugs
            self._log.exception("Hook execution failed", **self._facts(delivery, started), error="bug in the hook")
        else:
            self._log.debug("Hook executed successfully", **self._facts(delivery, started))
            self._succeeded(delivery)
            return
        finally:
            self.active -= 1
        self.failed += 1
        if error is None:
            self._bury(delivery, deadletter.BUG, "bug in the hook")
            return
        facts = self._facts(delivery, started)
        self._failed(delivery, error)
        if self._backoff.max_attempts > 1:
            facts["attempt"] = delivery.attempts
        self._log.error("Hook execution failed", **facts, error=str(error), code=error.code)

    def _facts(self, delivery: Delivery, started: float) -> dict[str, object]:
        event = delivery.event
        return {
            "hook_type": self.hook.type,
            "hook_id": self.hook.id,
            "event_type": event.type,
            "event_id": event.id,
            "conn_id": event.conn_id or None,
            "stream_key": event.stream_key or None,
            "duration_ms": round((self._clock.monotonic() - started) * 1000),
        }

    # --- what became of it --------------------------------------------------------------------------

    def _succeeded(self, delivery: Delivery) -> None:
        self.executed += 1
        self._schedule.done(delivery)
        if self._breaker.is_quiet:
            return
        faults = self._breaker.faults
        if self._breaker.succeeded(self._concurrency):
            self._report_health("hook_recovered", faults)
        if not self._last_call:
            self._limit = self._breaker.limit(self._concurrency)

    def _failed(self, delivery: Delivery, error: DeliveryError) -> None:
        """The fault decides who pays."""
        verdict = fault.fault_of(error, self.settings.retry.retryable_errors)
        patient = self._backoff.max_attempts > 1 and not self._last_call
        delivery.attempts += not (patient and verdict == fault.AUTH)
        if self.disabled:  # by another one, while this was under way
            self._bury(delivery, deadletter.DISABLED, str(error))
        elif not patient:
            self._bury(delivery, deadletter.ATTEMPTS if verdict == fault.ENDPOINT else deadletter.REFUSED, str(error))
        elif verdict == fault.EVENT:
            self._bury(delivery, deadletter.REFUSED, str(error))
        elif verdict == fault.GONE:
            self._disable(delivery, str(error))
        elif verdict == fault.ENDPOINT and self._backoff(delivery.attempts) is None:
            self._bury(delivery, deadletter.ATTEMPTS, str(error))
            self._blame(verdict, delivery, error)
        else:
            self.retried += 1
            self._schedule.hold(delivery)
            self._blame(verdict, delivery, error)

    def _blame(self, verdict: str, delivery: Delivery, error: DeliveryError) -> None:
        """The lane pays: it pauses, and when that has happened often enough it only probes."""
        wish_s = error.retry_after_s if isinstance(error, TransientDeliveryError) else None
        if self._breaker.is_open and delivery is not self._probe:
            return  # it was under way before, and tells nothing new
        # An endpoint that says when to come again is not dead.
        if (wish_s is None or self._breaker.is_open) and self._breaker.failed(at_once=verdict == fault.AUTH):
            self._why = verdict
            self._report_health("hook_degraded", self._breaker.faults)
        self._limit = self._breaker.limit(self._concurrency)
        tries = self._breaker.tries or delivery.attempts
        self._pause.last(max(self._backoff.pause_s(tries), wish_s or 0.0))

    def _bury(self, delivery: Delivery, reason: str, last_error: str) -> None:
        self._schedule.done(delivery)
        self.letters.bury(delivery.event, reason, delivery.attempts, last_error)

    def _disable(self, delivery: Delivery, error: str) -> None:
        """The endpoint is gone for good: so is what waits for it, and what is still to come."""
        self.disabled = True
        self._why = error
        self._log.error("Hook disabled, its endpoint is gone", hook_id=self.hook.id, error=error)
        self._tell("hook_degraded", self._health(fault.GONE, 1))
        self._bury(delivery, deadletter.DISABLED, error)
        for waiting in self._schedule.clear():
            self.letters.bury(waiting.event, deadletter.DISABLED, waiting.attempts, error)

    def _report_health(self, type: str, faults: int) -> None:
        facts = self._health(self._why, faults)
        say = self._log.warning if type == "hook_degraded" else self._log.info
        say("Hook is only probed" if type == "hook_degraded" else "Hook is back", **facts)
        self._tell(type, facts)

    def _health(self, why: str, faults: int) -> dict[str, object]:
        since = self._schedule.oldest_since()
        return {
            "hook_id": self.hook.id,
            "fault": why,
            "failures": faults,
            "backlog": len(self._schedule),
            "oldest_sec": 0 if since is None else round(self._clock.monotonic() - since, 3),
        }


def _backoff(settings: HookSettings) -> Backoff:
    retry = settings.retry
    draw: Callable[[], float] | None = random.random if retry.jitter else None
    return Backoff(
        retry.max_attempts,
        retry.initial_delay_s,
        retry.max_delay_s,
        retry.backoff_strategy,
        retry.retry_delays_s,
        draw,
    )
