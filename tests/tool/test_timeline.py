"""When tags are due, and the timestamps of repetitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtmpd.clock import FakeClock
from rtmpd.tool.timeline import Pacer, Timeline, difference_ms

AUDIO, VIDEO, DATA = 8, 9, 18
NEAR_WRAP = 2**32 - 60


def stamps(timeline: Timeline, tags: list[tuple[int, int, bool]]) -> list[int]:
    return [timeline.stamp(*tag) for tag in tags]


def clip(first: int, header: int | None = None) -> list[tuple[int, int, bool]]:
    """Metadata and a header, then video every 40 ms and audio every 30 ms, audio longer by 50 ms."""
    start = [(DATA, first if header is None else header, False), (VIDEO, first if header is None else header, False)]
    frames = [(VIDEO, 0, True), (AUDIO, 0, True), (AUDIO, 30, True), (VIDEO, 40, True), (AUDIO, 60, True)]
    frames += [(VIDEO, 80, True), (AUDIO, 90, True), (AUDIO, 120, True)]
    return start + [(kind, (first + at) % 2**32, coded) for kind, at, coded in frames]


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_a_difference_is_taken_the_short_way_round(earlier: int, step: int) -> None:
    assert difference_ms((earlier + step) % 2**32, earlier) == step


def test_the_first_pass_has_the_timestamps_of_the_file() -> None:
    for tags in (clip(0), clip(16_777_000, header=0), clip(NEAR_WRAP)):
        assert stamps(Timeline(), tags) == [timestamp for _, timestamp, _ in tags]


def test_the_next_pass_begins_one_frame_gap_behind_the_longer_track() -> None:
    timeline = Timeline()
    first = stamps(timeline, clip(1000))
    timeline.next_pass()
    second = stamps(timeline, clip(1000))
    timeline.next_pass()
    third = stamps(timeline, clip(1000))
    assert second == [timestamp + 120 + 30 for timestamp in first]
    assert third == [timestamp + 2 * 150 for timestamp in first]


def test_a_repetition_wraps_with_its_file() -> None:
    timeline = Timeline()
    first = stamps(timeline, clip(NEAR_WRAP))
    assert 0 < first[-1] < 120
    timeline.next_pass()
    assert stamps(timeline, clip(NEAR_WRAP)) == [(timestamp + 150) % 2**32 for timestamp in first]


def test_headers_that_say_zero_stay_behind_the_pass_before() -> None:
    timeline = Timeline()
    tags = clip(16_777_000, header=0)
    first = stamps(timeline, tags)
    timeline.next_pass()
    second = stamps(timeline, tags)
    assert second[0] == second[1] == second[2] == 16_777_150
    assert min(second) > max(first)


def test_a_single_frame_lasts_a_while() -> None:
    timeline = Timeline()
    assert timeline.stamp(VIDEO, 500, True) == 500
    timeline.next_pass()
    assert timeline.stamp(VIDEO, 500, True) > 500


def test_a_file_without_frames_is_empty() -> None:
    timeline = Timeline()
    timeline.stamp(VIDEO, 0, False)
    assert timeline.empty


def test_frames_are_due_by_their_timestamps_and_waits_do_not_add_up() -> None:
    clock = FakeClock()
    pacer = Pacer(clock)
    assert pacer.wait_s(NEAR_WRAP) == 0
    clock.advance(0.005)
    assert round(pacer.wait_s((NEAR_WRAP + 40) % 2**32), 6) == 0.035
    clock.advance(0.050)  # slept 15 ms too long
    assert round(pacer.wait_s((NEAR_WRAP + 80) % 2**32), 6) == 0.025


def test_late_frames_go_at_once_until_the_schedule_is_met_again() -> None:
    clock = FakeClock()
    pacer = Pacer(clock)
    pacer.wait_s(0)
    clock.advance(0.1)
    assert pacer.wait_s(40) == 0
    assert pacer.wait_s(80) == 0
    assert round(pacer.wait_s(120), 6) == 0.02


def test_a_jump_begins_a_new_schedule() -> None:
    clock = FakeClock()
    for jump in (3_600_000, -3_600_000):
        pacer = Pacer(clock)
        pacer.wait_s(2**31)
        assert pacer.wait_s(2**31 + jump) == 0
        assert round(pacer.wait_s(2**31 + jump + 40), 6) == 0.04


def test_a_small_step_back_keeps_the_schedule() -> None:
    pacer = Pacer(FakeClock())
    pacer.wait_s(0)
    pacer.wait_s(40)
    pacer.wait_s(20)
    assert round(pacer.wait_s(80), 6) == 0.08
