"""Maps a publisher's timestamps to the continuous time of the stream.

Encoders set their clocks (an hour back, a day ahead), restart one of their sources, mask the sign bit, or give sound
and picture two different clocks. What is made of a stream (players, GOP cache, recordings, relays) gets the time of
this module: it is corrected in one place, and an early player and a late one see the same.

A step ahead of at most ``MAX_STEP_MS`` is passed on as it is. The rest is a matter of ``Timeline.place``:

==========================================  ========================================================================
a step back of at most ``MAX_JITTER_MS``    frames are out of order: the time stands until the track has caught up
the end of the 32 bits, or of 31            goes on
ahead by no more than time has passed       a pause: as it is
the first frame of the second track         as it is, unless the two are over ``MAX_APART_MS`` apart: then now
any other step back, or ahead               a jump: the frame comes one usual spacing after the latest of the stream,
                                            and what follows on its track is moved by as much
==========================================  ========================================================================

After a jump of one track the other keeps its own time until it jumps too. It then follows the first one, if it has the
same clock, so that sound and picture stay together. Composition times are relative and in the payload, so they stay.

nginx-rtmp passes jumps on; SRS corrects them by default (``time_jitter full``, from 250 ms on). A muxer refuses every
frame after a jump back until the old time is reached again, so this does as SRS does.
"""

from __future__ import annotations

from typing import Final

from ..clock import Clock

MAX_STEP_MS: Final = 3000  #: of one track, unless as much time has passed
MAX_JITTER_MS: Final = 250
MAX_APART_MS: Final = 10_000  #: how late a track may be that has the other's clock
_MAX_LAG_MS: Final = 30_000  # media that comes late may catch up with the clock on the wall by this much
_MAX_STANDSTILL_MS: Final = 1000  # for which a track may stand in order to follow the other one's jump
_USUAL_SPACING_MS: Final = 40
_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000
_NEVER: Final = -(1 << 40)


def step_ms(before: int, after: int) -> int:
    """The step from one timestamp to another, modulo 2**32 ms; negative if it goes back."""
    return ((after - before + _HALF) & _MASK) - _HALF


class TrackTime:
    """The audio or the video of one publish: ``has_begun`` is whether a frame has come, ``last`` the time of the last,
    ``spacing`` how long after the one before it came, ``shift`` what makes the stream's time of the publisher's."""

    __slots__ = ("has_begun", "last", "shift", "spacing")

    def __init__(self) -> None:
        self.has_begun = False
        self.last = _NEVER
        self.shift = 0
        self.spacing = _USUAL_SPACING_MS


class Timeline:
    """The time of one publish; that of ``before`` goes on, if its players have stayed.

    The caller takes a step from 0 to ``MAX_STEP_MS`` itself, as nearly all are, and gives the other frames to
    ``place``. It also keeps ``heard_at``, the monotonic time of the last frame (0: there was none). ``jump`` is the
    first jump of the publish: the track and the milliseconds. Nothing here raises.
    """

    __slots__ = ("_before", "_began_at", "_began_ms", "_clock", "audio", "heard_at", "jump", "video")

    def __init__(self, clock: Clock, before: Timeline | None = None) -> None:
        self._clock = clock
        self._before: int | None = None
        self._began_at = 0.0
        self._began_ms = 0
        self.audio = TrackTime()
        self.video = TrackTime()
        self.heard_at = 0.0
        self.jump: tuple[str, int] | None = None
        if before is not None and before.heard_at:
            self._before = before.latest
            self.heard_at = before.heard_at

    @property
    def latest(self) -> int:
        """How far the stream has come; 0 before its first frame."""
        audio, video = self.audio, self.video
        if audio.has_begun and video.has_begun:
            return audio.last if step_ms(video.last, audio.last) > 0 else video.last
        if audio.has_begun or video.has_begun:
            return max(audio.last, video.last)
        return self._before or 0

    def place(self, track: TrackTime, timestamp: int) -> int:
        """The time of a picture or sound that does not simply go on."""
        other = self.video if track is self.audio else self.audio
        if track.has_begun:
            at_ms = self._next(track, other, timestamp)
        elif other.has_begun:
            at_ms = self._join(track, other, timestamp)
        else:
            at_ms = timestamp if self._before is None else self._first(self._before)
            track.shift = (at_ms - timestamp) & _MASK
            self._began_ms = at_ms
            self._began_at = self._clock.monotonic()
        track.has_begun = True
        track.last = at_ms
        return at_ms

    def place_aside(self, track: TrackTime, timestamp: int) -> int:
        """The time of headers and data, which encoders stamp as they like, often with 0. It is left as it is if that is
        about now, else it is now."""
        other = self.video if track is self.audio else self.audio
        if not track.has_begun and not other.has_begun:
            return timestamp if self._before is None else self._first(self._before)
        latest = self.latest
        at_ms = (timestamp + (track if track.has_begun else other).shift) & _MASK
        return at_ms if -MAX_APART_MS <= step_ms(latest, at_ms) <= MAX_STEP_MS else latest

    def _first(self, before: int) -> int:
        away_ms = round((self._clock.monotonic() - self.heard_at) * 1000)
        return (before + max(away_ms, _USUAL_SPACING_MS)) & _MASK

    def _join(self, track: TrackTime, other: TrackTime, timestamp: int) -> int:
        """The second track begins, by the clock of the first or by one of its own."""
        latest = self.latest
        track.shift = other.shift
        at_ms = (timestamp + other.shift) & _MASK
        ahead_ms = step_ms(latest, at_ms)
        if not -MAX_APART_MS <= ahead_ms <= MAX_APART_MS + self._excuse_ms(latest):
            at_ms = latest
            track.shift = (at_ms - timestamp) & _MASK
            self._note_jump(track, ahead_ms)
        return at_ms

    def _next(self, track: TrackTime, other: TrackTime, timestamp: int) -> int:
        at_ms = (timestamp + track.shift) & _MASK
        step = step_ms(track.last, at_ms)
        if -MAX_JITTER_MS <= step < 0:
            return track.last
        latest = self.latest
        most_ms = MAX_STEP_MS + self._excuse_ms(latest)
        if step >= 0 and step_ms(latest, at_ms) <= most_ms:
            return at_ms
        if 0 <= step_ms(track.last, at_ms + _HALF) <= MAX_STEP_MS:  # the encoder's clock has 31 bits
            track.shift = (track.shift + _HALF) & _MASK
            return (at_ms + _HALF) & _MASK
        self._note_jump(track, step)
        if other.has_begun and other.shift != track.shift:
            at_ms = (timestamp + other.shift) & _MASK
            step = step_ms(track.last, at_ms)
            if step >= -_MAX_STANDSTILL_MS and step_ms(latest, at_ms) <= most_ms:
                track.shift = other.shift
                return at_ms if step > 0 else track.last
        at_ms = (latest + track.spacing) & _MASK
        track.shift = (at_ms - timestamp) & _MASK
        return at_ms

    def _excuse_ms(self, latest: int) -> int:
        """By how much the time may be ahead because so much of it has passed: since the last frame, or where the media
        is late on the whole."""
        now = self._clock.monotonic()
        quiet_ms = round((now - self.heard_at) * 1000) if self.heard_at else 0
        late_ms = round((now - self._began_at) * 1000) - step_ms(self._began_ms, latest)
        return max(quiet_ms, min(late_ms, _MAX_LAG_MS), 0)

    def _note_jump(self, track: TrackTime, by_ms: int) -> None:
        if self.jump is None:
            self.jump = "audio" if track is self.audio else "video", by_ms
