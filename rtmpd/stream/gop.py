"""The GOP cache: metadata, sequence headers and the messages since the last keyframe, for late joiners."""

from __future__ import annotations

from collections.abc import Hashable

from ..codec.classify import DATA, HEADER, KEYFRAME, NOT_CACHED, VIDEO, header_slot
from .frame import FRAME_BYTES, Frame
from .timeline import step_ms

_NOT_A_PICTURE = HEADER | NOT_CACHED | DATA
_MAX_HEADERS = 64  # tracks and kinds that any real stream has, and no more for a hostile one
_MAX_HEADER_BYTES = 64 * 1024
_NEVER = -1
_ALONE_MS = 3000  # sound for this long without a picture, or for twice the last pictures' spacing: the video is over


class GopCache:
    """Bounded by ``limit_bytes`` and ``limit_frames``. A longer GOP is given up whole, since a part of it cannot be
    decoded, and caching goes on at the next keyframe; so it is where the video ends and the audio goes on, or a joiner
    would begin in a past that no other player is in. With ``enabled`` false only metadata and headers are kept.

    ``has_video`` is whether any has come in this publish, ``video_is_over`` whether there is sound without it by now.
    """

    __slots__ = (
        "_alone_since",
        "_bytes",
        "_headers",
        "_limit_bytes",
        "_limit_frames",
        "_metadata",
        "_video_at",
        "_video_before",
        "enabled",
        "frames",
        "has_video",
        "video_is_over",
    )

    def __init__(self, enabled: bool, limit_bytes: int, limit_frames: int) -> None:
        self.enabled = enabled
        self._limit_bytes = limit_bytes
        self._limit_frames = limit_frames
        self.frames: list[Frame] = []
        self.clear()

    def configure(self, enabled: bool, limit_bytes: int, limit_frames: int) -> None:
        """Change the limits."""
        self.enabled = enabled
        self._limit_bytes = limit_bytes
        self._limit_frames = limit_frames
        if not enabled or self._bytes > limit_bytes or len(self.frames) > limit_frames:
            self.frames = []

    def clear(self) -> None:
        """Forget everything: another publisher begins."""
        self._metadata: Frame | None = None
        self._headers: dict[Hashable, Frame] = {}
        self._bytes = 0
        self._alone_since = _NEVER  # time of the first audio since the last video
        self._video_at = self._video_before = _NEVER
        self.frames = []
        self.has_video = False
        self.video_is_over = False

    def set_metadata(self, frame: Frame | None) -> None:
        """Keep this onMetaData for late joiners; None forgets it."""
        self._metadata = frame

    def add(self, frame: Frame) -> None:
        """Take note of a published audio or video frame."""
        flags = frame.flags
        if flags & _NOT_A_PICTURE:
            if flags & VIDEO:
                self.has_video = True
            if flags & HEADER:
                self._remember(frame)
            return
        if flags & VIDEO:
            self._video_before = self._video_at
            self._video_at = frame.timestamp
            if self._alone_since != _NEVER:
                self._alone_since = _NEVER
                self.video_is_over = False
            self.has_video = True
        elif self._alone_since == _NEVER:
            self._alone_since = frame.timestamp
        elif not 0 <= frame.timestamp - self._alone_since <= _ALONE_MS:
            self._sound_alone(frame.timestamp)
        if flags & KEYFRAME and self.enabled:
            if not (self.frames and self.frames[0].timestamp == frame.timestamp):
                self.frames = []  # else it is another slice of the same picture
                self._bytes = 0
        elif not self.frames:
            return
        self.frames.append(frame)
        self._bytes += len(frame.payload) + FRAME_BYTES
        if self._bytes > self._limit_bytes or len(self.frames) > self._limit_frames:
            self.frames = []

    def _sound_alone(self, now: int) -> None:
        """Sound has gone on without a picture for a while; a slide show has its pictures far apart."""
        spacing_ms = step_ms(self._video_before, self._video_at) if self._video_before != _NEVER else 0
        if step_ms(self._alone_since, now) > max(_ALONE_MS, 2 * spacing_ms):
            self.video_is_over = True
            self.frames = []

    def _remember(self, frame: Frame) -> None:
        """Keep a header in the place of the older one of its tracks, newest last. Pictures that
        were made with another header cannot be decoded with this one."""
        slot = header_slot(frame.type_id, frame.payload)
        older = self._headers.pop(slot, None)
        if older is not None and older.payload != frame.payload and slot[1] == "sequence":
            self.frames = []
        if len(self._headers) < _MAX_HEADERS and len(frame.payload) <= _MAX_HEADER_BYTES:
            self._headers[slot] = frame

    def joining(self, now: int) -> list[Frame]:
        """What to send a player that joins, in order. ``now`` is the stream's last timestamp: the
        headers carry it, or that of the first cached picture, so that no clock jumps."""
        start = self.frames[0].timestamp if self.frames else now
        head = [self._metadata] if self._metadata is not None else []
        return head + [frame.at(start) for frame in self._headers.values()] + self.frames
