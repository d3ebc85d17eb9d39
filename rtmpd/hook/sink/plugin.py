"""A hook of another package: an entry point of group ``rtmpd.hooks``.

The entry point is a factory, ``factory(id, options)``: a class or a function that is given the id of the hook and its
options (a dict of texts and tuples of texts) and returns an object with ``execute(event, deadline)`` and ``close()``.
It may also have ``execute_batch(events, deadline)``, and ``blocking``: true if it waits in ways that stop the thread.
The factory only looks at its options, as it is called whenever a configuration is tested: connections are for the
first ``execute``. Whatever it raises is a problem of the configuration.

``PluginHook`` keeps it at arm's length. It runs in the lane's greenlet if it waits as gevent waits, else in threads of
its own, one for each of the hook's executions. Either way it has until the deadline. A thread cannot be ended from
outside, so a plugin that blocks for ever keeps its threads. Then its own events time out one after another, and no
other hook notices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

import gevent
from gevent.threadpool import ThreadPool

from ...clock import Clock
from ...errors import DeliveryError, PluginError, TransientDeliveryError
from ...event.event import Event
from ...log import logger
from ..threads import in_thread

GROUP = "rtmpd.hooks"

Options = Mapping[str, str | tuple[str, ...]]

T = TypeVar("T")

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
        hint = "report it to its author"
        raise PluginError(f"plugin {name} ({point.value}) is not a class or function", "name", hint)
    return factory  # type: ignore[no-any-return]


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class PluginHook:
    """Calls ``plugin``; in up to ``threads`` threads, in none if that is 0."""

    type = "plugin"
    answers_each = True

    def __init__(self, id: str, plugin: Plugin, threads: int, clock: Clock) -> None:
        self.id = id
        self._plugin = plugin
        self._clock = clock
        self._pool = ThreadPool(threads) if threads else None
        self._batch: Callable[..., Sequence[DeliveryError | None]] | None = getattr(plugin, "execute_batch", None)

    def execute(self, event: Event, deadline: float) -> None:
        """Have the plugin deliver the event. Raises TransientDeliveryError at the deadline, and what the plugin raises.
        May switch greenlets."""
        self._call(lambda: self._plugin.execute(event, deadline), deadline)

    def execute_batch(self, events: Sequence[Event], deadline: float) -> Sequence[DeliveryError | None]:
        """Have the plugin deliver the events, one by one if it has no batches. May switch greenlets."""
        if self._batch is None:
            return [self._outcome(event, deadline) for event in events]
        batch = self._batch
        outcomes = self._call(lambda: list(batch(events, deadline)), deadline)
        if len(outcomes) != len(events) or any(not isinstance(each, DeliveryError | None) for each in outcomes):
            raise TypeError(f"execute_batch is to return {len(events)} times None or a DeliveryError, not {outcomes!r}")
        return outcomes

    def close(self) -> None:
        """Close the plugin, in a greenlet or thread of its own; threads that are blocked end with the process.
        Never waits."""
        if self._pool is None:
            gevent.spawn(let_go, self._plugin, self.id).name = f"plugin-close-{self.id}"
        else:
            gevent.spawn(self._close_threads, self._pool).name = f"plugin-close-{self.id}"

    def _outcome(self, event: Event, deadline: float) -> DeliveryError | None:
        try:
            self.execute(event, deadline)
        except DeliveryError as error:
            return error
        return None

    def _call(self, call: Callable[[], T], deadline: float) -> T:
        limit = gevent.Timeout(max(deadline - self._clock.monotonic(), 0.001))
        try:
            with limit:
                return call() if self._pool is None else in_thread(self._pool, call)
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise TransientDeliveryError("the plugin took too long", "timeout") from expired

    def _close_threads(self, pool: ThreadPool) -> None:
        if len(pool) < pool.maxsize:
            pool.spawn(let_go, self._plugin, self.id).wait()
        pool.kill()
