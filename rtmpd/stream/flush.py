"""The flush policies: decide when a stream's frames are sent.

The number of sends is what a relay costs, so holding frames back a little buys a lot. A policy is
asked at one moment only: ``idle``, when everything that one read of the publisher brought is in.

=============  ==================================================================================
immediate      send at once
audio-waits    audio rides with the next video frame, at most ``audio_wait_ms``; video never waits
window         send every ``window_ms``
adaptive       at once while sending is cheap or the audience small; as sending takes more of the
               hub's time, a window that grows up to ``window_ms``
=============  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gevent.hub import get_hub

from ..clock import Clock
from ..codec.classify import VIDEO
from ..metrics.window import Peak
from ..settings import FLUSH_ADAPTIVE, FLUSH_AUDIO_WAITS, FLUSH_IMMEDIATE, FLUSH_WINDOW, AppSettings

_PENDING_LIMIT_BYTES: Final = 256 * 1024
_BUSY_FROM: Final = 0.25  # the share of the hub's time spent sending at which a window opens
_BUSY_FULL: Final = 0.75  # and at which it is as long as it gets
_PEAK_S: Final = 5.0
_SMALL_AUDIENCE: Final = 20  # players below which holding back saves too little to be worth the delay


class Load:
    """How much of the last second went into sending, over all streams: ``busy`` from 0.0 to 1.0; ``peak`` is what the
    longest flush took lately, in seconds."""

    __slots__ = ("_clock", "_longest_s", "_since", "_spent_s", "busy", "peak")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._spent_s = self._longest_s = 0.0
        self.busy = 0.0
        self.peak = Peak(clock, _PEAK_S)

    def spent(self, began: float, ended: float) -> None:
        """Note one flush, from and to on the monotonic clock."""
        took_s = ended - began
        self._spent_s += took_s
        if took_s > self._longest_s:
            self._longest_s = took_s
        if ended - self._since >= 1.0:
            self.peak.note(self._longest_s)
            self._longest_s = 0.0
            self.busy = min(1.0, self._spent_s / (ended - self._since))
            self._since = ended
            self._spent_s = 0.0


class FlushPolicy:
    """Decides, and owns the one timer of a stream. ``flush`` is called from the publisher's
    greenlet or from the hub; it must not switch greenlets.

    ``gather_s`` is how long the publisher's bytes may wait in its socket, unread, instead of here. The connection that
    lets them wait there sets ``gathered``, and every read is a window of its own. The timer runs while it is ``armed``.
    """

    __slots__ = ("_flush", "_idle", "_load", "_timer", "_wait_s", "_window_s", "armed", "gather_s", "gathered")

    def __init__(self, settings: AppSettings, load: Load, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._load = load
        self._window_s = settings.flush_window_ms / 1000
        self._wait_s = settings.audio_wait_ms / 1000
        self._timer: Any = None
        self.armed = False
        self._idle = _POLICIES[settings.flush]
        self.gather_s = self._window_s if settings.flush == FLUSH_WINDOW else 0.0
        self.gathered = False

    def idle(self, pending: int, has_video: bool, pending_bytes: int, players: int) -> None:
        """Frames of the kinds ``pending`` (a mask) are waiting and no more is at hand."""
        if pending_bytes > _PENDING_LIMIT_BYTES:
            self._flush()
        else:
            self._idle(self, pending, has_video, players)

    def flushed(self) -> None:
        """Stop the timer: all frames have been flushed."""
        if self.armed:
            self.armed = False
            self._timer.stop()

    def close(self) -> None:
        """Stop and free the timer."""
        self.flushed()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _at_once(self, pending: int, has_video: bool, players: int) -> None:
        self._flush()

    def _when_video(self, pending: int, has_video: bool, players: int) -> None:
        if pending & VIDEO or not has_video:
            self._flush()
        else:
            self._arm(self._wait_s)

    def _in_window(self, pending: int, has_video: bool, players: int) -> None:
        if self.gathered:
            self._flush()
        else:
            self._arm(self._window_s)

    def _as_busy(self, pending: int, has_video: bool, players: int) -> None:
        share = (self._load.busy - _BUSY_FROM) / (_BUSY_FULL - _BUSY_FROM)
        if share <= 0 or players < _SMALL_AUDIENCE:
            self._flush()
        else:
            self._arm(self._window_s * min(share, 1.0))

    def _arm(self, seconds: float) -> None:
        if not self.armed:
            if self._timer is not None:
                self._timer.close()
            self._timer = get_hub().loop.timer(seconds)
            self._timer.start(self._flush)
            self.armed = True


_POLICIES: Final[dict[str, Callable[[FlushPolicy, int, bool, int], None]]] = {
    FLUSH_IMMEDIATE: FlushPolicy._at_once,
    FLUSH_AUDIO_WAITS: FlushPolicy._when_video,
    FLUSH_WINDOW: FlushPolicy._in_window,
    FLUSH_ADAPTIVE: FlushPolicy._as_busy,
}
