"""The chunk stream: messages cut into chunks, interleaved, with headers that repeat the last one.

Source: RTMP 1.0, 5.3. Reading is a pull: ``read_message`` takes what it needs from a buffer, whose
source may switch greenlets. Writing always uses a type 0 header for a message and type 3 for what
follows it, so that the bytes do not depend on what was sent before and can be shared.

A chunk is ``basic header (1-3) | message header (11, 7, 3 or 0) | extended timestamp (0 or 4) | data``:

====  ==========================================  =====================================
type  message header                              meaning of the timestamp field
====  ==========================================  =====================================
0     timestamp 3, length 3, type 1, msid 4 (LE)  absolute
1     timestamp 3, length 3, type 1               delta to the last message of this csid
2     timestamp 3                                 delta
3     -                                           the last delta again, or a continuation
====  ==========================================  =====================================

This module is the hot path of ingest: plain ints and bytes, no call per chunk, typed so that it
can be compiled as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from ..errors import ChunkError, ConnectionLost
from .constants import DEFAULT_CHUNK_SIZE, EXTENDED_TIMESTAMP, MAX_CHUNK_SIZE
from .message import Message
from .source import Buffer

_HEADER_LENGTH: Final = (11, 7, 3, 0)
_MASK32: Final = 0xFFFFFFFF
_pack_header: Final = Struct(">II").pack  # a basic header of one byte, timestamp; length, type


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """What one connection may make us hold.

    ``message_bytes`` bounds a declared length, ``reassembly_bytes`` what incomplete messages hold
    together, ``chunk_streams`` the chunk stream ids in use, ``chunks_per_message`` the work that a
    tiny chunk size can cause.
    """

    message_bytes: int = 8 * 1024 * 1024
    reassembly_bytes: int = 16 * 1024 * 1024
    chunk_streams: int = 64
    chunks_per_message: int = 65536


class _ChunkStream:
    """The last header of one csid, and the message that is being put together on it."""

    __slots__ = ("extended", "field", "fresh", "left", "length", "msid", "parts", "timestamp", "type_id")

    def __init__(self) -> None:
        self.fresh = True
        self.timestamp = 0
        self.field = 0
        self.extended = False
        self.length = 0
        self.type_id = 0
        self.msid = 0
        self.left = 0
        self.parts: list[bytes] | None = None


class ChunkReader:
    """Puts messages together. ``chunk_size`` is the peer's; its Set Chunk Size changes it."""

    __slots__ = ("_buffer", "_cut", "_held", "_limits", "_streams", "chunk_size")

    def __init__(self, buffer: Buffer, limits: ChunkLimits) -> None:
        self._buffer = buffer
        self._limits = limits
        self._streams: dict[int, _ChunkStream] = {}
        self._held = 0
        self._cut = False
        self.chunk_size = DEFAULT_CHUNK_SIZE

    @property
    def between_messages(self) -> bool:
        """Whether nothing is half received: the stream may end or pause here without loss."""
        return not self._held and not self._cut and not len(self._buffer)

    def set_chunk_size(self, size: int) -> None:
        """Apply the peer's Set Chunk Size. RTMP 1.0, 5.4.1: 1 to 0xFFFFFF are meaningful; more is
        taken as the maximum, as the standard says, since no message is longer. Raises ChunkError."""
        if size < 1 or size > 0x7FFFFFFF:
            raise ChunkError(f"a chunk size of {size} bytes", "bad_chunk_size")
        self.chunk_size = size if size <= MAX_CHUNK_SIZE else MAX_CHUNK_SIZE

    def abort(self, csid: int) -> None:
        """Forget the incomplete message of a chunk stream (RTMP 1.0, 5.4.2)."""
        stream = self._streams.get(csid)
        if stream is not None and stream.left:
            self._held -= stream.length - stream.left
            stream.left = 0
            stream.parts = None

    def read_message(self) -> Message:
        """The next complete message. May switch greenlets.

        Raises ChunkError, and ConnectionLost (clean only on a message boundary).
        """
        buffer = self._buffer
        streams = self._streams
        while True:
            if buffer.pos == len(buffer.data):
                buffer.fill(1)
            data = buffer.data
            pos = buffer.pos
            first = data[pos]
            csid = first & 0x3F
            form = first >> 6
            try:
                if csid >= 2:
                    buffer.pos = pos + 1
                else:
                    csid = self._long_csid(csid)
                stream = streams.get(csid)
                if stream is None:
                    if form > 1 or len(streams) >= self._limits.chunk_streams:
                        raise self._not_opened(csid, form)
                    stream = streams[csid] = _ChunkStream()
                if form != 3 or stream.extended or not stream.left:
                    self._read_header(stream, form)
                left = stream.left
                data = buffer.data
                pos = buffer.pos
                if left <= self.chunk_size and left == stream.length and len(data) - pos >= left:  # it is all here
                    buffer.pos = pos + left
                    stream.left = 0
                    return Message(stream.type_id, data[pos : pos + left], stream.timestamp, stream.msid)
                message = self._read_chunk(stream, 0xC0 | csid if csid < 64 and not stream.extended else -1)
            except ConnectionLost as lost:
                lost.clean = False  # whatever the buffer says: a chunk had begun
                self._cut = True
                raise
            if message is not None:
                return message

    def _long_csid(self, kind: int) -> int:
        """A csid of 64 to 319 (two bytes) or 64 to 65599 (three bytes). RTMP 1.0, 5.3.1.1."""
        header = self._buffer.read(2 if kind == 0 else 3)
        return 64 + header[1] + (header[2] << 8 if kind else 0)

    def _not_opened(self, csid: int, form: int) -> ChunkError:
        # librtmp opens a chunk stream with type 1, leaving out the msid, which is then 0
        if form > 1:
            return ChunkError(f"chunk stream {csid} begins with a type {form} header", "no_header_to_repeat")
        return ChunkError(f"more than {self._limits.chunk_streams} chunk streams", "too_many_chunk_streams")

    def _read_header(self, stream: _ChunkStream, form: int) -> None:
        """Take a message header, or the extended timestamp of a type 3 chunk."""
        if form == 3:
            self._repeat_header(stream)
            return
        need = _HEADER_LENGTH[form]
        buffer = self._buffer
        if len(buffer.data) - buffer.pos < need:
            buffer.fill(need)
        data = buffer.data
        pos = buffer.pos
        buffer.pos = pos + need
        field = data[pos] << 16 | data[pos + 1] << 8 | data[pos + 2]
        length = stream.length
        if form < 2:
            length = data[pos + 3] << 16 | data[pos + 4] << 8 | data[pos + 5]
            stream.type_id = data[pos + 6]
        if stream.left and length != stream.length:
            raise ChunkError("a new message header inside an unfinished message", "interrupted_message")
        if form == 0:
            stream.msid = data[pos + 7] | data[pos + 8] << 8 | data[pos + 9] << 16 | data[pos + 10] << 24
        stream.extended = field == EXTENDED_TIMESTAMP
        if stream.extended:
            field = int.from_bytes(buffer.read(4), "big")
        if stream.left:
            return  # some encoders repeat the header with each chunk of a message
        stream.field = field
        stream.timestamp = field if form == 0 or stream.fresh else (stream.timestamp + field) & _MASK32
        stream.fresh = False
        limits = self._limits
        if length > limits.message_bytes or length > self.chunk_size * limits.chunks_per_message:
            raise self._too_long(length)
        stream.length = length
        stream.left = length

    def _repeat_header(self, stream: _ChunkStream) -> None:
        """A type 3 chunk: a continuation, or a new message with the last header and delta again.

        The extended timestamp is repeated in it (RTMP 1.0, 5.3.1.3), but not by every encoder, and
        some repeat the absolute timestamp instead of the delta: what is there is compared.
        """
        if stream.extended:
            buffer = self._buffer
            count = min(stream.left or stream.length, self.chunk_size, 4)
            buffer.fill(count)
            head = buffer.data[buffer.pos : buffer.pos + count]
            field, timestamp = stream.field.to_bytes(4, "big"), stream.timestamp.to_bytes(4, "big")
            if field.startswith(head) or timestamp.startswith(head):  # else wait for no more than the chunk has
                buffer.fill(4)
                if buffer.data[buffer.pos : buffer.pos + 4] in (field, timestamp):
                    buffer.pos += 4
        if not stream.left:
            stream.timestamp = (stream.timestamp + stream.field) & _MASK32
            if stream.length > self.chunk_size * self._limits.chunks_per_message:  # the size may have changed since
                raise self._too_long(stream.length)
            stream.left = stream.length

    def _too_long(self, length: int) -> ChunkError:
        limit = self._limits.message_bytes
        if length > limit:
            return ChunkError(f"a message of {length} bytes; the limit is {limit}", "message_too_large")
        return ChunkError(f"a message of {length} bytes in chunks of {self.chunk_size}", "too_many_chunks")

    def _read_chunk(self, stream: _ChunkStream, follow: int) -> Message | None:
        """Take one chunk's data, and the chunks of the same message that follow it directly in the
        buffer. ``follow`` is the one byte that such a chunk begins with, -1 if it is longer."""
        buffer = self._buffer
        data = buffer.data
        pos = buffer.pos
        end = len(data)
        left = stream.left
        size = self.chunk_size
        parts = stream.parts
        if parts is None:
            parts = stream.parts = []
        before = stream.length - left
        while True:
            count = size if size < left else left
            left -= count
            while count > end - pos:
                if end > pos:
                    parts.append(data[pos:end])
                    count -= end - pos
                self._hold(stream, left + count, before)
                before = stream.length - left - count
                buffer.pos = end
                buffer.fill(1)
                data = buffer.data
                pos = buffer.pos
                end = len(data)
            parts.append(data[pos : pos + count])
            pos += count
            if not left or pos == end or data[pos] != follow:
                break
            pos += 1
        buffer.pos = pos
        if left:
            self._hold(stream, left, before)
            return None
        self._held -= before
        stream.left = 0
        stream.parts = None
        return Message(stream.type_id, b"".join(parts), stream.timestamp, stream.msid)

    def _hold(self, stream: _ChunkStream, left: int, before: int) -> None:
        """Account for what an incomplete message holds now (``before``: what it held last time)."""
        stream.left = left
        self._held += stream.length - left - before
        parts = stream.parts
        if parts is not None and len(parts) > 64 and stream.length - left < len(parts) << 8:
            parts[:] = [b"".join(parts)]  # tiny chunks would cost far more in objects than in bytes
        if self._held > self._limits.reassembly_bytes:
            raise ChunkError(
                f"incomplete messages hold over {self._limits.reassembly_bytes} bytes", "reassembly_too_large"
            )


