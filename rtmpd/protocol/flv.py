"""FLV files: the same messages as on the wire, one after the other.

A file is a header, then tags; each tag is followed by its size, and a size of 0
comes before the first (FLV 10.1, E.2 to E.4). A tag's body is the payload of an RTMP message of the same type id,
byte for byte. Sizes have 24 bits; the timestamp has 32, its high byte (TimestampExtended) after the
low three.
"""

from __future__ import annotations

from typing import Final

from ..errors import ConnectionLost, MediaError, MisuseError
from .constants import AUDIO, DATA_AMF0, VIDEO
from .message import Message
from .source import Buffer

_SIGNATURE: Final = b"FLV"
_VERSION: Final = 1
_AUDIO_FLAG: Final = 0x04
_VIDEO_FLAG: Final = 0x01
_FILE_HEADER_BYTES: Final = 9
_MAX_FILE_HEADER_BYTES: Final = 1 << 16
_TAG_HEADER_BYTES: Final = 11
_PREVIOUS_SIZE_BYTES: Final = 4
_MAX_BODY_BYTES: Final = 0xFFFFFF
_TYPE_MASK: Final = 0x1F
_FILTER_FLAG: Final = 0x20
_TAG_TYPES: Final = frozenset({AUDIO, VIDEO, DATA_AMF0})


def file_header(audio: bool, video: bool) -> bytes:
    """The header of a file, with the (zero) tag size that stands before the first tag: 13 bytes."""
    flags = (_AUDIO_FLAG if audio else 0) | (_VIDEO_FLAG if video else 0)
    header = _SIGNATURE + bytes([_VERSION, flags]) + _FILE_HEADER_BYTES.to_bytes(4, "big")
    return header + bytes(_PREVIOUS_SIZE_BYTES)


def tag(message: Message) -> bytes:
    """An audio, video or AMF0 data message as a tag, followed by its own size.

    The payload may have 0xFFFFFF bytes; the timestamp is taken modulo 2**32 ms.
    Raises MisuseError for a message of another type or a longer payload.
    """
    size = len(message.payload)
    if message.type_id not in _TAG_TYPES:
        raise MisuseError(f"a message of type {message.type_id} has no place in an FLV file")
    if size > _MAX_BODY_BYTES:
        raise MisuseError(f"an FLV tag cannot hold {size} bytes")
    timestamp = message.timestamp & 0xFFFFFFFF
    return b"".join(
        (
            bytes([message.type_id]),
            size.to_bytes(3, "big"),
            (timestamp & 0xFFFFFF).to_bytes(3, "big"),
            bytes([timestamp >> 24, 0, 0, 0]),
            message.payload,
            (_TAG_HEADER_BYTES + size).to_bytes(4, "big"),
        )
    )


class FlvReader:
    """Reads a file from a buffer: ``read_header`` once, then ``read_tag`` until it returns None.

    Holds one tag at a time, so at most 16 MiB. Both methods may switch greenlets, as the buffer's
    source may, and pass on the source's own PeerTimeout and ConnectionLost other than a plain end.
    """

    __slots__ = ("_buffer",)

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    def read_header(self) -> tuple[bool, bool]:
        """Whether the file claims to have audio and video (files do lie). May switch greenlets.

        Raises MediaError with the code ``not_flv`` or ``truncated``.
        """
        header = self._read(_FILE_HEADER_BYTES)
        header_bytes = int.from_bytes(header[5:], "big")
        if not header.startswith(_SIGNATURE) or not _FILE_HEADER_BYTES <= header_bytes <= _MAX_FILE_HEADER_BYTES:
            raise MediaError("this is not an FLV file", "not_flv")
        self._read(header_bytes - _FILE_HEADER_BYTES)
        return bool(header[4] & _AUDIO_FLAG), bool(header[4] & _VIDEO_FLAG)

    def read_tag(self) -> Message | None:
        """The next audio, video or data tag as a message of message stream 0; None at the end.

        Tags of other types are skipped. The sizes between the tags are not looked at: broken files
        have them wrong, and a missing last one is an end like any other. May switch greenlets.
        Raises MediaError with the code ``truncated`` or ``encrypted``.
        """
        while not self._at_end():
            self._buffer.read(_PREVIOUS_SIZE_BYTES)
            header = self._read(_TAG_HEADER_BYTES)
            payload = self._read(int.from_bytes(header[1:4], "big"))
            if header[0] & _FILTER_FLAG:
                raise MediaError("the file is encrypted", "encrypted")
            type_id = header[0] & _TYPE_MASK
            if type_id in _TAG_TYPES:
                timestamp = header[7] << 24 | int.from_bytes(header[4:7], "big")
                return Message(type_id, payload, timestamp)
        return None

    def _at_end(self) -> bool:
        """Whether no tag follows. May switch greenlets."""
        try:
            self._buffer.fill(_PREVIOUS_SIZE_BYTES + 1)
        except ConnectionLost as lost:
            if lost.code != "EOF":
                raise
            return True
        return False

    def _read(self, count: int) -> bytes:
        try:
            return self._buffer.read(count)
        except ConnectionLost as lost:
            if lost.code != "EOF":
                raise
            raise MediaError(f"the file ends {count - len(self._buffer)} bytes too early", "truncated") from lost
