"""Filters: those of a hook of the files, and those of the command line, which are for many hooks at once.

A hook that is bound to named events has said what it wants, so the list of events of the command line
restricts only hooks that are bound to all, wherever they come from. The other kinds are for every hook of the
command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from ..errors import FilterError
from ..settings import FilterSettings, HookSettings
from .check import Checked, Values
from .entries import HookOptionFlag, Origin, Path
from .values import BadValue

#: Raises FilterError if the text is not a condition.
CheckCondition = Callable[[str], None]

_KEYS = tuple(field.name for field in fields(FilterSettings))
_EVERY = "*"
_BURST_HINT = "write rate_limit = 10/1m too"


def of_section(checked: Checked, path: Path, values: Values, check_condition: CheckCondition) -> FilterSettings:
    """The filter of one [[hook]]; what is wrong with it goes to ``checked``."""
    given = {key: values[key] for key in _KEYS if key in values}
    for error, text in _wrong(given.get("conditions", ()), check_condition):
        checked.problem((*path, "conditions"), f"{text!r} {error}", error.hint)
    if given.get("rate_burst") and "rate_limit" not in checked.tree.sections[path]:
        checked.problem((*path, "rate_burst"), "needs a rate_limit", _BURST_HINT)
    return FilterSettings(**given)


def _wrong(conditions: Iterable[str], check_condition: CheckCondition) -> list[tuple[FilterError, str]]:
    found = []
    for text in conditions:
        try:
            check_condition(text)
        except FilterError as error:
            found.append((error, text))
    return found


class CommandLineFilter:
    """What the flags say: ``event_types`` for hooks bound to all events, ``settings`` for those of the command
    line. Lists of repeated flags come together, of other flags the last one holds."""

    def __init__(self, checked: Checked, flags: Sequence[HookOptionFlag], check_condition: CheckCondition) -> None:
        self._checked = checked
        self._check_condition = check_condition
        self._values: dict[str, Any] = {}
        self._origins: dict[str, Origin] = {}
        for flag in flags:
            self._take(flag)
        self.event_types: tuple[str, ...] = self._values.pop("event_types", ())
        self.settings = FilterSettings(**self._values)
        if "rate_burst" in self._origins and "rate_limit" not in self._origins:
            self._problem("rate_burst", "needs a rate limit", "add -hook-rate-limit 10/1m")

    def applied(self, hook: HookSettings, of_command_line: bool) -> HookSettings:
        """The hook with what the flags add to it."""
        if self.event_types and (not hook.event_types or _EVERY in hook.event_types):
            hook = replace(hook, event_types=self.event_types)
        return replace(hook, filter=self.settings) if of_command_line else hook

    def warn_if_idle(self, hooks: Iterable[HookSettings], of_command_line: int) -> None:
        """Say so if a flag has no hook that it could be for."""
        every = any(not hook.event_types or _EVERY in hook.event_types for hook in hooks)
        for key, origin in self._origins.items():
            if key == "event_types" and not every:
                warning = origin.problem((), "restricts no hook", "it is for hooks bound to all events")
            elif key != "event_types" and not of_command_line:
                warning = origin.problem((), "restricts no hook", "it is for hooks of the command line")
            else:
                continue
            self._checked.warnings.append(warning)

    def _take(self, flag: HookOptionFlag) -> None:
        self._origins[flag.key] = flag.entry.origin
        try:
            value = self._checked.spec.hook_option(flag.key).check(flag.entry.value)
        except BadValue as error:
            self._problem(flag.key, str(error), error.hint)
            return
        if flag.key == "conditions":
            for wrong, _ in _wrong(value, self._check_condition):
                self._problem(flag.key, str(wrong), wrong.hint)
        several = isinstance(value, tuple)
        self._values[flag.key] = (*self._values.get(flag.key, ()), *value) if several else value

    def _problem(self, key: str, message: str, hint: str) -> None:
        self._checked.problems.append(self._origins[key].problem((), message, hint))

    def origin_of_events(self) -> Origin:
        """Where the list of events stands."""
        return self._origins.get("event_types", Origin(""))
