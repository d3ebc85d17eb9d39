"""HLS with segments of fragmented MP4 (RFC 8216 and its second edition, draft-pantos-hls-rfc8216bis).

A segment begins with a keyframe and is as long as ``hls_segment`` says, or as the GOP is if that is longer. Segments
are kept in memory: those of the playlist, and as many again, as players come late for what has just left it.

What must never go back: media sequence numbers begin at the Unix time, so that without any state they are higher after
a republish or a restart. EXTINF is made of cumulated times, so that rounding does not add up, and the date of each
segment is the date of the first one and media time.

``HlsStream`` is the playlist of one stream, over republishes. Who watches it is in ``visitor``.
"""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gevent.event import Event

from ..clock import Clock
from ..cmaf.muxer import Fragment, Init
from ..event.event import Emit
from ..log import logger
from ..settings.playback import PlaybackSettings
from ..stream.stream import Stream
from .flv import properties_of
from .fragments import Fragments

INDEX: Final = "index.m3u8"
PLAYLIST: Final = "stream.m3u8"
PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
MP4_TYPE: Final = "video/mp4"
MIN_KEPT: Final = 3  #: segments that RFC 8216, 6.2.2 wants in a live playlist at least

_VERSION: Final = 7  # EXT-X-MAP without EXT-X-I-FRAMES-ONLY is of 6; 7 is what fMP4 came with
_MAX_SEGMENT_S: Final = 60.0  # of a stream whose keyframes do not come
_NO_ENDING_S: Final = 30.0
_PEAK_SHARE: Final = 1.1  # BANDWIDTH has to hold for segments to come

_log = logger("playback")


@dataclass(slots=True)
class Segment:
    """``number`` is its media sequence number; ``starts_at`` its Unix time; ``discontinuity``: something else ends
    before it. ``name`` is that of its file, ``init`` that of its init segment's."""

    number: int
    name: str
    init: str
    discontinuity: bool
    start_s: float
    duration_s: float = 0.0
    starts_at: float = 0.0
    size: int = 0
    pieces: list[bytes | memoryview] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """The bytes, which are one piece from the first call on."""
        if len(self.pieces) > 1:
            self.pieces = [b"".join(self.pieces)]
        return bytes(self.pieces[0])


class Observer:
    """Is notified of what a playlist has. This one does nothing with it."""

    def closed(self, hls: HlsStream, segment: Segment) -> None:
        """A segment is complete, and in the playlist."""

    def changed(self, hls: HlsStream) -> None:
        """The playlist is another one, without a new segment."""

    def dropped(self, hls: HlsStream, names: list[str]) -> None:
        """These files are not kept any more."""


