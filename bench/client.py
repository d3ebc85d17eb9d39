"""One RTMP session of the generator: connects, then publishes, plays or does nothing.

A player is parsed while it is set up. When its first media message has arrived it is either
followed by a verifier, or from then on only counted.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
import time
from collections.abc import Callable
from enum import Enum

from . import media, wire
from .loop import Loop
from .verify import Verifier

READ_BYTES = 65536
COUNTED_READ = bytearray(1 << 20)
"""Where the bytes of players go that are only counted."""

IP_BIND_ADDRESS_NO_PORT = 24
SOURCE_ADDRESSES = 100
_sources = itertools.count()


class Role(Enum):
    """What a session is for."""

    CONNECT = "connect"
    PUBLISH = "publish"
    PLAY = "play"


class Client:
    """``on_ready`` is called once, when the server has granted what the role asks for; ``on_closed``
    once, when the server or an error ended the session (``failure`` says why)."""

    def __init__(self, loop: Loop, port: int, role: Role, stream: str = "bench", app: str = "live") -> None:
        self.role = role
        self.stream = stream
        self.msid = 0
        self.received = 0
        self.failure = ""
        self.ready = False
        self.setup_ns = 0
        self.verifier = Verifier() if role is Role.PLAY else None
        self.counted = False
        self.has_media = False
        self.on_ready: Callable[[Client], None] | None = None
        self.on_closed: Callable[[Client], None] | None = None
        self._loop = loop
        self._app = app
        self._port = port
        self._walker = wire.ChunkWalker()
        self._handshake = b""
        self._ack_every = 0
        self._next_ack = 1 << 62

    # --- connecting -------------------------------------------------------------------------------

    def open(self, receive_buffer_bytes: int = 0) -> None:
        """Start. Source addresses rotate over 127.0.0.0/8, so ports do not run out."""
        sock = self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.bind((f"127.0.0.{1 + next(_sources) % SOURCE_ADDRESSES}", 0))
        self._started_ns = time.monotonic_ns()
        code = sock.connect_ex(("127.0.0.1", self._port))
        self._loop.add(sock.fileno(), select.EPOLLOUT, self._connected)
        if code not in (0, errno.EINPROGRESS):
            self.fail(f"connect: {errno.errorcode.get(code, code)}")

    def _connected(self, mask: int) -> None:
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.fail(f"connect: {errno.errorcode.get(code, code)}")
            return
        self._loop.change(self.sock.fileno(), select.EPOLLIN, self._shake_hands)
        self.send(wire.C0_C1)

    def _shake_hands(self, mask: int) -> None:
        data = self._read()
        if not data:
            return
        self._handshake += data
        size = wire.HANDSHAKE_BYTES
        if len(self._handshake) < 1 + 2 * size:
            return
        server_hello, rest = self._handshake[1 : 1 + size], self._handshake[1 + 2 * size :]
        self._handshake = b""
        self._loop.change(self.sock.fileno(), select.EPOLLIN, self.read_ready)
        self.send(server_hello + wire.connect(self._app, f"rtmp://127.0.0.1:{self._port}/{self._app}"))
        if rest:
            self._take(rest)

    # --- reading ----------------------------------------------------------------------------------

    def _read(self) -> bytes:
        """What is there; b"" if nothing is, or if the session has just ended."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.fail(f"recv: {error.strerror}")
            return b""
        if not data:
            self.fail("closed by the server")
        self.received += len(data)
        return data

    def read_ready(self, mask: int = 0) -> None:
        """Take what is there and act on it."""
        data = self._read()
        if data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        try:
            messages = self._walker.feed(data)
        except wire.WireError as error:
            self.fail(str(error))
            return
        for message in messages:
            if message.type_id in media.MARKER_AT:
                if self.verifier is not None:
                    self.verifier.check(message, now_ns)
            elif message.type_id != wire.DATA:
                self._control(message)
        if not self.has_media and self.verifier is not None and self.verifier.started:
            self._media_began()
        self._acknowledge()

    def _media_began(self) -> None:
        self.has_media = True
        if self.counted and not self.failure:
            self.verifier = None
            self._loop.change(self.sock.fileno(), select.EPOLLIN | select.EPOLLET, self._count)

    def _count(self, mask: int) -> None:
        try:
            count = self.sock.recv_into(COUNTED_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(f"recv: {error.strerror}")
            return
        if not count:
            self.fail("closed by the server")
        self.received += count
        if self.received >= self._next_ack:
            self._acknowledge()

    def _acknowledge(self) -> None:
        if self.received >= self._next_ack and not self.failure:
            self._next_ack = self.received + self._ack_every
            self.send(wire.acknowledgement(self.received))

    def stop_reading(self) -> None:
        """Leave what comes in the socket; the session stays open."""
        self._loop.remove(self.sock.fileno())

    # --- the dialogue -----------------------------------------------------------------------------

    def _control(self, message: wire.Received) -> None:
        if message.type_id == wire.COMMAND:
            self._answer(wire.command_answer(message.payload))
        elif message.type_id == wire.WINDOW_ACK_SIZE:
            self._ack_every = max(1, struct.unpack(">I", message.payload[:4])[0] // 2)
            self._next_ack = self.received + self._ack_every
        elif message.type_id == wire.USER_CONTROL and message.payload[:2] == b"\x00\x06":
            self.send(wire.user_control(wire.PING_RESPONSE, struct.unpack(">I", message.payload[2:6])[0]))

    def _answer(self, answer: wire.CommandAnswer) -> None:
        if answer.name == "_error" or answer.code.endswith(("Failed", "Rejected", "BadName", "NotFound")):
            self.fail(f"refused: {answer.name} {answer.code}")
        elif answer.name == "_result" and answer.transaction == 1:
            if self.role is Role.CONNECT:
                self._granted()
            else:
                self.send(wire.command("createStream", 2, None))
        elif answer.name == "_result" and answer.transaction == 2:
            self.msid = answer.stream_id
            self._ask()
        elif answer.code in ("NetStream.Publish.Start", "NetStream.Play.Start"):
            self._granted()

    def _ask(self) -> None:
        if self.role is Role.PUBLISH:
            ask = wire.command("publish", 3, None, self.stream, "live", msid=self.msid)
            self.send(ask + wire.set_chunk_size(media.CHUNK_SIZE))
        else:
            buffer_length = wire.user_control(wire.SET_BUFFER_LENGTH, self.msid, 1000)
            self.send(wire.command("play", 3, None, self.stream, -2000, msid=self.msid) + buffer_length)

    def _granted(self) -> None:
        if self.ready:
            return
        self.ready = True
        self.setup_ns = time.monotonic_ns() - self._started_ns
        if self.on_ready is not None:
            self.on_ready(self)

    # --- sending and ending -----------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send something small that the socket has room for."""
        try:
            sent = self.sock.send(data)
        except OSError as error:
            self.fail(f"send: {error.strerror}")
            return
        if sent < len(data):
            self.fail("the server does not read")

    def end_stream(self) -> None:
        """Ask for the end of the publish or play; the session stays open."""
        self.send(wire.command("deleteStream", 4, None, self.msid))

    def fail(self, why: str) -> None:
        """End the session, saying why; only the first reason is kept."""
        if self.failure:
            return
        self.failure = why
        self.close()
        if self.on_closed is not None:
            self.on_closed(self)

    def close(self) -> None:
        """Close the socket; may be called more than once."""
        if self.sock.fileno() >= 0:
            self._loop.remove(self.sock.fileno())
            self.sock.close()
