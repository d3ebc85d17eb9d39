"""The quality monitor: what it tells of streams made to measure, on the clock of their media."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE
from rtmpd.quality import monitor as quality
from rtmpd.quality.meter import PERIOD_MS, Meter, Sample, Track
from rtmpd.quality.monitor import METRICS, Finding, Monitor
from rtmpd.quality.window import CLEARED, RAISED, Alert, Level, Window
from rtmpd.settings import QualitySettings
from tests.support.proof import proves

KEY = b"\x17\x01\x00\x00\x00"
INTER = b"\x27\x01\x00\x00\x00"
VIDEO_HEADER = b"\x17\x00\x00\x00\x00\x01\x64"
AUDIO_HEADER = b"\xaf\x00\x12\x10"
SOUND = b"\xaf\x01" + bytes(168)
ASKED = QualitySettings()

Message = tuple[int, int, bytes]


@dataclass(frozen=True)
class Part:
    """A stretch of a stream: video as it says, and 50 sounds per second."""

    seconds: float
    fps: float = 25
    frame_bytes: int = 2000
    gop_s: float = 2
    sound: bool = True
    video: bool = True
    shift_ms: int = 0
    audio_lead_ms: int = 0
    composition_ms: tuple[int, ...] = (0,)


def messages(*parts: Part, headers: bool = True) -> Iterator[Message]:
    if headers:
        yield VIDEO_MESSAGE, 0, VIDEO_HEADER
        yield AUDIO_MESSAGE, 0, AUDIO_HEADER
    began_ms = 0.0
    for part in parts:
        end_ms = began_ms + part.seconds * 1000
        due = []
        if part.video:
            frames, step_ms = int(part.seconds * part.fps), 1000 / part.fps
            due += [(began_ms + i * step_ms, i, video(part, i)) for i in range(frames)]
        if part.sound:
            sounds = int(part.seconds * 50)
            due += [(began_ms + i * 20, -1, SOUND) for i in range(sounds)]
        for at_ms, index, payload in sorted(due, key=lambda one: one[0]):
            shift_ms = part.shift_ms + (part.audio_lead_ms if index < 0 else 0)
            yield AUDIO_MESSAGE if index < 0 else VIDEO_MESSAGE, (int(at_ms) + shift_ms) % (1 << 32), payload
        began_ms = end_ms


def video(part: Part, index: int) -> bytes:
    head = KEY if index % max(1, round(part.fps * part.gop_s)) == 0 else INTER
    composition_ms = part.composition_ms[index % len(part.composition_ms)]
    return head[:2] + composition_ms.to_bytes(3, "big") + bytes(part.frame_bytes - 5)


def samples(stream: Iterable[Message], meter: Meter | None = None) -> Iterator[Sample]:
    meter = meter or new_meter()
    for type_id, timestamp, payload in stream:
        track = meter.video if type_id == VIDEO_MESSAGE else meter.audio
        track.packets += 1
        track.bytes += len(payload)
        if track.last <= timestamp < track.due and payload[:1] in (b"\x27", b"\xaf"):
            track.last = timestamp
        elif sample := meter.turn(track, timestamp, payload):
            yield sample


def new_meter() -> Meter:
    return Meter(Track(AUDIO_MESSAGE), Track(VIDEO_MESSAGE))


def watch(stream: Iterable[Message], asked: QualitySettings = ASKED) -> list[Finding]:
    meter, monitor = new_meter(), Monitor()
    meter.tune(int(asked.max_timestamp_jump_s * 1000), asked.forbid_b_frames)
    return [finding for sample in samples(stream, meter) for finding in monitor.judge(sample, asked)]


def short(findings: Iterable[Finding]) -> list[str]:
    """``metric state`` of alerts, the type of changes."""
    return [
        f"{one.data['metric']} {one.data['state']}" if one.type == "quality_alert" else one.type for one in findings
    ]


# --- a steady stream ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        Part(600),
        Part(600, fps=29.97, gop_s=8.3),
        Part(600, sound=False),
        Part(600, video=False),
        Part(600, shift_ms=(1 << 32) - 300_000),
        Part(600, fps=5, frame_bytes=300),
    ],
    ids=["usual", "odd rates", "video only", "audio only", "timestamps that wrap", "slow and small"],
)
def test_ten_steady_minutes_are_not_worth_a_word(part: Part) -> None:
    only = [m for m in messages(part) if len(m[2]) > 8]  # no header of the track that is not there
    assert watch(only) == []


def test_a_clock_of_31_bits_that_ends_is_worth_no_word() -> None:
    half = 1 << 31
    stream = [(type_id, at % half, payload) for type_id, at, payload in messages(Part(120, shift_ms=half - 60_000))]
    assert watch(stream) == []


# --- changes --------------------------------------------------------------------------------------


def test_a_bitrate_that_falls_is_told_once_with_the_rates_before_and_after() -> None:
    (found,) = watch(messages(Part(60), Part(120, frame_bytes=1000)))
    assert found.type == "bitrate_change"
    before, after = (2000 * 25 + 170 * 50) * 8, (1000 * 25 + 170 * 50) * 8
    assert found.data == {
        "metric": "bitrate",
        "previous": pytest.approx(before, rel=0.02),
        "current": pytest.approx(after, rel=0.02),
        "change_percent": pytest.approx((after - before) * 100 / before, abs=1),
        "threshold_percent": 20,
    }


@proves("quality.bitrate_rise")
def test_a_bitrate_that_rises_is_reported_once_unless_that_is_switched_off() -> None:
    rise = [Part(60), Part(120, frame_bytes=4000)]
    (found,) = watch(messages(*rise))
    before, after = (2000 * 25 + 170 * 50) * 8, (4000 * 25 + 170 * 50) * 8
    assert found.data == {
        "metric": "bitrate",
        "previous": pytest.approx(before, rel=0.02),
        "current": pytest.approx(after, rel=0.02),
        "change_percent": pytest.approx((after - before) * 100 / before, abs=2),
        "threshold_percent": 20,
    }
    assert watch(messages(*rise), replace(ASKED, bitrate_rise=0)) == []
    assert watch(messages(*rise), replace(ASKED, bitrate_rise=120)) == []


@pytest.mark.parametrize("frame_bytes, seconds, percent", [(1000, 20, -43), (4000, 30, 85)])
def test_a_change_in_the_first_minute_is_reported_soon(frame_bytes: int, seconds: int, percent: int) -> None:
    (found,) = watch(messages(Part(20), Part(seconds, frame_bytes=frame_bytes)))
    assert found.data["change_percent"] == pytest.approx(percent, abs=2)


@proves("quality.warm_up")
def test_a_drop_while_the_level_is_learned_is_not_reported() -> None:
    early = [Part(15), Part(25, frame_bytes=1000)]
    assert watch(messages(*early), replace(ASKED, warm_up_s=30.0)) == []
    assert short(watch(messages(*early))) == ["bitrate_change"]


def test_a_rate_that_comes_back_is_a_change_again() -> None:
    found = watch(messages(Part(60), Part(60, frame_bytes=1000), Part(60)))
    assert [float(str(one.data["change_percent"])) > 0 for one in found] == [False, True]


def test_a_frame_rate_that_falls_is_told_once_with_the_rates_before_and_after() -> None:
    (found,) = watch(messages(Part(60, frame_bytes=1200), Part(120, fps=15, frame_bytes=2000)))
    assert found.type == "framerate_change"
    assert found.data == {
        "metric": "framerate",
        "previous": pytest.approx(25, rel=0.01),
        "current": pytest.approx(15, rel=0.01),
        "change_percent": pytest.approx(-40, rel=0.01),
        "threshold_percent": 10,
    }


@proves("quality.bitrate_drop", "quality.framerate_drop")
def test_a_drop_is_reported_from_the_threshold_of_the_settings_on() -> None:
    falls = [Part(60), Part(60, fps=20, frame_bytes=1200)]
    assert sorted(short(watch(messages(*falls)))) == ["bitrate_change", "framerate_change"]
    assert short(watch(messages(*falls), replace(ASKED, bitrate_drop=60))) == ["framerate_change"]
    assert short(watch(messages(*falls), replace(ASKED, framerate_drop=30))) == ["bitrate_change"]


@proves("quality.window")
def test_a_dip_is_a_change_where_it_fills_the_window_of_the_settings() -> None:
    dip = [Part(60), Part(5, frame_bytes=400), Part(60)]
    assert watch(messages(*dip)) == []
    assert "bitrate_change" in short(watch(messages(*dip), replace(ASKED, window_s=3.0)))


@proves("quality.max_timestamp_jump")
def test_a_jump_is_reported_from_the_length_of_the_settings_on() -> None:
    jump = [Part(30), Part(30, shift_ms=5000)]
    assert "timestamp_jump raised" in short(watch(messages(*jump)))
    assert "timestamp_jump raised" not in short(watch(messages(*jump), replace(ASKED, max_timestamp_jump_s=8.0)))


QUIET = [
    ("a rise of the frame rate", [Part(60, frame_bytes=1200, fps=15), Part(60, frame_bytes=750)]),
    ("a rise within bounds", [Part(60), Part(60, frame_bytes=2300)]),
    ("a rise shorter than the window", [Part(60), Part(5, frame_bytes=9000), Part(60)]),
    ("a drop within bounds", [Part(60), Part(60, frame_bytes=1750)]),
    ("a dip shorter than the window", [Part(60), Part(5, frame_bytes=400), Part(60)]),
    ("swings that were there before", [Part(8), Part(8, frame_bytes=1000)] * 8),
    ("a still picture of a few seconds", [Part(60), Part(9, frame_bytes=20, gop_s=100), Part(60)]),
]


@pytest.mark.parametrize("parts", [case[1] for case in QUIET], ids=[case[0] for case in QUIET])
def test_what_is_no_change_is_not_told(parts: list[Part]) -> None:
    assert watch(messages(*parts)) == []


def test_the_level_follows_so_that_a_second_change_is_told_against_the_first() -> None:
    falls = [Part(60), Part(90, frame_bytes=1200), Part(60, frame_bytes=700)]
    first, second = watch(messages(*falls))
    assert second.data["previous"] == first.data["current"]


def test_a_drop_that_comes_back_can_be_told_again_after_the_memory_of_the_low() -> None:
    falls = [Part(60), Part(60, frame_bytes=1000), Part(200), Part(60, frame_bytes=1000)]
    changes = [one.data["change_percent"] for one in watch(messages(*falls))]
    assert [float(str(change)) < 0 for change in changes] == [True, False, True]


# --- alerts ---------------------------------------------------------------------------------------

STRICT = replace(
    ASKED, min_bitrate=300_000, min_framerate=20, forbid_b_frames=True, bitrate_drop=0, bitrate_rise=0, framerate_drop=0
)

ALERTS: list[tuple[str, list[Part], QualitySettings]] = [
    ("keyframe_interval", [Part(20), Part(50, gop_s=25), Part(20)], ASKED),
    ("bitrate", [Part(30), Part(60, frame_bytes=800), Part(60)], STRICT),
    ("framerate", [Part(30), Part(60, fps=12, frame_bytes=4000), Part(60)], STRICT),
    ("frozen_video", [Part(30), Part(18, frame_bytes=20, gop_s=100), Part(30)], ASKED),
    ("missing_audio", [Part(30), Part(15, sound=False), Part(30)], ASKED),
    ("timestamp_jump", [Part(30), Part(60, shift_ms=8000)], ASKED),
    ("timestamp_jump", [Part(30), Part(60, shift_ms=-8000)], ASKED),
    ("av_drift", [Part(30), Part(30, audio_lead_ms=2500), Part(30)], ASKED),
    ("b_frames", [Part(30), Part(20, composition_ms=(80, 160, 0, 40)), Part(60)], STRICT),
]


@proves("quality.min_bitrate", "quality.min_framerate")
@pytest.mark.parametrize(("metric", "parts", "asked"), ALERTS, ids=[case[0] for case in ALERTS])
def test_an_alert_is_raised_once_and_cleared_once(metric: str, parts: list[Part], asked: QualitySettings) -> None:
    findings = watch(messages(*parts), asked)
    assert short(findings) == [f"{metric} {RAISED}", f"{metric} {CLEARED}"]
    assert list(findings[0].data) == ["metric", "value", "threshold", "severity", "state"]
    assert findings[1].data["severity"] == findings[0].data["severity"], "whoever heard the beginning hears the end"
    if metric != "timestamp_jump":
        threshold, value = float(str(findings[0].data["threshold"])), float(str(findings[0].data["value"]))
        least = metric in ("bitrate", "framerate")
        assert value < threshold if least else value >= threshold


@proves("quality.max_keyframe_interval", "quality.frozen_after", "quality.max_av_drift")
@pytest.mark.parametrize(("metric", "parts", "asked"), ALERTS, ids=[case[0] for case in ALERTS])
def test_an_alert_whose_threshold_is_0_is_never_raised(metric: str, parts: list[Part], asked: QualitySettings) -> None:
    off = dict.fromkeys(("bitrate_drop", "bitrate_rise", "framerate_drop", "min_bitrate", "min_framerate"), 0)
    times = ("max_keyframe_interval_s", "frozen_after_s", "missing_after_s", "max_timestamp_jump_s", "max_av_drift_s")
    nothing = QualitySettings(**off, **dict.fromkeys(times, 0.0))  # type: ignore[arg-type]
    assert watch(messages(*parts), nothing) == []


def test_video_that_stops_is_frozen_and_missing_until_it_is_back() -> None:
    found = short(watch(messages(Part(30), Part(20, video=False), Part(30))))
    assert found == ["frozen_video raised", "missing_video raised", "frozen_video cleared", "missing_video cleared"]


@pytest.mark.parametrize(
    ("part", "metric"), [(Part(30, video=False), "missing_video"), (Part(30, sound=False), "missing_audio")]
)
def test_a_track_that_was_announced_and_never_comes_is_missing(part: Part, metric: str) -> None:
    assert short(watch(messages(part))) == [f"{metric} {RAISED}"]


def test_a_stream_without_any_keyframe_has_too_long_an_interval() -> None:
    stream = [message for message in messages(Part(30)) if message[2][:1] != b"\x17"]
    assert short(watch(stream)) == ["keyframe_interval raised"]


@proves("quality.cool_down")
def test_an_alert_that_was_cleared_is_not_raised_again_during_the_cool_down() -> None:
    pauses = [Part(20), Part(12, sound=False), Part(5), Part(12, sound=False), Part(5), Part(20, sound=False), Part(40)]
    assert short(watch(messages(*pauses))) == ["missing_audio raised", "missing_audio cleared"] * 2
    eager = replace(ASKED, cool_down_s=0.0)
    assert short(watch(messages(*pauses), eager)) == ["missing_audio raised", "missing_audio cleared"] * 3


def test_a_rate_at_its_least_does_not_make_the_alert_flap() -> None:
    around = [Part(15, fps=19), Part(15, fps=21)] * 10
    asked = replace(ASKED, min_framerate=20, framerate_drop=0, bitrate_drop=0, cool_down_s=0.0)
    assert short(watch(messages(*around), asked)) == ["framerate raised"]


@proves("quality.missing_after")
def test_a_reason_that_is_switched_off_clears_its_alert() -> None:
    meter, monitor = new_meter(), Monitor()
    stream = list(samples(messages(Part(30), Part(20, sound=False)), meter))
    for sample in stream[:-1]:
        monitor.judge(sample, ASKED)
    assert short(monitor.judge(stream[-1], replace(ASKED, missing_after_s=0.0))) == ["missing_audio cleared"]


# --- the clock ------------------------------------------------------------------------------------


def test_the_clock_goes_on_where_timestamps_jump() -> None:
    clocks = [sample.clock_ms for sample in samples(messages(Part(10), Part(10, shift_ms=3_600_000)))]
    steps = [after - before for before, after in itertools.pairwise(clocks)]
    assert set(steps) <= set(range(PERIOD_MS, PERIOD_MS + 60))


def test_a_jump_is_told_by_its_size_and_direction() -> None:
    jumps = [s.jump_ms for s in samples(messages(Part(10), Part(10, shift_ms=8000), Part(5, shift_ms=0))) if s.jump_ms]
    assert jumps == [pytest.approx(8000, abs=50), pytest.approx(-8000, abs=50)]


def test_timestamps_that_are_later_by_a_silence_are_no_jump() -> None:
    meter = new_meter()
    before, after = list(messages(Part(10))), list(messages(Part(10, shift_ms=30_000), headers=False))
    list(samples(before, meter))
    meter.silent(19_000)
    assert [sample.jump_ms for sample in samples(after, meter) if sample.jump_ms] == []


def test_the_zero_timestamp_of_a_header_is_no_time() -> None:
    late = [
        (type_id, timestamp + 5_000_000, payload) for type_id, timestamp, payload in messages(Part(20), headers=False)
    ]
    stream = [*messages(Part(0)), *late[:500], *messages(Part(0)), *late[500:]]
    assert watch(stream) == []


def test_tracks_on_time_lines_of_their_own_have_drifted() -> None:
    assert short(watch(messages(Part(20, audio_lead_ms=60_000)))) == ["av_drift raised"]


def test_headers_are_not_frames() -> None:
    *_, last = samples(messages(Part(10)))
    assert last.video is not None
    assert (last.video.frames, last.video.keyframes) == (last.video.at_ms // 40 + 1 if last.video.at_ms else 0, 5)


# --- short cuts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "parts", "asked"), ALERTS, ids=[case[0] for case in ALERTS])
def test_short_cuts_change_nothing(
    metric: str, parts: list[Part], asked: QualitySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of tracks that just go on, and not to ask the rules of a calm sample."""
    asked = replace(asked, warm_up_s=0.0, window_s=4.0)
    stream = list(messages(*parts))
    taken, found = list(samples(stream)), watch(stream, asked)
    careful = new_meter()
    careful._smooth_ms = -1
    assert list(samples(stream, careful)) == taken
    monkeypatch.setattr(quality, "_is_calm", lambda state, asked: False)
    assert watch(stream, asked) == found != []


