"""What a late joiner needs to begin at once: metadata, sequence headers, and the pictures since
the last keyframe."""

from __future__ import annotations

from collections.abc import Hashable

from ..codec.frame import DATA, HEADER, KEYFRAME, NOT_CACHED, VIDEO, header_slot
from .frame import FRAME_BYTES, Frame

_NOT_A_PICTURE = HEADER | NOT_CACHED | DATA
_MOST_HEADERS = 64  # tracks and kinds that any real stream has, and no more for a hostile one
_LONGEST_HEADER_BYTES = 64 * 1024


class GopCache:
    """Bounded by ``limit_bytes`` and ``limit_frames``; a longer GOP is given up whole, since a part
    of it can not be decoded, and caching goes on at the next keyframe. With ``enabled`` false only
    metadata and headers are kept. Nothing here switches greenlets."""

    __slots__ = ("_bytes", "_headers", "_limit_bytes", "_limit_frames", "_metadata", "enabled", "frames", "has_video")

    def __init__(self, enabled: bool, limit_bytes: int, limit_frames: int) -> None:
        self.enabled = enabled
        self._limit_bytes = limit_bytes
        self._limit_frames = limit_frames
        self._metadata: Frame | None = None
        self._headers: dict[Hashable, Frame] = {}
        self._bytes = 0
        self.frames: list[Frame] = []
        self.has_video = False

    def configure(self, enabled: bool, limit_bytes: int, limit_frames: int) -> None:
        """Go on within these bounds."""
        self.enabled = enabled
        self._limit_bytes = limit_bytes
        self._limit_frames = limit_frames
        if not enabled:
            self.frames.clear()
        self._bound()

    def clear(self) -> None:
        """Forget everything: another publisher begins."""
        self._metadata = None
        self._headers = {}
        self._bytes = 0
        self.frames = []
        self.has_video = False

    def set_metadata(self, frame: Frame | None) -> None:
        """Keep this onMetaData for late joiners; None forgets it."""
        self._metadata = frame

    def add(self, frame: Frame) -> None:
        """Take note of a published audio or video frame."""
        flags = frame.flags
        if flags & VIDEO:
            self.has_video = True
        if flags & KEYFRAME and self.enabled:
            self.frames = [frame]
            self._bytes = len(frame.payload) + FRAME_BYTES
        elif flags & _NOT_A_PICTURE:
            if flags & HEADER:
                self._remember(frame)
            return
        elif not self.frames:
            return
        else:
            self.frames.append(frame)
            self._bytes += len(frame.payload) + FRAME_BYTES
        if self._bytes > self._limit_bytes or len(self.frames) > self._limit_frames:
            self.frames = []

    def _bound(self) -> None:
        if self._bytes > self._limit_bytes or len(self.frames) > self._limit_frames:
            self.frames = []

    def _remember(self, frame: Frame) -> None:
        """Keep a header in the place of the older one of its tracks, newest last. Pictures that
        were made with another header can not be decoded with this one."""
        slot = header_slot(frame.type_id, frame.payload)
        older = self._headers.pop(slot, None)
        if older is not None and older.payload != frame.payload and slot[1] == "sequence":
            self.frames = []
        if len(self._headers) < _MOST_HEADERS and len(frame.payload) <= _LONGEST_HEADER_BYTES:
            self._headers[slot] = frame

    def joining(self, now: int) -> list[Frame]:
        """What to send a player that joins, in order. ``now`` is the stream's last timestamp: the
        headers carry it, or that of the first cached picture, so that no clock jumps."""
        start = self.frames[0].timestamp if self.frames else now
        head = [self._metadata] if self._metadata is not None else []
        head += self._headers.values()
        return [frame.at(start) for frame in head] + self.frames
