"""The handshake, both sides: any bytes end in a result, HandshakeError or ConnectionLost.

The first byte of an input chooses the side and how the rest is cut into pieces.
"""

from __future__ import annotations

from pathlib import Path

from rtmpd.errors import ConnectionLost, HandshakeError
from rtmpd.protocol.handshake import DIGEST, SIMPLE, client_handshake, server_handshake
from rtmpd.protocol.source import Buffer, MemorySource
from tests.fuzz import fuzz

RECORDED = Path(__file__).parent.parent / "protocol" / "data"
PIECE_BYTES = (1, 7, 1536, 65536)
HANDSHAKE_BYTES = 1 + 1536 + 1536

SERVER, SIMPLE_CLIENT, DIGEST_CLIENT = 0, 1, 2

SEEDS = [
    bytes((SERVER, 3)) + bytes(3072),
    bytes((SERVER | 0x0C, 3)) + (RECORDED / "ffmpeg_c1.bin").read_bytes() + bytes(1536) + b"more",
    bytes((SERVER | 0x08, 3)) + (RECORDED / "librtmp_rtmpe_c1.bin").read_bytes() + bytes(1536),
    bytes((SIMPLE_CLIENT | 0x08, 3)) + bytes(3072),
    bytes((DIGEST_CLIENT | 0x0C, 3)) + (RECORDED / "nginx_rtmp_s1.bin").read_bytes() + bytes(1536),
    bytes((SERVER, 6)),
]


def one_input(data: bytes) -> None:
    if not data:
        return
    side, piece = data[0] & 0x03, PIECE_BYTES[data[0] >> 2 & 0x03]
    stream = data[1:]
    sent: list[bytes] = []
    buffer = Buffer(MemorySource(stream[start : start + piece] for start in range(0, len(stream), piece)))
    try:
        if side == SERVER:
            result = server_handshake(buffer, sent.append, uptime_ms=len(data), random=bytes)
        else:
            digest = side == DIGEST_CLIENT
            result = client_handshake(buffer, sent.append, uptime_ms=len(data), random=bytes, digest=digest)
    except HandshakeError:
        assert stream[0] != 3
    except ConnectionLost as lost:
        assert len(stream) < HANDSHAKE_BYTES
        assert lost.clean == (not stream)
    else:
        assert (result.scheme, result.schema) in ((SIMPLE, None), (DIGEST, 0), (DIGEST, 1)), result
        assert sum(map(len, sent)) == HANDSHAKE_BYTES
        rest = len(stream) - HANDSHAKE_BYTES
        assert buffer.read(rest) == stream[HANDSHAKE_BYTES:]


if __name__ == "__main__":
    fuzz(one_input, SEEDS)
