"""Every live stream, by key, and who may publish on it.

A stream exists from its first publisher or waiting player until neither is left. The registry is
where a key is claimed: the slot is taken before anything else happens, so two publishers can never
both be told that they have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..clock import Clock
from ..errors import LimitReached, StreamBusy, StreamNotFound
from ..event.event import Emit
from ..settings import CONFLICT_REPLACE, AppsSettings
from .flush import Load
from .stream import Publisher, Stream
from .subscriber import Subscriber


class Registry:
    """``on_start`` callables are told of every stream that gets a publisher (recorder, relay).

    No method switches greenlets.
    """

    def __init__(self, apps: AppsSettings, emit: Emit, clock: Clock) -> None:
        self._apps = apps
        self._emit = emit
        self._clock = clock
        self._load = Load(clock)
        self._streams: dict[str, Stream] = {}
        self._on_start: list[Callable[[Stream], None]] = []

    def __iter__(self) -> Iterator[Stream]:
        return iter(tuple(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    def on_start(self, callback: Callable[[Stream], None]) -> None:
        """Call ``callback(stream)`` whenever a publisher begins."""
        self._on_start.append(callback)

    def find(self, key: str) -> Stream | None:
        """The stream of a key, if it exists."""
        return self._streams.get(key)

    def claim(self, app: str, name: str, publisher: Publisher) -> Stream:
        """Give the key to this publisher, by the application's conflict rule.

        A publisher that has gone silent gives way at once to one from its own address: that is an
        encoder which lost its connection and is back. Raises StreamBusy, LimitReached.
        """
        stream = self._streams.get(f"{app}/{name}")
        settings = self._apps.of(app)
        if stream is not None and stream.publisher is not None:
            self._replace(stream, publisher, settings.publish_conflict, settings.stalled_after_s)
        elif settings.max_publishers and self._publishers_of(app) >= settings.max_publishers:
            text = f"{app} has its {settings.max_publishers} publishers"
            raise LimitReached(text, "NetStream.Publish.Failed")
        if stream is None:
            stream = self._create(app, name)
        stream.start_publish(publisher)
        return stream

    def _replace(self, stream: Stream, publisher: Publisher, policy: str, stalled_after_s: float) -> None:
        old = stream.publisher
        assert old is not None
        if old.conn_id == publisher.conn_id:
            raise StreamBusy(f"{stream.key} is being published by this connection already")
        if policy == CONFLICT_REPLACE:
            old.replaced(publisher.conn_id, policy)
        elif old.address == publisher.address and old.stalled_s() >= stalled_after_s:
            old.replaced(publisher.conn_id, "stalled")
        else:
            raise StreamBusy(f"{stream.key} is being published already")

    def started(self, stream: Stream) -> None:
        """The publisher of a claimed stream has been told so."""
        for callback in self._on_start:
            callback(stream)

    def release(self, stream: Stream, publisher: Publisher, clean: bool) -> None:
        """The publisher is gone; does nothing if another one has the key by now."""
        stream.stop_publish(publisher, clean)
        self._discard_if_empty(stream)

    def admit_player(self, app: str, name: str) -> bool:
        """Whether somebody publishes what a player asks for; with no publisher it may wait.

        Raises StreamNotFound (players may not wait in this application), LimitReached.
        """
        stream = self._streams.get(f"{app}/{name}")
        settings = self._apps.of(app)
        live = stream is not None and stream.live
        if not live and not settings.play_waits:
            raise StreamNotFound(f"{app}/{name} is not published")
        if settings.max_players and stream is not None and len(stream.subscribers) >= settings.max_players:
            raise LimitReached(f"{app}/{name} has its {settings.max_players} players", "NetStream.Play.Failed")
        return live

    def join(self, app: str, name: str, subscriber: Subscriber) -> Stream:
        """Attach a player that was admitted."""
        stream = self._streams.get(f"{app}/{name}") or self._create(app, name)
        stream.attach(subscriber)
        return stream

    def part(self, stream: Stream, subscriber: Subscriber) -> None:
        """Detach a player."""
        stream.detach(subscriber)

    def close(self) -> None:
        """Give up on publishers that have not come back, and on what is held for them."""
        for stream in self:
            stream.give_up()

    def _create(self, app: str, name: str) -> Stream:
        stream = Stream(app, name, self._apps.of(app), self._clock, self._load, self._discard_if_empty)
        self._streams[stream.key] = stream
        self._emit("stream_create", stream_key=stream.key, app=app, stream_name=name)
        return stream

    def _discard_if_empty(self, stream: Stream) -> None:
        if stream.is_empty and self._streams.get(stream.key) is stream:
            del self._streams[stream.key]
            stream.close()
            duration = round(self._clock.monotonic() - stream.created_at, 3)
            self._emit(
                "stream_delete", stream_key=stream.key, app=stream.app, stream_name=stream.name, duration_sec=duration
            )

    def _publishers_of(self, app: str) -> int:
        return sum(1 for stream in self._streams.values() if stream.app == app and stream.publisher is not None)