def basic_header(form: int, csid: int) -> bytes:
    """The basic header of a chunk, 1 to 3 bytes, for a csid of 2 to 65599. RTMP 1.0, 5.3.1.1."""
    if csid < 64:
        return bytes((form << 6 | csid,))
    if csid < 320:
        return bytes((form << 6, csid - 64))
    return bytes((form << 6 | 1, csid - 64 & 0xFF, csid - 64 >> 8))


def append_chunks(
    out: list[bytes], csid: int, type_id: int, msid: int, timestamp: int, payload: bytes, chunk_size: int
) -> int:
    """Append one message to ``out`` as chunks, header and data by turns; returns the bytes added.

    The payload is sliced where it is longer than a chunk and appended as it is where it is not.
    """
    length = len(payload)
    extended = b""
    field = timestamp
    if timestamp >= EXTENDED_TIMESTAMP:
        extended = timestamp.to_bytes(4, "big")
        field = EXTENDED_TIMESTAMP
    if csid < 64:
        header = _pack_header(csid << 24 | field, length << 8 | type_id) + msid.to_bytes(4, "little") + extended
    else:
        fields = _pack_header(field, length << 8 | type_id)[1:]  # without the byte that a short csid takes
        header = basic_header(0, csid) + fields + msid.to_bytes(4, "little") + extended
    out.append(header)
    if length <= chunk_size:
        out.append(payload)
        return len(header) + length
    again = basic_header(3, csid) + extended
    out.append(payload[:chunk_size])
    total = len(header) + length
    for start in range(chunk_size, length, chunk_size):
        out.append(again)
        out.append(payload[start : start + chunk_size])
        total += len(again)
    return total


def encode(csid: int, message: Message, chunk_size: int) -> bytes:
    """One message as chunks, in one piece."""
    out: list[bytes] = []
    append_chunks(out, csid, message.type_id, message.msid, message.timestamp, message.payload, chunk_size)
    return b"".join(out)
