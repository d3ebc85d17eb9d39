"""The largest value of lately, and the share of a few."""

from __future__ import annotations

import pytest

from rtmpd.clock import FakeClock
from rtmpd.metrics.window import Peak, Samples


def test_a_peak_lasts_for_one_to_two_windows() -> None:
    clock = FakeClock()
    peak = Peak(clock, 10.0)
    peak.note(5.0)
    peak.note(3.0)
    assert peak.value() == 5.0
    clock.advance(10.0)
    peak.note(1.0)
    assert peak.value() == 5.0
    clock.advance(10.0)
    assert peak.value() == 1.0
    clock.advance(10.0)
    assert peak.value() == 0.0


def test_a_window_can_be_made_longer() -> None:
    clock = FakeClock()
    peak = Peak(clock, 10.0)
    peak.window_s = 100.0
    clock.advance(10.0)
    peak.note(5.0)
    clock.advance(99.0)
    assert peak.value() == 5.0


def test_a_peak_is_forgotten_when_nobody_has_looked_for_long() -> None:
    clock = FakeClock()
    peak = Peak(clock, 10.0)
    peak.note(5.0)
    clock.advance(100.0)
    assert peak.value() == 0.0


@pytest.mark.parametrize(("count", "expected"), [(0, 0.0), (1, 1.0), (2, 2.0), (20, 20.0), (100, 96.0)])
def test_a_few_very_slow_ones_do_not_make_the_share(count: int, expected: float) -> None:
    samples = Samples()
    for number in range(count, 0, -1):
        samples.note(float(number))
    assert samples.take() == expected
    assert samples.take() == 0.0


def test_samples_are_bounded() -> None:
    samples = Samples(most=10)
    for number in range(100):
        samples.note(float(number))
    assert samples.take(0.0) == 90.0
