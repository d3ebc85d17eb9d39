"""What a publish brings, measured on the clock of its own media: messages in, a sample every two seconds out.

The clock runs by the timestamps of audio and video and by nothing else, so ten minutes of media give the same
samples whether they come in ten minutes or in two seconds. It never stands back: where timestamps jump, it goes on
from where it was, and the jump is noted in the sample.

The caller counts each message in its ``Track``. One that is due, not in order, or may be a keyframe must be
given to ``Meter.turn``; any other one only leaves its timestamp as ``Track.last``. That is for the hot path to do in
line, since a call would cost more than the rest of it together.

Nothing here raises or keeps a payload.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..codec import tag
from ..codec.classify import HEADER, KEYFRAME, NOT_CACHED, classify
from ..errors import MediaError

PERIOD_MS: Final = 2000  #: from one sample to the next
ABSENT_MS: Final = 3000  #: a track without a frame for this long is not there
JUMP_MS: Final = 3000  #: what counts as a jump for the clock, where no other measure is set

_NEVER: Final = 1 << 62
_ALWAYS: Final = -1
_WRAP: Final = 1 << 32  # RTMP timestamps have 32 bits
_HALF: Final = 1 << 31
_EXCUSE_MS: Final = 5000
_NO_FRAME: Final = HEADER | NOT_CACHED
_new: Final = tuple.__new__  # for named tuples it saves the call of a function in Python
KEY_BITS: Final = 0x10  #: of a video message's first byte: the frame type says keyframe
TYPE_BITS: Final = 0x70


class Reading(NamedTuple):
    """One track at the moment of a sample. Counts are of the whole publish; ``at_ms`` is the time of the last
    message on the media clock. A track that was only announced has ``at_ms`` None. The rest is of video alone:
    ``key_at_ms`` is the time of the last keyframe, ``key_interval_ms`` how long after the one before it came."""

    at_ms: int | None
    frames: int
    bytes: int
    keyframes: int = 0
    key_bytes: int = 0
    key_at_ms: int | None = None
    key_interval_ms: int = 0
    b_frames: int = 0


class Sample(NamedTuple):
    """The publish after another period of media. ``jump_ms`` is the largest jump of timestamps since the last
    sample, negative if backward, 0 if there was none; ``drift_ms`` by how much audio is ahead of video, None where
    there are not both."""

    clock_ms: int
    audio: Reading | None
    video: Reading | None
    jump_ms: int
    drift_ms: int | None


class Track:
    """The audio or the video of one publish. ``packets`` and ``bytes`` count its messages; a timestamp from ``last``
    to just below ``due`` is in order and not due. Before the first ``Meter.turn`` that holds for no timestamp."""

    __slots__ = (
        "_shown_ms",
        "b_frames",
        "bytes",
        "due",
        "headers",
        "is_watched",
        "key_at_ms",
        "key_bytes",
        "key_interval_ms",
        "keyframes",
        "last",
        "offset",
        "packets",
        "seen",
        "started",
        "type_id",
    )

    def __init__(self, type_id: int) -> None:
        self.type_id = type_id
        self.packets = 0
        self.bytes = 0
        self.reset()

    def reset(self) -> None:
        """Forget all but the counts of messages and bytes."""
        self.headers = self.packets  # what has come is not judged any more
        self.keyframes = 0
        self.key_bytes = 0
        self.key_at_ms: int | None = None
        self.key_interval_ms = 0
        self.b_frames = 0
        self.seen = False  # announced, or there
        self.started = False
        self.is_watched = False  # every frame is due
        self.last = _NEVER  # timestamp of the last frame, as sent
        self.due = _NEVER  # timestamp at which the next sample is due
        self.offset = 0  # what makes the media clock of a timestamp
        self._shown_ms = 0  # time of presentation of the latest frame

    @property
    def at_ms(self) -> int:
        """Time of the last frame on the media clock."""
        return self.last + self.offset

    def step_ms(self, timestamp: int) -> int:
        """From the last frame to this one, whichever way round the timestamps have wrapped, at 32 bits or at 31."""
        step_ms = (timestamp - self.last + _HALF) % _WRAP - _HALF
        return step_ms + _HALF if step_ms < ABSENT_MS - _HALF else step_ms

    def wait_until(self, clock_ms: int) -> None:
        """The next sample is due at this time."""
        if self.started:
            self.due = _ALWAYS if self.is_watched else clock_ms - self.offset

    def ahead_of(self, other: Track) -> int:
        """By how much the timestamps as sent are ahead of the other track's."""
        return (self.last - other.last + _HALF) % _WRAP - _HALF

    def key(self, size: int, at_ms: int) -> None:
        """The last frame, at this time on the media clock, is a keyframe."""
        if self.key_at_ms is not None:
            self.key_interval_ms = max(0, at_ms - self.key_at_ms)
        self.key_at_ms = at_ms
        self.keyframes += 1
        self.key_bytes += size

    def order(self, payload: bytes) -> None:
        """Note whether the last frame is shown before one that was sent ahead of it."""
        try:
            composition_ms = tag.decode(self.type_id, payload).composition_time_ms or 0
        except MediaError:
            return
        shown_ms = self.at_ms + composition_ms
        if shown_ms < self._shown_ms:
            self.b_frames += 1
        self._shown_ms = max(shown_ms, self._shown_ms)

    def reading(self) -> Reading | None:
        """The track as it is now; None if nothing of it was seen."""
        if not self.seen:
            return None
        at_ms = self.at_ms if self.started else None
        frames = self.packets - self.headers
        if self.type_id != tag.VIDEO_MESSAGE:
            return Reading(at_ms, frames, self.bytes)
        return Reading(
            at_ms,
            frames,
            self.bytes,
            self.keyframes,
            self.key_bytes,
            self.key_at_ms,
            self.key_interval_ms,
            self.b_frames,
        )


