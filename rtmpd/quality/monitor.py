"""The quality monitor: samples of one publish in, findings out.

Two kinds of judgement. ``bitrate_change`` and ``framerate_change`` compare the publish with itself: with the level
that was usual (``window.Level``). ``quality_alert`` compares it with what is asked of every publish: one
rule for each metric, raised and cleared by turns.

Pure: the clock is that of the media (``meter``). Nothing raises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from ..settings import QualitySettings
from .meter import ABSENT_MS, Reading, Sample
from .window import Alert, Level, Shift, Window

WARNING: Final = "warning"
CRITICAL: Final = "critical"

_STILL_BYTES: Final = 64  # an encoder's "nothing has changed" for a whole frame is smaller
_DRIFT_SAMPLES: Final = 5
_NO_RATES: Final = (0.0, 0.0)
_MARGIN: Final = 0.1  # by how much a rate must be over its least before that clears the alert


@dataclass(frozen=True, slots=True)
class Finding:
    """An event to emit: its type and its data."""

    type: str
    data: dict[str, object]


class _Measured(NamedTuple):
    """A metric at one sample. Between bad and good lies what changes nothing."""

    value: float
    threshold: float
    is_bad: bool
    is_good: bool


class _Presence:
    """Since when nothing of a track has come."""

    __slots__ = ("_frames", "_seen_ms")

    def __init__(self) -> None:
        self._frames = 0
        self._seen_ms = 0

    def absent_ms(self, track: Reading | None, clock_ms: int) -> int | None:
        """None for a track of which nothing is known."""
        if track is None:
            return None
        if track.frames != self._frames:
            self._frames = track.frames
            self._seen_ms = clock_ms
        return clock_ms - self._seen_ms


class Monitor:
    """Judges one publish. Its memory is bounded by the window."""

    __slots__ = (
        "_alerts",
        "_asked",
        "_audio",
        "_audio_window",
        "_b_frames_ms",
        "_bitrate",
        "_drifts",
        "_framerate",
        "_jumped_ms",
        "_last",
        "_learn_ms",
        "_moved_ms",
        "_present",
        "_raised",
        "_video",
        "_video_window",
        "_window_ms",
    )

    def __init__(self) -> None:
        self._video_window = Window()
        self._audio_window = Window()
        self._bitrate = Level()
        self._framerate = Level()
        self._video = _Presence()
        self._audio = _Presence()
        self._present: tuple[bool, bool] | None = None
        self._alerts: dict[str, Alert] = {}  # of what was ever bad
        self._raised = 0  # how many of them are
        self._last: Sample | None = None
        self._asked: QualitySettings | None = None
        self._window_ms = 0
        self._learn_ms = 0
        self._moved_ms = 0
        self._jumped_ms = 0
        self._b_frames_ms = 0
        self._drifts: deque[int] = deque(maxlen=_DRIFT_SAMPLES)

    def judge(self, sample: Sample, asked: QualitySettings) -> list[Finding]:
        """What the sample shows, changes before alerts."""
        if asked is not self._asked:
            self._asked = asked
            self._window_ms, self._learn_ms = int(asked.window_s * 1000), int(asked.warm_up_s * 1000)
        state = self._observe(sample)
        findings = self._changes(state, asked)
        self._last = sample
        if self._raised or not _is_calm(state, asked):
            findings += self._turns(state, asked)
        return findings

    def _turns(self, state: _State, asked: QualitySettings) -> list[Finding]:
        """Alerts that are raised or cleared."""
        found = []
        for metric, (severity, rule) in _RULES.items():
            measured = rule(state, asked)
            alert = self._alerts.get(metric)
            if measured is None or not (measured.is_bad or (alert and alert.is_raised)):
                continue
            if alert is None:
                alert = self._alerts[metric] = Alert()
            cool_down_ms = int(asked.cool_down_s * 1000)
            turned = alert.judge(state.sample.clock_ms, measured.is_bad, measured.is_good, cool_down_ms)
            if turned:
                self._raised += 1 if alert.is_raised else -1
                found.append(_alert(metric, measured, severity, turned))
        return found

    def _observe(self, sample: Sample) -> _State:
        clock_ms, audio, video, jump_ms, drift_ms = sample
        video_absent_ms = self._video.absent_ms(video, clock_ms)
        audio_absent_ms = self._audio.absent_ms(audio, clock_ms)
        has_video, has_audio = _is_present(video, video_absent_ms), _is_present(audio, audio_absent_ms)
        if (has_video, has_audio) != self._present:
            # what is lost or won with a whole track does not count as a change of a rate
            self._present = (has_video, has_audio)
            self._bitrate.restart()
        video_rates = _rates(self._video_window, video, has_video, self._window_ms)
        audio_rates = _rates(self._audio_window, audio, has_audio, self._window_ms)
        framerate = video_rates[0] if video_rates and has_video else None
        if not has_video:
            self._framerate.restart()
        bitrate = 8 * (video_rates[1] + audio_rates[1]) if video_rates and audio_rates else None
        before = self._last.video if self._last else None
        if _moves(before, video):
            self._moved_ms = clock_ms
        if jump_ms:
            self._jumped_ms = clock_ms
        b_frames = video.b_frames - (before.b_frames if before else 0) if video else 0
        if b_frames:
            self._b_frames_ms = clock_ms
        drifts = self._drifts
        if drift_ms is not None and has_video and has_audio:
            drifts.append(abs(drift_ms))
        lasting_ms = min(drifts) if len(drifts) == _DRIFT_SAMPLES else None
        return _State(
            sample, video_absent_ms, audio_absent_ms, bitrate, framerate, clock_ms - self._moved_ms,
            clock_ms - self._jumped_ms, lasting_ms, b_frames, clock_ms - self._b_frames_ms,
        )  # fmt: skip

    def _changes(self, state: _State, asked: QualitySettings) -> list[Finding]:
        found = []
        clock_ms = state.sample.clock_ms
        window_ms, learn_ms = self._window_ms, self._learn_ms
        if state.still_ms:
            self._bitrate.hold()  # a still picture needs few bits
        elif state.bitrate is not None:
            shift = self._bitrate.judge(
                clock_ms, state.bitrate, asked.bitrate_drop, learn_ms, window_ms, asked.bitrate_rise
            )
            if shift:
                threshold = asked.bitrate_drop if shift.percent < 0 else asked.bitrate_rise
                found.append(_change("bitrate", shift, threshold, 0))
        if state.framerate is not None:
            shift = self._framerate.judge(clock_ms, state.framerate, asked.framerate_drop, learn_ms, window_ms)
            if shift:
                found.append(_change("framerate", shift, asked.framerate_drop, 2))
        return found


class _State(NamedTuple):
    """A sample and what the ones before it make of it. Rates are None where they are not known (yet), absences where
    nothing was announced; ``still_ms``, ``calm_ms`` and ``ordered_ms`` are the time since the picture moved,
    timestamps jumped, and a B-frame came."""

    sample: Sample
    video_absent_ms: int | None
    audio_absent_ms: int | None
    bitrate: float | None
    framerate: float | None
    still_ms: int
    calm_ms: int
    drift_ms: int | None
    b_frames: int
    ordered_ms: int


# --- the rules ------------------------------------------------------------------------------------


def _keyframe_interval(state: _State, asked: QualitySettings) -> _Measured | None:
    video = state.sample.video
    if video is None or video.at_ms is None or not _is_present(video, state.video_absent_ms):
        return None
    return _at_most(_keyframe_interval_ms(video) / 1000, asked.max_keyframe_interval_s)


def _low_bitrate(state: _State, asked: QualitySettings) -> _Measured | None:
    return _at_least(state.bitrate, asked.min_bitrate, 0)


def _low_framerate(state: _State, asked: QualitySettings) -> _Measured | None:
    return _at_least(state.framerate, asked.min_framerate, 2)


def _frozen_video(state: _State, asked: QualitySettings) -> _Measured | None:
    video = state.sample.video
    if video is None or video.at_ms is None:
        return None
    still_s, limit_s = state.still_ms / 1000, asked.frozen_after_s
    return _Measured(still_s, limit_s, 0 < limit_s <= still_s, not limit_s or not still_s)


def _missing_audio(state: _State, asked: QualitySettings) -> _Measured | None:
    return _missing(state.audio_absent_ms, asked.missing_after_s)


def _missing_video(state: _State, asked: QualitySettings) -> _Measured | None:
    return _missing(state.video_absent_ms, asked.missing_after_s)


def _missing(absent_ms: int | None, limit_s: float) -> _Measured | None:
    if absent_ms is None:
        return None
    absent_s = absent_ms / 1000
    return _Measured(absent_s, limit_s, 0 < limit_s <= absent_s, not limit_s or not absent_ms)


def _timestamp_jump(state: _State, asked: QualitySettings) -> _Measured | None:
    jump_s, limit_s = state.sample.jump_ms / 1000, asked.max_timestamp_jump_s
    calm = not limit_s or (not jump_s and state.calm_ms >= asked.cool_down_s * 1000)
    return _Measured(jump_s, limit_s, 0 < limit_s < abs(jump_s), calm)


def _av_drift(state: _State, asked: QualitySettings) -> _Measured | None:
    return None if state.drift_ms is None else _at_most(state.drift_ms / 1000, asked.max_av_drift_s)


def _b_frames(state: _State, asked: QualitySettings) -> _Measured | None:
    forbids = asked.forbid_b_frames
    calm = not forbids or (not state.b_frames and state.ordered_ms >= asked.cool_down_s * 1000)
    return _Measured(state.b_frames, 0, forbids and state.b_frames > 0, calm)


_RULES: Final[dict[str, tuple[str, Callable[[_State, QualitySettings], _Measured | None]]]] = {
    "keyframe_interval": (WARNING, _keyframe_interval),
    "bitrate": (WARNING, _low_bitrate),
    "framerate": (WARNING, _low_framerate),
    "frozen_video": (WARNING, _frozen_video),
    "missing_audio": (CRITICAL, _missing_audio),
    "missing_video": (CRITICAL, _missing_video),
    "timestamp_jump": (WARNING, _timestamp_jump),
    "av_drift": (WARNING, _av_drift),
    "b_frames": (WARNING, _b_frames),
}

#: What a ``quality_alert`` can be about.
METRICS: Final = tuple(_RULES)


def _is_calm(state: _State, asked: QualitySettings) -> bool:
    """Whether no rule can find anything bad, so that none needs to be asked: they cost more than all the rest."""
    sample, video_absent_ms, audio_absent_ms, bitrate, framerate, still_ms, _, drift_ms, b_frames, _ = state
    if video_absent_ms or audio_absent_ms or sample.jump_ms or still_ms or b_frames:
        return False
    if bitrate is not None and bitrate < asked.min_bitrate:
        return False
    if framerate is not None and framerate < asked.min_framerate:
        return False
    if drift_ms is not None and 0 < asked.max_av_drift_s * 1000 < drift_ms:
        return False
    video = sample.video
    return video is None or not 0 < asked.max_keyframe_interval_s * 1000 < _keyframe_interval_ms(video)


# --- parts of them --------------------------------------------------------------------------------


def _at_most(value: float, limit: float) -> _Measured:
    return _Measured(value, limit, 0 < limit < value, not limit or value <= limit * (1 - _MARGIN))


def _at_least(value: float | None, limit: float, digits: int) -> _Measured | None:
    if value is None:
        return None if limit else _Measured(0, 0, is_bad=False, is_good=True)
    return _Measured(round(value, digits), limit, value < limit, not limit or value >= limit * (1 + _MARGIN))


def _keyframe_interval_ms(video: Reading) -> int:
    """Between the last two keyframes, or since the last if that is longer."""
    open_ms = (video.at_ms or 0) - (video.key_at_ms or 0)
    return open_ms if open_ms > video.key_interval_ms else video.key_interval_ms


def _is_present(track: Reading | None, absent_ms: int | None) -> bool:
    return absent_ms is not None and absent_ms < ABSENT_MS and track is not None and track.at_ms is not None


def _moves(before: Reading | None, now: Reading | None) -> bool:
    """Whether the picture changed: a frame that is more than "as before", or nothing but keyframes."""
    if before is None or now is None or before.at_ms is None:
        return True
    keyframes = now.keyframes - before.keyframes
    others = now.frames - before.frames - keyframes
    if others <= 0:
        return keyframes > 0
    return now.bytes - before.bytes - (now.key_bytes - before.key_bytes) > others * _STILL_BYTES


def _rates(window: Window, track: Reading | None, is_present: bool, window_ms: int) -> tuple[float, float] | None:
    """Frames and bytes per second: none of a track that is not there, None for one that is new."""
    if track is None or track.at_ms is None or not is_present:
        window.clear()
        return _NO_RATES
    return window.rates(track.at_ms, track.frames, track.bytes, window_ms)


def _change(metric: str, shift: Shift, threshold: int, digits: int) -> Finding:
    return Finding(
        f"{metric}_change",
        {
            "metric": metric,
            "previous": _number(shift.previous, digits),
            "current": _number(shift.current, digits),
            "change_percent": round(shift.percent, 1),
            "threshold_percent": threshold,
        },
    )


def _number(value: float, digits: int) -> float:
    return round(value, digits) if digits else round(value)


def _alert(metric: str, measured: _Measured, severity: str, state: str) -> Finding:
    return Finding(
        "quality_alert",
        {
            "metric": metric,
            "value": measured.value,
            "threshold": measured.threshold,
            "severity": severity,  # that of the beginning, so that a filter passes both or neither
            "state": state,
        },
    )
