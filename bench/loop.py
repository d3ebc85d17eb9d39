"""epoll and timers, nothing else."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

Handler = Callable[[int], None]

BATCH = 64
"""Descriptors handled between two looks at the timers; a publisher's frame waits for no more."""


class Loop:
    """Calls a handler for each ready descriptor, level-triggered, and timers when they are due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add(self, fd: int, mask: int, handler: Handler) -> None:
        """Call ``handler(mask)`` whenever ``fd`` is ready."""
        self._handlers[fd] = handler
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int, handler: Handler | None = None) -> None:
        """Wait for something else on ``fd``, or hand it to another handler."""
        if handler is not None:
            self._handlers[fd] = handler
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Forget ``fd``, before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_at(self, moment: float, action: Callable[[], None]) -> None:
        """Call ``action`` once at ``moment`` of the monotonic clock, in seconds."""
        heapq.heappush(self._timers, (moment, next(self._order), action))

    def run(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Run until the condition holds; False if it did not within the time."""
        deadline = time.monotonic() + timeout_s
        while not until():
            now = time.monotonic()
            if now >= deadline:
                return False
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            wake = min(deadline, self._timers[0][0]) if self._timers else deadline
            wait_s = max(0.0, wake - time.monotonic())
            for fd, mask in self._epoll.poll(min(wait_s, 0.05), BATCH):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(mask)
        return True

    def run_for(self, seconds: float) -> None:
        """Run for a time."""
        self.run(lambda: False, seconds)

    def close(self) -> None:
        """Give the epoll descriptor back. The handlers' descriptors belong to their owners."""
        self._epoll.close()
        self._handlers.clear()
        self._timers.clear()
