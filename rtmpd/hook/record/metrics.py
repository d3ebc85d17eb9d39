"""The metrics of events and hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ...clock import Clock
from ...event.birth import time_of
from ...event.event import Event
from ...metrics.registry import Reading, Registry
from ...metrics.window import Samples
from ..sink.base import Hook
from .records import NOT_SENT, Tried

SUCCESS = "success"
FAILURE = "failure"
TIMEOUT = "timeout"
ERROR = "error"

#: What can come of a try. Codes of errors are many (every status, every errno), so they are counted by kind.
OUTCOMES = (SUCCESS, TIMEOUT, "http_3xx", "http_4xx", "http_5xx", "exit", "signal", "bug", NOT_SENT, ERROR)

_STATES = ("active", "retrying", "tripped", "paused", "disabled")
_FILTER_TYPES = {"missing_field": "condition"}  # every other reason is the kind of filter itself


class HookCounts(Protocol):
    """What the hooks count themselves (``hook.manager``)."""

    @property
    def generated(self) -> Mapping[str, int]:
        """Events by type, whether anybody wants them or not."""

    def stats(self) -> Mapping[str, Any]:
        """The counts of each hook are in ``hooks``, by its id."""


class HookMetrics:
    """An observer of the lanes (``records.Observer``) that counts. No method waits, switches or raises."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._hooks: HookCounts | None = None
        self._refused: Callable[[], Mapping[str, int]] = dict
        self._executions = registry.counter("rtmp_hook_executions_total")
        self._durations = registry.histogram("rtmp_hook_execution_duration_seconds")
        self._attempts = registry.counter("rtmp_hook_attempts_total")
        self._dead = registry.counter("rtmp_hook_dead_letters_total")
        self._latency = registry.histogram("rtmp_hook_delivery_latency_seconds")
        self._recent: dict[str, Samples] = {}
        self._buried = 0

    def read_from(self, hooks: HookCounts, refused: Callable[[], Mapping[str, int]]) -> None:
        """Read also what ``hooks`` count. ``refused`` gives how many events filters kept from hooks since the start,
        by reason."""
        self._hooks = hooks
        self._refused = refused
        self._registry.collect_from(self.read)

    def tried(self, tried: Tried) -> None:
        """One try is over. What was not sent at all is not an execution, and took no time of the endpoint's."""
        hook, event, _, seconds, _, error = tried
        if tried.outcome == NOT_SENT:
            self._attempts.add(hook.id, NOT_SENT)
            return
        self._executions.add(hook.type, event.type, FAILURE if error else SUCCESS)
        self._durations.observe(seconds, hook.type, event.type)
        self._attempts.add(hook.id, outcome_of(error.code if error else ""))
        recent = self._recent.get(hook.id)
        if recent is None:
            recent = self._recent[hook.id] = Samples()
        recent.note(seconds)
        if not error and (born := time_of(event.id)):
            self._latency.observe(max(self._clock.wall() - born, 0.0), hook.id)

    def buried(self, hook: Hook, event: Event, reason: str, attempts: int, error: str) -> None:
        """The hook will not get the event."""
        self._buried += 1
        self._dead.add(hook.id, reason)

    def take_durations_ms(self) -> dict[str, float]:
        """How long executions took since the last call, by hook: what 95 % of them did not exceed. For the monitor."""
        recent, self._recent = self._recent, {}
        return {hook_id: samples.take() * 1000 for hook_id, samples in recent.items()}

    def backlogs(self) -> dict[str, int]:
        """How many events wait, by hook."""
        return {id: int(lane.get("queued", 0)) for id, lane in self._lanes().items()}

    def dead_letters(self) -> int:
        """How many events were buried since the start."""
        return self._buried

    def read(self) -> Iterator[Reading]:
        """What the hooks have counted."""
        for type, count in self._hooks.generated.items() if self._hooks else ():
            yield Reading("rtmp_events_generated_total", count, (type,))
        for reason, count in self._refused().items():
            yield Reading("rtmp_events_filtered_total", count, (_FILTER_TYPES.get(reason, reason), reason))
        for id, lane in self._lanes().items():
            label = (id,)
            yield Reading("rtmp_hook_backlog", lane.get("queued", 0), label)
            yield Reading("rtmp_hook_in_flight", lane.get("active", 0), label)
            yield Reading("rtmp_hook_oldest_age_seconds", lane.get("oldest_sec") or 0, label)
            yield Reading("rtmp_hook_retries_total", lane.get("retried", 0), label)
            yield Reading("rtmp_hook_dropped_total", lane.get("dropped", 0), label)
            for state in _STATES:
                yield Reading("rtmp_hook_state", int(lane.get("state") == state), (id, state))

    def _lanes(self) -> Mapping[str, Mapping[str, Any]]:
        return self._hooks.stats()["hooks"] if self._hooks else {}


def outcome_of(code: str) -> str:
    """One of ``OUTCOMES`` for the code of a DeliveryError, "" for none."""
    kind, _, rest = code.partition(":")
    name = f"http_{rest[:1]}xx" if kind == "status" else kind or SUCCESS
    return name if name in OUTCOMES else ERROR
