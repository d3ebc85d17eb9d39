"""What a stream stands between, made of nothing: an outlet that takes what it is told to, a watcher, a publisher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtmpd.clock import FakeClock
from rtmpd.errors import ConnectionLost
from rtmpd.protocol.amf0 import encode
from rtmpd.protocol.chunk import ChunkLimits, ChunkReader
from rtmpd.protocol.constants import AUDIO, DATA_AMF0, VIDEO
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource
from rtmpd.settings import AppSettings, AppsSettings
from rtmpd.stream.registry import Registry
from rtmpd.stream.stream import Stream
from rtmpd.stream.subscriber import Subscriber

CHUNK_SIZE = 128


class FakeOutlet:
    """A connection's sending side whose socket takes ``room`` bytes and then blocks; None: never does.

    ``sends`` holds the very objects that were offered, ``taken`` the bytes that left, in order.
    """

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.error: OSError | None = None
        self.sends: list[bytes] = []
        self.taken = bytearray()
        self.queue = bytearray()
        self.busy = False
        self.bytes_sent = 0
        self.failures: list[tuple[str, str]] = []
        self.listeners: list[Subscriber] = []

    @property
    def send_now(self) -> Callable[[bytes], int]:
        return self._send

    def _send(self, data: bytes) -> int:
        self.sends.append(data)
        if self.error is not None:
            raise self.error
        count = len(data) if self.room is None else min(self.room, len(data))
        if not count:
            raise BlockingIOError
        if self.room is not None:
            self.room -= count
        self.taken += data[:count]
        return count

    def write(self, data: bytes) -> None:
        if not self.busy:
            try:
                sent = self._send(data)
            except BlockingIOError:
                sent = 0
            self.bytes_sent += sent
            data = data[sent:]
        if data:
            self.push(data)

    def push(self, data: bytes) -> None:
        self.queue += data
        if not self.busy:
            self.busy = True
            for listener in self.listeners:
                listener.on_busy()

    def fail(self, code: str, message: str) -> None:
        self.failures.append((code, message))

    def listen(self, listener: Subscriber) -> None:
        self.listeners.append(listener)

    def ignore(self, listener: Subscriber) -> None:
        self.listeners.remove(listener)

    def take(self, room: int | None) -> None:
        """The socket takes ``room`` bytes more (None: everything from now on); what is queued leaves first."""
        self.room = room
        while self.queue and self.room != 0:
            sent = self._send(bytes(self.queue))
            self.bytes_sent += sent
            del self.queue[:sent]
        if self.busy and not self.queue:
            self.busy = False
            for listener in tuple(self.listeners):
                listener.on_drained()

    def messages(self) -> list[Message]:
        """What the player on the other side reads; a message that is cut off is left out."""
        reader = ChunkReader(Buffer(MemorySource([bytes(self.taken)])), ChunkLimits())
        reader.chunk_size = CHUNK_SIZE
        found = []
        while True:
            try:
                found.append(reader.read_message())
            except ConnectionLost:
                return found


class FakeWatcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def published(self) -> None:
        self.told.append("published")

    def unpublished(self) -> None:
        self.told.append("unpublished")


class Player:
    """A subscriber with a fake connection, attached to a stream by ``Rig.join``."""

    def __init__(self, room: int | None, backlog_bytes: int, backlog_ms: int, msid: int, chunk_size: int) -> None:
        self.outlet = FakeOutlet(room)
        self.watcher = FakeWatcher()
        self.subscriber = Subscriber(self.outlet, self.watcher, chunk_size, msid, backlog_bytes, backlog_ms)

    @property
    def bodies(self) -> list[bytes]:
        return [message.payload for message in self.outlet.messages()]

    @property
    def times(self) -> list[int]:
        return [message.timestamp for message in self.outlet.messages()]


class FakePublisher:
    def __init__(self, conn_id: str = "c000001", address: str = "192.0.2.1") -> None:
        self.conn_id = conn_id
        self.address = address
        self.silent_s = 0.0
        self.replaced_by: list[tuple[str, str]] = []
        self.jumps: list[tuple[str, int]] = []

    def stalled_s(self) -> float:
        return self.silent_s

    def replaced(self, by_conn_id: str, policy: str) -> None:
        self.replaced_by.append((by_conn_id, policy))

    def clock_jumped(self, kind: str, by_ms: int) -> None:
        self.jumps.append((kind, by_ms))


class Rig:
    """A registry with one application's settings, a clock that stands still and the events it emitted."""

    def __init__(self, **settings: Any) -> None:
        settings = {"flush": "immediate", **settings}
        self.settings = AppSettings(**settings)
        self.clock = FakeClock()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.registry = Registry(AppsSettings(default=self.settings), self._emit, self.clock)
        self.publisher = FakePublisher()

    def _emit(self, type: str, conn_id: str = "", stream_key: str = "", **data: Any) -> None:
        self.events.append((type, {"stream_key": stream_key, **data}))

    def publish(self, name: str = "camera", publisher: FakePublisher | None = None) -> Stream:
        stream = self.registry.claim("live", name, publisher or self.publisher)
        self.registry.started(stream)
        return stream

    def join(
        self,
        room: int | None = None,
        name: str = "camera",
        msid: int = 1,
        chunk_size: int = CHUNK_SIZE,
        backlog_bytes: int = 1 << 20,
        backlog_ms: int = 10_000,
    ) -> tuple[Stream, Player]:
        player = Player(room, backlog_bytes, backlog_ms, msid, chunk_size)
        return self.registry.join("live", name, player.subscriber), player


def key(body: bytes = b"") -> bytes:
    return b"\x17\x01\0\0\0" + body


def inter(body: bytes = b"") -> bytes:
    return b"\x27\x01\0\0\0" + body


def audio(body: bytes = b"") -> bytes:
    return b"\xaf\x01" + body


AVC_HEADER = b"\x17\x00\0\0\0\x01\x42\xc0\x1e"
AAC_HEADER = b"\xaf\x00\x12\x10"
METADATA = encode("onMetaData", {"width": 1280.0})
SET_METADATA = encode("@setDataFrame") + METADATA
CUE = encode("onCuePoint", {"name": "x"})


def send(stream: Stream, payload: bytes, timestamp: int) -> None:
    """One message of the publisher, and then it waits for bytes."""
    add(stream, payload, timestamp)
    stream.idle()


def add(stream: Stream, payload: bytes, timestamp: int) -> None:
    """One message of the publisher, with more at hand."""
    type_id = DATA_AMF0 if payload[:1] == b"\x02" else VIDEO if payload[:1] in (b"\x17", b"\x27") else AUDIO
    stream.publish(Message(type_id, payload, timestamp, 1))