def test_a_meter_of_tracks_that_were_judged_before_begins_anew() -> None:
    first = new_meter()
    stream = list(messages(Part(10)))
    taken = list(samples(stream, first))
    again = list(samples(stream, Meter(first.audio, first.video)))
    assert len(again) == len(taken) > 0
    for sample, other in zip(again, taken, strict=True):
        assert sample.audio and other.audio and sample.video and other.video
        assert (sample.clock_ms, sample.drift_ms) == (other.clock_ms, other.drift_ms)
        assert (sample.audio.frames, sample.video.frames) == (other.audio.frames, other.video.frames)
        assert sample.video.keyframes == other.video.keyframes


def test_a_track_with_a_time_line_of_its_own_begins_at_the_clock_of_the_other() -> None:
    taken = list(samples(messages(Part(10, audio_lead_ms=100_000))))
    calm = list(samples(messages(Part(10))))
    assert [sample.clock_ms // 1000 for sample in taken] == [sample.clock_ms // 1000 for sample in calm]
    assert {sample.jump_ms for sample in taken} == {0}
    assert all(sample.drift_ms and sample.drift_ms >= 99_000 for sample in taken)


def test_a_meter_can_be_tuned_from_the_first_or_later() -> None:
    stream = list(messages(Part(10), Part(10, shift_ms=5000)))
    tuned = new_meter()
    tuned.tune(10_000, finds_b_frames=True)
    given_them = Meter(Track(AUDIO_MESSAGE), Track(VIDEO_MESSAGE), 10_000, finds_b_frames=True)
    taken = list(samples(stream, given_them))
    assert given_them.video.is_watched
    assert taken == list(samples(stream, tuned)) != list(samples(stream))


# --- parts ----------------------------------------------------------------------------------------


def test_a_window_has_no_rate_until_it_is_full_and_then_that_of_its_length_alone() -> None:
    window = Window()
    rates: list[tuple[float, float] | None] = []
    for second in range(30):
        total_bytes = 100 * min(second, 15) + 10 * max(0, second - 15)
        rates.append(window.rates(second * 1000, 25 * second, total_bytes, 10_000))
    assert rates[:9] + rates[10::10] + rates[-1:] == [None] * 9 + [(25, 100), (25, 55), (25, 10)]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5000))))
