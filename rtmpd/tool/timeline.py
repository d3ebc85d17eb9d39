"""Decides when the tags of a file are due, and their timestamps when the file repeats.

Timestamps are milliseconds modulo 2**32; differences are taken the short way round. Only coded
frames make time pass: the metadata and the sequence headers of many files say 0 whenever their
frames begin.
"""

from __future__ import annotations

from ..clock import Clock

_MODULUS = 1 << 32
_DEFAULT_GAP_MS = 40
_LONGEST_STEP_BACK_MS = 1000  # interleaving is never worse; more is another beginning
_LONGEST_PAUSE_MS = 10_000


def difference_ms(later: int, earlier: int) -> int:
    """``later - earlier`` of two timestamps, from -2**31 to 2**31 - 1."""
    return (later - earlier + _MODULUS // 2) % _MODULUS - _MODULUS // 2


class Pacer:
    """Tells how long to wait before a frame, so that frames leave at the pace of their timestamps.

    The schedule hangs on the first frame and not on the one before, so nothing adds up. A jump of
    more than 10 s forward or 1 s back begins a new schedule at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: int | None = None
        self._began_s = 0.0
        self._passed_ms = 0

    def wait_s(self, timestamp: int) -> float:
        """Seconds from now until the frame is due, 0 if it is late."""
        now = self._clock.monotonic()
        step_ms = None if self._last is None else difference_ms(timestamp, self._last)
        self._last = timestamp
        if step_ms is None or not -_LONGEST_STEP_BACK_MS <= step_ms <= _LONGEST_PAUSE_MS:
            self._began_s = now
            self._passed_ms = 0
            return 0.0
        self._passed_ms += step_ms
        return max(0.0, self._began_s + self._passed_ms / 1000 - now)


class _Track:
    """The last frame of audio or of video, in ms since the first frame of all, and how long it lasts."""

    __slots__ = ("gap_ms", "last_ms")

    def __init__(self, last_ms: int) -> None:
        self.last_ms = last_ms
        self.gap_ms = 0


class Timeline:
    """The timestamps of a file and of its repetitions.

    The first pass has the file's own. Each later pass begins where the longer of audio and video
    has ended: its last frame and one frame gap more.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._tracks: dict[int, _Track] = {}
        self._offset_ms = 0

    @property
    def empty(self) -> bool:
        """Whether no frame was seen, so that there is nothing to repeat."""
        return self._first is None

    def stamp(self, type_id: int, timestamp: int, coded: bool) -> int:
        """The timestamp to send for a tag; ``coded`` distinguishes frames from headers and metadata."""
        if self._first is None:
            if coded:
                self._first = timestamp
                self._tracks[type_id] = _Track(0)
            return timestamp
        passed_ms = difference_ms(timestamp, self._first)
        if coded:
            self._follow(type_id, passed_ms)
        if not self._offset_ms:
            return timestamp
        return (self._first + max(passed_ms, 0) + self._offset_ms) % _MODULUS

    def _follow(self, type_id: int, passed_ms: int) -> None:
        track = self._tracks.get(type_id)
        if track is None:
            self._tracks[type_id] = _Track(passed_ms)
        elif passed_ms > track.last_ms:
            track.gap_ms = passed_ms - track.last_ms
            track.last_ms = passed_ms

    def next_pass(self) -> None:
        """The file begins again. Not if ``empty``."""
        length_ms = max(track.last_ms + track.gap_ms for track in self._tracks.values())
        self._offset_ms += length_ms or _DEFAULT_GAP_MS
