"""The lane of one hook: its queue, its workers, and what follows from each attempt.

::

    offer / the feed -> schedule -> a worker: take, execute -> outcome -> settled, held for another try, left to the log

``outcome`` has the table of what becomes of an event by a try, ``health`` that of the endpoint.

An event that waits for another try holds up those of its key (with ``order = strict`` all) and nobody else. Retries
may use half of the executions at once, so that they can neither take everything from new events nor wait for them.

Which greenlet runs what: ``offer`` and ``drop`` that of the emitter; ``_take_in`` the log's writer or reader;
``pause``, ``resume``, ``retire``, ``join`` and ``abandon`` that of an operator, a reload or the stop; everything from
``_work`` on one of the lane's workers; ``_ring`` the hub. Only workers, ``join`` and ``abandon`` switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import gevent
from gevent import Greenlet
from gevent.lock import Semaphore

from ...clock import Clock
from ...errors import DeliveryError, NotSentError, PermanentDeliveryError
from ...event.catalogue import matches
from ...event.event import Event
from ...log import logger
from ...settings import ORDER_STRICT, HookSettings
from .. import fault
from ..record.records import Observer, Tried
from ..redelivery import ERROR, RECOVERY
from ..sink.base import Hook
from ..store.feed import Feed
from . import deadletter
from .batching import Batching
from .deadletter import DeadLetters
from .drops import Drops, EmitAbout
from .health import MAX_HELD, Health
from .outcome import DELIVERED, Again, Outcome, Settled, Situation, judge
from .schedule import Delivery, Schedule
from .startlimit import StartLimit
from .timer import Timer

ACTIVE: Final = "active"  # it delivers; single events may be held for another try
RETRYING: Final = "retrying"  # the last try failed, or the endpoint has asked for a pause
TRIPPED: Final = "tripped"  # the breaker is open: the endpoint is only probed
PAUSED: Final = "paused"  # by an operator
DISABLED: Final = "disabled"  # the endpoint is gone for good

_KILL_WAIT_S = 1.0
_BUG_WORDS = "bug in the hook"


#: What became of each delivery of an execution: its error, and the fault that the error is ("" and None for a success).
Ends = dict[Delivery, tuple[DeliveryError | None, str]]


class Execution(NamedTuple):
    """What a worker delivers at once: runs of events of one key each, the first of which leads. ``is_probe`` is whether
    it was begun while the breaker was open, ``is_retry`` whether it takes of the share of retries."""

    runs: list[list[Delivery]]
    is_probe: bool
    is_retry: bool


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What a lane is made of.

    ``configured`` distinguishes hooks of the settings from those registered by hand. ``emit`` takes what happens to the
    lane as an event. ``follower`` is the lane that takes the dead letters to their URL, and ends after this one;
    ``feed`` the lane's way through the log, None for a lane whose events are in memory.
    """

    hook: Hook
    settings: HookSettings
    concurrency: int
    configured: bool
    clock: Clock
    emit: EmitAbout
    dead_letters: DeadLetters
    observer: Observer
    start_limit: StartLimit
    follower: Lane | None = None
    feed: Feed | None = None


