"""Calls a hook of another package; ``plugins`` describes the contract.

It runs in the lane's greenlet if it waits as gevent waits, else in threads of its own, one for each of the
hook's executions. Either way it has until the deadline. A thread cannot be ended from outside, so a plugin that
blocks for ever keeps its threads; then its own events time out one after another, and nobody else notices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import gevent
from gevent.threadpool import ThreadPool

from ...clock import Clock
from ...errors import DeliveryError, TransientDeliveryError
from ...event.event import Event
from ..plugins import Plugin, let_go
from ..threads import in_thread

T = TypeVar("T")


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
