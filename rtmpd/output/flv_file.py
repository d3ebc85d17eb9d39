"""Writes one FLV file. Everything here blocks, and runs in a thread of this room.

The file is playable at any moment: header, onMetaData, whole tags. What can only be known at the end (duration, size,
whether there is sound and picture) is written over what stands there, in place, so that it needs no room on the disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from io import FileIO
from typing import Final

from ..codec.metadata import metadata_properties
from ..errors import MisuseError
from ..protocol.amf0 import decode_most, encode
from ..protocol.amf0_types import EcmaArray
from ..protocol.constants import AUDIO, DATA_AMF0, VIDEO
from ..protocol.flv import file_header, tag
from ..protocol.message import Message
from ..settings.output import EXISTING_APPEND, EXISTING_REPLACE
from .media_file import MAX_NAMES, PART, MediaFile, create, open_locked, sync_directory
from .path import with_suffix

_FLAGS_OFFSET: Final = 4
_FIRST_TAG_OFFSET: Final = 13
_TAG_HEADER_BYTES: Final = 11
_SIZE_BYTES: Final = 4
_USUAL_TAG_BYTES: Final = 256 * 1024
_MAX_TAG_BYTES: Final = 2 * (_TAG_HEADER_BYTES + 0xFFFFFF + _SIZE_BYTES)  # one that is whole, and one that was begun
_SIGNATURE: Final = b"FLV"
_STREAM_ID: Final = bytes(3)
_TAG_TYPES: Final = frozenset({AUDIO, VIDEO, DATA_AMF0})
_KINDS: Final = {AUDIO: 0x04, VIDEO: 0x01}
_FRAME_MS: Final = 40  # between what was there and what is appended
_DOUBLE: Final = struct.Struct(">Bd")
_NUMBER: Final = 0  # the marker of an AMF0 number
_OURS: Final = ("duration", "filesize")
_OF_THE_FILE: Final = {*_OURS, "keyframes", "hasKeyframes", "lasttimestamp", "lastkeyframetimestamp", "datasize"}


def metadata(published: bytes, is_first: bool = True) -> bytes:
    """The payload of a tag: onMetaData as it was ``published`` (empty if it was not), without what it said of another
    file; in the first tag of a file with room for the duration and the size in front."""
    values, _ = decode_most(published)  # what cannot be read of it stream_error has reported
    properties = metadata_properties(values) or {}
    kept = {name: value for name, value in properties.items() if name not in _OF_THE_FILE}
    ours = dict.fromkeys(_OURS if is_first else (), 0.0)
    try:
        return encode("onMetaData", EcmaArray({**ours, **kept}))  # type: ignore[dict-item]
    except MisuseError:
        return encode("onMetaData", EcmaArray({**ours}))


class FlvFile(MediaFile):
    """One that may go on with a file that is there."""

    __slots__ = ("_duration_ms", "_file", "_flags", "_last", "_open_path", "begins_ms", "path", "size")

    def __init__(self, path: str, existing: str, part: bool, published: bytes) -> None:
        self._flags = 0
        self._duration_ms = 0
        self._last: dict[int, int] = {}
        self.begins_ms = 0
        self.size = 0
        os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
        if existing == EXISTING_APPEND and self._continue(path):
            return
        self.path, self._open_path, self._file = create(path, existing == EXISTING_REPLACE, PART if part else "")
        try:
            self._append([file_header(audio=True, video=True), tag(Message(DATA_AMF0, metadata(published), 0))])
        except OSError:
            self._file.close()
            os.unlink(self._open_path)
            raise

    def _continue(self, path: str) -> bool:
        """Go on after the last tag of a file that is there, or of what a crash left of one; whether there is such."""
        found = _left_off(path)
        if found is None:
            return False
        self.path, self._open_path, self._file, self.size, end_ms = found
        self._file.truncate(self.size)
        self._file.seek(0)
        self._flags = self._file.read(_FLAGS_OFFSET + 1)[-1]
        self._file.seek(self.size)
        self.begins_ms = self._duration_ms = end_ms + _FRAME_MS
        return True

    @property
    def duration_ms(self) -> int:
        """Up to the end of the last frame, as far as the pace of its track shows it."""
        return self._duration_ms

    def write(self, tags: Iterable[Message]) -> None:
        """Append tags; as many as fit if that fails. What cannot be in an FLV file is left out."""
        whole: list[tuple[Message, bytes]] = []
        for message in tags:
            try:
                whole.append((message, tag(message)))
            except MisuseError:
                continue  # over 16 MiB, which no message on the wire is either
        begin = self.size
        try:
            self._append([data for _, data in whole])
        finally:
            for message, data in whole:
                begin += len(data)
                if begin <= self.size:
                    self._note(message)

    def _note(self, message: Message) -> None:
        kind = message.type_id
        if kind in _KINDS:
            self._flags |= _KINDS[kind]
            pace_ms = message.timestamp - self._last.get(kind, message.timestamp)
            self._last[kind] = message.timestamp
            end_ms = message.timestamp + (pace_ms if 0 < pace_ms < 1000 else 0)
            self._duration_ms = max(self._duration_ms, end_ms)

    def _append(self, pieces: list[bytes]) -> None:
        data = memoryview(b"".join(pieces))
        written = 0
        try:
            while written < len(data):
                written += self._file.write(data[written:])
        except OSError:
            self.size += _whole_bytes(pieces, written)
            self._file.truncate(self.size)  # half a tag is not one
            self._file.seek(self.size)
            raise
        self.size += written

    def close(self) -> None:
        """Write what is known now, have it on the disk, and give the file its name."""
        try:
            self._patch()
            os.fsync(self._file.fileno())
            if self._open_path != self.path:
                os.rename(self._open_path, self.path)  # before the lock goes with the descriptor
        finally:
            self._file.close()
        sync_directory(os.path.dirname(self.path) or ".")

    def _patch(self) -> None:
        self._file.seek(0)
        head = self._file.read(_FIRST_TAG_OFFSET + _TAG_HEADER_BYTES)
        body = self._file.read(int.from_bytes(head[_FIRST_TAG_OFFSET + 1 : _FIRST_TAG_OFFSET + 4], "big"))
        values = {"duration": self._duration_ms / 1000, "filesize": float(self.size)}
        for name, value in values.items():
            key = len(name).to_bytes(2, "big") + name.encode() + bytes([_NUMBER])
            at = body.find(key)
            if at >= 0:
                self._file.seek(_FIRST_TAG_OFFSET + _TAG_HEADER_BYTES + at + len(key) - 1)
                self._file.write(_DOUBLE.pack(_NUMBER, value))
        self._file.seek(_FLAGS_OFFSET)
        self._file.write(bytes([self._flags]))


def _whole_bytes(pieces: list[bytes], written: int) -> int:
    """How many of the bytes that were written are whole pieces."""
    whole = 0
    for piece in pieces:
        if whole + len(piece) > written:
            break
        whole += len(piece)
    return whole


# --- files that are there already -------------------------------------------------------------------


def _left_off(path: str) -> tuple[str, str, FileIO, int, int] | None:
    """The file to go on with, if there is one: what it is called in the end, what it is called now, itself, where its
    last whole tag ends, and the timestamp of that. One that cannot be gone on with is left alone."""
    for number in range(MAX_NAMES):
        final = with_suffix(path, number)
        there = [name for name in (final, final + PART) if os.path.lexists(name)]
        if not there:
            return None
        file = open_locked(there[0], 0)
        if file is not None:
            end = _end(file)
            if end is not None:
                return final, there[0], file, *end
            file.close()
    return None


def _end(file: FileIO) -> tuple[int, int] | None:
    """Return where the last whole tag of an FLV file ends, and its timestamp; None without tags. After it may be one
    that was begun when the writer was killed, or zeros if the power failed."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return None
    for window in (_USUAL_TAG_BYTES, _MAX_TAG_BYTES):
        begin = max(size - window, _FIRST_TAG_OFFSET)
        file.seek(begin)
        end = _last_tag(file.readall())
        if end is not None:
            return begin + end[0], end[1]
    return None


def _last_tag(data: bytes) -> tuple[int, int] | None:
    """Where the last whole tag in the data ends, and its timestamp. A tag is known by its size, which stands before and
    after it, by its type, and by the three zeros of its stream id (FLV 10.1, E.4.1)."""
    for end in range(min(len(data.rstrip(b"\0")) + _SIZE_BYTES, len(data)), _TAG_HEADER_BYTES + _SIZE_BYTES - 1, -1):
        tag_bytes = int.from_bytes(data[end - _SIZE_BYTES : end], "big")
        start = end - _SIZE_BYTES - tag_bytes
        if tag_bytes < _TAG_HEADER_BYTES or start < 0:
            continue
        header = data[start : start + _TAG_HEADER_BYTES]
        is_tag = header[0] in _TAG_TYPES and header[8:] == _STREAM_ID
        if is_tag and int.from_bytes(header[1:4], "big") == tag_bytes - _TAG_HEADER_BYTES:
            return end, header[7] << 24 | int.from_bytes(header[4:7], "big")
    return None
