"""An RTMP client connection to another server, from the address to a running stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import gevent
from gevent.event import Event

from ..clock import Clock
from ..errors import ConnectionLost, EndedByServer, PeerTimeout, RefusedByServer
from ..protocol.aggregate import split
from ..protocol.chunk import ChunkLimits
from ..protocol.client import ClientNotice, ClientSession, Ended, Media, Refused, State
from ..protocol.constants import AGGREGATE
from ..protocol.message import Message
from ..protocol.notice import Reply
from ..protocol.url import RtmpUrl
from .dial import dial
from .outgoing import Outgoing

CHUNK_SIZE_BYTES: Final = 65536  # the most that every server takes
_SETUP_TIMEOUT_S: Final = 10.0
_GOODBYE_TIMEOUT_S: Final = 5.0
_LIMITS: Final = ChunkLimits(message_bytes=0xFFFFFF, reassembly_bytes=64 * 1024 * 1024)


class Link:
    """A connection to a server, as a client.

    Made when TCP, TLS and the RTMP handshake are done. Call ``publish`` or ``play``, then ``read``,
    then ``finish`` if all is well, and ``close`` in any case. The constructor and every method but
    ``close`` may switch greenlets; only one greenlet may read. Raises PeerError.
    """

    def __init__(self, url: RtmpUrl, way: Outgoing, clock: Clock, verify: bool) -> None:
        self._url = url
        self._failure: ConnectionLost | None = None
        self._drained = Event()
        self._media: list[Message] = []
        self._dialled = False
        self.session = ClientSession()
        self.peer = dial(url, way, clock, _LIMITS, self._on_failure, _SETUP_TIMEOUT_S, verify)
        self._dialled = True
        self.peer.on_user_control = self._on_user_control
        self.peer.writer.listen(self)

    def publish(self, chunk_size_bytes: int = CHUNK_SIZE_BYTES) -> None:
        """Connect and publish; returns when the server accepts media."""
        with self._deadline("start publishing"):
            self._connect()
            self.peer.announce_chunk_size(chunk_size_bytes)
            self.peer.send_all(self.session.publish(self._url.stream_name))
            self._read_until(State.STARTED)
            self.peer.flush()

    def play(self) -> None:
        """Connect and play; returns when the server has agreed."""
        with self._deadline("start playing"):
            self._connect()
            self.peer.send_all(self.session.play(self._url.stream_name))
            self._read_until(State.STARTED)

    def read(self) -> list[Message]:
        """Return the next media message. Raises EndedByServer at the end of the stream, RefusedByServer."""
        while not self._media:
            self._read_message()
        media, self._media = self._media, []
        return media

    def drain(self) -> None:
        """Wait until the socket has taken everything."""
        while self.peer.writer.busy and self._failure is None:
            self._drained.clear()
            self._drained.wait()

    def finish(self) -> None:
        """Say goodbye and wait until the server has closed, which it does when it has read it all.
        No other greenlet may read after this."""
        with self._deadline("take the rest and close", _GOODBYE_TIMEOUT_S):
            self.peer.send_all(self.session.close())
            self.peer.flush()
            self.drain()
            self.peer.transport.shutdown_writing()
            try:
                while self.peer.transport.recv():
                    pass
            except ConnectionLost:
                pass  # it has closed, that is enough

    def close(self) -> None:
        """Stop the writer and free the socket."""
        self.peer.writer.close()
        self.peer.transport.close()

    def _connect(self) -> None:
        self.peer.send_all(self.session.connect(self._url))
        self._read_until(State.CONNECTED)

    def _read_until(self, state: State) -> None:
        while self.session.state is not state:
            self._read_message()

    def _read_message(self) -> None:
        try:
            message = self.peer.read_message()
        except ConnectionLost as lost:
            raise self._failure or ConnectionLost("the server closed the connection", lost.code) from None
        if message is None:
            return
        for part in split(message) if message.type_id == AGGREGATE else (message,):
            self._act_on(self.session.receive(part))

    def _act_on(self, notices: list[ClientNotice]) -> None:
        for notice in notices:
            if isinstance(notice, Media):
                self._media.append(notice.message)
            elif isinstance(notice, Reply):
                self.peer.send_all([notice])
            elif isinstance(notice, Refused):
                raise RefusedByServer(f"the server refuses: {notice.description} ({notice.code})", notice.code)
            elif isinstance(notice, Ended):
                raise EndedByServer(f"the server ended the stream ({notice.reason})", notice.reason)

    @contextmanager
    def _deadline(self, task: str, timeout_s: float = _SETUP_TIMEOUT_S) -> Iterator[None]:
        late = PeerTimeout(f"the server did not {task} within {timeout_s:g} s", "no_answer")
        with gevent.Timeout(timeout_s, late):
            yield

    # --- called by the peer ---------------------------------------------------------------------

    def _on_user_control(self, event: int, value: int) -> None:
        self._act_on(self.session.user_control(event, value))

    def _on_failure(self, code: str, message: str) -> None:
        """Wake the greenlets that wait for the socket, in either direction."""
        self._failure = ConnectionLost(message, code)
        self._drained.set()
        if self._dialled:
            self.peer.transport.shutdown()

    def on_busy(self) -> None:
        """The writer's listener: bytes are waiting."""

    def on_drained(self) -> None:
        """The writer's listener: the socket has taken everything."""
        self._drained.set()
