"""All hooks of the server: routes events to hooks, and owns their lanes.

``emit`` looks the type up, makes the event and appends it to the lanes whose filter lets it pass. Everything that
can take time happens in the lanes' own greenlets, so nothing an endpoint does reaches the emitter
or another hook. The number of executions at once (``HooksSettings.concurrency``) is a cap for each
hook on its own: as one pool for all, ten hanging executions of one hook would stop the rest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import gevent
from gevent import Greenlet

from ..change import Change
from ..clock import Clock
from ..errors import ConfigError, MisuseError, Problem, StartError
from ..event.birth import Births
from ..event.catalogue import EVENT_TYPES, VOLATILE_TYPES
from ..event.event import Event, copied
from ..event.pairing import STOP_TYPES, ends
from ..log import logger
from ..metrics.fault import HOOK_BEHIND, HOOK_HELD_UP, Fault
from ..metrics.registry import Reading
from ..settings import (
    GUARANTEE_NONE,
    DeliverySettings,
    FilterSettings,
    HookSettings,
    HooksSettings,
    RetrySettings,
    StoreSettings,
)
from .build import build_hook
from .filter.engine import Filter, FilterEngine
from .lane.builder import LaneBuilder
from .lane.deadletter import DeadLetter
from .lane.lane import DISABLED, TRIPPED, Lane
from .record.records import NoObserver, Observer, Records
from .sink.base import Hook
from .sink.worker import join_ending
from .store.feed import Feed
from .store.log import EventLog

_DEFAULTS = HookSettings(id="", type="", target="")
_CLOSE_WAIT_S = 1.0
_WORKERS_WAIT_S = 3.0
_POLL_S = 0.02
_BEHIND_S = 300.0

_log = logger("hook")


class HookManager:
    """Takes events and has them delivered by the hooks of ``settings`` and those registered by hand.

    Raises ConfigError if a hook of ``settings`` cannot be built. ``filters`` are asked by ``emit`` for
    each hook that is bound to the event's type; ``observer`` sees what becomes of each try. ``generated`` counts events
    by type, whether anybody wants them or not; ``last_event_at`` is Unix time.

    The first hook that may count on its events opens the log (``events``): StartError if its file cannot be used.
    """

    def __init__(
        self,
        settings: HooksSettings,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
        build: Callable[[HookSettings, Clock], Hook] = build_hook,
        observer: Observer | None = None,
    ) -> None:
        self.generated: Counter[str] = Counter()
        self.last_event_at: float | None = None
        self._clock = clock
        self._build = build
        self._births = Births(clock.wall, random_bytes)
        self.records = Records(settings, clock, observer or NoObserver())
        self._lane_builder = LaneBuilder(clock, build, self._emit_about, self.records)
        self.events: EventLog | None = None
        self._concurrency = settings.concurrency
        self.filters = FilterEngine(clock)
        self._lanes: dict[str, Lane] = {}
        self._index: dict[str, tuple[Lane, ...]] = {}
        self._retiring: dict[Lane, Greenlet[[Lane], None]] = {}
        self._closed = False
        self._store = settings.store
        self.replace(settings)

    def emit(self, type: str, /, *, conn_id: str = "", stream_key: str = "", **data: object) -> None:
        """Report that something happened (``event.Emit``). Never waits, never raises."""
        self.generated[type] += 1
        self.last_event_at = self._clock.wall()
        lanes = self._index.get(type)
        if lanes is None:
            lanes = self._wanted_by(type)
        if not lanes:
            if self.events is not None and type in STOP_TYPES:
                self.events.forget_session(ends(type, conn_id, stream_key, data))
            return
        try:
            event = self._births.event(type, conn_id, stream_key, data)
            self._offer(event, lanes)
        except Exception:  # noqa: BLE001  the emitter has media to move; what went wrong here is ours
            _log.exception("event lost", event_type=type, conn_id=conn_id, stream_key=stream_key)

    def trigger(self, event: Event) -> None:
        """Hand a ready-made event to the hooks that want it."""
        self._offer(event, self._wanted_by(event.type))

    def register(
        self,
        hook: Hook,
        event_types: Iterable[str] = (),
        *,
        timeout_s: float = _DEFAULTS.timeout_s,
        concurrency: int = _DEFAULTS.concurrency,
        queue_events: int = _DEFAULTS.queue_events,
        filter: FilterSettings = _DEFAULTS.filter,
        retry: RetrySettings = _DEFAULTS.retry,
        delivery: DeliverySettings = _DEFAULTS.delivery,
    ) -> None:
        """Add a hook for the types that fit the globs, for all if there are none.

        It stays across ``replace``. Raises MisuseError if its id is taken, ConfigError if its filter cannot be
        used.
        """
        if self._closed or hook.id in self._lanes:
            raise MisuseError(f"hook {hook.id!r} cannot be registered: closed, or the id is taken")
        settings = HookSettings(
            hook.id,
            hook.type,
            "",
            tuple(event_types),
            timeout_s,
            concurrency,
            queue_events,
            filter,
            retry=retry,
            delivery=delivery,
        )
        filters = self.filters.of_hooks([settings])
        self._open_log([settings], self._store)
        lane = self._lane_builder.lane(hook, settings, self._cap(settings), False, self.events)
        self._install({**self._lanes, hook.id: lane}, filters)

    def unregister(self, hook_id: str) -> bool:
        """Remove a hook; what it has queued is still delivered. False if there is none."""
        if hook_id not in self._lanes:
            return False
        self._install({id: lane for id, lane in self._lanes.items() if id != hook_id}, {})
        return True

    def replace(self, settings: HooksSettings) -> None:
        """Replace the configured hooks with those of ``settings``; those registered by hand stay.

        A hook of which nothing or only the filter is different keeps its lane with all that is queued; a
        removed one delivers what it has queued and ends. A rate limit that is the same goes on counting.
        Raises ConfigError, and then nothing has changed. Does not switch, so no event meets half of the
        old and half of the new.
        """
        self.prepare(settings).commit()

    def prepare(self, settings: HooksSettings) -> Change:
        """The same in two steps (``change``). Raises ConfigError."""
        if self._closed:
            raise MisuseError("the hooks are closed")
        filters = self.filters.of_hooks(settings.hooks)
        fresh = self._fresh_lanes(settings)

        def commit() -> None:
            self._bound_log(settings.store)
            lanes = {id: lane for id, lane in self._lanes.items() if not lane.configured}
            for wanted in settings.hooks:
                before = self._lanes.get(wanted.id)
                lane = fresh.get(wanted.id) or self._lanes[wanted.id]
                lane.settings = wanted
                if before is not None and before.paused_by:  # a hook that is changed stays as its operator left it
                    lane.pause(before.paused_by)
                lanes[wanted.id] = lane
            self._concurrency = settings.concurrency
            for lane in lanes.values():
                lane.concurrency = self._cap(lane.settings)
            self._install(lanes, filters)

        def abort() -> None:
            _close(each.hook for lane in fresh.values() for each in lane.with_follower())

        return Change(commit, abort=abort)

    def _fresh_lanes(self, settings: HooksSettings) -> dict[str, Lane]:
        """Lanes, not started, for those hooks that cannot go on with the lane they have. An event log that is needed
        is opened when nothing else can fail: it stays open."""
        built: dict[str, Hook] = {}
        try:
            for wanted in settings.hooks:
                lane = self._lanes.get(wanted.id)
                if lane is None or not lane.configured or not _same_but_filter(lane.settings, wanted):
                    built[wanted.id] = self._build(wanted, self._clock)
            self._open_log(settings.hooks, settings.store)
            fresh = [(built[wanted.id], wanted) for wanted in settings.hooks if wanted.id in built]
            lane_of, log = self._lane_builder.lane, self.events
            return {wanted.id: lane_of(hook, wanted, self._cap(wanted), True, log) for hook, wanted in fresh}
        except BaseException:
            _close(built.values())
            raise

    def stats(self) -> dict[str, object]:
        """Counts for status pages; ``hooks`` holds those of each hook by its id."""
        lanes = self._lanes.values()
        return {
            "event_types": sum(1 for wanted in self._index.values() if wanted),
            "total_hooks": len(lanes),
            "stdio_enabled": any(lane.hook.type == "stdio" for lane in lanes),
            "pool_size": sum(lane.concurrency for lane in lanes),
            "pool_active": sum(lane.active for lane in [*lanes, *self._retiring]),
            "hooks_by_type": dict(Counter(lane.hook.type for lane in lanes)),
            "hooks": {id: self.facts_of(lane) for id, lane in self._lanes.items()},
        }

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """The lanes by the ids of their hooks."""
        return self._lanes

    def faults(self) -> Iterator[Fault]:
        """Yield what keeps events from being accepted or delivered now."""
        if self.events is not None:
            yield from self.events.faults()
        for id, lane in self._lanes.items():
            if lane.state in (TRIPPED, DISABLED):
                yield Fault(HOOK_HELD_UP, id, f"its lane is {lane.state}")
            elif lane.oldest_s >= _BEHIND_S and not lane.paused_by:
                yield Fault(HOOK_BEHIND, id, f"the oldest event has waited for {lane.oldest_s:.0f} s")
        yield from self.records.faults()

    def read(self) -> Iterator[Reading]:
        """Yield the metrics of the store, if there is one."""
        if self.events is not None:
            yield from self.events.read()

    def facts_of(self, lane: Lane) -> dict[str, object]:
        """Return what one hook has done and has to do. What waits for the disk or was given up for it counts too."""
        staged, lost = 0, 0
        if lane.feed is not None and self.events is not None:
            staged, lost = self.events.staged_for(lane.feed.id), self.events.dropped(lane.feed.id)
        return {
            "executed": lane.executed,
            "failed": lane.failed,
            "dropped": lane.dropped + lost,
            "queued": lane.queued + staged,
            "active": lane.active,
            "limit": lane.limit,
            "state": lane.state,
            "paused_by": lane.paused_by,
            "held": lane.held,
            "retry_in_sec": lane.retry_in_s,
            "oldest_sec": lane.oldest_s,
            "retried": lane.retried,
            "dead": dict(lane.dead_letters.counts),
            "filtered": self.filters.refusals(lane.hook.id),
        }

    def born(self, type: str, conn_id: str, stream_key: str, data: dict[str, object]) -> Event:
        """Return an event as of now that no hook gets."""
        return self._births.event(type, conn_id, stream_key, data)

    def dead_letters(self, hook_id: str) -> list[DeadLetter]:
        """The latest events that the hook did not get, oldest first; none if there is no such hook."""
        lane = self._lanes.get(hook_id)
        return list(lane.dead_letters.kept) if lane else []

    def close(self, drain_s: float) -> None:
        """Take no more events, wait up to ``drain_s`` for those queued and running, then end what is
        left, scripts with their children. The second call does nothing. May switch greenlets."""
        if self._closed:
            return
        self._closed = True
        deadline = self._clock.monotonic() + drain_s
        self._drain_log(deadline)
        self._install({}, {})
        drain_s = max(deadline - self._clock.monotonic(), 0.0)
        lanes, retirements = list(self._retiring), list(self._retiring.values())
        try:
            gevent.joinall(retirements, timeout=drain_s)
        finally:  # whoever does not want to wait any longer still leaves no script behind
            for each in [each for lane in lanes for each in lane.with_follower()]:
                if lost := each.abandon():
                    _log.error("events lost at stop", hook_id=each.hook.id, hook_type=each.hook.type, count=lost)
            gevent.joinall(retirements, timeout=_CLOSE_WAIT_S)
            if self.events is not None and (lost := self.events.close(_CLOSE_WAIT_S)):
                _log.error("events lost at stop, the event store could not be written", count=lost)
            self.records.close()
            join_ending(_WORKERS_WAIT_S)

    def _drain_log(self, deadline: float) -> None:
        """Wait until the lanes of the log have delivered what they can deliver now."""
        lanes = [lane for lane in self._lanes.values() if lane.feed]
        while self.events is not None and self._clock.monotonic() < deadline:
            if not self.events.staged and all(lane.is_idle for lane in lanes):
                return
            gevent.sleep(_POLL_S)

    def _open_log(self, hooks: Iterable[HookSettings], store: StoreSettings) -> None:
        """Have the log if one of the hooks needs it. Raises StartError at the first time, ConfigError later."""
        if self.events is not None or all(hook.delivery.guarantee_level == GUARANTEE_NONE for hook in hooks):
            return
        try:
            self.events = EventLog(store, self._clock, self._emit_dropped)
            numbers = self._lane_builder.dead_numbers
            numbers.last = max(numbers.last, self.events.database.last_dead())
        except StartError as error:
            if self._lanes:
                raise ConfigError([Problem("", "store.path", str(error))]) from error
            raise
        _log.info("event store opened", store=store.path, durability=store.durability)

    def _bound_log(self, store: StoreSettings) -> None:
        """Have these bounds of the log, if there is one, from now on."""
        self._store = store
        if self.events is not None and not self.events.reconfigure(store):
            _log.warning("another event store needs a restart", store=store.path)

    def recover(self) -> int:
        """Emit the ends of what a crash has cut short; return how many. To be called once, before anything else
        begins."""
        missing = self.events.missing_ends() if self.events else []
        if not missing:
            return 0
        for end in missing:
            self.emit(end.type, conn_id=end.conn_id, stream_key=end.stream_key, **end.data)
        _log.warning("the last run was cut short, its missing ends are emitted now", events=len(missing))
        return len(missing)

    def _emit_dropped(self, hook_id: str, data: dict[str, object]) -> None:
        self.records.gap(hook_id, data)
        self._emit_about(hook_id, "events_dropped", data)

    def _emit_about(self, hook_id: str, type: str, data: dict[str, object]) -> None:
        """Emit an event about a hook, to all but that hook itself. Never raises."""
        try:
            self.generated[type] += 1
            lanes = [lane for lane in self._wanted_by(type) if lane.hook.id != hook_id]
            if lanes:
                self._offer(self._births.event(type, "", "", data), lanes)
        except Exception:  # noqa: BLE001  the one whose hook it is has other things to do
            _log.exception("event lost", event_type=type, hook_id=hook_id)

    def _cap(self, settings: HookSettings) -> int:
        """How many executions the hook may have at once; stdio has one, since its order is its point."""
        return 1 if settings.type == "stdio" else min(settings.concurrency, self._concurrency)

    def _offer(self, event: Event, lanes: Iterable[Lane]) -> None:
        should_trigger = self.filters.should_trigger
        feeds: list[Feed] = []
        for lane in lanes:
            if not should_trigger(event, lane.hook.id)[0]:
                continue
            if lane.feed is None:
                lane.offer(event)
            elif self.events and self.events.fault and _is_about_store(event):
                lane.offer(copied(event, Event, 0))  # it must not wait for what it is about, so it has no number
            elif self.events and self.events.retention.is_tight and event.type in VOLATILE_TYPES:
                lane.drop(event)
            else:
                feeds.append(lane.feed)
        if self.events is None:
            return
        if feeds:
            self.events.append(event, feeds)
        elif event.type in STOP_TYPES:
            self.events.forget_session(ends(event.type, event.conn_id, event.stream_key, event.data))

    def _wanted_by(self, type: str) -> tuple[Lane, ...]:
        return tuple(lane for lane in self._lanes.values() if lane.takes(type))

    def _install(self, lanes: dict[str, Lane], filters: dict[str, Filter]) -> None:
        """Make ``lanes`` the lanes, and let those that are no longer among them end. Hooks that ``filters`` do not
        name keep what they have."""
        removed = [lane for id, lane in self._lanes.items() if lanes.get(id) is not lane]
        added = [lane for id, lane in lanes.items() if self._lanes.get(id) is not lane]
        self._lanes = lanes
        self.filters.install(filters, lanes)
        self._index = {type: self._wanted_by(type) for type in EVENT_TYPES}
        for lane in removed:
            retirement = gevent.spawn(self._retire, lane)
            retirement.name = f"hook-retire-{lane.hook.id}"
            self._retiring[lane] = retirement
        for lane in added:
            self._start(lane)

    def _start(self, lane: Lane) -> None:
        """Let it deliver, unless another one of the same feed has not ended."""
        if lane.feed is None or all(other.feed is not lane.feed for other in self._retiring):
            lane.start()

    def _retire(self, lane: Lane) -> None:
        """Wait for what the lane has queued, then let its hook go; after it the lane of its dead letters."""
        for each in lane.with_follower():
            each.retire()
            each.join()
            each.hook.close()
        del self._retiring[lane]
        successor = self._lanes.get(lane.hook.id)
        if lane.feed is None:
            return
        if successor is not None and successor.feed is lane.feed:
            self._start(successor)
        elif not self._closed and lane.feed not in [other.feed for other in self._retiring]:
            lane.feed.is_parked = True


def _is_about_store(event: Event) -> bool:
    """Return whether the event says that the store or its disk is in trouble, or that events were given up for that."""
    if event.type == "resource_alert":
        return event.data.get("metric_type") in ("event_store", "disk")
    return event.type == "events_dropped" and str(event.data.get("reason", "")).startswith("store_")


def _close(hooks: Iterable[Hook]) -> None:
    for hook in hooks:
        hook.close()


def _same_but_filter(one: HookSettings, other: HookSettings) -> bool:
    return replace(one, event_types=other.event_types, filter=other.filter) == other
