"""Plugins: hooks from other Python packages, by entry points of the group ``rtmpd.hooks``.

The entry point is a factory, ``factory(id, options)``: a class or a function that is given the id of the hook and its
options (a dict of texts and tuples of texts) and returns an object with ``execute(event, deadline)`` and ``close()``.
It may also have ``execute_batch(events, deadline)``, and ``blocking``: true if it waits in ways that stop the thread.
The factory only looks at its options, as it is called whenever a configuration is tested: connections are for the
first ``execute``. Whatever it raises is a problem of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from ..errors import DeliveryError, PluginError
from ..event.event import Event
from ..log import logger

GROUP = "rtmpd.hooks"

Options = Mapping[str, str | tuple[str, ...]]

_log = logger("hook")


class Plugin(Protocol):
    """What a factory returns."""

    def execute(self, event: Event, deadline: float) -> None:
        """As ``Hook.execute``."""
        ...

    def close(self) -> None:
        """As ``Hook.close``."""
        ...


class BatchPlugin(Plugin, Protocol):
    """What a factory may return."""

    def execute_batch(self, events: Sequence[Event], deadline: float) -> Sequence[DeliveryError | None]:
        """What became of each event, None if it is delivered, before ``deadline`` (monotonic seconds)."""
        ...


def make(name: str, hook_id: str, options: Options) -> Plugin:
    """A plugin by the name of its entry point. Raises PluginError. Runs code of others: never trust it further."""
    factory = _factory(name)
    try:
        plugin = factory(hook_id, dict(options))
    except Exception as error:
        hint = "write what the plugin asks for into [[[options]]]"
        raise PluginError(f"plugin {name} does not take its options: {_words(error)}", "options", hint) from error
    missing = [method for method in ("execute", "close") if not callable(getattr(plugin, method, None))]
    if missing:
        hint = "its factory is to return an object with execute(event, deadline) and close()"
        what = f"{type(plugin).__name__} without {' and '.join(missing)}"
        raise PluginError(f"plugin {name} makes a {what}", "name", hint)
    return plugin


def check_plugin(name: str, hook_id: str, options: Options) -> None:
    """Make the plugin and let go of it. Raises PluginError if it cannot be used."""
    let_go(make(name, hook_id, options), hook_id)


def let_go(plugin: Plugin, hook_id: str) -> None:
    """Close the plugin. Never raises."""
    try:
        plugin.close()
    except Exception:  # noqa: BLE001  foreign code
        _log.exception("Plugin does not close", hook_id=hook_id)


def _factory(name: str) -> Callable[..., Plugin]:
    """Imports the package. Raises PluginError."""
    found: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted(found))
        hint = f"installed are {known}" if known else "none is installed; install its package where rtmpd is"
        raise PluginError(f"no installed package has the plugin {name}", "name", hint)
    point = found[name]
    try:
        factory = point.load()
    except Exception as error:
        hint = f"python -c 'import {point.module}' shows more"
        raise PluginError(f"plugin {name} ({point.value}) cannot be loaded: {_words(error)}", "name", hint) from error
    if not callable(factory):
        text = f"plugin {name} ({point.value}) is not a class or function"
        raise PluginError(text, "name", "report it to its author")
    return factory  # type: ignore[no-any-return]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
