"""The chunk stream: any bytes come out as messages within the limits, or end in ChunkError or ConnectionLost.

The first byte of an input says how the rest is cut into pieces. However it is cut, the outcome is the same.
"""

from __future__ import annotations

from rtmpd.errors import ChunkError, ConnectionLost
from rtmpd.protocol.chunk import ChunkLimits, ChunkReader, basic_header, encode
from rtmpd.protocol.constants import ABORT, SET_CHUNK_SIZE
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource
from tests.fuzz import fuzz

LIMITS = ChunkLimits(message_bytes=4096, reassembly_bytes=6000, chunk_streams=5, chunks_per_message=100)
PIECE_BYTES = (65536, 1, 3, 100)

_LONG = bytes(range(200))
SEEDS = [
    b"\0" + encode(6, Message(9, _LONG, 20, 1), 128) + b"\xc6" + _LONG[:128] + b"\xc6" + _LONG[128:],
    b"\1" + encode(200, Message(8, _LONG, 1 << 24, 1), 128) + encode(3, Message(20, b"connect", 0, 0), 128),
    b"\2" + encode(2, Message(SET_CHUNK_SIZE, b"\0\0\0\7"), 128) + encode(1000, Message(9, b"0123456789", 5, 1), 7),
    b"\0"
    + encode(6, Message(9, _LONG, 0, 1), 128)[:140]
    + encode(2, Message(ABORT, b"\0\0\0\6"), 128)
    + b"\xc6"
    + _LONG[:128],
    b"\3" + encode(4, Message(8, b"abc", 7, 1), 128) + b"\x44\0\0\5\0\0\2\x09hi\x84\0\0\5hi\xc4hi",
    b"\0" + basic_header(0, 64) + b"\xff\xff\xff\0\0\2\x08\1\0\0\0\1\0\0\0hi\xc0\0\1\0\0\0hi\xc0\0hi",
]


def one_input(data: bytes) -> None:
    if not data:
        return
    piece, stream = PIECE_BYTES[data[0] & 3], data[1:]
    outcomes = _read(stream, piece), _read(stream, max(1, len(stream)))
    # what came in one piece was never held, so only this limit depends on how it came
    if "reassembly_too_large" not in (outcomes[0][1], outcomes[1][1]):
        assert outcomes[0] == outcomes[1], outcomes


def _read(stream: bytes, piece: int) -> tuple[list[Message], str]:
    buffer = Buffer(MemorySource(stream[start : start + piece] for start in range(0, len(stream), piece)))
    reader = ChunkReader(buffer, LIMITS)
    messages = []
    try:
        while True:
            message = reader.read_message()
            assert len(message.payload) <= LIMITS.message_bytes
            assert 0 <= message.timestamp < 1 << 32 and 0 <= message.msid < 1 << 32 and message.type_id < 256
            messages.append(message)
            value = int.from_bytes(message.payload[:4], "big")
            if message.type_id == SET_CHUNK_SIZE:
                reader.set_chunk_size(value)
            elif message.type_id == ABORT:
                reader.abort(value)
    except ChunkError as error:
        assert error.code != "ChunkError", "every code is a word of its own"
        return messages, error.code
    except ConnectionLost as lost:
        return messages, f"{lost.code} {lost.clean}"


if __name__ == "__main__":
    fuzz(one_input, SEEDS)
