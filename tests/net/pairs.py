"""Two ends of a socket for the tests of this room: ours as the code has it, theirs as a test drives it."""

from __future__ import annotations

import struct
from typing import Any

from gevent import socket

from rtmpd.clock import FakeClock
from rtmpd.net.peer import Peer
from rtmpd.net.transport import RawSocket, Transport
from rtmpd.protocol.chunk import ChunkLimits, ChunkReader, encode
from rtmpd.protocol.constants import SET_CHUNK_SIZE
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def tcp_pair() -> tuple[Any, socket.socket]:
    """Two ends of a TCP connection on loopback, ours without gevent."""
    listener = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    listener.close()
    return RawSocket(fileno=ours.detach()), theirs


class PeerPair:
    """A peer over one end of a socket pair, and the other end."""

    def __init__(self, transport: type[Transport] = Transport) -> None:
        ours, self.theirs = socket.socketpair()
        self.transport = transport(RawSocket(fileno=ours.detach()))
        self.clock = FakeClock()
        self.failures: list[str] = []
        limits = ChunkLimits()
        self.peer = Peer(self.transport, self.clock, limits, lambda code, text: self.failures.append(code))

    def say(self, *messages: Message, chunk_size: int = 128) -> None:
        self.theirs.sendall(b"".join(encode(2 if m.type_id < 8 else 3, m, chunk_size) for m in messages))

    def heard(self, chunk_size: int = 128) -> list[Message]:
        """What has come up to now."""
        self.theirs.setblocking(False)
        pieces = []
        try:
            while piece := self.theirs.recv(65536):
                pieces.append(piece)
        except BlockingIOError:
            pass
        self.theirs.setblocking(True)
        return messages_of(b"".join(pieces), chunk_size)

    def close(self) -> None:
        self.peer.writer.close()
        self.transport.close()
        self.theirs.close()


def messages_of(data: bytes, chunk_size: int = 128) -> list[Message]:
    """The messages that these bytes are."""
    buffer = Buffer(MemorySource([data]))
    reader = ChunkReader(buffer, ChunkLimits(message_bytes=0xFFFFFF))
    reader.chunk_size = chunk_size
    found = []
    while data and (not found or len(buffer)):
        found.append(reader.read_message())
        if found[-1].type_id == SET_CHUNK_SIZE:
            reader.set_chunk_size(int.from_bytes(found[-1].payload, "big"))
    return found
