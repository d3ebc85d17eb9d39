"""What must hold for all events of one run of the daemon, whatever happened in it: the checker.

``faults(events)`` reads the events of a daemon that has stopped. Every start has exactly one stop of
the same session on the same stream and connection, after it; nothing of a connection is told before
its accept or after its close; a stream is created and deleted by turns and carries sessions only
while it exists; the number of players told is the number of players. A viewer over HTTP has no connection of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Event = dict[str, Any]
ENVELOPE = ["type", "timestamp", "conn_id", "stream_key", "data"]
SESSIONS = {"publish_start": "publish_stop", "play_start": "play_stop"}
STOPS = {stop: start for start, stop in SESSIONS.items()}


def faults(events: Iterable[Event]) -> list[str]:
    """Everything wrong with the events of one run, in words; empty if they balance."""
    book = _Book()
    return [fault for one in events for fault in book.enter(one)] + list(book.close())


class _Book:
    def __init__(self) -> None:
        self.open_connections: set[str] = set()
        self.closed_connections: set[str] = set()
        self.sessions: dict[str, Event] = {}
        self.ended: set[str] = set()
        self.streams: set[str] = set()
        self.players: dict[str, int] = {}
        self.timestamp = 0

    def enter(self, event: Event) -> Iterator[str]:
        if list(event) != ENVELOPE:
            yield f"the keys are not those of the envelope: {event}"
            return
        if event["timestamp"] < self.timestamp:
            yield f"the timestamp runs backwards: {event}"
        self.timestamp = max(self.timestamp, event["timestamp"])
        yield from self.connection(event)
        yield from self.stream(event)
        if event["type"] in SESSIONS:
            yield from self.start(event)
        elif event["type"] in STOPS:
            yield from self.stop(event)
        elif event["type"] == "subscriber_count":
            expected = self.players.get(event["stream_key"], 0)
            if event["data"].get("count") != expected:
                yield f"{expected} players are there, but: {event}"

    def connection(self, event: Event) -> Iterator[str]:
        conn_id = event["conn_id"]
        if event["type"] == "connection_accept":
            if conn_id in self.open_connections | self.closed_connections:
                yield f"accepted twice: {event}"
            self.open_connections.add(conn_id)
        elif event["type"] == "connection_close":
            if conn_id not in self.open_connections:
                yield f"closed but not open: {event}"
            self.open_connections.discard(conn_id)
            self.closed_connections.add(conn_id)
        elif conn_id in self.closed_connections:
            yield f"after its connection's close: {event}"

    def stream(self, event: Event) -> Iterator[str]:
        key = event["stream_key"]
        if event["type"] == "stream_create":
            if key in self.streams:
                yield f"created twice: {event}"
            self.streams.add(key)
        elif event["type"] == "stream_delete":
            if key not in self.streams:
                yield f"deleted but not there: {event}"
            if any(session["stream_key"] == key for session in self.sessions.values()):
                yield f"deleted under a session: {event}"
            self.streams.discard(key)

    def start(self, event: Event) -> Iterator[str]:
        session = event["data"].get("session_id")
        if not session or session in self.sessions or session in self.ended:
            yield f"a start without a session of its own: {event}"
        of_http = event["data"].get("protocol", "rtmp") not in ("rtmp", "rtmps")  # or a pull
        if event["conn_id"] not in self.open_connections and not of_http:
            yield f"a start on no open connection: {event}"
        if event["stream_key"] not in self.streams:
            yield f"a start on a stream that was not created: {event}"
        self.sessions[str(session)] = event
        if event["type"] == "play_start":
            self.players[event["stream_key"]] = self.players.get(event["stream_key"], 0) + 1

    def stop(self, event: Event) -> Iterator[str]:
        session = str(event["data"].get("session_id"))
        start = self.sessions.pop(session, None)
        self.ended.add(session)
        if start is None or start["type"] != STOPS[event["type"]]:
            yield f"a stop without its start: {event}"
            return
        if any(start[name] != event[name] for name in ("conn_id", "stream_key")):
            yield f"start and stop name different things: {start} {event}"
        if not event["data"].get("reason"):
            yield f"a stop without a reason: {event}"
        if event["type"] == "play_stop":
            self.players[start["stream_key"]] -= 1

    def close(self) -> Iterator[str]:
        yield from (f"a start without a stop: {start}" for start in self.sessions.values())
        yield from (f"a connection was never closed: {conn_id}" for conn_id in sorted(self.open_connections))
        yield from (f"a stream was never deleted: {key}" for key in sorted(self.streams))
