"""When a value becomes an alert and when the alert is over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.monitor.alerts import CLEARED, CRITICAL, RAISED, WARNING, Alert, Change, Timing
from rtmpd.settings import AlertSettings, Levels
from tests.support.proof import proves

LEVELS = Levels(80, 95)


def looked(alert: Alert, *values: float, every_s: float = 1.0, start: float = 100.0) -> list[tuple[float, str, str]]:
    """Time, state and severity of what there was to tell as the values came."""
    told = []
    for number, value in enumerate(values):
        if change := alert.look(value, start + number * every_s):
            told.append((number * every_s, change.state, change.severity))
    return told


def alert(levels: Levels = LEVELS, hold_s: float = 0.0, cool_down_s: float = 0.0, hysteresis: float = 0.1) -> Alert:
    return Alert(levels, Timing(hold_s, cool_down_s, hysteresis))


def test_an_alert_is_told_when_it_begins_and_when_it_ends_and_not_between() -> None:
    assert looked(alert(), 10, 85, 90, 85, 10, 10) == [(1, RAISED, WARNING), (4, CLEARED, WARNING)]


def test_the_threshold_itself_is_over_it() -> None:
    assert alert().look(80, 0.0) == Change(RAISED, WARNING, 80, 80)


def test_a_value_must_be_under_the_threshold_by_the_hysteresis_for_the_alert_to_end() -> None:
    assert looked(alert(), 85, 79, 72, 85, 71.9) == [(0, RAISED, WARNING), (4, CLEARED, WARNING)]


def test_a_value_that_is_over_it_for_a_moment_only_is_no_alert() -> None:
    held = alert(hold_s=3.0)
    assert looked(held, 85, 85, 85, 10, 85, 85, 85, 85) == [(7, RAISED, WARNING)]


def test_a_value_that_is_under_it_for_a_moment_only_ends_nothing() -> None:
    held = alert(hold_s=3.0)
    assert looked(held, 85, 85, 85, 85, 10, 10, 85, 10, 10, 10, 10) == [(3, RAISED, WARNING), (10, CLEARED, WARNING)]


def test_it_is_raised_again_with_each_severity_that_it_comes_to() -> None:
    told = looked(alert(), 85, 96, 90, 84, 10)
    assert told == [(0, RAISED, WARNING), (1, RAISED, CRITICAL), (3, RAISED, WARNING), (4, CLEARED, CRITICAL)]


def test_the_next_alert_begins_with_a_severity_of_its_own() -> None:
    assert looked(alert(), 96, 10, 85, 10)[2:] == [(2, RAISED, WARNING), (3, CLEARED, WARNING)]


def test_what_is_critical_at_once_is_told_once() -> None:
    assert looked(alert(), 99, 99, 0) == [(0, RAISED, CRITICAL), (2, CLEARED, CRITICAL)]


def test_after_its_end_it_is_quiet_for_the_cool_down_unless_it_is_critical() -> None:
    cooling = alert(cool_down_s=5.0)
    told = looked(cooling, 85, 0, 85, 85, 0, 85, 85)
    assert told == [(0, RAISED, WARNING), (1, CLEARED, WARNING), (6, RAISED, WARNING)]
    cooling = alert(cool_down_s=5.0)
    assert looked(cooling, 85, 0, 99) == [(0, RAISED, WARNING), (1, CLEARED, WARNING), (2, RAISED, CRITICAL)]


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        (Levels(0, 0), []),
        (Levels(0, 95), [(1, RAISED, CRITICAL), (2, CLEARED, CRITICAL)]),
        (Levels(80, 0), [(0, RAISED, WARNING), (2, CLEARED, WARNING)]),
    ],
)
def test_a_threshold_of_0_is_never_passed(levels: Levels, told: list[Any]) -> None:
    assert looked(alert(levels), 85, 99, 0) == told


def test_the_change_says_the_value_and_the_threshold_that_decided() -> None:
    one = alert()
    assert one.look(96, 0.0) == Change(RAISED, CRITICAL, 96, 95)
    assert one.look(82, 1.0) == Change(RAISED, WARNING, 82, 80)
    assert one.look(3, 2.0) == Change(CLEARED, CRITICAL, 3, 80)


@given(
    st.lists(st.floats(0, 120), max_size=60),
    st.floats(0, 5),
    st.floats(0, 10),
)
def test_whatever_comes_states_alternate_and_an_alert_is_told_only_when_it_changes(
    values: list[float], hold_s: float, cool_down_s: float
) -> None:
    told = looked(alert(hold_s=hold_s, cool_down_s=cool_down_s), *values)
    severities: list[str] = []  # since it was raised
    for _, state, now in told:
        if state == CLEARED:
            assert now == (CRITICAL if CRITICAL in severities else WARNING) and severities
            severities = []
        else:
            assert severities[-1:] != [now]
            severities.append(now)


@given(st.lists(st.floats(0, 200), max_size=40))
def test_a_quiet_end_always_clears(values: list[float]) -> None:
    one = alert(hold_s=2.0)
    looked(one, *values, *[0.0] * 5)
    assert one.severity == "" and one.is_quiet


@proves("alerts.hold", "alerts.cool_down", "alerts.hysteresis")
def test_the_timing_is_that_of_the_settings() -> None:
    settings = AlertSettings(hold_s=3.0, cool_down_s=4.0, hysteresis_percent=25)
    assert Timing.of(settings) == Timing(3.0, 4.0, 0.25)
