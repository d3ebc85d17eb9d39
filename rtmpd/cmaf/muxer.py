"""Media messages become fragments of MP4; what a caller does with it is in the docstring of the package.

Time. All tracks have one origin, the first frame. Video counts at 90 kHz; the composition time of the keyframe that an
init segment begins with is taken off every other one and added to the decoding times, so that a segment begins at the
time of its first picture without an edit list. Sound counts its samples, since milliseconds are too coarse, and follows
the timestamps again where the two are over ``MAX_STRAY_MS`` apart; ``reanchored`` counts how often. No sample begins
before the one before it: a time that goes back stands until it is reached again. A jump over ``MAX_JUMP_MS`` ends the
fragment, and what follows is placed at the end of what there was.

Tracks. Of several tracks of a kind the one with the lowest id is muxed. The first init segment waits for the headers of
both kinds, for ``PATIENCE_MS`` of media. Another header, or a track that comes late, applies from the next keyframe on;
coded frames of the new kind before it are dropped, as is sound before the first keyframe, and every empty frame, for
which FFmpeg would refuse the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from ..codec.names import AUDIO_FOURCCS, VIDEO_FOURCCS
from ..codec.tag import (
    AUDIO_MESSAGE,
    VIDEO_MESSAGE,
    FrameType,
    PacketType,
    TagHeader,
    Track,
    decode_audio,
    decode_video,
)
from ..errors import MediaError
from . import entry as entries
from .boxes import NOT_SYNC, SYNC, Run, Sample, TrackHeader, file_type, fragment, init_movie
from .entry import Entry

MAX_STRAY_MS: Final = 40
MAX_JUMP_MS: Final = 1000
PATIENCE_MS: Final = 1000
MAX_FRAGMENT_BYTES: Final = 16 * 1024 * 1024  #: of payloads; a fragment that has more ends, whatever the caller does
KEYFRAME_WAIT_MS: Final = 20_000  #: some encoders never send another keyframe; then pictures that heal are muxed
VIDEO_TRACK_ID: Final = 1
AUDIO_TRACK_ID: Final = 2

_LOOKED_AT_BYTES: Final = 4096
_FRAME_HEADER_BYTES: Final = 16
_TICKS_PER_MS: Final = entries.VIDEO_TIMESCALE // 1000
_NS_PER_TICK: Final = 1_000_000_000 / entries.VIDEO_TIMESCALE
_USUAL_FRAME_MS: Final = 40
_MAX_SPACING_MS: Final = 10_000  # of the first two frames, of which nobody knows yet whether all come so slowly
_HEADERS: Final = (PacketType.SEQUENCE_START, PacketType.MPEG2TS_SEQUENCE_START)
_FOURCCS: Final = {**VIDEO_FOURCCS, **AUDIO_FOURCCS}
_BRANDS: Final = (b"iso6", b"mp41")
_CMAF: Final = b"cmfc"  # only for a file of one track
_HALF: Final = 0x80000000
_track_id: Final = attrgetter("track_id")


class Init(NamedTuple):
    """An init segment. ``data`` is ``file_type`` and ``movie``, the two boxes; ``codecs`` is of RFC 6381; the size is
    that of the pictures as they are shown, 0 without video."""

    file_type: bytes
    movie: bytes
    codecs: str
    width: int
    height: int
    has_video: bool
    has_audio: bool

    @property
    def data(self) -> bytes:
        """The bytes of the segment."""
        return self.file_type + self.movie


class Fragment(NamedTuple):
    """A ``moof`` and its ``mdat``. ``size`` is their bytes; ``start_ticks`` and ``duration_ticks`` are of the video, or
    of the sound where the fragment has no video."""

    pieces: list[bytes | memoryview]
    size: int
    init: Init
    timescale: int
    start_ticks: int
    duration_ticks: int
    keyframe: bool
    discontinuity: bool

    @property
    def start_ms(self) -> float:
        return self.start_ticks * 1000 / self.timescale

    @property
    def duration_ms(self) -> float:
        return self.duration_ticks * 1000 / self.timescale


class _Track:
    """One kind of media of a stream. ``entry`` is what the init segment in force says of it, ``coming`` what the next
    one will; ``config`` is the last sequence header of ``codec``. ``timestamp`` is that of the last frame, unwrapped;
    ``floor`` is the least decoding time of the next sample, ``next_dts`` where the next sample of sound is expected."""

    __slots__ = (
        "codec",
        "coming",
        "config",
        "entry",
        "floor",
        "followed",
        "is_video",
        "next_dts",
        "samples",
        "seen",
        "shift",
        "spacing_ms",
        "timestamp",
        "track_id",
    )

    def __init__(self, is_video: bool) -> None:
        self.is_video = is_video
        self.track_id = VIDEO_TRACK_ID if is_video else AUDIO_TRACK_ID
        self.codec = ""
        self.config = b""
        self.entry: Entry | None = None
        self.coming: Entry | None = None
        self.followed: int | None = None
        self.seen = False
        self.samples: list[Sample] = []
        self.floor = 0
        self.next_dts: int | None = None
        self.shift = 0  # of decoding times, in ticks
        self.timestamp: int | None = None
        self.spacing_ms = 0

    @property
    def pending_ms(self) -> float:
        """How long the samples are that can be cut off now."""
        samples = self.samples
        if len(samples) < 2 or self.entry is None:
            return 0.0
        return (samples[-1].dts - samples[0].dts) * 1000 / self.entry.timescale

    @property
    def end(self) -> int:
        """Where the last sample ends: sound by its count, a picture after the usual spacing."""
        last = self.samples[-1]
        if self.is_video:
            spacing_ms = self.spacing_ms if 0 < self.spacing_ms <= MAX_JUMP_MS else _USUAL_FRAME_MS
            return last.dts + spacing_ms * _TICKS_PER_MS
        return max(self.next_dts or 0, last.dts + 1)


class Muxer:
    """``feed`` takes the media of one stream. ``with_video=False`` or ``with_audio=False`` leaves a kind out.

    ``init`` is the init segment in force, None before the first; ``reanchored`` and ``skipped`` count the times that
    sound was placed anew, and the messages that could not be used.
    """

    def __init__(self, with_audio: bool = True, with_video: bool = True) -> None:
        self.init: Init | None = None
        self.reanchored = 0
        self.skipped = 0
        self._video = _Track(True) if with_video else None
        self._audio = _Track(False) if with_audio else None
        self._tracks = [track for track in (self._video, self._audio) if track is not None]
        self._origin: int | None = None  # the timestamp that is 0; None while nothing can begin
        self._clock: int | None = None  # timestamp of the latest frame, of either track
        self._undecodable: int | None = None  # timestamp of the first picture that no keyframe came before
        self._held_bytes = 0
        self._sequence = 0
        self._breaks = False  # a discontinuity is before what is pending
        self._finished: list[Fragment] = []

    # --- what the caller cuts by --------------------------------------------------------------------

    @property
    def pending_ms(self) -> float:
        """How long the fragment is that ``cut`` would give now, 0 if it gives none."""
        if self.init is None:
            return 0.0
        return max([track.pending_ms for track in self._tracks])

    @property
    def at_keyframe(self) -> bool:
        """Whether there is something to cut off, and what follows begins with a keyframe."""
        video = self._video
        if self.init is not None and self.init.has_video and video is not None:
            return len(video.samples) > 1 and video.samples[-1].flags == SYNC
        return self.pending_ms > 0

    def cut(self) -> Sequence[Fragment]:
        """The fragment of all samples whose duration is known; none if there are none."""
        if self.init is None:
            return ()
        runs = []
        for track in self._tracks:
            if len(track.samples) > 1:
                last = track.samples.pop()
                runs.append(Run(track.track_id, track.is_video, track.samples, last.dts))
                track.samples = [last]
        return self._fragments(runs)

    def finish(self) -> Sequence[Fragment]:
        """The end of the stream: all that is left. Nothing may be fed after it."""
        if self.init is None and self._origin is not None:
            self._begin()
        return self._end()

    def _end(self) -> Sequence[Fragment]:
        """Everything pending in one fragment; the last samples are as long as usual."""
        runs = []
        for track in self._tracks:
            if track.samples and self.init is not None:
                track.floor = track.end
                runs.append(Run(track.track_id, track.is_video, track.samples, track.floor))
            track.samples = []
        return self._fragments(runs)

    def _fragments(self, runs: Sequence[Run]) -> Sequence[Fragment]:
        if not runs or self.init is None:
            return ()
        self._sequence += 1
        self._held_bytes = 0
        lead = runs[0]  # the video, if there is any in it
        entry = (self._video if lead.is_video else self._audio).entry  # type: ignore[union-attr]
        assert entry is not None
        pieces = fragment(self._sequence, runs)
        start = lead.samples[0].dts
        is_key = not self.init.has_video or (lead.is_video and lead.samples[0].flags == SYNC)
        breaks, self._breaks = self._breaks, False
        size = sum(map(len, pieces))
        return (Fragment(pieces, size, self.init, entry.timescale, start, lead.end - start, is_key, breaks),)

    # --- messages -----------------------------------------------------------------------------------

    def feed(self, type_id: int, timestamp: int, payload: bytes) -> Sequence[Fragment]:
        """Take a message; ``timestamp`` is in ms modulo 2**32. Returns the fragments that had to end here, mostly none.
        Raises MediaError ``codec_unsupported``; other messages that make no sense are counted and left out."""
        track = self._video if type_id == VIDEO_MESSAGE else self._audio if type_id == AUDIO_MESSAGE else None
        if track is None:
            return ()
        try:
            header = decode_video(payload) if track.is_video else decode_audio(payload)
        except MediaError:
            self.skipped += 1
            return ()
        tracks, packet = header.tracks, header.packet_type
        # identity: the members of an enumeration are slow to hash, and this is for each message
        is_coded = packet is PacketType.CODED_FRAMES or packet is PacketType.CODED_FRAMES_X
        if not tracks or not (is_coded or packet in _HEADERS):
            return ()
        part = tracks[0] if len(tracks) == 1 else min(tracks, key=_track_id)
        if not part.length or (track.followed is not None and part.track_id > track.followed):
            return ()
        codec = header.codec if part.fourcc is None else _FOURCCS.get(part.fourcc, "")
        if codec not in entries.CARRIED:
            raise entries.unsupported(codec or part.fourcc or "")
        track.seen, track.followed = True, part.track_id
        if not is_coded:
            self._take_header(track, codec, payload[part.offset : part.offset + part.length])
        else:
            self._take_frame(track, codec, header, part, timestamp, payload)
        if not self._finished:
            return ()
        finished, self._finished = self._finished, []
        return finished

    def _take_header(self, track: _Track, codec: str, config: bytes) -> None:
        if codec != track.codec or config != track.config:
            before = track.codec, track.config
            track.codec, track.config = codec, config
            if not self._describe(track, b""):
                track.codec, track.config = before  # perhaps the encoder sends one that can be read

    def _describe(self, track: _Track, frame: bytes) -> bool:
        """Work out the sample entry by the last sequence header and, if there is one, a frame that can be begun with;
        whether what is there makes sense."""
        try:
            make = entries.video if track.is_video else entries.audio
            made = make(track.codec, track.config, frame)
        except MediaError:
            self.skipped += 1
            return False
        if made is not None:
            known = [entry for entry in (track.entry, track.coming) if entry is not None]
            made = next((entry for entry in known if entry.identity == made.identity), made)
        if self.init is None and track.coming is not made:
            track.samples = []  # of a kind that no init segment will describe
        track.coming = made
        return True

    def _take_frame(
        self, track: _Track, codec: str, header: TagHeader, part: Track, timestamp: int, payload: bytes
    ) -> None:
        if codec != track.codec:
            if entries.needs_config(codec):
                self.skipped += 1
                return
            track.codec, track.config, track.coming = codec, b"", None
            if self.init is None:
                track.samples = []  # of a codec that no init segment will describe
        body = memoryview(payload)[part.offset : part.offset + part.length]
        at = self._place(track, timestamp)
        frame_type = header.frame_type
        is_key = not track.is_video or frame_type is FrameType.KEY or frame_type is FrameType.GENERATED_KEY
        if track.is_video and is_key:
            self._undecodable = None
        can_begin = is_key or self._has_waited(at)
        if is_key and (track.coming is None or codec in entries.SIZED_BY_KEYFRAMES):
            self._describe(track, bytes(body[:_LOOKED_AT_BYTES]))
        if track.coming is None or not self._belongs(track, at, can_begin, part):
            return
        body = entries.without_delimiter(codec, body)
        if not len(body):
            return
        if track.is_video:
            offset = round((header.timestamp_offset_ns or 0) / _NS_PER_TICK)
            flags = SYNC if is_key else NOT_SYNC
            self._add_video(track, at, offset, (part.composition_time_ms or 0) * _TICKS_PER_MS, flags, body)
        else:
            self._add_audio(track, track.coming, at, body)
        self._held_bytes += len(body)
        if self.init is None and (self._is_complete() or self._is_late(at)):
            self._begin()
        if self._held_bytes > MAX_FRAGMENT_BYTES:
            self._finished += self.cut()

    # --- time ---------------------------------------------------------------------------------------

    def _place(self, track: _Track, timestamp: int) -> int:
        """The timestamp on a line that does not end at 2**32. A jump ends what there is."""
        known = track.timestamp if track.timestamp is not None else self._clock
        if known is None or self._clock is None:
            track.timestamp = self._clock = timestamp
            return timestamp
        step = ((timestamp - known + _HALF) & 0xFFFFFFFF) - _HALF
        at = known + step
        is_first = track.timestamp is None
        track.timestamp = at
        if abs(step) <= MAX_JUMP_MS or is_first:
            if abs(at - self._clock) <= MAX_JUMP_MS:
                self._clock = max(self._clock, at)
        else:
            usual_ms = 2 * track.spacing_ms if track.spacing_ms else _MAX_SPACING_MS
            jumps = abs(at - self._clock) > MAX_JUMP_MS and not 0 < step <= usual_ms
            self._clock = at
            if jumps:
                self._jump(at)
                return at
        if not is_first and step > 0:
            track.spacing_ms = step
        return at

    def _jump(self, at: int) -> None:
        """Let ``at`` follow the end of what there is."""
        if self.init is None:
            self._restart()
            return
        self._finished += self._end()
        self._breaks = True
        tracks = [(track, track.entry.timescale) for track in self._tracks if track.entry is not None]
        ends = [(track.floor - track.shift) * 1000 / timescale for track, timescale in tracks]
        self._origin = at - math.ceil(max(ends))
        for track in self._tracks:
            track.next_dts = None

    def _add_video(self, track: _Track, at: int, offset: int, composition: int, flags: int, body: memoryview) -> None:
        assert self._origin is not None
        wanted = (at - self._origin) * _TICKS_PER_MS + offset + track.shift
        dts = max(wanted, track.floor)
        track.floor = dts + 1
        track.samples.append(Sample(dts, wanted - dts + composition - track.shift, flags, body))

    def _add_audio(self, track: _Track, entry: Entry, at: int, body: memoryview) -> None:
        assert self._origin is not None and entry.frame_samples is not None
        if at < self._origin and not track.floor:
            return  # before the first picture
        try:
            samples = entry.frame_samples(bytes(body[:_FRAME_HEADER_BYTES]))
        except MediaError:
            self.skipped += 1
            return
        wanted = (at - self._origin) * entry.timescale // 1000
        dts = track.next_dts
        if dts is None:
            dts = wanted
        elif abs(wanted - dts) > entry.timescale * MAX_STRAY_MS // 1000:
            self.reanchored += 1
            dts = wanted
        dts = max(dts, track.floor)
        track.floor = dts + 1
        track.next_dts = dts + samples
        track.samples.append(Sample(dts, 0, SYNC, body))

    # --- where init segments begin ------------------------------------------------------------------

    def _belongs(self, track: _Track, at: int, can_begin: bool, part: Track) -> bool:
        """Whether the frame is muxed. An init segment begins at a picture that can be begun with, or at any sound while
        there is no video."""
        can_begin = can_begin and (track.is_video or not self._has_pictures(at))
        if self.init is not None:
            if can_begin and any(one.coming not in (None, one.entry) for one in self._tracks):
                self._finished += self._end()
                self._breaks = True
                self._set_shift(track, part)
                self._begin()
            return track.entry is not None and track.coming is track.entry
        if self._origin is None or (track.is_video and not track.samples):
            if not can_begin:
                if self._origin is not None:
                    self._restart()  # with sound alone, before a picture was seen
                return False
            self._restart()
            self._origin = at
            self._set_shift(track, part)
        return True

    def _has_waited(self, at: int) -> bool:
        """Whether no keyframe came for so long that a picture without one has to do."""
        if self._undecodable is None:
            self._undecodable = at
        return not 0 <= at - self._undecodable < KEYFRAME_WAIT_MS

    def _has_pictures(self, at: int) -> bool:
        video = self._video
        if video is None or not video.seen:
            return False
        return video.timestamp is None or at - video.timestamp < KEYFRAME_WAIT_MS

    def _set_shift(self, track: _Track, part: Track) -> None:
        if track.is_video:
            track.shift = (part.composition_time_ms or 0) * _TICKS_PER_MS

    def _restart(self) -> None:
        """Forget the samples that no init segment was made for."""
        self._origin = None
        self._held_bytes = 0
        for track in self._tracks:
            track.samples, track.floor, track.next_dts = [], 0, None

    def _is_complete(self) -> bool:
        return all(track.coming is not None and (track.samples or not track.is_video) for track in self._tracks)

    def _is_late(self, at: int) -> bool:
        assert self._origin is not None
        return at - self._origin >= PATIENCE_MS or self._held_bytes > MAX_FRAGMENT_BYTES

    def _begin(self) -> None:
        """Put in force what the tracks are now."""
        headers, names = [], []
        for track in self._tracks:
            entry = track.coming or track.entry
            if track.entry is not None and entry is not None and entry is not track.entry:
                track.floor = math.ceil(track.floor * entry.timescale / track.entry.timescale)
                track.next_dts = None
            track.entry = entry
            if entry is not None:
                header = TrackHeader(
                    track.track_id, track.is_video, entry.timescale, entry.width, entry.height, entry.box
                )
                headers.append(header)
                names.append(entry.codecs)
        if not headers:
            return
        brands = _BRANDS if len(headers) > 1 else (*_BRANDS, _CMAF)
        shown = headers[0]
        self.init = Init(
            file_type(*brands),
            init_movie(headers),
            ",".join(names),
            shown.width,
            shown.height,
            any(header.is_video for header in headers),
            not all(header.is_video for header in headers),
        )
