"""One RTMP peer, on either side of the conversation: messages in, messages out.

Here the protocol looks after itself: chunk sizes, aborts, acknowledgements by window, ping and
pong never reach the session. Bytes come from the transport through ``recv``, which is also the
source of the chunk reader.

::

    transport -> recv -> Buffer -> ChunkReader -> read_message -> session
    session -> send -> chunks -> Writer -> transport
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from ..clock import Clock
from ..errors import ChunkError
from ..protocol.chunk import ChunkLimits, ChunkReader, append_chunks
from ..protocol.constants import (
    ABORT,
    ACKNOWLEDGEMENT,
    AUDIO,
    CSID_CONTROL,
    DEFAULT_CHUNK_SIZE,
    PING_REQUEST,
    PING_RESPONSE,
    SET_CHUNK_SIZE,
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    WINDOW_ACK_SIZE,
)
from ..protocol.control import acknowledgement, read_user_control, read_value, set_chunk_size, user_control
from ..protocol.control import window_ack_size as window_ack_message
from ..protocol.handshake import HandshakeResult, client_handshake, server_handshake
from ..protocol.message import Message
from ..protocol.source import Buffer
from .transport import Transport
from .writer import Writer

_SMALLEST_WINDOW = 4096  # a smaller one would have us answer every few bytes
_MAX_KNOWN: Final = 128  # messages whose chunks are remembered ...
_MAX_KNOWN_BYTES: Final = 512  # ... of at most so many bytes each
_SEND_LIMIT_BYTES = 2 * 1024 * 1024  # of replies that wait; the rest of a message that was begun does not count


class Peer:
    """``before_wait`` is called when everything that was received has been read and more is
    about to be waited for; ``on_user_control(event, value)`` sees the events that are not pings;
    ``on_violation(code, detail)`` hears of protocol control that is malformed and was ignored.

    ``on_failure(code, message)`` is called (from any greenlet or the hub) when sending failed.
    """

    __slots__ = (
        "_acknowledged",
        "_window_ack_sent",
        "before_wait",
        "buffer",
        "bytes_received",
        "on_user_control",
        "on_violation",
        "out_chunk_size",
        "peer_window",
        "reader",
        "transport",
        "writer",
    )

    def __init__(
        self, transport: Transport, clock: Clock, limits: ChunkLimits, on_failure: Callable[[str, str], None]
    ) -> None:
        self.transport = transport
        self.writer = Writer(transport, clock, _SEND_LIMIT_BYTES, on_failure)
        self.buffer = Buffer(self)
        self.reader = ChunkReader(self.buffer, limits)
        self.before_wait: Callable[[], None] | None = None
        self.on_user_control: Callable[[int, int], None] | None = None
        self.on_violation: Callable[[str, str], None] | None = None
        self.out_chunk_size = DEFAULT_CHUNK_SIZE
        self.peer_window = 0
        self.bytes_received = 0
        self._acknowledged = 0
        self._window_ack_sent = 0

    def recv(self) -> bytes:
        """The next bytes of the transport, acknowledged when due. May switch greenlets.

        Replies to what the last call brought leave together, before more is waited for.
        """
        writer = self.writer
        writer.corked = False
        if writer.held:
            writer.uncork()
        if self.before_wait is not None:
            self.before_wait()
        data = self.transport.recv()
        writer.corked = True
        self.bytes_received += len(data)
        if self.peer_window and self.bytes_received - self._acknowledged >= self.peer_window:
            self._acknowledged = self.bytes_received
            self.send(CSID_CONTROL, acknowledgement(self.bytes_received))
        return data

    def give_way(self) -> None:
        """Between two messages of one long read: send what it has brought so far, and let others
        run if it has taken a whole turn. May switch greenlets."""
        self.writer.uncork()
        if self.before_wait is not None:
            self.before_wait()
        self.transport.give_way()
        self.writer.corked = True

    def flush(self) -> None:
        """Send the replies that are held. Never raises."""
        self.writer.uncork()

    @property
    def idle(self) -> bool:
        """Whether the reader stands on a message boundary with nothing received and not read."""
        return not len(self.buffer) and not self.transport.has_buffered()

    def accept_handshake(self, uptime_ms: int) -> HandshakeResult:
        """The server's side of the handshake. May switch greenlets.

        Raises HandshakeError, ConnectionLost.
        """
        return server_handshake(self.buffer, self.writer.write, uptime_ms=uptime_ms, random=os.urandom)

    def offer_handshake(self, uptime_ms: int, digest: bool = False) -> HandshakeResult:
        """The client's side of the handshake. May switch greenlets; raises as above."""
        return client_handshake(self.buffer, self.writer.write, uptime_ms=uptime_ms, random=os.urandom, digest=digest)

    def read_message(self) -> Message | None:
        """The next message; None if it was protocol control and has been dealt with here, so that
        the caller may look around. May switch greenlets.

        Raises ChunkError, ConnectionLost.
        """
        message = self.reader.read_message()
        if message.type_id < AUDIO and self.control(message):
            return None
        return message

    def control(self, message: Message) -> bool:
        """Act on a message of a type below ``AUDIO`` that ``reader`` has read, if it is protocol control; whether it
        was. One that is too short is reported and ignored, unless the chunk stream could not be followed without it.
        Raises ChunkError."""
        type_id = message.type_id
        if type_id == SET_CHUNK_SIZE:
            self.reader.set_chunk_size(read_value(message))
        elif type_id == ACKNOWLEDGEMENT:
            pass  # TCP already knows what the peer takes
        elif type_id in _OPTIONAL:
            try:
                _OPTIONAL[type_id](self, message)
            except ChunkError as error:
                if self.on_violation is not None:
                    self.on_violation(error.code, str(error))
        else:
            return False
        return True

    def _abort(self, message: Message) -> None:
        self.reader.abort(read_value(message))

    def _window(self, message: Message) -> None:
        self.peer_window = max(read_value(message), _SMALLEST_WINDOW)

    def _bandwidth(self, message: Message) -> None:
        window = read_value(message)
        if window != self._window_ack_sent:  # RTMP 1.0, 5.4.5
            self._window_ack_sent = window
            self.send(CSID_CONTROL, window_ack_message(window))

    def _user_control(self, message: Message) -> None:
        event, value = read_user_control(message)
        if event == PING_REQUEST:
            self.send(CSID_CONTROL, user_control(PING_RESPONSE, value))
        elif self.on_user_control is not None:
            self.on_user_control(event, value)

    def ping(self, timestamp_ms: int) -> None:
        """Ask for a sign of life; the answer counts as bytes received."""
        self.send(CSID_CONTROL, user_control(PING_REQUEST, timestamp_ms))

    def send(self, csid: int, message: Message) -> None:
        """Send one message, now or later, in order. Never raises."""
        self.send_all(((csid, message),))

    def send_all(self, messages: Iterable[tuple[int, Message]]) -> None:
        """Send several messages in one piece. A Set Chunk Size among them takes effect
        for the messages after it. Never raises."""
        out: list[bytes] = []
        for csid, message in messages:
            type_id = message.type_id
            payload = message.payload
            is_common = len(payload) <= _MAX_KNOWN_BYTES and b"?" not in payload  # secrets travel in queries
            chunks = _known_chunks if is_common else _chunks
            out.append(chunks(csid, type_id, message.msid, message.timestamp, payload, self.out_chunk_size))
            if type_id == SET_CHUNK_SIZE:
                self.out_chunk_size = read_value(message)
            elif type_id == WINDOW_ACK_SIZE:
                self._window_ack_sent = read_value(message)
        if out:
            self.writer.write(out[0] if len(out) == 1 else b"".join(out))

    def announce_chunk_size(self, size: int) -> None:
        """Send longer chunks from here on. Never raises."""
        self.send(CSID_CONTROL, set_chunk_size(size))


def _chunks(csid: int, type_id: int, msid: int, timestamp: int, payload: bytes, chunk_size: int) -> bytes:
    out: list[bytes] = []
    append_chunks(out, csid, type_id, msid, timestamp, payload, chunk_size)
    return b"".join(out)


#: What every client is sent is made once: most answers of a session's set-up recur from session to session.
_known_chunks: Final = lru_cache(maxsize=_MAX_KNOWN)(_chunks)

_OPTIONAL: Final[dict[int, Callable[[Peer, Message], None]]] = {
    ABORT: Peer._abort,
    USER_CONTROL: Peer._user_control,
    WINDOW_ACK_SIZE: Peer._window,
    SET_PEER_BANDWIDTH: Peer._bandwidth,
}
