"""A small RTMP client for tests: it pulls, so a test decides when it reads and when it does not.

``Client`` speaks RTMP on the server's own lower floors (``net.peer``, ``protocol``); ``Raw`` sends
whatever bytes it is given. Both wait at most ``PATIENCE_S`` for anything.
"""

from __future__ import annotations

import socket as stdlib_socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket

from rtmpd.clock import Clock
from rtmpd.errors import ConnectionLost
from rtmpd.net.peer import Peer
from rtmpd.net.tls import TlsTransport, client_context
from rtmpd.net.transport import RawSocket, Transport
from rtmpd.protocol import amf0, constants
from rtmpd.protocol.chunk import ChunkLimits, encode
from rtmpd.protocol.command import Command, command_message, read_command
from rtmpd.protocol.control import read_value, set_chunk_size
from rtmpd.protocol.message import Message
from rtmpd.settings import Address

PATIENCE_S = 8.0
AVC_HEADER = bytes.fromhex(
    "17000000000164000affe100176764000aacd9442684000003000400000300c83c48965801000468ef8fcb"
)
AAC_HEADER = bytes.fromhex("af001210")

_LIMITS = ChunkLimits(message_bytes=0xFFFFFF, reassembly_bytes=64 * 1024 * 1024, chunk_streams=256)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def keyframe(size: int = 100, fill: bytes = b"k") -> bytes:
    """An AVC keyframe of ``size`` bytes of picture."""
    return b"\x17\x01\x00\x00\x00" + fill * size


def interframe(size: int = 100, fill: bytes = b"p") -> bytes:
    """An AVC picture that needs others."""
    return b"\x27\x01\x00\x00\x00" + fill * size


def audio(size: int = 20, fill: bytes = b"a") -> bytes:
    """An AAC frame."""
    return b"\xaf\x01" + fill * size


