"""One hook's lane: what it has to deliver, and the few greenlets that do it.

A hook that hangs keeps its own greenlets busy and its own queue full; no other lane notices. Events of one key are
delivered one after another, those of different keys at the same time (``schedule``).

A hook with ``max_attempts = 1`` gets each event once, whatever became of the one before. With more, the
lane looks at whose fault a failure is (``fault``): an event that is at fault is dead at once; if it is the
endpoint, the event is held in front of the others of its key and the whole lane pauses, at least as long as a
``Retry-After`` says; after enough of that the breaker opens and the lane only probes (``health``).

The events of a lane come from ``offer`` and are in memory only, or from its ``feed`` of the log; then
they are settled there, and what the lane leaves undone comes again.
"""

from __future__ import annotations

import gevent
from gevent import Greenlet
from gevent.lock import Semaphore

from ...clock import Clock
from ...errors import DeliveryError, PermanentDeliveryError
from ...event.catalogue import matches
from ...event.event import Event
from ...settings import HookSettings
from ..record.witness import Witness
from ..redelivery import again
from ..sink.base import Hook
from ..store.feed import Feed
from . import deadletter
from .deadletter import DeadLetters
from .drops import Drops, Tell
from .governor import Governor
from .health import Health
from .outcome import Outcomes
from .schedule import Delivery, Schedule

ACTIVE = "active"
PAUSED = "paused"
OPEN = "open"
DISABLED = "disabled"
STOPPED = "stopped"

#: Events that are delivered together, of one key and in its order; the first one leads them (``Schedule.follow``).
Run = list[Delivery]

_KILL_WAIT_S = 1.0
BUG_WORDS = "bug in the hook"


