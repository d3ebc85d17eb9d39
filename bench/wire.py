"""The client's half of RTMP 1.0, as little of it as a load generator needs.

Out: format 0 chunks with a one-byte basic header. In: all four formats, all three basic headers,
extended timestamps, changing chunk sizes (RTMP 1.0, 5.3). Commands are AMF0, written but not
decoded: of an answer only the name, the transaction and the status code are looked at.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SET_CHUNK_SIZE = 1
USER_CONTROL = 4
WINDOW_ACK_SIZE = 5
AUDIO = 8
VIDEO = 9
DATA = 18
COMMAND = 20

CSID_CONTROL, CSID_COMMAND, CSID_STREAM = 2, 3, 8
CSID_OF_MEDIA = {DATA: 5, AUDIO: 6, VIDEO: 7}
PING_REQUEST, PING_RESPONSE, SET_BUFFER_LENGTH = 6, 7, 3

DEFAULT_CHUNK_SIZE = 128
EXTENDED = 0xFFFFFF
HANDSHAKE_BYTES = 1536

C0_C1 = b"\x03" + bytes(8) + bytes(index * 37 & 0xFF for index in range(HANDSHAKE_BYTES - 8))


class WireError(Exception):
    """The server's bytes are not a chunk stream."""


class Received(NamedTuple):
    """One message of the server."""

    type_id: int
    timestamp: int
    msid: int
    payload: bytes


# --- out ------------------------------------------------------------------------------------------


def chunked(
    csid: int, type_id: int, payload: bytes, msid: int = 0, timestamp: int = 0, chunk_size: int = DEFAULT_CHUNK_SIZE
) -> bytes:
    """One message as chunks. ``timestamp`` in milliseconds, below 0xFFFFFF; raises ValueError above."""
    if timestamp >= EXTENDED:
        raise ValueError(f"timestamp {timestamp} needs the extended field")
    header = bytes((csid,)) + timestamp.to_bytes(3, "big") + len(payload).to_bytes(3, "big") + bytes((type_id,))
    pieces = [header, msid.to_bytes(4, "little"), payload[:chunk_size]]
    continuation = bytes((0xC0 | csid,))
    for start in range(chunk_size, len(payload), chunk_size):
        pieces += (continuation, payload[start : start + chunk_size])
    return b"".join(pieces)


def amf0(value: object) -> bytes:
    """A number, a boolean, a string, None or a dictionary of these in AMF0."""
    if value is None:
        return b"\x05"
    if isinstance(value, bool):
        return b"\x01\x01" if value else b"\x01\x00"
    if isinstance(value, int | float):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x02" + _amf0_text(value)
    if isinstance(value, dict):
        pairs = b"".join(_amf0_text(key) + amf0(item) for key, item in value.items())
        return b"\x03" + pairs + b"\x00\x00\x09"
    raise TypeError(f"no AMF0 for {type(value).__name__}")


def _amf0_text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def command(name: str, transaction: int, *arguments: object, msid: int = 0) -> bytes:
    """One AMF0 command message."""
    payload = b"".join(map(amf0, (name, transaction, *arguments)))
    return chunked(CSID_STREAM if msid else CSID_COMMAND, COMMAND, payload, msid)


def connect(app: str, tc_url: str) -> bytes:
    """The connect command, transaction 1."""
    properties = {
        "app": app,
        "type": "nonprivate",
        "flashVer": "FMLE/3.0 (compatible; rtmpd bench)",
        "tcUrl": tc_url,
        "fpad": False,
        "capabilities": 15,
        "audioCodecs": 4071,
        "videoCodecs": 252,
        "videoFunction": 1,
    }
    return command("connect", 1, properties)


def set_chunk_size(size: int) -> bytes:
    """Announces the chunk size of everything that follows."""
    return chunked(CSID_CONTROL, SET_CHUNK_SIZE, struct.pack(">I", size))


def acknowledgement(received: int) -> bytes:
    """Tells how many bytes have arrived."""
    return chunked(CSID_CONTROL, 3, struct.pack(">I", received & 0xFFFFFFFF))


def user_control(event: int, *values: int) -> bytes:
    """A user control message: ping response, buffer length."""
    return chunked(CSID_CONTROL, USER_CONTROL, struct.pack(f">H{len(values)}I", event, *values))


# --- in -------------------------------------------------------------------------------------------


class CommandAnswer(NamedTuple):
    """What matters of a command of the server. ``code`` is the status code, "" if there is none."""

    name: str
    transaction: int
    code: str
    stream_id: int


