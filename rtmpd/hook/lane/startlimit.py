"""Limits how many deliveries begin in one turn of the event loop, so that media is not delayed.

An event that goes to a hundred hooks wakes a hundred workers at once. Each needs a fraction of a millisecond before it
waits for its endpoint, and a publisher whose bytes have come meanwhile would wait for all of them. So only a few
begin in one turn of the loop; the others stand in a queue and take nothing but that.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from gevent.hub import Waiter, get_hub

_PER_TURN = 8


class StartLimit:
    """Shared by all lanes. ``enter`` before each delivery."""

    __slots__ = ("_left", "_queue", "_timer")

    def __init__(self) -> None:
        self._left = _PER_TURN
        self._queue: deque[Waiter[None]] = deque()
        self._timer: Any = None  # runs from the first delivery of a turn to the next turn

    def enter(self) -> None:
        """Begin a delivery, in this turn if it is not over yet. May switch greenlets."""
        if self._timer is None:
            self._timer = get_hub().loop.timer(0.0)
            self._timer.start(self._turn)
        if self._left > 0:  # then nobody stands in the queue
            self._left -= 1
            return
        waiter: Waiter[None] = Waiter()
        self._queue.append(waiter)
        try:
            waiter.get()
        except BaseException:  # killed while it waited
            if waiter in self._queue:
                self._queue.remove(waiter)
            raise

    def _turn(self) -> None:
        """Called from the hub: the sockets have been looked at."""
        self._timer.close()
        self._timer = None
        self._left = _PER_TURN
        if not self._queue:
            return
        loop = get_hub().loop
        self._timer = loop.timer(0.0)
        self._timer.start(self._turn)
        while self._queue and self._left > 0:
            self._left -= 1
            loop.run_callback(self._queue.popleft().switch, None)