class HlsStream:
    """The segments and the playlists of a stream. ``ready`` is set once there is a segment, or never will be: then
    ``refusal`` says why. ``over_at`` is when the stream ended, None while it goes on. No method switches greenlets."""

    def __init__(
        self, stream: Stream, settings: PlaybackSettings, clock: Clock, emit: Emit, observer: Observer
    ) -> None:
        self.stream = stream
        self.ready = Event()
        self.over_at: float | None = None
        self.target_s = 0
        self.refusal = ""
        self._settings = settings
        self._clock = clock
        self._emit = emit
        self._observer = observer
        self._id = secrets.token_hex(4)
        self._inits: dict[str, Init] = {}
        self._init: Init | None = None
        self._segments: deque[Segment] = deque()  # of the playlist
        self._past: deque[Segment] = deque()  # that have left it
        self.secret = secrets.token_urlsafe(12)  # what the index gives to those who share its addresses
        self._open: Segment | None = None
        self._next = 0
        self._passed_discontinuities = 0
        self._breaks = False
        self._base: float | None = None  # Unix time of media time 0
        self._peak_bps = 0.0
        self._all_bytes, self._all_s = 0, 0.0
        self._source: Fragments | None = None
        self._playlist = ""
        self._ended = False

    # --- the stream -------------------------------------------------------------------------------

    @property
    def is_fed(self) -> bool:
        """Whether somebody publishes, as far as the playlist is concerned."""
        return self._source is not None

    def feed(self, source: Fragments) -> None:
        """Go on with the fragments of a publish."""
        self._source = source
        self._init = None
        self._base = None
        self._breaks = bool(self._segments)
        self._ended = False
        self.over_at = None
        self._playlist = ""
        if not self._segments:
            self.ready.clear()
        source.add(self)
        if source.refusal:
            self.over("")

    def close(self) -> None:
        """Make no more of the stream."""
        if self._source is not None:
            source, self._source = self._source, None
            source.remove(self)
        self._observer.dropped(self, [*(one.name for one in (*self._past, *self._segments)), *self._inits])

    def put(self, fragment: Fragment) -> None:
        """Take the next fragment."""
        start_s = fragment.start_ticks / fragment.timescale
        end_s = (fragment.start_ticks + fragment.duration_ticks) / fragment.timescale
        now = self._open
        breaks = fragment.init is not self._init or fragment.discontinuity
        if now is not None and (breaks or self._is_full(now, fragment, start_s)):
            self._close(now, None if breaks else start_s)
            now = None
        if now is None:
            now = self._begin(fragment, start_s, breaks)
        now.pieces += fragment.pieces
        now.size += fragment.size
        now.duration_s = max(now.duration_s, end_s - now.start_s)

    def _is_full(self, segment: Segment, fragment: Fragment, start_s: float) -> bool:
        lasted_s = start_s - segment.start_s
        if fragment.keyframe and lasted_s >= self._settings.hls_segment_s - 0.001:
            return True
        return lasted_s >= _MAX_SEGMENT_S or segment.size >= self._settings.hls_memory_bytes // MIN_KEPT

    def _begin(self, fragment: Fragment, start_s: float, breaks: bool) -> Segment:
        if fragment.init is not self._init:
            self._init = fragment.init
            known = next((name for name, init in self._inits.items() if init == fragment.init), "")
            self._init_name = known or f"{self._id}-{len(self._inits)}-{secrets.token_hex(2)}.mp4"
            self._inits[self._init_name] = fragment.init
        number = self._next or int(self._clock.wall())
        self._next = number + 1
        is_break = bool(self._breaks or (breaks and self._segments))
        self._breaks = False
        self._open = Segment(number, f"{self._id}-{number}.m4s", self._init_name, is_break, start_s)
        return self._open

    def _close(self, segment: Segment, next_s: float | None) -> None:
        """Put a complete segment into the playlist; ``next_s`` is where the next one begins, if it follows."""
        self._open = None
        if next_s is not None:
            segment.duration_s = next_s - segment.start_s
        if self._base is None:
            self._base = self._clock.wall() - segment.start_s - segment.duration_s
        segment.starts_at = self._base + segment.start_s
        self._note(segment)
        self._segments.append(segment)
        self._playlist = ""
        self._trim()
        self._observer.closed(self, segment)
        self.ready.set()

    def _note(self, segment: Segment) -> None:
        """Let the target duration and the bandwidth hold for this segment too."""
        rounded_s = int(round(segment.duration_s, 5) + 0.5)  # as EXTINF has it
        if rounded_s > self.target_s:
            if self.target_s:
                self._report_interval(segment.duration_s)
            self.target_s = max(rounded_s, 1)
        self._all_bytes += segment.size
        self._all_s += segment.duration_s
        if segment.duration_s >= self._settings.hls_segment_s / 2:
            self._peak_bps = max(self._peak_bps, segment.size * 8 / segment.duration_s)

    def _report_interval(self, duration_s: float) -> None:
        """Keyframes are farther apart than they were, so players will be farther behind."""
        self._emit(
            "quality_alert",
            stream_key=self.stream.key,
            metric="keyframe_interval",
            value=round(duration_s, 3),
            threshold=float(self.target_s),
            severity="warning",
            state="raised",
        )

    def _trim(self) -> None:
        """Take out of the playlist what is too old, and forget what was out of it for as long as it is long."""
        settings = self._settings
        while len(self._segments) > max(settings.hls_segments, MIN_KEPT):
            self._retire()
        dropped = []
        while len(self._past) > settings.hls_segments:
            dropped.append(self._past.popleft().name)
        held = sum(one.size for one in (*self._past, *self._segments))
        while held > settings.hls_memory_bytes and (self._past or len(self._segments) > 1):
            if not self._past:
                self._retire()
            oldest = self._past.popleft()
            held -= oldest.size
            dropped.append(oldest.name)
        used = {one.init for one in (*self._past, *self._segments)} | {self._init_name}
        for name in [name for name in self._inits if name not in used]:
            del self._inits[name]
            dropped.append(name)
        if dropped:
            self._observer.dropped(self, dropped)

    def _retire(self) -> None:
        gone = self._segments.popleft()
        self._passed_discontinuities += gone.discontinuity
        self._past.append(gone)

    def over(self, reason: str) -> None:
        """The publish is over. The playlist stays open for a while: the publisher may come back."""
        if self._open is not None:
            self._close(self._open, None)
        source, self._source = self._source, None
        if source is not None:
            self.refusal = source.refusal
            source.remove(self)
        self.over_at = self._clock.monotonic()
        if not self._segments:
            self.ready.set()
        self._observer.changed(self)

    def look(self, now: float) -> None:
        """End the playlist if the publisher has not come back. Called about once a second."""
        if not self._ended and self.over_at is not None and now - self.over_at > min(3 * self.target_s, _NO_ENDING_S):
            self._ended = True
            self._playlist = ""
            self._observer.changed(self)

    @property
    def has_ended(self) -> bool:
        """Whether the playlist has its end: no segment will follow."""
        return self._ended

    @property
    def has_segments(self) -> bool:
        """Whether there is anything to play."""
        return bool(self._segments)

    # --- what is served ---------------------------------------------------------------------------

    def index(self, query: str) -> str:
        """The multivariant playlist; ``query`` is appended to each address."""
        assert self._init is not None or self._segments
        init = self._inits[self._segments[-1].init]
        bandwidth = max(1, int(max(self._peak_bps, self._all_bytes * 8 / max(self._all_s, 0.001)) * _PEAK_SHARE))
        average = max(1, int(self._all_bytes * 8 / max(self._all_s, 0.001)))
        fields = [f"BANDWIDTH={bandwidth}", f"AVERAGE-BANDWIDTH={average}", f'CODECS="{init.codecs}"']
        if init.has_video and init.width and init.height:
            fields.append(f"RESOLUTION={init.width}x{init.height}")
        if init.has_video and (rate := self._frame_rate()):
            fields.append(f"FRAME-RATE={rate:.3f}")
        if init.has_video:
            fields.append("CLOSED-CAPTIONS=NONE")
        lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
        lines += ["#EXT-X-STREAM-INF:" + ",".join(fields), PLAYLIST + query, ""]
        return "\n".join(lines)

    def _frame_rate(self) -> float:
        properties = self.stream_metadata()
        rate = properties.get("framerate", 0.0)
        return float(rate) if isinstance(rate, (int, float)) and 0 < rate < 1000 else 0.0

    def stream_metadata(self) -> dict[str, object]:
        """What onMetaData says."""
        head = self.stream.gop.joining(0)[:1]
        return properties_of(head[0].payload) or {} if head else {}

    def playlist(self, query: str) -> str:
        """The media playlist; ``query`` is appended to each address."""
        if not self._playlist:
            self._playlist = self._written()
        return self._playlist.replace("\0", query)

    def _written(self) -> str:
        first = self._segments[0].number if self._segments else self._next
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{_VERSION}",
            f"#EXT-X-TARGETDURATION:{self.target_s}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._passed_discontinuities}",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ]
        init = ""
        for segment in self._segments:
            if segment.discontinuity:
                lines.append("#EXT-X-DISCONTINUITY")
            if segment.init != init or segment.discontinuity:
                init = segment.init
                lines.append(f'#EXT-X-MAP:URI="{init}\0"')
            at = datetime.fromtimestamp(segment.starts_at, UTC).isoformat(timespec="milliseconds")
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{at.replace('+00:00', 'Z')}")
            end_s = segment.start_s + segment.duration_s
            lines += [f"#EXTINF:{round(end_s, 5) - round(segment.start_s, 5):.5f},", f"{segment.name}\0"]
        if self._ended:
            lines.append("#EXT-X-ENDLIST")
        return "\n".join([*lines, ""])

    def file(self, name: str) -> bytes | None:
        """The bytes of a segment or an init segment; None if it is not kept (any more)."""
        init = self._inits.get(name)
        if init is not None:
            return init.data
        for segment in (*self._segments, *self._past):
            if segment.name == name:
                return segment.data
        return None
