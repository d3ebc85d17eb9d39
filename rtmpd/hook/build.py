"""From the settings of a hook to the hook."""

from __future__ import annotations

from collections.abc import Callable

from ..clock import Clock
from ..errors import ConfigError, Problem
from ..settings import HookSettings
from .sink.base import Hook
from .sink.script import ScriptHook
from .sink.stdio import FORMATS, StdioHook
from .sink.webhook import WebhookHook


def build_hook(settings: HookSettings, clock: Clock) -> Hook:
    """The hook that ``settings`` describe, not started yet. Raises ConfigError. Never switches."""
    build = _BUILDERS.get(settings.type)
    if build is None:
        raise _error(settings, f"unknown type, one of {', '.join(_BUILDERS)}", settings.type)
    return build(settings, clock)


def _script(settings: HookSettings, clock: Clock) -> Hook:
    if not settings.target:
        raise _error(settings, "no script given", "")
    return ScriptHook(settings.id, settings.target, clock)


def _webhook(settings: HookSettings, clock: Clock) -> Hook:
    return WebhookHook(settings.id, settings.target, settings.concurrency, clock)


def _stdio(settings: HookSettings, clock: Clock) -> Hook:
    if settings.target not in FORMATS:
        raise _error(settings, f"unknown format, one of {', '.join(FORMATS)}", settings.target)
    return StdioHook(settings.id, settings.target)


def _error(settings: HookSettings, message: str, text: str) -> ConfigError:
    return ConfigError([Problem("", f"hooks.{settings.id}", message, text)])


_BUILDERS: dict[str, Callable[[HookSettings, Clock], Hook]] = {
    "script": _script,
    "webhook": _webhook,
    "stdio": _stdio,
}
