"""Every hook of the server: which event goes to whom, and the lanes it goes through.

``emit`` looks the type up, makes the event and appends it to the lanes whose filter lets it pass. Everything that
can take time happens in the lanes' own greenlets, so nothing an endpoint does reaches the emitter
or another hook. The number of executions at once (``HooksSettings.concurrency``) is a cap for each
hook on its own: as one pool for all, ten hanging executions of one hook would stop the rest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import gevent
from gevent import Greenlet

from ..clock import Clock
from ..errors import ConfigError, FilterError, MisuseError, Problem
from ..event.birth import Births
from ..event.catalogue import EVENT_TYPES, matches
from ..event.event import Event
from ..log import logger
from ..settings import DeliverySettings, FilterSettings, HookSettings, HooksSettings, RetrySettings
from .build import build_hook
from .deadletter import DeadLetter, DeadLetters
from .filter import Filter, FilterEngine
from .lane import Lane
from .sink.base import Hook

_DEFAULTS = HookSettings(id="", type="", target="")
_CLOSE_WAIT_S = 1.0
_LETTER_ATTEMPTS = 3

_log = logger("hook")


class HookManager:
    """Takes events and has them delivered by the hooks of ``settings`` and those registered by hand.

    Raises ConfigError if a hook of ``settings`` can not be built. Never switches. ``filters`` are asked by ``emit``
    for each hook that is bound to the event's type.
    """

    def __init__(
        self,
        settings: HooksSettings,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
        build: Callable[[HookSettings, Clock], Hook] = build_hook,
    ) -> None:
        self._clock = clock
        self._build = build
        self._births = Births(clock.wall, random_bytes)
        self._concurrency = settings.concurrency
        self.filters = FilterEngine(clock)
        self._lanes: dict[str, Lane] = {}
        self._index: dict[str, tuple[Lane, ...]] = {}
        self._retiring: dict[Lane, Greenlet[[Lane], None]] = {}
        self._closed = False
        self.replace(settings)

    def emit(self, type: str, /, *, conn_id: str = "", stream_key: str = "", **data: object) -> None:
        """Tell that something happened (``event.Emit``). Never waits, never switches, never raises."""
        lanes = self._index.get(type)
        if lanes is None:
            lanes = self._wanted_by(type)
        if not lanes:
            return
        try:
            event = self._births.event(type, conn_id, stream_key, data)
            self._offer(event, lanes)
        except Exception:  # noqa: BLE001  the emitter has media to move; what went wrong here is ours
            _log.exception("event lost", event_type=type, conn_id=conn_id, stream_key=stream_key)

    def trigger(self, event: Event) -> None:
        """Hand a ready-made event to the hooks that want it. Never switches."""
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

        It stays across ``replace``. Raises MisuseError if its id is taken, ConfigError if its filter can not be
        used. Never switches.
        """
        if self._closed or hook.id in self._lanes:
            raise MisuseError(f"hook {hook.id!r} can not be registered: closed, or the id is taken")
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
        filters = self._compiled([settings])
        self._install({**self._lanes, hook.id: self._lane(hook, settings, configured=False)}, filters)

    def unregister(self, hook_id: str) -> bool:
        """Remove a hook; what it has queued is still delivered. False if there is none. Never switches."""
        if hook_id not in self._lanes:
            return False
        self._install({id: lane for id, lane in self._lanes.items() if id != hook_id}, {})
        return True

    def replace(self, settings: HooksSettings) -> None:
        """Have exactly the hooks of ``settings``, and those registered by hand.

        A hook of which nothing or only the filter is different keeps its lane with all that is queued; a
        removed one delivers what it has queued and ends. A rate limit that is the same goes on counting.
        Raises ConfigError, and then nothing has changed. Never switches, so no event meets half of the
        old and half of the new.
        """
        if self._closed:
            raise MisuseError("the hooks are closed")
        filters = self._compiled(settings.hooks)
        lanes = {id: lane for id, lane in self._lanes.items() if not lane.configured}
        for wanted in settings.hooks:
            lane = self._lanes.get(wanted.id)
            if lane is None or not _same_but_filter(lane.settings, wanted):
                lane = self._lane(self._build(wanted, self._clock), wanted, configured=True)
            lanes[wanted.id] = lane
        for wanted in settings.hooks:
            lanes[wanted.id].settings = wanted
        self._concurrency = settings.concurrency
        for lane in lanes.values():
            lane.concurrency = self._cap(lane.settings)
        self._install(lanes, filters)

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
            "hooks": {
                id: {
                    "executed": lane.executed,
                    "failed": lane.failed,
                    "dropped": lane.dropped,
                    "queued": lane.queued,
                    "active": lane.active,
                    "state": lane.state,
                    "retried": lane.retried,
                    "dead": dict(lane.letters.counts),
                    "filtered": self.filters.refusals(id),
                }
                for id, lane in self._lanes.items()
            },
        }

    def dead_letters(self, hook_id: str) -> list[DeadLetter]:
        """The latest events that the hook did not get, oldest first; none if there is no such hook."""
        lane = self._lanes.get(hook_id)
        return list(lane.letters.kept) if lane else []

    def close(self, drain_s: float) -> None:
        """Take no more events, wait up to ``drain_s`` for those queued and running, then end what is
        left, scripts with their children. The second call does nothing. May switch greenlets."""
        if self._closed:
            return
        self._closed = True
        self._install({}, {})
        lanes, retirements = list(self._retiring), list(self._retiring.values())
        try:
            gevent.joinall(retirements, timeout=drain_s)
        finally:  # whoever does not want to wait any longer still leaves no script behind
            for each in [each for lane in lanes for each in lane.with_follower()]:
                if lost := each.abandon():
                    _log.error("events lost at stop", hook_id=each.hook.id, hook_type=each.hook.type, count=lost)
            gevent.joinall(retirements, timeout=_CLOSE_WAIT_S)

    def _lane(self, hook: Hook, settings: HookSettings, configured: bool) -> Lane:
        def tell(type: str, data: dict[str, object]) -> None:
            self._tell(hook.id, type, data)

        url = settings.delivery.dead_letter_url
        follower = self._letters_lane(settings, url) if url else None
        letters = DeadLetters(hook.id, self._clock, follower.offer if follower else None)
        return Lane(hook, settings, self._cap(settings), self._clock, configured, tell, letters, follower)

    def _letters_lane(self, settings: HookSettings, url: str) -> Lane:
        """Takes the dead letters of a hook to their URL. It has nothing that proves who the hook is, and what
        becomes of it is only logged: were it told as events, a dead endpoint would feed itself."""
        own = HookSettings(
            f"{settings.id}.dead-letters",
            "webhook",
            url,
            timeout_s=settings.timeout_s,
            concurrency=1,
            retry=RetrySettings(max_attempts=_LETTER_ATTEMPTS),
            http=replace(settings.http, headers=(), client_cert="", client_key=""),
        )
        hook = self._build(own, self._clock)
        return Lane(hook, own, 1, self._clock, False, lambda type, data: None, DeadLetters(own.id, self._clock))

    def _tell(self, hook_id: str, type: str, data: dict[str, object]) -> None:
        """Emit an event about a hook, to all but that hook itself. Never switches, never raises."""
        try:
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
        for lane in lanes:
            if should_trigger(event, lane.hook.id)[0]:
                lane.offer(event)

    def _compiled(self, hooks: Iterable[HookSettings]) -> dict[str, Filter]:
        """The filters of these hooks, not in use yet. Raises ConfigError with all that is wrong with them."""
        filters, problems = {}, []
        for hook in hooks:
            try:
                filters[hook.id] = self.filters.compiled(hook.id, hook.event_types, hook.filter)
            except FilterError as error:
                problems.append(Problem("", f"hooks.{hook.id}.conditions", str(error), hint=error.hint))
        if problems:
            raise ConfigError(problems)
        return filters

    def _wanted_by(self, type: str) -> tuple[Lane, ...]:
        return tuple(lane for lane in self._lanes.values() if matches(type, lane.settings.event_types))

    def _install(self, lanes: dict[str, Lane], filters: dict[str, Filter]) -> None:
        """Make ``lanes`` the lanes, and let those that are no longer among them end. Hooks that ``filters`` do not
        name keep what they have."""
        removed = [lane for id, lane in self._lanes.items() if lanes.get(id) is not lane]
        self._lanes = lanes
        self.filters.install(filters, lanes)
        self._index = {type: self._wanted_by(type) for type in EVENT_TYPES}
        for lane in removed:
            retirement = gevent.spawn(self._retire, lane)
            retirement.name = f"hook-retire-{lane.hook.id}"
            self._retiring[lane] = retirement

    def _retire(self, lane: Lane) -> None:
        """Wait for what the lane has queued, then let its hook go; after it the lane of its dead letters."""
        for each in lane.with_follower():
            each.retire()
            each.join()
            each.hook.close()
        del self._retiring[lane]


def _same_but_filter(one: HookSettings, other: HookSettings) -> bool:
    return replace(one, event_types=other.event_types, filter=other.filter) == other
