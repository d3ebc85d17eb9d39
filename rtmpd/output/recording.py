"""Cuts the frames of one stream into files. Everything here blocks, and runs in a thread.

Each file stands by itself: it begins with onMetaData and the sequence headers that are in force, at time 0. A file ends
where the next can begin, which is a keyframe, or any frame without video.

A publisher may begin inside a group of pictures. The recording then begins at the first keyframe, since nothing before
it can be decoded. Sound that comes before the first picture waits for it, to see whether that is so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from ..clock import Clock
from ..codec.classify import AUDIO, DATA, HEADER, KEYFRAME, NOT_CACHED, VIDEO, header_slot
from ..codec.metadata import is_metadata
from ..errors import MediaError
from ..protocol.message import Message
from ..settings.output import FORMAT_MP4, RECORD_ALL, RECORD_AUDIO, RECORD_KEYFRAMES, RECORD_VIDEO, OutputSettings
from ..stream.frame import Frame
from ..stream.timeline import step_ms
from .flv_file import FlvFile, metadata
from .media_file import MediaFile
from .mp4_file import SUFFIX, Mp4File
from .path import Name, render

DISK_FULL: Final = "disk_full"
ERROR: Final = "error"
MAX_SIZE: Final = "max_size"

_WANTED: Final = {
    RECORD_ALL: AUDIO | VIDEO | DATA,
    RECORD_AUDIO: AUDIO | DATA,
    RECORD_VIDEO: VIDEO | DATA,
    RECORD_KEYFRAMES: KEYFRAME | DATA,
}
_MAX_HEADERS: Final = 64
_MAX_HELD_MS: Final = 2000  # of sound that waits for a picture that was announced
_MAX_HELD_BYTES: Final = 1024 * 1024
_KEYFRAME_WAIT_MS: Final = 20_000  # some encoders never send another keyframe; then pictures that heal are kept
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOOK_AT_DISK_S: Final = 1.0


class Opened(NamedTuple):
    """The first file is open; ``path`` is what it will be called."""

    path: str


class Completed(NamedTuple):
    """A file is closed. ``number`` counts from 1; ``is_last`` is whether the recording ends with it."""

    path: str
    size: int
    number: int
    duration_ms: int
    is_last: bool = True


class Stopped(NamedTuple):
    """Nothing more can be recorded: ``reason`` is a word of ours, ``message`` says it in words. ``path`` is that of the
    first file, which may not have come about."""

    reason: str
    message: str
    path: str


Fact = Opened | Completed | Stopped


def _in_words(error: OSError | MediaError) -> tuple[str, str]:
    """The reason for which a recording ends, and what happened."""
    if isinstance(error, MediaError):
        return error.code, str(error)
    return DISK_FULL if error.errno in _NO_ROOM else ERROR, error.strerror or str(error)


class Recording:
    """``write`` and ``close`` return what came of it and never raise; only one thread may be in one at a time.

    ``size`` is that of all files together. ``name(segment)`` is what the path of a segment is filled with.
    """

    def __init__(self, settings: OutputSettings, name: Callable[[int], Name], clock: Clock) -> None:
        self._settings = settings
        self._name = name
        self._clock = clock
        self._wants = _WANTED[settings.record]
        self._is_mp4 = settings.record_format == FORMAT_MP4
        self._metadata = b""
        self._headers: dict[Hashable, Frame] = {}
        self._last: int | None = None  # timestamp of the last frame
        self._now_ms = 0  # the time since the first one
        self._held: list[tuple[Frame, int]] = []
        self._held_bytes = 0
        self._expects_video = False
        self._shows = False  # a picture can be decoded
        self._undecodable_ms: int | None = None  # when the first picture came that cannot
        self._file: MediaFile | None = None
        self._changed = False  # a header is another one than the file began with
        self._index = 0
        self._first_path = ""
        self._begin_ms = 0
        self._closed_bytes = 0
        self._has_video = False
        self._looked_at = 0.0
        self._tags: list[Message] = []
        self.stopped = False

    @property
    def size(self) -> int:
        """The bytes written so far, to all files of the recording."""
        return self._closed_bytes + (self._file.size if self._file is not None else 0)

    @property
    def path(self) -> str:
        """The path of the open file, "" without one."""
        return self._file.path if self._file is not None else ""

    def path_of(self, segment: int) -> str:
        """What the file of a segment is to be called."""
        path = os.path.join(self._settings.record_dir, render(self._settings.record_path, self._name(segment)))
        return path.removesuffix(".flv") + SUFFIX if self._is_mp4 and path.endswith(".flv") else path

    def write(self, frames: list[Frame]) -> list[Fact]:
        """Take these frames, in order."""
        facts: list[Fact] = []
        if self.stopped:
            return facts
        try:
            for frame in frames:
                self._take(frame, facts)
            self._flush()
            self._check_limits(facts)
        except (OSError, MediaError) as error:
            self._give_up(facts, *_in_words(error))
        return facts

    def close(self) -> list[Fact]:
        """End the recording and close its file."""
        facts: list[Fact] = []
        if not self.stopped:
            self.stopped = True
            try:
                self._release(facts)
                self._flush()
                self._complete(facts)
            except (OSError, MediaError) as error:
                self._give_up(facts, *_in_words(error))
        return facts

    def _give_up(self, facts: list[Fact], reason: str, message: str) -> None:
        """What is on the disk stays, as good as it is."""
        self.stopped = True
        self._tags = []
        try:
            self._complete(facts)
        except (OSError, MediaError):
            self._file = None  # it could not even be closed in order; the first error is the one to report
        facts.append(Stopped(reason, message, self._first_path))

    # --- frames -----------------------------------------------------------------------------------

    def _take(self, frame: Frame, facts: list[Fact]) -> None:
        flags = frame.flags
        if flags & DATA:
            self._take_data(frame)
        elif flags & HEADER:
            self._take_header(frame)
        elif flags & self._wants and (flags & (AUDIO | VIDEO)):
            self._take_media(frame, facts)

    def _take_data(self, frame: Frame) -> None:
        """Data stands where it came. Readers take onMetaData of any other time than 0 for a track of subtitles."""
        is_about_stream = is_metadata(frame.payload)
        if is_about_stream:
            self._metadata = frame.payload
        if self._file is None:
            return
        if is_about_stream:
            self._tags.append(Message(frame.type_id, metadata(frame.payload, is_first=False), 0))
        else:
            self._tags.append(self._tag(frame, self._now_ms))

    def _take_header(self, frame: Frame) -> None:
        """Headers wait for the first frame; later ones stand where they came."""
        kind = VIDEO if self._wants & KEYFRAME else self._wants
        if not frame.flags & kind:
            return
        self._expects_video |= bool(frame.flags & VIDEO)
        slot = header_slot(frame.type_id, frame.payload)
        before = self._headers.pop(slot, None)
        self._changed |= before is None or before.payload != frame.payload
        if len(self._headers) < _MAX_HEADERS:
            self._headers[slot] = frame
        if self._file is not None:
            self._tags.append(self._tag(frame, self._now_ms))

    def _take_media(self, frame: Frame, facts: list[Fact]) -> None:
        if self._last is not None:
            self._now_ms += step_ms(self._last, frame.timestamp)
        self._last = frame.timestamp
        at_ms = self._now_ms
        if not self._shows and not self._can_begin(frame, at_ms):
            return
        self._has_video |= bool(frame.flags & VIDEO)
        if self._file is None:
            self._release(facts)
        if self._file is None:
            self._begin(at_ms, facts)
        elif self._file.is_over or self._segment_ends(frame, at_ms):
            self._flush()
            self._complete(facts, is_last=False)
            self._open(at_ms)
        self._tags.append(self._tag(frame, at_ms))

    def _can_begin(self, frame: Frame, at_ms: int) -> bool:
        """Whether a frame is for the file while no picture could be decoded yet. It may be held for a moment."""
        if frame.flags & KEYFRAME:
            self._shows = True
        elif frame.flags & NOT_CACHED:
            return self._file is not None
        elif frame.flags & VIDEO:
            if self._undecodable_ms is None:
                self._undecodable_ms = at_ms
                self._held = []
            self._shows = at_ms - self._undecodable_ms >= _KEYFRAME_WAIT_MS
        elif self._file is None:
            if self._undecodable_ms is not None:
                return at_ms - self._undecodable_ms >= _KEYFRAME_WAIT_MS
            return not (self._expects_video and self._hold(frame, at_ms))
        else:
            return True
        return self._shows

    def _hold(self, frame: Frame, at_ms: int) -> bool:
        """Keep sound until a picture comes; false if none comes in time."""
        self._held_bytes += frame.weight
        if self._held_bytes > _MAX_HELD_BYTES or (self._held and at_ms - self._held[0][1] > _MAX_HELD_MS):
            return False
        self._held.append((frame, at_ms))
        return True

    def _release(self, facts: list[Fact]) -> None:
        """Begin with the sound that was held, if any was."""
        held, self._held = self._held, []
        if held:
            self._begin(held[0][1], facts)
            self._tags += [self._tag(frame, at_ms) for frame, at_ms in held]

    def _segment_ends(self, frame: Frame, at_ms: int) -> bool:
        settings = self._settings
        changed = self._is_mp4 and self._changed
        if not (settings.segmented or changed) or frame.flags & NOT_CACHED:
            return False
        if self._has_video and not frame.flags & KEYFRAME:
            return False
        assert self._file is not None
        waiting = sum(len(tag.payload) for tag in self._tags)
        if at_ms == self._begin_ms and frame.flags & KEYFRAME:
            return False  # another slice of the picture that the file begins with
        if changed:
            return True
        late = bool(settings.segment_duration_s) and at_ms - self._begin_ms >= settings.segment_duration_s * 1000
        large = bool(settings.segment_bytes) and self._file.size + waiting >= settings.segment_bytes
        return late or large

    def _tag(self, frame: Frame, at_ms: int) -> Message:
        """Sound that is a little older than the picture a file begins with begins with it."""
        assert self._file is not None
        return Message(frame.type_id, frame.payload, self._file.begins_ms + max(at_ms - self._begin_ms, 0))

    # --- files ------------------------------------------------------------------------------------

    def _begin(self, at_ms: int, facts: list[Fact]) -> None:
        self._open(at_ms)
        facts.append(Opened(self.path))

    def _open(self, at_ms: int) -> None:
        settings = self._settings
        path = self.path_of(self._index + 1)
        self._first_path = self._first_path or path
        self._check_room(os.path.dirname(path))
        if self._is_mp4:
            kinds = VIDEO if self._wants & KEYFRAME else self._wants
            fragment_ms = round(settings.record_fragment_s * 1000)
            self._file = Mp4File(path, settings.record_part, fragment_ms, bool(kinds & AUDIO), bool(kinds & VIDEO))
        else:
            self._file = FlvFile(path, settings.record_existing, settings.record_part, self._metadata)
        self._changed = False
        self._index += 1
        self._begin_ms = at_ms
        self._tags = [self._tag(frame, at_ms) for frame in self._headers.values()]

    def _flush(self) -> None:
        tags, self._tags = self._tags, []
        if tags and self._file is not None:
            self._file.write(tags)

    def _complete(self, facts: list[Fact], is_last: bool = True) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except MediaError:
                if is_last:
                    raise
                self._index -= 1  # nothing of it could be decoded; the next file may have better media
                return
            finally:
                self._closed_bytes += file.size
            duration_ms = file.duration_ms - file.begins_ms
            facts.append(Completed(file.path, file.size, self._index, duration_ms, is_last))

    def _check_limits(self, facts: list[Fact]) -> None:
        most = self._settings.record_max_bytes
        if most and self.size >= most:
            self._give_up(facts, MAX_SIZE, f"it has its {most} bytes")
            return
        now = self._clock.monotonic()
        if self._file is not None and now - self._looked_at >= _LOOK_AT_DISK_S:
            self._looked_at = now
            self._check_room(os.path.dirname(self._file.path))

    def _check_room(self, directory: str) -> None:
        """Raises OSError with ENOSPC if less is free than has to stay."""
        least = self._settings.record_min_free_bytes
        while directory and not os.path.isdir(directory):
            directory = os.path.dirname(directory)
        if least:
            disk = os.statvfs(directory or ".")
            free = disk.f_bavail * disk.f_frsize
            if free < least:
                raise OSError(errno.ENOSPC, f"{free} bytes are free, {least} have to stay")
