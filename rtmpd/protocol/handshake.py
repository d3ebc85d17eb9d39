"""The handshake: version, time and 1528 bytes that each side sends and gets back.

::

    client                     server
       | C0 version, C1 (1536)   |
       |------------------------>|
       |  S0 version, S1, S2     |
       |<------------------------|
       | C2                      |
       |------------------------>|

In the simple form S2 is an echo of C1, and C2 one of S1 (RTMP 1.0, 5.2). We repeat all 1536 bytes and
leave out the time of reading that 5.2.4 puts into bytes 4 to 7: librtmp compares them too, and warns
its users about a server that filled them in. No client is known to read that time. In the digest form, which
Flash Player 9 introduced and the standard leaves out, a 1 carries an HMAC-SHA256 of itself at a
place that four of its bytes point to, and a 2 ends with an HMAC whose key comes from the digest of
the other side's 1. The place has two layouts, *schemas* here: schema 0 has the four bytes at byte 8,
schema 1 at byte 772. A side that speaks the digest form announces itself by a version that is not
zero in bytes 4 to 7.

The digests prove nothing to anybody, their keys are public; some peers insist on them all the same.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import ConnectionLost, HandshakeError
from .source import Buffer

SIMPLE: Final = "simple"
DIGEST: Final = "digest"

VERSION: Final = 3
PACKET_BYTES: Final = 1536

_RANDOM_BYTES: Final = 1528
_DIGEST_BYTES: Final = 32
_PROOF_START: Final = PACKET_BYTES - _DIGEST_BYTES
_NO_VERSION: Final = bytes(4)

_COMMON_KEY: Final = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")


@dataclass(frozen=True, slots=True)
class _Side:
    """What one side of the digest form is known by. ``name`` is the key of its digest, ``key`` the
    one its proof starts from, ``version`` stands in its packet."""

    name: bytes
    version: bytes

    @property
    def key(self) -> bytes:
        return self.name + _COMMON_KEY


_SERVER: Final = _Side(b"Genuine Adobe Flash Media Server 001", bytes((3, 5, 7, 0)))
_CLIENT: Final = _Side(b"Genuine Adobe Flash Player 001", bytes((9, 0, 124, 2)))

# schema -> (the four bytes that point, the start of the block that they point into)
_SCHEMAS: Final[Mapping[int, tuple[int, int]]] = {0: (8, 12), 1: (772, 776)}
_BLOCK_BYTES: Final = 728
_OWN_SCHEMA: Final = 0

_FOREIGN_CLIENTS: Final[Mapping[int, str]] = {
    0x06: "RTMPE, which is not offered",
    0x0D: "a proxy that sends the PROXY protocol",
    0x16: "a TLS client on a plain port",
    ord("D"): "an HTTP client",
    ord("G"): "an HTTP client",
    ord("H"): "an HTTP client",
    ord("O"): "an HTTP client",
    ord("P"): "an HTTP client, or a proxy that sends the PROXY protocol",
}
_FOREIGN_SERVERS: Final[Mapping[int, str]] = {
    0x06: "RTMPE, which is not offered",
    0x15: "a TLS server",
    ord("H"): "an HTTP server",
}

Send = Callable[[bytes], None]
Random = Callable[[int], bytes]


@dataclass(slots=True)
class HandshakeResult:
    """How it went. ``scheme`` is ``SIMPLE`` or ``DIGEST``, ``schema`` the layout of the other side's
    digest (None in the simple form). ``echo_ok`` is false if the other side's last packet did not
    answer ours: many peers get that wrong, so it is a fact to note and no error."""

    scheme: str
    schema: int | None
    echo_ok: bool


def server_handshake(buffer: Buffer, send: Send, *, uptime_ms: int, random: Random) -> HandshakeResult:
    """The server's side: reads C0 and C1, answers in the client's form with one ``send``, reads C2.

    ``uptime_ms`` is our clock (sent modulo 2**32), ``random`` gives that many random bytes.
    Raises HandshakeError for a version other than 3, ConnectionLost if the stream ends before C2
    is complete (clean only if not a byte came). May switch greenlets.
    """
    version = buffer.read(1)[0]
    if version != VERSION:
        raise _wrong_version(version, _FOREIGN_CLIENTS)
    c1 = _read_packet(buffer)
    schema = _find_schema(c1, _CLIENT)
    if schema is None:
        s1 = _packet(uptime_ms, random)
        s2 = c1
    else:
        s1 = _signed_packet(uptime_ms, random, schema, _SERVER)
        s2 = _proof(_digest_of(c1, schema), random, _SERVER)
    send(bytes((VERSION,)) + s1 + s2)
    c2 = _read_packet(buffer)
    return _result(schema, s1, c2, schema, _CLIENT)


def client_handshake(
    buffer: Buffer, send: Send, *, uptime_ms: int, random: Random, digest: bool = False
) -> HandshakeResult:
    """The client's side: sends C0 and C1, reads S0 and S1, sends C2, reads S2.

    With ``digest`` it speaks the digest form, and falls back to the simple one if S1 carries no
    valid digest. Arguments and errors are those of ``server_handshake``. May switch greenlets.
    """
    c1 = _signed_packet(uptime_ms, random, _OWN_SCHEMA, _CLIENT) if digest else _packet(uptime_ms, random)
    send(bytes((VERSION,)) + c1)
    version = buffer.read(1)[0]
    if version != VERSION:
        raise _wrong_version(version, _FOREIGN_SERVERS)
    s1 = _read_packet(buffer)
    schema = _find_schema(s1, _SERVER) if digest else None
    send(s1 if schema is None else _proof(_digest_of(s1, schema), random, _CLIENT))
    s2 = _read_packet(buffer)
    return _result(schema, c1, s2, _OWN_SCHEMA, _SERVER)


def _wrong_version(version: int, foreign: Mapping[int, str]) -> HandshakeError:
    guess = foreign.get(version)
    return HandshakeError(
        f"version {version} (0x{version:02X}) where RTMP has {VERSION}" + (f": {guess}" if guess else ""),
        "unsupported_version",
    )


def _read_packet(buffer: Buffer) -> bytes:
    try:
        return buffer.read(PACKET_BYTES)
    except ConnectionLost as lost:
        # The buffer calls an end between two reads clean; between two packets it is not.
        lost.clean = False
        raise


def _result(theirs: int | None, sent: bytes, reply: bytes, ours: int | None, peer: _Side) -> HandshakeResult:
    if theirs is None or ours is None:
        return HandshakeResult(SIMPLE, None, _is_echo(reply, sent))
    # Some clients sign C1 and then echo S1 as if they had not.
    echo_ok = _is_proof(reply, _digest_of(sent, ours), peer) or _is_echo(reply, sent)
    return HandshakeResult(DIGEST, theirs, echo_ok)


# --- the simple form: time, four zero bytes, random bytes -----------------------------------------


def _packet(uptime_ms: int, random: Random, version: bytes = _NO_VERSION) -> bytes:
    return (uptime_ms & 0xFFFFFFFF).to_bytes(4, "big") + version + random(_RANDOM_BYTES)


def _is_echo(reply: bytes, sent: bytes) -> bool:
    """Whether the reply repeats what was sent, but for the bytes where 5.2.4 has the time of reading."""
    return reply[:4] == sent[:4] and reply[8:] == sent[8:]


# --- the digest form ------------------------------------------------------------------------------


def _digest_position(packet: bytes, schema: int) -> int:
    pointer, block = _SCHEMAS[schema]
    return block + sum(packet[pointer : pointer + 4]) % _BLOCK_BYTES


def _digest_of(packet: bytes, schema: int) -> bytes:
    """The digest that a packet carries."""
    position = _digest_position(packet, schema)
    return packet[position : position + _DIGEST_BYTES]


def _compute_digest(packet: bytes, schema: int, side: _Side) -> bytes:
    """The digest that a packet has to carry: over all of it but the digest itself."""
    position = _digest_position(packet, schema)
    return hmac.digest(side.name, packet[:position] + packet[position + _DIGEST_BYTES :], "sha256")


def _find_schema(packet: bytes, side: _Side) -> int | None:
    """The schema in which the packet carries a valid digest, or None."""
    if packet[4:8] == _NO_VERSION:
        return None
    for schema in _SCHEMAS:
        if hmac.compare_digest(_digest_of(packet, schema), _compute_digest(packet, schema, side)):
            return schema
    return None


def _signed_packet(uptime_ms: int, random: Random, schema: int, side: _Side) -> bytes:
    packet = _packet(uptime_ms, random, side.version)
    position = _digest_position(packet, schema)
    return packet[:position] + _compute_digest(packet, schema, side) + packet[position + _DIGEST_BYTES :]


def _proof(digest: bytes, random: Random, side: _Side) -> bytes:
    """The packet that answers a packet with ``digest``: random bytes, then their HMAC."""
    body = random(_PROOF_START)
    return body + _sign_proof(body, digest, side)


def _is_proof(reply: bytes, digest: bytes, side: _Side) -> bool:
    return hmac.compare_digest(reply[_PROOF_START:], _sign_proof(reply[:_PROOF_START], digest, side))


def _sign_proof(body: bytes, digest: bytes, side: _Side) -> bytes:
    return hmac.digest(hmac.digest(side.key, digest, "sha256"), body, "sha256")