class Lane:
    """The deliveries and the workers of one hook. ``concurrency`` may be changed while it runs.

    Workers are started as work needs them and then stay: waking one costs a twentieth of starting one, and it is the
    emitter who pays. ``executed`` counts deliveries, ``failed`` tries that were sent and failed, ``retried`` those that
    are followed by another one, ``active`` executions under way. ``paused_by`` is who paused the lane, "" for nobody,
    ``disabled_by`` the error that did it.
    """

    def __init__(self, parts: LaneParts) -> None:
        self.hook = hook = parts.hook
        self.settings = settings = parts.settings
        self.configured = parts.configured
        self.dead_letters = parts.dead_letters
        self.follower = parts.follower
        self.feed = parts.feed
        self.workers: set[Greenlet[[], None]] = set()
        self.executed = self.failed = self.retried = self.active = 0
        self.paused_by = self.disabled_by = ""
        self.is_ending = False
        self._clock = parts.clock
        self._emit = parts.emit
        self._observer = parts.observer
        self._start_limit = parts.start_limit
        self._log = logger(f"hook.{hook.id}")  # a logger of its own: one noisy hook does not throttle another's lines
        self._schedule = Schedule(settings.delivery.order)
        self._health = Health(settings.retry, parts.concurrency, settings.delivery.adaptive)
        self._drops = Drops(hook.id, parts.clock, parts.emit)
        self._timer = Timer(parts.clock, self._ring)
        is_batched = settings.delivery.batch_events > 1
        self._batching = Batching(hook, settings.delivery, parts.clock, self._wake) if is_batched else None
        confirm_s = settings.delivery.confirm_timeout_s
        self._try_s = min(settings.timeout_s, confirm_s) if confirm_s else settings.timeout_s
        self._retrying = 0  # executions under way that are retries
        self._was_retry = False  # whether the last execution was one
        self._under_way: set[Delivery] = set()
        self._ready = Semaphore(0)  # a permit for each worker that was woken
        self._sleeping = 0  # workers that wait for a permit and have none on its way

    # --- what others ask ------------------------------------------------------------------------------

    @property
    def concurrency(self) -> int:
        return self._health.concurrency

    @concurrency.setter
    def concurrency(self, number: int) -> None:
        self._health.resize(number)

    @property
    def limit(self) -> int:
        """How many executions it allows itself now."""
        return self._health.limit

    @property
    def queued(self) -> int:
        """Events that wait, those in the log included."""
        return max(self.feed.backlog - len(self._under_way), 0) if self.feed else len(self._schedule)

    @property
    def held(self) -> int:
        """Events that failed and wait for another try."""
        return self._schedule.held

    @property
    def dropped(self) -> int:
        return self._drops.count

    @property
    def oldest_s(self) -> float:
        """Age of the oldest event that waits, 0 if none does."""
        since = self._schedule.oldest_since()
        return 0.0 if since is None else round(self._clock.monotonic() - since, 3)

    @property
    def state(self) -> str:
        """One of the words above."""
        if self.disabled_by:
            return DISABLED
        if self.paused_by:
            return PAUSED
        if self._health.is_open:
            return TRIPPED
        is_waiting = self._health.failures or self._health.paused_until > self._clock.monotonic()
        return RETRYING if is_waiting and self._health.retries else ACTIVE

    @property
    def retry_in_s(self) -> float:
        """Seconds until the lane, or the event that is held and due first, is tried again; 0 if nothing waits."""
        now = self._clock.monotonic()
        return round(max(self._health.paused_until - now, (self._schedule.next_at or 0.0) - now, 0.0), 3)

    @property
    def is_idle(self) -> bool:
        """Return whether there is nothing that could be delivered now."""
        if self.active:
            return False
        is_stuck = self.disabled_by or not self._may_deliver(self._clock.monotonic())
        return bool(is_stuck) or self.queued <= self._schedule.blocked

    def find(self, event_id: str) -> str:
        """Where an event is in the lane, in words for an operator; "" if it is not there."""
        if any(delivery.event.id == event_id for delivery in self._under_way):
            return "under way"
        return self._schedule.find(event_id)

    def takes(self, type: str) -> bool:
        """Return whether the lane is bound to the type."""
        return matches(type, self.settings.event_types)

    def with_follower(self) -> list[Lane]:
        """This lane and, if it has one, the one that takes its dead letters away."""
        return [self, self.follower] if self.follower else [self]

    # --- what comes in --------------------------------------------------------------------------------

    def start(self) -> None:
        """Take what the feed has."""
        if self.feed:
            self.feed.attach(self._take_in, self._blocked)

    def offer(self, event: Event) -> None:
        """Take the event; a full queue drops its oldest. A lane with a feed is offered only what must not wait for the
        store, which is rare; what its feed has handed out is never dropped."""
        if self.disabled_by:
            self._bury(event, deadletter.DISABLED, 0, self.disabled_by)
            return
        schedule = self._schedule
        schedule.add(event, self._clock.monotonic())
        if self.feed is None and schedule.waiting > self.settings.queue_events:
            self._drops.add(schedule.shed().event)
        self._wake()

    def drop(self, event: Event) -> None:
        """Count the event as dropped, because the queue is full."""
        self._drops.add(event)

    def _take_in(self, event: Event, seq: int, born_at: int, attempts: int, reason: str) -> None:
        """Take an event from the log (``store.feed.Take``)."""
        clock = self._clock
        delivery = self._schedule.add(event, clock.monotonic() - max(clock.wall() - born_at, 0.0), seq)
        delivery.attempts = attempts
        delivery.reason = reason
        self._wake()

    def _blocked(self) -> int:
        """How many events of the feed have to wait although the lane goes on (``store.feed.Blocked``)."""
        if self.settings.delivery.order == ORDER_STRICT or self._health.is_open:
            return 0
        return self._schedule.blocked

    # --- what the operator wants ----------------------------------------------------------------------

    def pause(self, by: str) -> None:
        """Deliver nothing until ``resume``; what is under way goes on."""
        self.paused_by = by

    def resume(self) -> None:
        """Deliver again, at once, also if the endpoint had said that it is gone for good."""
        self.paused_by = ""
        self._health.end_pause()
        self._schedule.hasten()
        if self.disabled_by:
            self.disabled_by = ""
            self.start()
        self._wake()

    def retire(self) -> None:
        """Deliver what there is, each event with one more try and without a pause, and end; nothing may be offered
        any more. What comes from the log is left there instead."""
        self.is_ending = True
        self._health.lift()
        self._timer.stop()
        if self.feed:
            self._leave_to_feed()
        else:
            self.paused_by = ""
            self._schedule.hasten()
        for _ in range(self._sleeping):
            self._ready.release()
        self._sleeping = 0
        self._drops.report()
        self._wake()

    def join(self) -> None:
        """Wait until a lane that was retired has ended. Switches greenlets."""
        while self.workers:
            gevent.joinall(list(self.workers))

    def abandon(self) -> int:
        """Give up what is queued and end what is running; how many events are lost by that. May switch greenlets."""
        lost = 0 if self.feed else len(self._schedule) + len(self._under_way)
        for _ in self._schedule.clear():
            pass
        self._timer.stop()
        gevent.killall(list(self.workers), block=True, timeout=_KILL_WAIT_S)
        if self.feed:
            for delivery in self._under_way:  # nobody will know what became of these
                self.feed.leave(delivery.seq, delivery.attempts, delivery.reason or RECOVERY)
        self._under_way.clear()
        return lost

    def _leave_to_feed(self) -> None:
        """What has not begun stays in the log. What is under way may still be settled."""
        assert self.feed
        for waiting in self._schedule.clear():
            if not waiting.seq:
                self._drops.add(waiting.event)
        self.feed.detach([delivery.seq for delivery in self._under_way])

    # --- workers --------------------------------------------------------------------------------------

    def _may_deliver(self, now: float) -> bool:
        return not (self.paused_by or self._health.paused_until > now or self.active >= self._health.limit)

    def _wake(self) -> None:
        """See to it that somebody takes what may be delivered, if the lane may do more than it does."""
        if self._batching and not self._batching.is_ripe(self._schedule, self.is_ending):
            return
        now = self._clock.monotonic()
        if not self._may_deliver(now):
            return
        spare = len(self.workers) - self._sleeping - self.active  # they are awake and will look by themselves
        ready = self._schedule.runnable + self._schedule.is_due(now)
        if ready <= spare or self.active + spare >= self._health.limit:
            return
        if self._sleeping:
            self._sleeping -= 1
            self._ready.release()
        elif len(self.workers) < self._health.concurrency:
            worker = gevent.spawn(self._work)
            worker.name = f"hook-{self.hook.id}"
            self.workers.add(worker)

    def _ring(self) -> None:
        """A pause is over, or what is held is due."""
        self._set_timer()
        self._wake()
        if self.feed:
            self.feed.refill()

    def _set_timer(self) -> None:
        """Look again when the lane may go on, or when what is held is due. What is due already waits for a worker, who
        will look by itself."""
        now, next_at = self._clock.monotonic(), self._schedule.next_at
        if self._health.paused_until > now:
            self._timer.set(self._health.paused_until)
        elif next_at is not None and next_at > now:
            self._timer.set(next_at)

    def _work(self) -> None:
        worker = gevent.getcurrent()
        try:
            while True:
                if self._schedule.runnable or self._schedule.is_due(self._clock.monotonic()):
                    self._start_limit.enter()
                if execution := self._take():
                    self._wake()  # there may be something for another one
                    self._deliver(execution)
                elif self.is_ending or len(self.workers) > self._health.concurrency:
                    return
                else:
                    self._sleeping += 1
                    self._ready.acquire()
        finally:
            self.workers.discard(worker)

    def _take(self) -> Execution | None:
        """What to deliver now, None if nothing may be. It is under way then."""
        now = self._clock.monotonic()
        if not self._may_deliver(now):
            return None
        if self.settings.delivery.max_age_s:
            self._bury_expired(now)
        if self._batching and not self._batching.is_ripe(self._schedule, self.is_ending):
            return None
        head = self._pick(now)
        if head is None:
            return None
        more = self._schedule.take if not head.is_retry else lambda: self._schedule.take_due(now)
        runs = self._batching.gather(head, self._schedule, more) if self._batching else [[head]]
        self.active += 1
        self._retrying += head.is_retry
        self._under_way.update(*runs)
        if head.is_retry:
            self._set_timer()
        return Execution(runs, self._health.is_open, head.is_retry)

    def _pick(self, now: float) -> Delivery | None:
        """A retry that is due or a new event, so that neither kind can keep the other from being delivered."""
        schedule, limit = self._schedule, self._health.limit
        is_new = schedule.runnable > 0 and schedule.held < MAX_HELD
        is_due = schedule.is_due(now) and self._retrying < max(limit // 2, 1)
        takes_turns = limit == 1 and is_new and self._was_retry
        self._was_retry = is_due and not takes_turns
        if self._was_retry:
            return schedule.take_due(now)
        return schedule.take() if is_new else None

    def _bury_expired(self, now: float) -> None:
        """What is too old is dead. What is held is so when it is due (``_again_at``)."""
        schedule, born_before = self._schedule, now - self.settings.delivery.max_age_s
        for late in chain(schedule.shed_born_before(born_before), schedule.due_born_before(born_before, now)):
            self._settle(late, Settled(deadletter.EXPIRED), "")

    # --- one execution --------------------------------------------------------------------------------

    def _deliver(self, execution: Execution) -> None:
        runs, started = execution.runs, self._clock.monotonic()
        deliveries = runs[0] if len(runs) == 1 else sorted(chain(*runs), key=lambda delivery: delivery.number)
        try:
            errors = self._execute(deliveries, started)
        finally:
            self.active -= 1
            self._retrying -= execution.is_retry
        self._under_way.difference_update(deliveries)
        now = self._clock.monotonic()
        if self._batching and self._batching.is_refused(errors, self.settings.retry.retryable_errors):
            for run in runs:  # which of them is to blame is not known yet
                if self._leaves:
                    self._leave(run)
                else:
                    self._hold(run, now)
            self._set_timer()
            return
        patterns = self.settings.retry.retryable_errors
        ends: Ends = {
            delivery: (error, fault.fault_of(error, patterns) if error else "")
            for delivery, error in zip(deliveries, errors, strict=True)
        }
        for run in runs:
            self._end_run(run, ends, started, now)
        self._learn(ends, execution.is_probe, now - started, now)
        if any(errors):
            self._set_timer()

    def _execute(self, deliveries: list[Delivery], started: float) -> list[DeliveryError | None]:
        """What became of each. A hook is foreign code; the lane outlives its bugs."""
        deadline = started + self._try_s
        try:
            if self._batching:
                return list(self._batching.execute([each.given() for each in deliveries], deadline))
            self.hook.execute(deliveries[0].given(), deadline)
            return [None]
        except DeliveryError as error:
            return [error] * len(deliveries)
        except (Exception, gevent.Timeout):  # noqa: BLE001
            seconds = self._clock.monotonic() - started
            tried = Tried(self.hook, deliveries[0].event, deliveries[0].attempts + 1, seconds, "", None)
            self._log.exception("Hook execution failed", **tried.facts(), error=_BUG_WORDS)
            return [PermanentDeliveryError(_BUG_WORDS, deadletter.BUG)] * len(deliveries)

    def _end_run(self, run: list[Delivery], ends: Ends, started: float, now: float) -> None:
        """Act on the outcome of each event of one key. What comes after one that is tried again has overtaken it, so it
        goes again too, in its order."""
        kept: list[Delivery] = []
        at = now
        is_left = False
        for each in run:
            error, verdict = ends[each]
            if kept and error is None:
                each.reason = each.reason or ERROR
                kept.append(each)
                continue
            tried = Tried(self.hook, each.event, each.attempts + 1, now - started, each.reason, error)
            self._observer.tried(tried)
            outcome = self._outcome(each, error, verdict, now)
            self._report(each, outcome, tried)
            if isinstance(outcome, Settled):
                self._settle(each, outcome, str(error))
                continue
            kept.append(each)
            if isinstance(outcome, Again):
                at = max(at, outcome.at)
            else:
                is_left = True
        if not kept:
            self._schedule.done(run[0])
        elif is_left:
            self._leave(kept)
        else:
            self._hold(kept, at)

    # --- outcomes -------------------------------------------------------------------------------------

    def _outcome(self, delivery: Delivery, error: DeliveryError | None, verdict: str, now: float) -> Outcome:
        """What becomes of an event by one try: its fault decides who pays."""
        if error is None:
            return DELIVERED
        lane = Situation(delivery.seq > 0, self.is_ending, bool(self.disabled_by))
        outcome = judge(delivery, error, verdict, lane, self._health, now)
        return Again(self._due_at(delivery, outcome.at, now)) if isinstance(outcome, Again) else outcome

    def _due_at(self, delivery: Delivery, at: float, now: float) -> float:
        """When it is looked at again: rather late with others, but not later than it is too old."""
        if self._batching:
            at = self._batching.rounded(at)
        max_age_s = self.settings.delivery.max_age_s
        return min(at, max(delivery.since + max_age_s, now)) if max_age_s else at

    def _learn(self, ends: Ends, is_probe: bool, seconds: float, now: float) -> None:
        """What the execution says about the endpoint, once for all of its events: if one of them was a success the
        endpoint is there."""
        health = self._health
        verdicts = {verdict: error for error, verdict in ends.values()}
        failures = health.failures
        if fault.GONE in verdicts and health.retries and not self.is_ending:
            self._disable(str(verdicts[fault.GONE]))
        elif "" in verdicts:
            if health.succeeded(now, seconds, self.active + 1):
                self._report_health("hook_recovered", failures)
        elif health.retries and not (self.is_ending or self.disabled_by) and (is_probe or not health.is_open):
            for delivery, (error, verdict) in ends.items():
                if error and verdict != fault.EVENT:
                    if health.failed(verdict, error, delivery.attempts, now):
                        self._report_health("hook_degraded", health.failures)
                    return

    def _settle(self, delivery: Delivery, outcome: Settled, error: str) -> None:
        if outcome.dead:
            self._bury(delivery.event, outcome.dead, delivery.attempts, error)
        if delivery.seq and self.feed:
            self.feed.settled_one(delivery.seq)

    def _hold(self, run: list[Delivery], at: float) -> None:
        """Have these tried again at that moment, in front of the others of their key."""
        head = run[0]
        self._schedule.hold(head, at, run[1:])
        if self.feed:
            for each in run:
                self.feed.tried(each.seq, each.attempts, each.reason)
        if self._schedule.held >= MAX_HELD and self._health.overwhelmed(head.attempts, self._clock.monotonic()):
            self._report_health("hook_degraded", self._health.failures)

    @property
    def _leaves(self) -> bool:
        """Return whether what is not settled is left to the log: the lane is at its end, or its endpoint is."""
        return self.feed is not None and (self.is_ending or bool(self.disabled_by))

    def _leave(self, run: list[Delivery]) -> None:
        """Leave these to the lane that uses the feed next."""
        assert self.feed
        for each in run:
            if each.seq:
                self.feed.leave(each.seq, each.attempts, each.reason)
            else:
                self._drops.add(each.event)
        self._schedule.done(run[0])

    def _bury(self, event: Event, reason: str, attempts: int, last_error: str) -> None:
        """The hook will not get the event."""
        self._observer.buried(self.hook, event, reason, attempts, last_error)
        self.dead_letters.bury(event, reason, attempts, last_error)

    def _disable(self, error: str) -> None:
        """The endpoint is gone for good. What comes from the log stays there, in case it is not."""
        if self.disabled_by:
            return
        self.disabled_by = self._health.why = error
        self._log.error("Hook disabled, its endpoint is gone", hook_id=self.hook.id, error=error)
        self._emit("hook_degraded", {**self._facts_of_health(1), "fault": fault.GONE})
        if self.feed:
            self._leave_to_feed()
            return
        for waiting in self._schedule.clear():
            self._bury(waiting.event, deadletter.DISABLED, waiting.attempts, error)

    # --- what is reported -----------------------------------------------------------------------------

    def _report(self, delivery: Delivery, outcome: Outcome, tried: Tried) -> None:
        """Count the try and log it: as an error when the event is dead, for what is tried again may still succeed."""
        error = tried.error
        if error is None:
            self.executed += 1
            if self._log.writes_debug:
                self._log.debug("Hook executed successfully", **tried.facts())
            return
        if not isinstance(error, NotSentError):
            self.failed += 1
        self.retried += isinstance(outcome, Again)
        if not (isinstance(outcome, Settled) or self._log.writes_info):
            return
        facts = {**tried.facts(), "error": str(error), "code": error.code}
        if self._health.retries:
            facts["attempt"] = delivery.attempts
        if isinstance(outcome, Settled):
            if outcome.dead != deadletter.BUG:  # the traceback has been logged
                self._log.error("Hook execution failed", **facts, reason=outcome.dead)
            return
        if isinstance(outcome, Again):
            facts["retry_in_s"] = round(max(outcome.at - self._clock.monotonic(), 0.0), 3)
        self._log.info("Hook execution failed, the event is tried again", **facts)

    def _report_health(self, type: str, failures: int) -> None:
        facts, is_bad = self._facts_of_health(failures), type == "hook_degraded"
        write = self._log.warning if is_bad else self._log.info
        write("Hook is only probed" if is_bad else "Hook is back", **facts)
        self._emit(type, facts)

    def _facts_of_health(self, failures: int) -> dict[str, object]:
        return {
            "hook_id": self.hook.id,
            "fault": self._health.why,
            "failures": failures,
            "backlog": self.queued,
            "oldest_sec": self.oldest_s,
        }