def open_socket(address: Address, receive_bytes: int = 0, source: str = "") -> Any:
    """A connected gevent socket; ``receive_bytes`` makes its receive buffer small from the start."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source:
            sock.bind((source, 0))
        with gevent.Timeout(PATIENCE_S):
            sock.connect((address.host, address.port))
    except BaseException:
        sock.close()
        raise
    return sock


class Raw:
    """A TCP connection that sends bytes and counts what comes back."""

    def __init__(self, address: Address, receive_bytes: int = 0) -> None:
        self.sock = open_socket(address, receive_bytes)
        self.port: int = self.sock.getsockname()[1]

    def send(self, data: bytes) -> Raw:
        """All of ``data``; an end that the server made meanwhile is not ours to judge."""
        with gevent.Timeout(PATIENCE_S):
            try:
                self.sock.sendall(data)
            except OSError:
                pass  # the test looks at the events instead
        return self

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes; fewer at the end."""
        data = b""
        with gevent.Timeout(PATIENCE_S):
            while len(data) < count and (piece := self.sock.recv(count - len(data))):
                data += piece
        return data

    def read_to_end(self) -> bytes:
        """Everything until the server ends the connection."""
        pieces = []
        with gevent.Timeout(PATIENCE_S):
            try:
                while piece := self.sock.recv(65536):
                    pieces.append(piece)
            except ConnectionError:
                pass  # an end as well
        return b"".join(pieces)

    def handshake(self) -> Raw:
        """The simple handshake."""
        self.send(b"\x03" + bytes(1536))
        answer = self.read(1 + 1536 + 1536)
        assert len(answer) == 3073
        return self.send(answer[1:1537])

    def end(self) -> None:
        """Send no more, as an orderly client."""
        self.sock.shutdown(stdlib_socket.SHUT_WR)

    def reset(self) -> None:
        """End with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.sock.close()

    def close(self) -> None:
        """End in order. May be called again."""
        self.sock.close()


class _Peer(Peer):
    """Remembers what the server acknowledged."""

    def __init__(self, transport: Transport, on_failure: Callable[[str, str], None]) -> None:
        super().__init__(transport, Clock(), _LIMITS, on_failure)
        self.acknowledged: list[int] = []

    def control(self, message: Message) -> bool:
        if message.type_id == constants.ACKNOWLEDGEMENT:
            self.acknowledged.append(read_value(message))
        return super().control(message)


class Client:
    """An RTMP client, connected and past the handshake.

    ``messages`` holds everything that was received and is not protocol control, ``controls`` the
    user control events, both in order; ``frames`` the audio and video. ``tls`` is a client context,
    or True for one that checks nothing.
    """

    def __init__(
        self,
        address: Address,
        *,
        tls: ssl.SSLContext | bool = False,
        receive_bytes: int = 0,
        source: str = "",
        digest: bool = False,
    ) -> None:
        connected = open_socket(address, receive_bytes, source)
        self.port: int = connected.getsockname()[1]
        self.sock = RawSocket(fileno=connected.detach())
        self.messages: list[Message] = []
        self.controls: list[tuple[int, int]] = []
        self.closed = False
        self._transaction = 0.0
        if tls:
            context = client_context(verify=False) if tls is True else tls
            self.transport: Transport = TlsTransport(self.sock, context, "localhost")
        else:
            self.transport = Transport(self.sock)
        self.transport.set_nodelay()
        self.peer = _Peer(self.transport, self._failed)
        self.peer.on_user_control = lambda event, value: self.controls.append((event, value))
        with gevent.Timeout(PATIENCE_S):
            try:
                if isinstance(self.transport, TlsTransport):
                    self.transport.handshake()
                self.peer.offer_handshake(1, digest)
            except BaseException:
                self.close()
                raise

    def _failed(self, code: str, message: str) -> None:
        pass  # reading comes upon it

    # --- sending --------------------------------------------------------------------------------

    def send(self, message: Message, csid: int = 3) -> None:
        """Send one message now."""
        self.peer.send(csid, message)
        self.peer.flush()

    def raw(self, data: bytes) -> None:
        """Send these bytes now, where a chunk would stand."""
        self.peer.writer.write(data)
        self.peer.flush()

    def call(self, name: str, *values: Any, msid: int = 0) -> float:
        """Send a command; its transaction id is returned."""
        self._transaction += 1.0
        self.send(command_message(name, self._transaction, *values, msid=msid))
        return self._transaction

    def chunk_size(self, size: int) -> None:
        """Send longer chunks from here on."""
        self.peer.announce_chunk_size(size)
        self.peer.flush()

    def video(self, msid: int, payload: bytes, timestamp: int = 0) -> None:
        self.send(Message(constants.VIDEO, payload, timestamp, msid), constants.CSID_VIDEO)

    def audio(self, msid: int, payload: bytes, timestamp: int = 0) -> None:
        self.send(Message(constants.AUDIO, payload, timestamp, msid), constants.CSID_AUDIO)

    def headers(self, msid: int, timestamp: int = 0) -> None:
        """The sequence headers of an ordinary stream."""
        self.video(msid, AVC_HEADER, timestamp)
        self.audio(msid, AAC_HEADER, timestamp)

    def metadata(self, msid: int, **values: Any) -> None:
        body = amf0.encode("@setDataFrame", "onMetaData", values)
        self.send(Message(constants.DATA_AMF0, body, 0, msid), constants.CSID_DATA)

    # --- receiving ------------------------------------------------------------------------------

    def read_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Read messages until ``condition`` is true; its value. AssertionError if that takes too long."""
        with gevent.Timeout(PATIENCE_S, AssertionError(f"not received in time: {what}")):
            while not (found := condition()):
                self._pull()
        return found

    def _pull(self) -> None:
        message = self.peer.read_message()
        if message is not None:
            self.messages.append(message)
        self.peer.flush()

    def commands(self, name: str = "") -> list[Command]:
        """The commands received up to now, all or those of one name."""
        commands = [
            read_command(message, amf0.DEFAULT_LIMITS)
            for message in self.messages
            if message.type_id == constants.COMMAND_AMF0
        ]
        return [command for command in commands if not name or command.name == name]

    def answer(self, transaction: float) -> Command:
        """The ``_result`` or ``_error`` of a call."""

        def find() -> list[Command]:
            return [c for c in self.commands() if c.transaction == transaction and c.name in ("_result", "_error")]

        answer: Command = self.read_until(find, f"an answer to {transaction}")[0]
        return answer

    def codes(self, msid: int | None = None) -> list[str]:
        """The codes of the onStatus commands up to now."""
        return [c.argument(0)["code"] for c in self.commands("onStatus") if msid is None or c.msid == msid]

    def wait_code(self, code: str, msid: int | None = None, count: int = 1) -> None:
        """Read until this status has come ``count`` times."""
        self.read_until(lambda: self.codes(msid).count(code) >= count, f"{code}; there is {self.codes()}")

    def wait_control(self, event: int, value: int) -> None:
        """Read until a user control event has come."""
        self.read_until(lambda: (event, value) in self.controls, f"user control event {event} {value}")

    @property
    def frames(self) -> list[Message]:
        """Audio and video received up to now."""
        return [message for message in self.messages if message.type_id in (constants.AUDIO, constants.VIDEO)]

    def payloads(self, msid: int | None = None) -> list[bytes]:
        """Of the frames, or those of one message stream."""
        return [frame.payload for frame in self.frames if msid is None or frame.msid == msid]

    def wait_payload(self, payload: bytes, msid: int | None = None) -> None:
        """Read until this audio or video payload has come."""
        self.read_until(
            lambda: any(m.payload == payload and msid in (None, m.msid) for m in reversed(self.messages)),
            f"a payload of {len(payload)} bytes",
        )

    def wait_end(self) -> ConnectionLost:
        """Read until the server ends the connection."""
        with gevent.Timeout(PATIENCE_S, AssertionError("the server did not end the connection")):
            try:
                while True:
                    self._pull()
            except ConnectionLost as lost:
                return lost

    # --- the conversation -----------------------------------------------------------------------

    def connect(self, app: str = "live", **properties: Any) -> Command:
        """connect, and its answer."""
        return self.answer(self.call("connect", {"app": app, "tcUrl": f"rtmp://localhost/{app}", **properties}))

    def create_stream(self) -> int:
        """createStream; the message stream id."""
        return int(self.answer(self.call("createStream", None)).argument(0))

    def publish(self, name: str = "a") -> int:
        """Connect if need be, create a message stream and publish on it."""
        msid = self._prepared()
        self.call("publish", None, name, "live", msid=msid)
        self.wait_code("NetStream.Publish.Start", msid)
        return msid

    def play(self, name: str = "a") -> int:
        """Connect if need be, create a message stream and play on it."""
        msid = self._prepared()
        self.call("play", None, name, -2.0, msid=msid)
        self.wait_code("NetStream.Play.Start", msid)
        return msid

    def _prepared(self) -> int:
        if not self.commands("_result"):
            assert self.connect().name == "_result"
        return self.create_stream()

    # --- ends -----------------------------------------------------------------------------------

    def reset(self) -> None:
        """End with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """End in order, without a word. May be called again."""
        if not self.closed:
            self.closed = True
            self.peer.writer.close()
            self.transport.close()


def handshake_bytes() -> bytes:
    """C0, C1 and a C2 that echoes nothing, which every server takes."""
    return b"\x03" + bytes(1536) + bytes(1536)


def chunked(*messages: tuple[int, Message]) -> bytes:
    """``(csid, message)`` pairs as a client sends them; a Set Chunk Size among them is heeded."""
    out, size = b"", constants.DEFAULT_CHUNK_SIZE
    for csid, message in messages:
        out += encode(csid, message, size)
        if message.type_id == constants.SET_CHUNK_SIZE:
            size = int.from_bytes(message.payload, "big")
    return out


def connect_chunks(app: str = "live") -> bytes:
    """The connect command."""
    return chunked((3, command_message("connect", 1.0, {"app": app, "tcUrl": f"rtmp://localhost/{app}"})))


def publish_session(name: str = "a", frames: int = 3) -> bytes:
    """All that an encoder sends behind the handshake, up to ``frames`` pictures; it takes msid 1 for granted."""
    messages = [
        (3, command_message("connect", 1.0, {"app": "live", "tcUrl": "rtmp://localhost/live"})),
        (2, set_chunk_size(1000)),
        (3, command_message("releaseStream", 2.0, None, name)),
        (3, command_message("FCPublish", 3.0, None, name)),
        (3, command_message("createStream", 4.0, None)),
        (3, command_message("publish", 5.0, None, name, "live", msid=1)),
        (4, Message(constants.DATA_AMF0, amf0.encode("@setDataFrame", "onMetaData", {"width": 64.0}), 0, 1)),
        (7, Message(constants.VIDEO, AVC_HEADER, 0, 1)),
        (6, Message(constants.AUDIO, AAC_HEADER, 0, 1)),
        *((7, Message(constants.VIDEO, keyframe(2500), 40 * i, 1)) for i in range(frames)),
    ]
    return chunked(*messages)
