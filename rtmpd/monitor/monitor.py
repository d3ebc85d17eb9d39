"""Watches the process and the server, and emits an event when a value passes a threshold and when it is back.

One greenlet reads all values each interval, lets ``alerts`` decide what changed, and emits that. It knows no other
room: the values come through the callables of ``Sources``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gevent import Greenlet
from gevent.event import Event

from ..clock import Clock
from ..event.event import Emit
from ..log import logger
from ..metrics.registry import Reading
from ..metrics.window import Peak
from ..settings import AlertSettings, Levels
from .alerts import RAISED, RANK, Alert, Change, Timing
from .disks import Disks
from .greenlets import count_greenlets
from .system import System

PERFORMANCE = "performance_alert"
LATENCY = "latency_alert"
RESOURCE = "resource_alert"

_DEAD_LETTERS_S = 60.0
_DOWN = Levels(0, 1)
_AT_ONCE = Timing(0.0, 0.0, 0.0)

_log = logger("monitor")


@dataclass(frozen=True, slots=True)
class Sources:
    """The watched values. None of these callables may switch. Times are in milliseconds: ``handshake_ms`` and
    ``hooks_ms`` (by hook) cover the time since the last call, the others return the maximum of the last
    ``peak_window_s``."""

    connections: Callable[[], int]
    streams: Callable[[], int]
    queue_depth: Callable[[], int]
    handshake_ms: Callable[[], float]
    message_ms: Callable[[], float]
    hub_lag_ms: Callable[[], float]
    hooks_ms: Callable[[], Mapping[str, float]]
    hook_backlogs: Callable[[], Mapping[str, int]]
    dead_letters: Callable[[], int]
    store_is_up: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Watched:
    """One value at one moment. ``subject`` is the hook or path that it belongs to."""

    type: str
    metric: str
    value: float
    levels: Levels
    subject: str = ""
    is_state: bool = False  # on or off, so it needs no hold time


def peak_window_s(settings: AlertSettings) -> float:
    """Return how long a single occurrence must be remembered to be seen at the start and the end of ``hold_s``."""
    return settings.hold_s + settings.interval_s


class Monitor:
    """Watches from ``start`` to ``stop``; it can be started again."""

    def __init__(
        self, settings: AlertSettings, sources: Sources, system: System, disks: Disks, emit: Emit, clock: Clock
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._system = system
        self._emit = emit
        self._clock = clock
        self._timing = Timing.of(settings)
        self._disks = disks
        self._dead = RecentGrowth(_DEAD_LETTERS_S)
        self._hooks: dict[str, Peak] = {}
        self._alerts: dict[tuple[str, str], Alert] = {}
        self._greenlet: Greenlet[[], None] | None = None
        self._ends = Event()

    def configure(self, settings: AlertSettings) -> None:
        """Use these settings from the next ``start``; raised alerts stay raised until their value is below the new
        threshold."""
        self._settings = settings
        self._timing = Timing.of(settings)

    def start(self) -> None:
        """Start to watch."""
        if self._greenlet is not None:
            return
        self._ends.clear()
        self._greenlet = Greenlet(self._run)
        self._greenlet.name = "monitor"
        self._greenlet.start()

    def stop(self) -> None:
        """Stop watching. Raised alerts stay raised, and changes that were already found are emitted. May switch."""
        if self._greenlet is not None:
            greenlet, self._greenlet = self._greenlet, None
            self._ends.set()
            greenlet.join()

    def _run(self) -> None:
        while not self._ends.wait(self._settings.interval_s):
            try:
                self.look()
            except Exception:  # noqa: BLE001  a bug here must not end all alerts
                _log.exception("watching failed")

    def look(self) -> None:
        """Read all values once, and emit an event for each alert that changed. May switch if one did."""
        now = self._clock.monotonic()
        watched = list(self._watched(now))
        changed = [(each, change) for each in watched if (change := self._alert(each).look(each.value, now))]
        if changed:
            facts = self._facts()
            for each, change in changed:
                self._tell(each, change, facts)

    def read(self) -> Iterator[Reading]:
        """Yield the level of each kind of alert: the worst of its subjects."""
        worst: dict[str, int] = {}
        for (metric, _), alert in self._alerts.items():
            worst[metric] = max(worst.get(metric, 0), RANK[alert.severity])
        for metric, rank in worst.items():
            yield Reading("rtmp_alert_level", rank, (metric,))

    def _watched(self, now: float) -> Iterator[Watched]:
        settings, sources, usage = self._settings, self._sources, self._system.look()
        yield Watched(PERFORMANCE, "cpu", usage.cpu_percent, settings.cpu)
        yield Watched(PERFORMANCE, "memory", usage.memory_percent, settings.memory)
        yield Watched(PERFORMANCE, "connections", sources.connections(), settings.connections or Levels())
        yield Watched(PERFORMANCE, "queue_depth", sources.queue_depth(), settings.queue_depth)
        yield Watched(LATENCY, "handshake", sources.handshake_ms(), settings.handshake_ms)
        yield Watched(LATENCY, "message", sources.message_ms(), settings.message_ms)
        yield Watched(LATENCY, "hub_lag", sources.hub_lag_ms(), settings.hub_lag_ms)
        yield from self._each(LATENCY, "hook", self._hooks_ms(), settings.hook_ms)
        yield Watched(RESOURCE, "descriptors", usage.descriptors_percent, settings.descriptors)
        yield from self._each(RESOURCE, "disk", self._disks.percent, settings.disk)
        yield from self._each(RESOURCE, "hook_backlog", sources.hook_backlogs(), settings.hook_backlog)
        yield Watched(RESOURCE, "dead_letters", self._dead.within(sources.dead_letters(), now), settings.dead_letters)
        yield Watched(RESOURCE, "event_store", int(not sources.store_is_up()), _DOWN, is_state=True)

    def _hooks_ms(self) -> dict[str, float]:
        """Return the recent times of hooks. A slow hook reports only when an execution ends, which may be long after
        the previous one."""
        for hook_id, value_ms in self._sources.hooks_ms().items():
            if hook_id not in self._hooks:
                self._hooks[hook_id] = Peak(self._clock, peak_window_s(self._settings))
            self._hooks[hook_id].note(value_ms)
        found = {hook_id: value_ms for hook_id, peak in self._hooks.items() if (value_ms := peak.value())}
        self._hooks = {hook_id: self._hooks[hook_id] for hook_id in found}
        return found

    def _each(self, type: str, metric: str, values: Mapping[str, float], levels: Levels) -> Iterator[Watched]:
        """Yield the values of several subjects. A subject without a value counts as 0 until its alert has ended."""
        silent = [subject for name, subject in self._alerts if name == metric and subject not in values]
        for subject in silent:
            if self._alerts[metric, subject].is_quiet:
                del self._alerts[metric, subject]
            else:
                yield Watched(type, metric, 0.0, levels, subject)
        for subject, value in values.items():
            yield Watched(type, metric, value, levels, subject)

    def _alert(self, watched: Watched) -> Alert:
        key = watched.metric, watched.subject
        alert = self._alerts.get(key)
        timing = _AT_ONCE if watched.is_state else self._timing
        if alert is None:
            alert = self._alerts[key] = Alert(watched.levels, timing)
        alert.tune(watched.levels, timing)
        return alert

    def _facts(self) -> dict[str, object]:
        """Return the figures of the server that every alert includes. May switch."""
        greenlets = count_greenlets()
        return {
            "active_connections": self._sources.connections(),
            "total_streams": self._sources.streams(),
            "message_queue_depth": self._sources.queue_depth(),
            "goroutine_count": greenlets,
            "greenlet_count": greenlets,
        }

    def _tell(self, watched: Watched, change: Change, facts: Mapping[str, object]) -> None:
        value, threshold = round(change.value, 3), change.threshold
        about: dict[str, object] = {"severity": change.severity, "state": change.state}
        subject = {_SUBJECT[watched.metric]: watched.subject} if watched.subject else {}
        if watched.type == LATENCY:
            data = {"metric": watched.metric, "value_ms": value, "threshold_ms": threshold, **about, **subject}
        else:
            data = {"metric_type": watched.metric, "current_value": value, "threshold": threshold}
            data |= {**about, **facts, **subject}
        self._emit(watched.type, conn_id="", stream_key="", **data)
        about |= {"metric": watched.metric, "value": value, "threshold": threshold, "subject": watched.subject or None}
        if change.state == RAISED:
            _log.warning("alert raised", **about)
        else:
            _log.info("alert cleared", **about)


_SUBJECT = {"hook": "hook_id", "hook_backlog": "hook_id", "disk": "path"}


class RecentGrowth:
    """The growth of a count within the last ``window_s``."""

    __slots__ = ("_past", "_window_s")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._past: deque[tuple[float, int]] = deque()

    def within(self, count: int, now: float) -> int:
        """Return the growth until now. A count that is smaller than before was reset."""
        if self._past and count < self._past[-1][1]:
            self._past.clear()
        self._past.append((now, count))
        while self._past[0][0] < now - self._window_s:
            self._past.popleft()
        return count - self._past[0][1]
