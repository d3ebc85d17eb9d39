"""Protocol control and user control messages.

Source: RTMP 1.0, 5.4 (types 1, 2, 3, 5, 6) and 7.1.7 (type 4). All of them travel on csid 2 with
message stream id 0.
"""

from __future__ import annotations

import struct

from ..errors import ChunkError
from .constants import (
    ACKNOWLEDGEMENT,
    SET_CHUNK_SIZE,
    SET_PEER_BANDWIDTH,
    USER_CONTROL,
    WINDOW_ACK_SIZE,
)
from .message import Message


def set_chunk_size(size: int) -> Message:
    """Set Chunk Size: what follows is cut into chunks of ``size`` bytes."""
    return Message(SET_CHUNK_SIZE, struct.pack(">I", size))


def acknowledgement(received: int) -> Message:
    """Acknowledgement of ``received`` bytes, counted modulo 2**32 since the handshake."""
    return Message(ACKNOWLEDGEMENT, struct.pack(">I", received & 0xFFFFFFFF))


def window_ack_size(size: int) -> Message:
    """Window Acknowledgement Size: the peer acknowledges after every ``size`` bytes."""
    return Message(WINDOW_ACK_SIZE, struct.pack(">I", size))


def set_peer_bandwidth(size: int, limit_type: int) -> Message:
    """Set Peer Bandwidth with one of the ``BANDWIDTH_*`` limit types."""
    return Message(SET_PEER_BANDWIDTH, struct.pack(">IB", size, limit_type))


def user_control(event: int, value: int) -> Message:
    """User control with a 32-bit value: a message stream id, or the timestamp of a ping."""
    return Message(USER_CONTROL, struct.pack(">HI", event, value & 0xFFFFFFFF))


def read_value(message: Message) -> int:
    """The 32-bit value that a protocol control message begins with. Raises ChunkError."""
    if len(message.payload) < 4:
        text = f"a control message of type {message.type_id} of {len(message.payload)} bytes"
        raise ChunkError(text, "short_control")
    return int.from_bytes(message.payload[:4], "big")


def read_user_control(message: Message) -> tuple[int, int]:
    """``(event, value)`` of a user control message; value 0 where none is sent. Raises ChunkError."""
    payload = message.payload
    if len(payload) < 2:
        raise ChunkError(f"a user control message of {len(payload)} bytes", "short_control")
    return int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:6], "big")