class Lane:
    """The deliveries and the workers of one hook. ``concurrency`` may be changed while it runs.

    Workers are started as work needs them and then stay: waking one costs a twentieth of starting
    one, and it is the emitter who pays. ``configured`` tells hooks of the settings from registered ones;
    ``tell`` is given what happens to the lane as an event, ``letters`` what it can not deliver; ``follower`` is the
    lane that takes those to their URL, and ends after this one.
    """

    def __init__(
        self,
        hook: Hook,
        settings: HookSettings,
        concurrency: int,
        clock: Clock,
        configured: bool,
        tell: Tell,
        letters: DeadLetters,
        witness: Witness,
        governor: Governor,
        follower: Lane | None = None,
        feed: Feed | None = None,
    ) -> None:
        self.hook = hook
        self.settings = settings
        self.configured = configured
        self.letters = letters
        self.follower = follower
        self.feed = feed
        self.workers: set[Greenlet[[], None]] = set()
        self.active = 0
        self.is_stopped = False
        self._clock = clock
        self._governor = governor
        self._schedule = Schedule(settings.delivery.order)
        self._health = Health(hook.id, settings.retry, concurrency, settings.delivery.adaptive, clock, self._wake)
        self._drops = Drops(hook.id, clock, tell)
        self.outcomes = Outcomes(
            hook, settings, clock, self._health, letters, feed, witness, tell, self._waiting, self._gone
        )
        confirm_s = settings.delivery.confirm_timeout_s
        self._try_s = min(settings.timeout_s, confirm_s) if confirm_s else settings.timeout_s
        self._ready = Semaphore(0)  # a permit for each worker that was woken
        self._sleeping = 0  # workers that wait for a permit and have none on its way
        self._set_up()

    def _set_up(self) -> None:
        """For kinds of lanes that have more to remember."""

    @property
    def concurrency(self) -> int:
        return self._health.concurrency

    @concurrency.setter
    def concurrency(self, number: int) -> None:
        self._health.resize(number)

    @property
    def queued(self) -> int:
        """Events that wait, those in the log included."""
        return self.feed.backlog - self.active if self.feed else len(self._schedule)

    def _waiting(self) -> tuple[int, float]:
        return max(self.queued, 0), self.oldest_s

    @property
    def executed(self) -> int:
        return self.outcomes.executed

    @property
    def failed(self) -> int:
        return self.outcomes.failed

    @property
    def retried(self) -> int:
        return self.outcomes.retried

    @property
    def dropped(self) -> int:
        return self._drops.count

    @property
    def limit(self) -> int:
        """How many executions it allows itself now."""
        return self._health.limit

    @property
    def oldest_s(self) -> float:
        """Age of the oldest event that waits, 0 if none does."""
        since = self._schedule.oldest_since()
        return 0.0 if since is None else round(self._clock.monotonic() - since, 3)

    @property
    def state(self) -> str:
        """``active``, ``paused``, ``open`` (it only probes), ``stopped`` (by the operator) or ``disabled``."""
        if self.outcomes.disabled_by:
            return DISABLED
        if self.is_stopped:
            return STOPPED
        if self._health.is_open:
            return OPEN
        return PAUSED if self._health.is_paused else ACTIVE

    def takes(self, type: str) -> bool:
        """Whether the lane is bound to the type."""
        return matches(type, self.settings.event_types)

    def with_follower(self) -> list[Lane]:
        """This lane and, if it has one, the one that takes its dead letters away."""
        return [self, self.follower] if self.follower else [self]

    # --- what comes in ------------------------------------------------------------------------------

    def start(self) -> None:
        """Take what the feed has. Never switches."""
        if self.feed:
            self.feed.attach(self._take_in)

    def offer(self, event: Event) -> None:
        """Take the event; a full queue sheds its oldest. A lane with a feed is offered only what must not wait for the
        store, which is rare; what its feed has handed out is never shed."""
        if self.outcomes.disabled_by:
            self.outcomes.letter(event, deadletter.DISABLED, 0, self.outcomes.disabled_by)
            return
        schedule = self._schedule
        schedule.add(event, self._clock.monotonic())
        if self.feed is None and schedule.waiting > self.settings.queue_events:
            self._drops.add(schedule.shed().event)
        self._wake()

    def shed(self, event: Event) -> None:
        """There is no room for the event. Never switches."""
        self._drops.add(event)

    def _take_in(self, event: Event, seq: int, born_at: int, tries: int, doubt: str) -> None:
        """Take an event from the log (``store.feed.Take``)."""
        clock = self._clock
        delivery = self._schedule.add(event, clock.monotonic() - max(clock.wall() - born_at, 0.0), seq)
        delivery.attempts = tries
        delivery.doubt = doubt
        self._wake()

    # --- what the operator wants --------------------------------------------------------------------

    def stop(self) -> None:
        """Deliver nothing until ``resume``; what is under way goes on. Never switches."""
        self.is_stopped = True

    def resume(self) -> None:
        """Deliver again, also if the endpoint had said that it is gone for good. Never switches."""
        self.is_stopped = False
        self._health.end_pause()
        if self.outcomes.disabled_by:
            self.outcomes.disabled_by = ""
            self.start()
        self._wake()

    def retire(self) -> None:
        """Deliver what there is, each event with one more try and without a pause, and end; nothing may be offered
        any more. What comes from the log is left there instead. Never switches."""
        self.outcomes.last_call = True
        self._health.lift()
        if self.feed:
            self._leave_to_feed()
        else:
            self.is_stopped = False
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
        lost = 0 if self.feed else len(self._schedule) + self.active
        for _ in self._schedule.clear():
            pass
        self._health.end_pause()
        gevent.killall(list(self.workers), block=True, timeout=_KILL_WAIT_S)
        return lost

    def _gone(self) -> None:
        """The endpoint wants nothing any more."""
        if self.feed:
            self._leave_to_feed()
            return
        for waiting in self._schedule.clear():
            self.outcomes.letter(waiting.event, deadletter.DISABLED, waiting.attempts, self.outcomes.disabled_by)

    def _leave_to_feed(self) -> None:
        """What has not begun stays in the log. What is under way may still be settled."""
        assert self.feed
        for _ in self._schedule.clear():
            pass
        self.feed.detach()

    # --- workers ------------------------------------------------------------------------------------

    @property
    def _may_deliver(self) -> bool:
        return not (self._health.is_paused or self.is_stopped or self.active >= self._health.limit)

    def _wake(self) -> None:
        """See to it that somebody takes what is runnable, if the lane may do more than it does. Never switches."""
        if self._health.is_paused or self.is_stopped:
            return
        spare = len(self.workers) - self._sleeping - self.active  # they are awake and will look by themselves
        if self._schedule.runnable <= spare or self.active + spare >= self._health.limit:
            return
        if self._sleeping:
            self._sleeping -= 1
            self._ready.release()
        elif len(self.workers) < self._health.concurrency:
            worker = gevent.spawn(self._work)
            worker.name = f"hook-{self.hook.id}"
            self.workers.add(worker)

    def _work(self) -> None:
        worker = gevent.getcurrent()
        try:
            while True:
                if self._schedule.runnable:
                    self._governor.enter()
                if deliveries := self._take():
                    self._wake()  # there may be something for another one
                    self._deliver(deliveries)
                elif self.outcomes.last_call or len(self.workers) > self._health.concurrency:
                    return
                else:
                    self._sleeping += 1
                    self._ready.acquire()
        finally:
            self.workers.discard(worker)

    def _take(self) -> list[Run]:
        """What to deliver now, nothing if there is nothing that may be. It counts as one active execution then."""
        if not self._may_deliver:
            return []
        if self.settings.delivery.max_age_s:
            self._bury_expired()
        delivery = self._schedule.take()
        if delivery is None:
            return []
        self._begin(delivery)
        return [[delivery]]

    def _begin(self, first: Delivery) -> None:
        self.active += 1
        self._health.probe = first if self._health.is_open else None

    def _bury_expired(self) -> None:
        """What is too old is dead, held or not."""
        for late in self._schedule.expired(self._clock.monotonic() - self.settings.delivery.max_age_s):
            self.outcomes.bury(late, deadletter.EXPIRED, "")

    def _deliver(self, runs: list[Run]) -> None:
        ((delivery,),) = runs
        started = self._clock.monotonic()
        error: DeliveryError | None = None
        try:
            self.hook.execute(self._given(delivery), started + self._try_s)
        except DeliveryError as failure:
            error = failure
        except (Exception, gevent.Timeout):  # noqa: BLE001  a hook is foreign code; the lane outlives its bugs
            self.outcomes.bug(delivery, started, BUG_WORDS)
            error = PermanentDeliveryError(BUG_WORDS, deadletter.BUG)
        finally:
            self.active -= 1
        if self.outcomes.of(delivery, error, started, self.active + 1, pays=True):
            self._come_back([delivery])
        else:
            self._schedule.done(delivery)

    def _come_back(self, run: Run) -> None:
        """Have these, which are not settled, tried again: by whoever the feed goes to next, if this lane is to leave
        them there. It may go on with nothing of their key then, and has nothing any more."""
        if self.outcomes.leaves_to_feed:
            self._schedule.done(run[0])
        else:
            self._schedule.hold(run[0], run[1:])

    @staticmethod
    def _given(delivery: Delivery) -> Event:
        """The event as the hook gets it: with a word about it if it may have got it before."""
        attempts = delivery.attempts
        return again(delivery.event, attempts + 1, delivery.doubt) if attempts or delivery.doubt else delivery.event
