"""One hybrid MP4 that is being written, and the end of one that a crash left. Everything here blocks, and is for a
thread.

Fragments are appended whole. At the end the tables of all samples are read back from their headers, appended, and put
in force by one write of 16 bytes (``cmaf.hybrid``). Where the disk has no room for the tables, the file stays
fragmented, which players read too.

Beside it is ``NAME.m3u8``, an HLS playlist of byte ranges in the file. It grows with it, and says at the end that it is
over.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from ..cmaf.hybrid import BEGINNING, Index, Playlist, Span, head
from ..cmaf.muxer import Fragment, Init, Muxer
from ..errors import MediaError
from ..protocol.message import Message
from .media_file import MAX_NAMES, PART, MediaFile, create, open_locked, sync_directory
from .path import with_suffix

SUFFIX: Final = ".mp4"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Recovered(NamedTuple):
    """A file that a crash left was finished. ``lost_ms`` is how long the fragment is that was not whole."""

    path: str
    duration_ms: int
    lost_ms: int


class Mp4File(MediaFile):
    """A fragment ends after ``fragment_ms`` and before each keyframe. One file has one init segment: the caller opens
    another where the codecs change."""

    __slots__ = (
        "_duration_ms",
        "_file",
        "_fragment_ms",
        "_muxer",
        "_open_path",
        "_playlist",
        "begins_ms",
        "path",
        "size",
    )

    def __init__(self, path: str, part: bool, fragment_ms: int, with_audio: bool, with_video: bool) -> None:
        self._muxer = Muxer(with_audio, with_video)
        self._fragment_ms = fragment_ms
        self._duration_ms = 0.0
        self._init: Init | None = None
        self._is_over = False
        self._playlist: Playlist | None = None
        self.begins_ms = 0
        self.size = 0
        os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
        self.path, self._open_path, self._file = create(path, False, PART if part else "")

    @property
    def duration_ms(self) -> int:
        return round(self._duration_ms)

    @property
    def is_over(self) -> bool:
        """Whether the tracks are not those of the file any more: what comes next needs another file."""
        return self._is_over

    def write(self, messages: Iterable[Message]) -> None:
        muxer = self._muxer
        for message in messages:
            self._append(muxer.feed(message.type_id, message.timestamp, message.payload))
            if muxer.at_keyframe or muxer.pending_ms >= self._fragment_ms:
                self._append(muxer.cut())

    def _append(self, fragments: Sequence[Fragment]) -> None:
        for fragment in fragments:
            if self._init is None:
                self._init = fragment.init
            if self._is_over or fragment.init is not self._init:
                self._is_over = True
                return
            begin = b"" if self.size else head(fragment.init)
            self._write(b"".join([begin, *fragment.pieces]))
            self._duration_ms = fragment.start_ms + fragment.duration_ms
            if self._playlist is None:
                movie_bytes = len(fragment.init.movie)
                self._playlist = Playlist(_uri(self._open_path), len(begin) - movie_bytes, movie_bytes)
            offset = self.size - fragment.size
            span = Span(offset, fragment.size, fragment.start_ms, fragment.duration_ms, fragment.keyframe)
            text = self._playlist.add(span)
            if text:
                with open(
                    playlist_path(self.path), "w" if text.startswith(BEGINNING) else "a", encoding="ascii"
                ) as playlist:
                    playlist.write(text)

    def _write(self, data: bytes) -> None:
        """Append all of it or nothing."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(self.size)
            self._file.seek(self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        unwritten: OSError | None = None
        try:
            try:
                self._append(self._muxer.finish())
            except OSError as error:
                unwritten = error  # what is there is finished first
            if not self.size:
                os.unlink(self._open_path)
                raise MediaError("nothing came that can be decoded", "no_media")
            self.size = _finish(self._file, _index(self._file), self.path)
            if self._open_path != self.path:
                os.rename(self._open_path, self.path)  # before the lock goes with the descriptor
        finally:
            self._file.close()
        sync_directory(os.path.dirname(self.path) or ".")
        if unwritten is not None:
            raise unwritten


def recover(directory: str) -> list[Recovered | OSError]:
    """Finish every MP4 that a crash left below a directory and that nobody writes; an OSError for each that cannot be
    finished, whatever is in it. A file without a whole fragment is left alone."""
    found: list[Recovered | OSError] = []
    for path in sorted(Path(directory).rglob(f"*{SUFFIX}{PART}")):
        try:
            recovered = _recover(str(path))
        except OSError as error:
            found.append(error)
        except Exception as error:  # noqa: BLE001  a damaged file must not keep the others from being finished
            found.append(OSError(errno.EIO, f"damaged: {error!r}", str(path)))
        else:
            if recovered is not None:
                found.append(recovered)
    return found


def _recover(path: str) -> Recovered | None:
    file = open_locked(path, 0)
    if file is None:
        return None
    with file:
        try:
            index = _index(file)
        except MediaError:
            return None  # nothing of it had come to the disk, or it is not ours
        if not index.spans:
            return None
        final = _free_name(path.removesuffix(PART))
        _finish(file, index, final)
        os.rename(path, final)
    sync_directory(os.path.dirname(final) or ".")
    return Recovered(final, round(index.duration_ms), round(index.lost_ms))


def _free_name(path: str) -> str:
    for number in range(MAX_NAMES):
        name = with_suffix(path, number)
        is_ours = name == path
        if not os.path.lexists(name) and (is_ours or not os.path.lexists(name + PART)):
            return name
    raise FileExistsError(errno.EEXIST, f"there are {MAX_NAMES} files of this name", path)


def _index(file: FileIO) -> Index:
    fd = file.fileno()
    return Index(lambda offset, size: os.pread(fd, size, offset), os.fstat(fd).st_size)


def playlist_path(path: str) -> str:
    """What the playlist of a recording is called."""
    return os.path.splitext(path)[0] + ".m3u8"


def _uri(path: str) -> str:
    return quote(os.path.basename(path))


def _is_torn(fd: int, end: int) -> bool:
    """Whether nothing follows ``end``, or a fragment that was cut off; a whole ``moof`` and ``mdat`` is neither."""
    size, position = os.fstat(fd).st_size, end
    for kind in (b"moof", b"mdat"):
        box = os.pread(fd, 8, position)
        position += int.from_bytes(box[:4], "big")
        if len(box) < 8 or box[4:] != kind or position > size:
            return True
    return False


def _finish(file: FileIO, index: Index, final: str) -> int:
    """Make an ordinary MP4 of the fragments that are whole, and have it on the disk with its playlist; its size.
    ``final`` is what it will be called."""
    fd = file.fileno()
    if not _is_torn(fd, index.end):
        os.fsync(fd)  # it is whole, but not as we know it: nothing of it may be cut off
        return os.fstat(fd).st_size
    os.ftruncate(fd, index.end)
    try:
        movie = memoryview(index.movie)
        position = index.end
        while movie:
            written = os.pwrite(fd, movie, position)
            movie, position = movie[written:], position + written
    except OSError as error:
        os.ftruncate(fd, index.end)
        if error.errno not in _NO_ROOM:
            raise
        os.fsync(fd)
        return index.end
    os.fsync(fd)
    os.pwrite(fd, index.seal, index.free_at)
    os.fsync(fd)
    try:
        temporary = playlist_path(final) + ".new"
        with open(temporary, "w", encoding="ascii") as playlist:
            playlist.write(index.playlist(_uri(final)))
        os.rename(temporary, playlist_path(final))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
    return position
