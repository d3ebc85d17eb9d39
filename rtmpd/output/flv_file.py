"""One FLV file that is being written. Everything here blocks, and is for a thread of the room's own.

The file is playable at any moment: header, onMetaData, whole tags. What can only be known at the end (duration, size,
whether there is sound and picture) is written over what stands there, in place, so that it needs no room on the disk.
"""

from __future__ import annotations

import errno
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
from .path import with_suffix

PART: Final = ".part"
_MOST_NAMES: Final = 1000
_FLAGS_OFFSET: Final = 4
_FIRST_TAG_OFFSET: Final = 13
_TAG_HEADER_BYTES: Final = 11
_KINDS: Final = {AUDIO: 0x04, VIDEO: 0x01}
_FRAME_MS: Final = 40  # between what was there and what is appended
_DOUBLE: Final = struct.Struct(">Bd")
_NUMBER: Final = 0  # the marker of an AMF0 number
_OURS: Final = ("duration", "filesize")
_OF_THE_FILE: Final = {*_OURS, "keyframes", "hasKeyframes", "lasttimestamp", "lastkeyframetimestamp", "datasize"}


def metadata(published: bytes) -> bytes:
    """The payload of a file's first tag: onMetaData as it was ``published`` (empty if it was not), with room for the
    duration and the size in front, and without what it said of some other file."""
    values, _ = decode_most(published)  # what cannot be read of it stream_error has reported
    properties = metadata_properties(values) or {}
    kept = {name: value for name, value in properties.items() if name not in _OF_THE_FILE}
    empty: dict[str, object] = dict.fromkeys(_OURS, 0.0)
    try:
        return encode("onMetaData", EcmaArray({**empty, **kept}))  # type: ignore[dict-item]
    except MisuseError:
        return encode("onMetaData", EcmaArray(dict.fromkeys(_OURS, 0.0)))


class FlvFile:
    """``path`` is what the file is called in the end, ``size`` its bytes, ``begins_ms`` where its first new tag stands
    in its own time. Every method blocks and raises OSError; only one thread may be in one at a time."""

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
        self.path, self._open_path, self._file = _create(path, existing == EXISTING_REPLACE, PART if part else "")
        try:
            self._append([file_header(audio=True, video=True), tag(Message(DATA_AMF0, metadata(published), 0))])
        except OSError:
            self._file.close()
            os.unlink(self._open_path)
            raise

    def _continue(self, path: str) -> bool:
        """Go on behind the last tag of a file that is there; whether it could be done."""
        try:
            file = open(path, "r+b", buffering=0)  # noqa: SIM115  it stays open
        except FileNotFoundError:
            return False
        end_ms = _end_ms(file)
        if end_ms is None:
            file.close()
            return False
        self.path = self._open_path = path
        self._file = file
        self._flags = file.read(_FLAGS_OFFSET + 1)[-1]
        self.begins_ms = self._duration_ms = end_ms + _FRAME_MS
        self.size = file.seek(0, os.SEEK_END)
        return True

    @property
    def duration_ms(self) -> int:
        """Up to the end of the last frame, as far as that can be told from the pace of its track."""
        return self._duration_ms

    def write(self, tags: Iterable[Message]) -> None:
        """Append tags; as many as fit if that fails. What can not be in an FLV file is left out."""
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
            self._file.truncate(self.size)  # a tag that was begun is none
            self._file.seek(self.size)
            raise
        self.size += written

    def close(self) -> None:
        """Write what is known now, have it on the disk, and give the file its name."""
        try:
            self._patch()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
        if self._open_path != self.path:
            os.rename(self._open_path, self.path)
        _sync_directory(os.path.dirname(self.path) or ".")

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


def _create(path: str, replace: bool, part: str) -> tuple[str, str, FileIO]:
    """A new file: what it will be called, what it is called now, and itself."""
    for number in range(_MOST_NAMES):
        final = with_suffix(path, number)
        if not part and replace:
            return final, final, open(final, "w+b", buffering=0)
        if os.path.lexists(final) and not replace:
            continue
        try:
            return final, final + part, open(final + part, "x+b", buffering=0)
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, "there are a thousand files of this name", path)


def _end_ms(file: FileIO) -> int | None:
    """The timestamp of the last tag of an FLV file; None if it is not one, or does not end with a whole tag."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= _FIRST_TAG_OFFSET + _TAG_HEADER_BYTES or file.read(3) != b"FLV":
        return None
    file.seek(size - 4)
    tag_bytes = int.from_bytes(file.read(4), "big")
    begin = size - 4 - tag_bytes
    if tag_bytes < _TAG_HEADER_BYTES or begin < _FIRST_TAG_OFFSET:
        return None
    file.seek(begin)
    header = file.read(_TAG_HEADER_BYTES)
    file.seek(0)
    if int.from_bytes(header[1:4], "big") != tag_bytes - _TAG_HEADER_BYTES:
        return None
    return header[7] << 24 | int.from_bytes(header[4:7], "big")


def _sync_directory(path: str) -> None:
    """Have the name on the disk as well."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