def test_states_of_an_alert_alternate_and_keep_their_cool_down(steps: list[tuple[bool, bool, int]]) -> None:
    alert, now, told = Alert(), 0, []
    for bad, good, passed in steps:
        now += passed
        if state := alert.judge(now, bad, good, 3000):
            told.append((state, now))
    assert [state for state, _ in told] == [RAISED, CLEARED] * (len(told) // 2) + [RAISED] * (len(told) % 2)
    for (_, cleared), (_, raised) in zip(told[1::2], told[2::2], strict=False):
        assert raised - cleared >= 3000


@given(st.lists(st.floats(0, 1e9), max_size=200))
def test_a_change_is_always_by_more_than_the_threshold(rates: list[float]) -> None:
    level = Level()
    last_told = -100_000
    for second, rate in enumerate(rates):
        shift = level.judge(second * 1000, rate, 20, 30_000, 10_000, 50)
        if shift is not None:
            assert not -20 <= shift.percent <= 50
            assert second * 1000 - last_told > 30_000
            last_told = second * 1000


HOSTILE = st.lists(
    st.tuples(
        st.sampled_from([AUDIO_MESSAGE, VIDEO_MESSAGE]),
        st.one_of(st.integers(0, (1 << 32) - 1), st.integers(0, 60_000)),
        st.one_of(st.binary(max_size=12), st.sampled_from([KEY, INTER, SOUND, VIDEO_HEADER, b""])),
    ),
    max_size=300,
)


@settings(max_examples=200, deadline=None)
@given(HOSTILE, st.lists(st.integers(0, 100_000), max_size=3))
def test_no_messages_upset_it_and_states_alternate(stream: list[Message], silences: list[int]) -> None:
    asked = replace(STRICT, warm_up_s=0.0, window_s=2.0, cool_down_s=0.0)
    meter, monitor = new_meter(), Monitor()
    meter.tune(3000, finds_b_frames=True)
    states: dict[str, Any] = dict.fromkeys(METRICS, CLEARED)
    clock_ms = 0
    for at, (type_id, timestamp, payload) in enumerate(stream):
        if at < len(silences):
            meter.silent(silences[at])
        for sample in samples([(type_id, timestamp, payload)], meter):
            assert sample.clock_ms >= clock_ms
            clock_ms = sample.clock_ms
            for finding in monitor.judge(sample, asked):
                if finding.type == "quality_alert":
                    assert finding.data["state"] != states[str(finding.data["metric"])]
                    states[str(finding.data["metric"])] = finding.data["state"]