def command_answer(payload: bytes) -> CommandAnswer:
    """Reads name and transaction, finds the code, and takes a number at the end for the stream id."""
    length = int.from_bytes(payload[1:3], "big")
    name = payload[3 : 3 + length].decode(errors="replace")
    number_at = 3 + length
    transaction = int(struct.unpack_from(">d", payload, number_at + 1)[0]) if len(payload) >= number_at + 9 else 0
    code = ""
    found = payload.find(b"\x00\x04code\x02")
    if found >= 0:
        start = found + 9
        code = payload[start : start + int.from_bytes(payload[start - 2 : start], "big")].decode(errors="replace")
    ends_in_number = name == "_result" and len(payload) >= number_at + 18 and payload[-9] == 0
    stream_id = int(struct.unpack_from(">d", payload, len(payload) - 8)[0]) if ends_in_number else 0
    return CommandAnswer(name, transaction, code, stream_id)


class _ChunkStream:
    """What one csid remembers."""

    __slots__ = ("delta", "extended", "have", "length", "msid", "pieces", "timestamp", "type_id")

    def __init__(self) -> None:
        self.timestamp = self.delta = self.length = self.type_id = self.msid = self.have = 0
        self.extended = False
        self.pieces: list[bytes] = []


HEADER_BYTES = (11, 7, 3, 0)


class ChunkWalker:
    """Turns received bytes into messages, keeping what is not complete yet."""

    __slots__ = ("_streams", "_tail", "chunk_size")

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._tail = b""
        self._streams: dict[int, _ChunkStream] = {}

    def feed(self, data: bytes) -> list[Received]:
        """The messages that these bytes complete. Raises WireError."""
        if self._tail:
            data = self._tail + data
        position, end = 0, len(data)
        messages: list[Received] = []
        while position < end:
            after = self._chunk(data, position, end, messages)
            if not after:
                break
            position = after
        self._tail = data[position:]
        return messages

    def _chunk(self, data: bytes, position: int, end: int, messages: list[Received]) -> int:
        """Takes one chunk and returns the position behind it, or 0 if it is not all there yet."""
        first = data[position]
        body = position + 1
        csid = first & 0x3F
        if csid < 2:
            if body + 1 + csid > end:
                return 0
            csid = 64 + data[body] + (data[body + 1] << 8 if csid else 0)
            body += 1 + (first & 1)
        form = first >> 6
        stream = self._streams.get(csid)
        if stream is None:
            if form:
                raise WireError(f"chunk stream {csid} begins with format {form}")
            stream = self._streams[csid] = _ChunkStream()
        header = body
        body += HEADER_BYTES[form]
        if body > end:
            return 0
        extended = data[header : header + 3] == b"\xff\xff\xff" if form < 3 else stream.extended
        if extended:
            body += 4
        length = int.from_bytes(data[header + 3 : header + 6], "big") if form < 2 else stream.length
        size = min(length - stream.have, self.chunk_size)
        if body + size > end:
            return 0
        if stream.have:
            if form != 3:
                raise WireError(f"a message of chunk stream {csid} is cut short by format {form}")
        else:
            self._begin(stream, form, data, header, body)
        self._body(stream, data[body : body + size], messages)
        return body + size

    def _begin(self, stream: _ChunkStream, form: int, data: bytes, header: int, body: int) -> None:
        """A new message: everything that its chunk header says."""
        if form == 3:
            stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
            return
        value = int.from_bytes(data[header : header + 3], "big")
        stream.extended = value == EXTENDED
        if stream.extended:
            value = int.from_bytes(data[body - 4 : body], "big")
        stream.delta = value
        stream.timestamp = value if form == 0 else (stream.timestamp + value) & 0xFFFFFFFF
        if form < 2:
            stream.length = int.from_bytes(data[header + 3 : header + 6], "big")
            stream.type_id = data[header + 6]
        if form == 0:
            stream.msid = int.from_bytes(data[header + 7 : header + 11], "little")

    def _body(self, stream: _ChunkStream, piece: bytes, messages: list[Received]) -> None:
        """Adds one chunk's payload and hands the message out if that was its last."""
        stream.have += len(piece)
        if stream.have < stream.length:
            stream.pieces.append(piece)
            return
        if stream.pieces:
            stream.pieces.append(piece)
            piece = b"".join(stream.pieces)
            stream.pieces.clear()
        stream.have = 0
        if stream.type_id == SET_CHUNK_SIZE:
            self.chunk_size = int.from_bytes(piece[:4], "big") & 0x7FFFFFFF
            if not self.chunk_size:
                raise WireError("chunk size 0")
        messages.append(Received(stream.type_id, stream.timestamp, stream.msid, piece))
