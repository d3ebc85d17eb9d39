"""Filters: decide which events a hook gets, by type, severity, stream pattern, conditions and rate.

The order is that of the cost, and the rate comes last so that an event that is refused anyway spends no
token. Filters are compiled when they are set, so that deciding is a few calls of closures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate

from ...bucket import TokenBucket
from ...clock import Clock
from ...errors import ConfigError, FilterError, Problem
from ...event.catalogue import EVENT_TYPES, matches
from ...event.event import Event
from ...event.kind import SEVERITIES
from ...settings import FilterSettings, HookSettings
from .condition import CONDITION, MISSING_FIELD, Check, compile_condition

EVENT_TYPE = "event_type"
SEVERITY = "severity"
STREAM_PATTERN = "stream_pattern"
RATE_LIMIT = "rate_limit"

#: Every reason for which an event can be refused, in the order in which they are looked for.
REASONS = (EVENT_TYPE, SEVERITY, STREAM_PATTERN, CONDITION, MISSING_FIELD, RATE_LIMIT)

_REMEMBERED_KEYS = 1024


class Filter:
    """The compiled filter of one hook. ``bucket`` is that of the filter it takes the place of; it goes on
    if the rate is the same. Raises FilterError for a condition that cannot be used."""

    __slots__ = ("_checks", "bucket", "event_types", "settings")

    def __init__(
        self, event_types: tuple[str, ...], settings: FilterSettings, clock: Clock, bucket: TokenBucket | None = None
    ) -> None:
        self.event_types = event_types
        self.settings = settings
        self.bucket: TokenBucket | None = None
        if limit := settings.rate_limit:
            per_s, burst = limit.events / limit.window_s, settings.rate_burst or limit.events
            keeps = bucket is not None and (bucket.per_s, bucket.burst) == (per_s, burst)
            self.bucket = bucket if keeps else TokenBucket(per_s, burst, clock.monotonic)
        self._checks = self._compiled()

    def check(self, event: Event) -> str:
        """Why the event is refused, one of ``REASONS``; "" if it passes. Spends a token then. Never
        switches, never raises."""
        for check in self._checks:
            if reason := check(event):
                return reason
        return ""

    def verdict(self, event: Event) -> str:
        """The same for somebody who only wants to know: no token is asked for."""
        checks = self._checks[:-1] if self.bucket else self._checks
        return next((reason for check in checks if (reason := check(event))), "")

    def _compiled(self) -> tuple[Check, ...]:
        settings, checks = self.settings, []
        if self.event_types:
            checks.append(_type_check(self.event_types))
        if settings.min_severity != SEVERITIES[0]:
            checks.append(_severity_check(settings.min_severity))
        if settings.stream_patterns:
            checks.append(_stream_check(settings.stream_patterns))
        checks += [compile_condition(text, settings.on_missing) for text in settings.conditions]
        if self.bucket:
            checks.append(_rate_check(self.bucket.take))
        return tuple(checks)


class FilterEngine:
    """The filters of all hooks by id, and how many events each refused and why (``refused``; ``refused_in_all`` by
    reason alone, those of hooks that are gone included).

    A hook without a filter gets every event.
    """

    __slots__ = ("_clock", "_filters", "refused", "refused_in_all")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._filters: Mapping[str, Filter] = {}
        self.refused: Counter[tuple[str, str]] = Counter()
        self.refused_in_all: Counter[str] = Counter()

    def should_trigger(self, event: Event, hook_id: str) -> tuple[bool, str]:
        """Return whether the hook gets the event, and if not, why: one of ``REASONS``. It is counted, and one that
        passes spends a token. Never raises."""
        filter = self._filters.get(hook_id)
        reason = filter.check(event) if filter else ""
        if reason:
            self.refused[hook_id, reason] += 1
            self.refused_in_all[reason] += 1
        return not reason, reason

    def verdict(self, event: Event, hook_id: str) -> str:
        """What ``should_trigger`` would say but for the rate; nothing is counted."""
        filter = self._filters.get(hook_id)
        return filter.verdict(event) if filter else ""

    def update_filter(
        self, hook_id: str, settings: FilterSettings, event_types: tuple[str, ...] | None = None
    ) -> None:
        """Set a hook's filter; without ``event_types`` those it has stay. Raises FilterError, and then
        nothing has changed."""
        current = self._filters.get(hook_id)
        if event_types is None:
            event_types = current.event_types if current else ()
        self._filters = {**self._filters, hook_id: self.compiled(hook_id, event_types, settings)}

    def compiled(self, hook_id: str, event_types: tuple[str, ...], settings: FilterSettings) -> Filter:
        """The filter that hook would have with these settings, not in use yet: the very one it has if they are
        the same, else one that takes over its bucket if the rate is the same. Raises FilterError."""
        current = self._filters.get(hook_id)
        if current and (current.event_types, current.settings) == (event_types, settings):
            return current
        return Filter(event_types, settings, self._clock, current.bucket if current else None)

    def of_hooks(self, hooks: Iterable[HookSettings]) -> dict[str, Filter]:
        """The filters of these hooks, not in use yet. Raises ConfigError with all that is wrong with them."""
        filters, problems = {}, []
        for hook in hooks:
            try:
                filters[hook.id] = self.compiled(hook.id, hook.event_types, hook.filter)
            except FilterError as error:
                problems.append(Problem("", f"hooks.{hook.id}.conditions", str(error), hint=error.hint))
        if problems:
            raise ConfigError(problems)
        return filters

    def install(self, filters: Mapping[str, Filter], kept: Iterable[str] = ()) -> None:
        """Have exactly these filters, and those of the hooks ``kept``; what the others have refused is
        forgotten with them."""
        self._filters = {id: self._filters[id] for id in kept if id in self._filters} | dict(filters)
        self.refused = Counter({key: count for key, count in self.refused.items() if key[0] in self._filters})

    def refusals(self, hook_id: str) -> dict[str, int]:
        """How many events the hook was not given, by reason; reasons that did not occur are left out."""
        return {reason: count for reason in REASONS if (count := self.refused[hook_id, reason])}


# --- the kinds of filters --------------------------------------------------------------------------


def _type_check(patterns: tuple[str, ...]) -> Check:
    known = frozenset(name for name in EVENT_TYPES if matches(name, patterns))

    def check(event: Event) -> str:
        name = event.type
        return "" if name in known or (name not in EVENT_TYPES and matches(name, patterns)) else EVENT_TYPE

    return check


def _severity_check(least: str) -> Check:
    enough = frozenset(SEVERITIES[SEVERITIES.index(least) :])
    return lambda event: "" if event.severity in enough else SEVERITY


def _stream_check(patterns: tuple[str, ...]) -> Check:
    """Globs as one alternation, asked once per stream key; ``*`` also fits ``/``. An event that is of no stream
    passes: a hook for ``live/*`` may want to know of connections too."""
    fits = re.compile("|".join(map(translate, patterns))).match
    known: dict[str, str] = {"": ""}

    def check(event: Event) -> str:
        key = event.stream_key
        verdict = known.get(key)
        if verdict is None:
            if len(known) >= _REMEMBERED_KEYS:
                known.clear()
                known[""] = ""
            verdict = known[key] = "" if fits(key) else STREAM_PATTERN
        return verdict

    return check


def _rate_check(take: Callable[[], bool]) -> Check:
    return lambda event: "" if take() else RATE_LIMIT
