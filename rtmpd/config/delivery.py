"""Options of retries and guarantees of a hook, from its section and from flags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from ..settings import GUARANTEE_NONE, DeliverySettings, HookSettings, RetrySettings
from .check import Checked, Values
from .entries import HookOptionFlag, Origin, Path
from .options import Option, Spec
from .values import BadValue

_RETRY = frozenset(field.name for field in fields(RetrySettings))
_DELIVERY = frozenset(field.name for field in fields(DeliverySettings))

#: What [hooks] may say of retries for all hooks of the files.
DEFAULT_KEYS = ("max_attempts", "initial_delay", "max_delay", "backoff_strategy", "jitter")

_GUARANTEE = "guarantee_level"
_DURABLE_ATTEMPTS = 1000
_AT_ONCE_HINT = "what is written to standard output is gone at once"
_NOT_AGAIN_HINT = "an event that could not be written is not tried again"


def applied(hook: HookSettings, checked: Checked, path: Path, values: Values) -> HookSettings:
    """The hook with what its section says; what is wrong with that goes to ``checked``."""
    defaults = {} if hook.type == "stdio" else _defaults(checked)
    retry = _fields(checked.spec, _RETRY, {**defaults, **values})
    if hook.type == "stdio":
        for option in _options(checked.spec, _RETRY):
            if option.key in values:
                checked.problem((*path, option.key), "is not for type = stdio", _NOT_AGAIN_HINT)
        if values.get(_GUARANTEE, GUARANTEE_NONE) != GUARANTEE_NONE:
            checked.problem((*path, _GUARANTEE), "is not for type = stdio", _AT_ONCE_HINT)
    if "retry_delays_s" in retry and "max_attempts" not in retry:
        retry["max_attempts"] = len(retry["retry_delays_s"]) + 1
    delivery = _fields(checked.spec, _DELIVERY, values)
    _keep_trying(retry, delivery)
    return replace(hook, retry=RetrySettings(**retry), delivery=DeliverySettings(**delivery))


def _defaults(checked: Checked) -> Values:
    """What [hooks] says of retries, for hooks that do not say otherwise."""
    given = checked.given.get(("hooks",), {})
    return {key: given[key] for key in DEFAULT_KEYS if key in given}


def _keep_trying(retry: Values, delivery: Values) -> None:
    """Who counts on events and says nothing of attempts does not mean that one is enough."""
    if delivery.get(_GUARANTEE, GUARANTEE_NONE) != GUARANTEE_NONE:
        retry.setdefault("max_attempts", _DURABLE_ATTEMPTS)


def is_about_delivery(spec: Spec, flag: HookOptionFlag) -> bool:
    """Whether the flag is one of those that ``CommandLineDelivery`` takes."""
    return spec.hook_option(flag.key).field in _RETRY | _DELIVERY


class CommandLineDelivery:
    """What the flags say. A script that ran twice may have done twice what it does, so the command line's scripts
    are not retried: that takes a section of the file. Of repeated flags the last one holds."""

    def __init__(self, checked: Checked, flags: Sequence[HookOptionFlag]) -> None:
        self._checked = checked
        self._origins: dict[str, Origin] = {}
        values: Values = {}
        for flag in flags:
            self._take(flag, values)
        retry, delivery = _fields(checked.spec, _RETRY, values), _fields(checked.spec, _DELIVERY, values)
        _keep_trying(retry, delivery)
        self._retry = RetrySettings(**retry)
        self._delivery = DeliverySettings(**delivery)

    def applied(self, hook: HookSettings) -> HookSettings:
        """A hook of the command line with what the flags add to it."""
        if hook.type == "webhook":
            return replace(hook, retry=self._retry, delivery=self._delivery)
        return replace(hook, delivery=self._delivery) if hook.type == "script" else hook

    def warn_if_idle(self, hooks: Iterable[HookSettings]) -> None:
        """Say so if a flag has no hook of the command line that it could be for."""
        types = {hook.type for hook in hooks}
        for key, origin in self._origins.items():
            retries = self._checked.spec.hook_option(key).field in _RETRY
            if "webhook" not in types and (retries or "script" not in types):
                hint = "it is for webhooks of the command line" + ("" if retries else ", and for its scripts")
                self._checked.warnings.append(origin.problem((), "changes no hook", hint))

    def _take(self, flag: HookOptionFlag, values: dict[str, Any]) -> None:
        origin = self._origins[flag.key] = flag.entry.origin
        try:
            value = self._checked.spec.hook_option(flag.key).check(flag.entry.value)
        except BadValue as error:
            self._checked.problems.append(origin.problem((), str(error), error.hint))
            return
        values[flag.key] = value


def _options(spec: Spec, names: frozenset[str]) -> list[Option]:
    many = spec.sections["hooks"].many
    return [option for option in many.options.values() if option.field in names] if many else []


def _fields(spec: Spec, names: frozenset[str], values: Values) -> Values:
    return {option.field: values[option.key] for option in _options(spec, names) if option.key in values}