class Meter:
    """The clock of both tracks of a publish, which are counted elsewhere. ``jump_ms`` is by how much timestamps may be
    off before that counts as a jump, 0 for ``JUMP_MS``; with ``finds_b_frames`` every video message is looked at,
    which costs more."""

    __slots__ = (
        "_clock_ms",
        "_excuse_ms",
        "_excuse_until_ms",
        "_jump_ms",
        "_largest_ms",
        "_next_ms",
        "_smooth_ms",
        "audio",
        "video",
    )

    def __init__(self, audio: Track, video: Track, jump_ms: int = 0, finds_b_frames: bool = False) -> None:
        self.audio = audio
        self.video = video
        if audio.packets or video.packets:
            audio.reset()
            video.reset()
        video.is_watched = finds_b_frames
        self._jump_ms = jump_ms or JUMP_MS
        self._smooth_ms = min(self._jump_ms, ABSENT_MS)  # a step of up to this is neither a jump nor a pause
        self._clock_ms = 0
        self._next_ms = PERIOD_MS
        self._largest_ms = 0
        self._excuse_ms = 0
        self._excuse_until_ms = 0

    def tune(self, jump_ms: int, finds_b_frames: bool) -> None:
        """Go on with these, which are those of ``Meter``."""
        self._jump_ms = jump_ms or JUMP_MS
        self._smooth_ms = min(self._jump_ms, ABSENT_MS)
        self.video.is_watched = finds_b_frames
        self.video.wait_until(self._next_ms)

    def silent(self, silent_ms: int) -> None:
        """Nothing has arrived for this long: timestamps that are later by as much are not a jump."""
        self._excuse_ms = silent_ms
        self._excuse_until_ms = max(self._clock(), self._clock_ms) + _EXCUSE_MS

    def turn(self, track: Track, timestamp: int, payload: bytes) -> Sample | None:
        """A message, counted already, that does not just go on; the sample, if one is due.

        What comes every two seconds, a keyframe or a period that is over, finds nothing of this in the processor's
        caches, and that is its cost. So it is done here in one piece, as far as both tracks just go on."""
        audio, video = self.audio, self.video
        flags = classify(track.type_id, payload)
        step_ms = timestamp - track.last
        if flags & _NO_FRAME:
            track.headers += 1
            track.seen = True  # its timestamp says nothing: many encoders write 0
            return None
        if step_ms < 0 or step_ms > self._smooth_ms or not (audio.started and video.started):
            return self._turn_with_care(track, timestamp, payload, flags)
        track.last = timestamp
        at_ms = timestamp + track.offset
        if flags & KEYFRAME:
            if track.key_at_ms is not None:
                track.key_interval_ms = max(0, at_ms - track.key_at_ms)
            track.key_at_ms = at_ms
            track.keyframes += 1
            track.key_bytes += len(payload)
        if track.is_watched:
            track.order(payload)
        if at_ms < self._next_ms:
            return None
        self._clock_ms = at_ms
        self._next_ms = next_ms = at_ms + PERIOD_MS
        audio.due = next_ms - audio.offset
        video.due = _ALWAYS if video.is_watched else next_ms - video.offset
        jump_ms, self._largest_ms = self._largest_ms, 0
        return _new(
            Sample,
            (
                at_ms,
                _new(
                    Reading, (audio.last + audio.offset, audio.packets - audio.headers, audio.bytes, 0, 0, None, 0, 0)
                ),
                _new(
                    Reading,
                    (
                        video.last + video.offset,
                        video.packets - video.headers,
                        video.bytes,
                        video.keyframes,
                        video.key_bytes,
                        video.key_at_ms,
                        video.key_interval_ms,
                        video.b_frames,
                    ),
                ),
                jump_ms,
                (audio.last - video.last + _HALF) % _WRAP - _HALF,
            ),
        )

    def _turn_with_care(self, track: Track, timestamp: int, payload: bytes, flags: int) -> Sample | None:
        at_ms = self._next_place(track, timestamp) if track.started else self._first_place(track, timestamp)
        track.last = timestamp
        track.offset = at_ms - timestamp
        track.started = track.seen = True
        if flags & KEYFRAME:
            track.key(len(payload), at_ms)
        if track.is_watched:
            track.order(payload)
        if at_ms < self._next_ms:
            track.due = _ALWAYS if track.is_watched else self._next_ms - track.offset
            return None
        return self._sample()

    def _first_place(self, track: Track, timestamp: int) -> int:
        """Where on the media clock the first frame of a track is."""
        other = self.video if track is self.audio else self.audio
        if not other.started:
            return 0
        step_ms = other.step_ms(timestamp)
        return other.at_ms + (step_ms if abs(step_ms) <= self._jump_ms else 0)  # two time lines: the drift shows it

    def _next_place(self, track: Track, timestamp: int) -> int:
        """Where on the media clock this frame is, which does not just go on."""
        clock_ms = self._clock()
        step_ms = track.step_ms(timestamp)
        at_ms = track.at_ms + step_ms
        allowed_ms = self._jump_ms + (self._excuse_ms if clock_ms < self._excuse_until_ms else 0)
        if at_ms - clock_ms > self._jump_ms or step_ms < -self._jump_ms:
            if at_ms - clock_ms > allowed_ms or step_ms < 0:
                self._largest_ms = max(self._largest_ms, step_ms, key=abs)
            at_ms = clock_ms
        if step_ms > ABSENT_MS and track.key_at_ms is not None:
            track.key_at_ms = at_ms  # a pause is not a group of pictures
        return at_ms

    def _clock(self) -> int:
        audio, video = self.audio, self.video
        if audio.started and video.started:
            return max(audio.at_ms, video.at_ms)
        return video.at_ms if video.started else audio.at_ms if audio.started else 0

    def _sample(self) -> Sample:
        self._clock_ms = max(self._clock_ms, self._clock())
        self._next_ms = self._clock_ms + PERIOD_MS
        both = self.audio.started and self.video.started
        drift_ms = self.audio.ahead_of(self.video) if both else None
        sample = Sample(self._clock_ms, self.audio.reading(), self.video.reading(), self._largest_ms, drift_ms)
        self._largest_ms = 0
        self.audio.wait_until(self._next_ms)
        self.video.wait_until(self._next_ms)
        return sample
