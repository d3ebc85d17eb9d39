"""Streams events over HTTP as they happen.

A listener has a bounded queue. One that does not keep up is ended with a notice, since a silent gap
would be worse than an end. Without a listener nothing is subscribed to.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Final

import gevent.event

from ..event.event import Event
from .response import HttpError

HEARTBEAT_S: Final = 10.0

Offer = Callable[[Event], None]


class Listener:
    """A client that listens to types and streams that fit one of the globs, or to all without globs."""

    def __init__(self, types: list[str], streams: list[str], queue_events: int) -> None:
        self._types = types
        self._streams = streams
        self._bound = queue_events
        self._waiting: deque[Event] = deque()
        self._arrived = gevent.event.Event()
        self.too_slow = False

    def offer(self, event: Event) -> None:
        """Queue an event that fits. Never raises."""
        if self.too_slow or not _fits(event.type, self._types) or not _fits(event.stream_key, self._streams):
            return
        if len(self._waiting) >= self._bound:
            self.too_slow = True
        else:
            self._waiting.append(event)
        self._arrived.set()

    def take(self, wait_s: float) -> Event | None:
        """Return the next event; None if no event comes within ``wait_s``, or if the listener is too slow and has had
        all that was queued. May switch greenlets."""
        if not self._waiting and not self.too_slow:
            self._arrived.clear()
            self._arrived.wait(wait_s)
        return self._waiting.popleft() if self._waiting else None


def _fits(text: str, globs: list[str]) -> bool:
    return not globs or any(fnmatchcase(text, glob) for glob in globs)


class Tail:
    """``subscribe(offer)`` subscribes to every event and returns the function that unsubscribes."""

    def __init__(
        self, subscribe: Callable[[Offer], Callable[[], None]], most_listeners: int, queue_events: int
    ) -> None:
        self._subscribe = subscribe
        self._most = most_listeners
        self._queue_events = queue_events
        self._listeners: list[Listener] = []
        self._unsubscribe: Callable[[], None] | None = None

    def limit(self, most_listeners: int, queue_events: int) -> None:
        """Apply these bounds from now on; a client that listens already keeps its queue."""
        self._most = most_listeners
        self._queue_events = queue_events

    def listen(self, types: list[str], streams: list[str], count: int, wait_s: float) -> Iterator[bytes]:
        """The events from now on in the form of ``text/event-stream``: ``count`` of them (0: no end), for ``wait_s``
        seconds (0: no end). Raises HttpError at once if too many listen. The iterator may switch greenlets."""
        if len(self._listeners) >= self._most:
            text = f"{self._most} clients are listening already ([http] event_listeners)"
            raise HttpError(503, text, (("Retry-After", "10"),))
        listener = Listener(types, streams, self._queue_events)
        self._listeners.append(listener)
        if self._unsubscribe is None:
            self._unsubscribe = self._subscribe(self._offer)
        return _Pieces(self, listener, count, wait_s)

    def forget(self, listener: Listener) -> None:
        """Remove ``listener``; end the subscription with the last one."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners and self._unsubscribe is not None:
            unsubscribe, self._unsubscribe = self._unsubscribe, None
            unsubscribe()

    def _offer(self, event: Event) -> None:
        for listener in self._listeners:
            listener.offer(event)


class TailHook:
    """The tail as a hook: an event is delivered at once."""

    id = "events-tail"
    type = "tail"

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def execute(self, event: Event, deadline: float) -> None:
        """Queue the event for each listener. Never raises."""
        self._offer(event)

    def close(self) -> None:
        """Do nothing: the hook holds no resources."""


class _Pieces:
    """The pieces of one answer. An object and not a generator: one that was never begun would not run its end."""

    def __init__(self, tail: Tail, listener: Listener, count: int, wait_s: float) -> None:
        self._tail = tail
        self._listener = listener
        self._pieces = _pieces(listener, count, wait_s)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Stop listening. The server calls it after every answer, complete or not."""
        self._tail.forget(self._listener)


def _pieces(listener: Listener, count: int, wait_s: float) -> Iterator[bytes]:
    yield b": listening\n\n"
    left_s = wait_s or float("inf")
    sent = 0
    while left_s > 0:
        step_s = min(HEARTBEAT_S, left_s)
        event = listener.take(step_s)
        if event is not None:
            yield sse(event)
            sent += 1
            if sent == count:
                return
        elif listener.too_slow:
            yield b"event: too_slow\ndata: {}\n\n"
            return
        else:
            left_s -= step_s
            yield b": still here\n\n"  # finds out whether the listener is, too


def sse(event: Event) -> bytes:
    """Return an event as a message of ``text/event-stream``: schema 1 with id, number and severity in front."""
    beside = json.dumps({"id": event.id, "seq": event.seq, "severity": event.severity}, separators=(",", ":"))
    return b"id: %b\nevent: %b\ndata: %b,%b\n\n" % (
        event.id.encode(),
        event.type.encode(),
        beside[:-1].encode(),
        event.json()[1:],
    )
