"""All live streams by key, and the conflict rules for publishers.

A stream exists from its first publisher or waiting player until neither is left. The registry is
where a key is claimed: the slot is taken before anything else happens, so two publishers can never
both be accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..clock import Clock
from ..errors import LimitReached, StreamBusy, StreamNotFound
from ..event.event import Emit
from ..identity import StreamId
from ..settings import CONFLICT_REPLACE, AppsSettings
from .flush import Load
from .stream import Publisher, Stream
from .subscriber import Subscriber


class _Reservation(NamedTuple):
    app: str
    key: str
    conn_id: str


class Registry:
    """``on_start`` callables get every stream that gets a publisher (recorder, relay). ``on_wanted`` is asked, by the
    names of a stream that nobody publishes, whether it can be fetched. ``load`` is what sending takes.

    No method switches greenlets.
    """

    def __init__(self, apps: AppsSettings, emit: Emit, clock: Clock) -> None:
        self._apps = apps
        self._emit = emit
        self._clock = clock
        self.load = Load(clock)
        self._streams: dict[str, Stream] = {}
        self._on_start: list[Callable[[Stream], None]] = []
        self._reserved: list[_Reservation] = []
        self.on_wanted: Callable[[str, str], bool] | None = None

    def __iter__(self) -> Iterator[Stream]:
        return iter(tuple(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    def configure(self, apps: AppsSettings, identify: Callable[[StreamId], StreamId]) -> None:
        """Apply these settings, also to the streams that exist; ``identify`` returns what they are by them."""
        self._apps = apps
        for stream in self:
            stream.app, stream.name = identify(StreamId(stream.app, stream.name))
            stream.configure(apps.of(stream.app))

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
        policy = self._admit_publisher(app, name, publisher.conn_id, publisher.address)
        stream = self._streams.get(f"{app}/{name}") or self._create(app, name)
        if stream.publisher is not None:
            stream.publisher.replaced(publisher.conn_id, policy)
        stream.start_publish(publisher)
        return stream

    @contextmanager
    def reserved(self, app: str, name: str, conn_id: str, address: str) -> Iterator[None]:
        """Keep the key for ``conn_id`` inside the ``with``, unless the conflict rule is to replace; a publisher that
        would have to give way goes on. Raises what ``claim`` does."""
        self._admit_publisher(app, name, conn_id, address)
        reservation = _Reservation(app, f"{app}/{name}", conn_id)
        self._reserved.append(reservation)
        try:
            yield
        finally:
            self._reserved.remove(reservation)

    def _admit_publisher(self, app: str, name: str, conn_id: str, address: str) -> str:
        """Return the policy by which the present publisher gives way, "" without such a publisher. Raises StreamBusy,
        LimitReached."""
        key = f"{app}/{name}"
        settings = self._apps.of(app)
        policy = settings.publish_conflict
        stream = self._streams.get(key)
        old = stream.publisher if stream is not None else None
        about_to = [one.conn_id for one in self._reserved if one.key == key] if self._reserved else []
        if conn_id in about_to or (old is not None and old.conn_id == conn_id):
            raise StreamBusy(f"{key} is being published by this connection already")
        if old is not None and policy != CONFLICT_REPLACE:
            if old.address != address or old.stalled_s() < settings.stalled_after_s:
                raise StreamBusy(f"{key} is being published already")
            policy = "stalled"
        if about_to and settings.publish_conflict != CONFLICT_REPLACE:
            raise StreamBusy(f"{key} is about to be published already")
        if old is None and settings.max_publishers and self._publishers_of(app, key) >= settings.max_publishers:
            text = f"{app} has its {settings.max_publishers} publishers"
            raise LimitReached(text, "NetStream.Publish.Failed")
        return policy if old is not None else ""

    def started(self, stream: Stream) -> None:
        """Begin the outputs of a claimed stream; its publisher has its answer."""
        for callback in self._on_start:
            callback(stream)

    def admit_player(self, app: str, name: str) -> bool:
        """Return whether the stream has a publisher; without one the player may wait.

        Raises StreamNotFound (players may not wait in this application), LimitReached.
        """
        stream = self._streams.get(f"{app}/{name}")
        settings = self._apps.of(app)
        live = stream is not None and stream.live
        if not live and not self.fetches(app, name) and not settings.play_waits:
            raise StreamNotFound(f"{app}/{name} is not published")
        if settings.max_players and stream is not None and stream.players >= settings.max_players:
            raise LimitReached(f"{app}/{name} has its {settings.max_players} players", "NetStream.Play.Failed")
        return live

    def fetches(self, app: str, name: str) -> bool:
        """Whether a stream that nobody publishes is being fetched, from now on if not yet."""
        return self.on_wanted is not None and self.on_wanted(app, name)

    def join(self, app: str, name: str, subscriber: Subscriber) -> Stream:
        """Attach a player that was admitted."""
        stream = self._streams.get(f"{app}/{name}") or self._create(app, name)
        stream.attach(subscriber)
        return stream

    def close(self) -> None:
        """Give up on publishers that have not come back, and on what is held for them."""
        for stream in self:
            stream.give_up()

    def _create(self, app: str, name: str) -> Stream:
        stream = Stream(app, name, self._apps.of(app), self._clock, self.load, self._discard_if_empty)
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

    def _publishers_of(self, app: str, key: str) -> int:
        """Of other keys; those that may yet be admitted count too."""
        keys = {stream.key for stream in self._streams.values() if stream.app == app and stream.publisher is not None}
        return len(keys.union(one.key for one in self._reserved if one.app == app) - {key})
