"""Greenlets that serve one connection after another.

A greenlet of its own for every connection is what the code is written for, but to make one and let
it go is dear: CPython maps memory for its frames and unmaps it at the end. So a greenlet that is done with one
connection waits for the next, and the one that has waited shortest, whose memory is still in the cache,
is taken first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent.hub import get_hub

_MAX_IDLE: Final = 64


class GreenletPool:
    """``start`` is called from the hub, as watchers call; ``close`` once, at the end."""

    __slots__ = ("_hub", "_idle", "_jobs")

    def __init__(self) -> None:
        self._hub: Any = get_hub()
        self._idle: list[Any] = []
        self._jobs: deque[tuple[str, Callable[[], None]]] = deque()

    def start(self, name: str, body: Callable[[], None]) -> None:
        """Run ``body`` in a greenlet called ``name``: at once if one is idle, else soon."""
        if self._idle:
            self._idle.pop().switch((name, body))
        else:
            self._jobs.append((name, body))  # not as arguments, which a greenlet keeps as long as it lives
            gevent.Greenlet(self._work).start()

    def close(self) -> None:
        """End the idle greenlets; the others end with their connections."""
        for greenlet in self._idle:
            greenlet.kill(block=False)
        self._idle.clear()

    def _work(self) -> None:
        me: Any = gevent.getcurrent()
        job = self._jobs.popleft()
        while True:
            me.name, body = job
            body()
            del job, body  # and with them the connection
            if len(self._idle) >= _MAX_IDLE:
                return
            me.name = "idle"
            self._idle.append(me)
            job = self._hub.switch()
