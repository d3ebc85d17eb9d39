"""Filters of hooks, and the manager that asks them."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.errors import ConfigError, FilterError
from rtmpd.event.birth import Births
from rtmpd.event.event import Event
from rtmpd.event.kind import SEVERITIES
from rtmpd.hook.filter import condition
from rtmpd.hook.filter.engine import REASONS, Filter, FilterEngine
from rtmpd.hook.manager import HookManager
from rtmpd.settings import FilterSettings, HookSettings, HooksSettings, RateLimit
from tests.support.hooks import HeldHook
from tests.support.proof import proves
from tests.support.waiting import until


def judged(settings: FilterSettings, event: Event, types: tuple[str, ...] = ()) -> str:
    return Filter(types, settings, FakeClock()).check(event)


def born(type: str, **data: object) -> Event:
    """An event with the severity that its type gives it."""
    return Births(lambda: 1000.0, os.urandom).event(type, "c1", "live/a", data)


# --- each kind ------------------------------------------------------------------------------------


def test_a_filter_with_nothing_set_lets_every_event_pass() -> None:
    assert judged(FilterSettings(), Event("anything", 0)) == ""


@pytest.mark.parametrize(
    ("types", "type", "reason"),
    [
        ((), "play_start", ""),
        (("publish_start",), "publish_start", ""),
        (("publish_start",), "publish_stop", "event_type"),
        (("publish_*", "play_start"), "publish_stop", ""),
        (("publish_*", "play_start"), "play_start", ""),
        (("publish_*",), "Publish_start", "event_type"),
        (("made_*",), "made_up", ""),
        (("publish_*",), "made_up", "event_type"),
    ],
)
def test_one_of_the_event_types_must_fit(types: tuple[str, ...], type: str, reason: str) -> None:
    assert judged(FilterSettings(), Event(type, 0), types) == reason


@pytest.mark.parametrize(
    ("pattern", "key", "passes"),
    [
        ("live/premium/*", "live/premium/a", True),
        ("live/premium/*", "live/premium/a/b", True),
        ("live/*", "vod/live/a", False),
        ("live/*", "LIVE/a", False),
        ("*/cam?", "live/cam1", True),
        ("*/cam?", "live/cam12", False),
        ("live/cam[0-4]", "live/cam3", True),
        ("live/cam[!0-4]", "live/cam3", False),
        ("live/a", "live/a\n", False),
        ("live/a.b", "live/axb", False),
        ("live/a", "", True),
    ],
)
def test_a_stream_pattern_is_a_glob_whose_star_crosses_slashes(pattern: str, key: str, passes: bool) -> None:
    assert judged(FilterSettings((pattern,)), Event("e", 0, stream_key=key)) == ("" if passes else "stream_pattern")


def test_one_of_several_stream_patterns_is_enough() -> None:
    settings = FilterSettings(("live/vip/*", "live/premium/*"))
    assert judged(settings, Event("e", 0, stream_key="live/premium/a")) == ""
    assert judged(settings, Event("e", 0, stream_key="live/free/a")) == "stream_pattern"


def test_verdicts_on_streams_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpd.hook.filter.engine._REMEMBERED_KEYS", 4)
    filter = Filter((), FilterSettings(("live/1*",)), FakeClock())
    for _ in range(2):
        for number in range(20):
            passes = str(number).startswith("1")
            assert filter.check(Event("e", 0, stream_key=f"live/{number}")) == ("" if passes else "stream_pattern")
        assert filter.check(Event("e", 0)) == ""
    cells = (cell.cell_contents for cell in filter._checks[0].__closure__)
    (remembered,) = [each for each in cells if isinstance(each, dict)]
    assert len(remembered) <= 4, "however many streams there are"


@proves("hooks.NAME.conditions")
def test_of_several_conditions_all_must_hold() -> None:
    settings = FilterSettings(conditions=("data.a > 1", "data.b == x"))
    assert judged(settings, Event("e", 0, data={"a": 2, "b": "x"})) == ""
    assert judged(settings, Event("e", 0, data={"a": 2, "b": "y"})) == "condition"
    assert judged(settings, Event("e", 0, data={"a": 2})) == "missing_field"
    assert judged(replace(settings, on_missing="pass"), Event("e", 0, data={"a": 2})) == ""


@pytest.mark.parametrize("least", SEVERITIES)
@pytest.mark.parametrize("given", SEVERITIES)
def test_less_severe_events_than_the_least_are_refused(least: str, given: str) -> None:
    passes = SEVERITIES.index(given) >= SEVERITIES.index(least)
    event = Event("e", 0, severity=given)
    assert judged(FilterSettings(min_severity=least), event) == ("" if passes else "severity")


@proves("hooks.NAME.min_severity")
@pytest.mark.parametrize(
    ("event", "severity"),
    [
        (born("publish_start"), "info"),
        (born("auth_failed"), "warning"),
        (born("bitrate_change"), "warning"),
        (born("quality_alert"), "warning"),
        (born("connection_error"), "error"),
        (born("stream_error"), "error"),
        (born("performance_alert", severity="warning"), "warning"),
        (born("performance_alert", severity="critical"), "critical"),
    ],
    ids=str,
)
def test_the_severity_that_is_filtered_is_that_of_the_type_or_of_its_data(event: Event, severity: str) -> None:
    assert judged(FilterSettings(min_severity=severity), event) == ""
    above = SEVERITIES[SEVERITIES.index(severity) + 1 :]
    assert all(judged(FilterSettings(min_severity=more), event) == "severity" for more in above)


# --- the order ------------------------------------------------------------------------------------

ALL = FilterSettings(("live/*",), ("data.a == 1",), "warning", RateLimit(1, 60.0))
GOOD = Event("publish_start", 0, "", "live/a", {"a": 1}, severity="error")


def test_kinds_are_looked_at_in_the_order_of_their_cost() -> None:
    filter = Filter(("publish_*",), ALL, FakeClock())
    spoiled = replace(GOOD, type="play_start", severity="info", stream_key="x", data={})
    reasons = [filter.check(spoiled)]
    for field in ("type", "severity", "stream_key"):
        spoiled = replace(spoiled, **{field: getattr(GOOD, field)})
        reasons.append(filter.check(spoiled))
    reasons += [filter.check(replace(spoiled, data={"a": 2})), filter.check(GOOD), filter.check(GOOD)]
    assert reasons == ["event_type", "severity", "stream_pattern", "missing_field", "condition", "", "rate_limit"]
    assert set(reasons) - {""} == set(REASONS)


def test_a_refused_event_spends_no_token() -> None:
    filter = Filter(("publish_*",), ALL, FakeClock())
    faults = ({"type": "play_start"}, {"severity": "info"}, {"stream_key": "x"}, {"data": {"a": 2}}, {"data": {}})
    for spoiled in faults:
        for _ in range(3):
            assert filter.check(replace(GOOD, **spoiled)) not in ("", "rate_limit")
    assert filter.check(GOOD) == ""


# --- the engine -----------------------------------------------------------------------------------

TWO = FilterSettings(rate_limit=RateLimit(2, 60.0))


def test_the_engine_tells_whether_and_why_not_and_counts_by_hook_and_reason() -> None:
    engine = FilterEngine(FakeClock())
    engine.update_filter("a", TWO, ("publish_*",))
    engine.update_filter("b", FilterSettings(("vod/*",)))
    assert [engine.should_trigger(GOOD, "a") for _ in range(3)] == [(True, ""), (True, ""), (False, "rate_limit")]
    assert engine.should_trigger(Event("play_start", 0), "a") == (False, "event_type")
    assert engine.should_trigger(GOOD, "b") == engine.should_trigger(GOOD, "b") == (False, "stream_pattern")
    assert engine.should_trigger(GOOD, "unknown") == (True, "")
    assert engine.refusals("a") == {"event_type": 1, "rate_limit": 1}
    assert engine.refusals("b") == {"stream_pattern": 2}
    assert engine.refusals("unknown") == {}


def test_hooks_have_a_bucket_each() -> None:
    engine = FilterEngine(FakeClock())
    for id in ("a", "b"):
        engine.update_filter(id, TWO)
        assert [engine.should_trigger(GOOD, id)[0] for _ in range(3)] == [True, True, False]


@proves("hooks.NAME.rate_burst")
def test_a_new_filter_goes_on_with_the_bucket_if_the_rate_is_the_same() -> None:
    engine = FilterEngine(FakeClock())
    engine.update_filter("a", TWO, ("publish_*",))
    engine.should_trigger(GOOD, "a")
    engine.update_filter("a", replace(TWO, stream_patterns=("live/*",), conditions=("data.a == 1",)))
    assert [engine.should_trigger(GOOD, "a")[0] for _ in range(2)] == [True, False]
    assert engine.should_trigger(replace(GOOD, type="play_start"), "a")[1] == "event_type"
    engine.update_filter("a", replace(TWO, rate_burst=3))
    assert [engine.should_trigger(GOOD, "a")[0] for _ in range(4)] == [True, True, True, False]
    assert engine.refusals("a") == {"event_type": 1, "rate_limit": 2}


def test_a_filter_that_can_not_be_used_leaves_the_old_one() -> None:
    engine = FilterEngine(FakeClock())
    engine.update_filter("a", FilterSettings(("vod/*",)))
    with pytest.raises(FilterError):
        engine.update_filter("a", FilterSettings(conditions=("nonsense",)))
    assert engine.should_trigger(GOOD, "a") == (False, "stream_pattern")


# --- the manager ----------------------------------------------------------------------------------

A = HookSettings("a", "webhook", "http://a/", filter=TWO)


class Managed:
    """A manager whose configured hooks are HeldHooks, in the order they were built."""

    def __init__(self) -> None:
        self.hooks: list[HeldHook] = []
        self.manager = HookManager(HooksSettings(), Clock(), build=self._build)  # type: ignore[arg-type]

    def _build(self, settings: HookSettings, clock: Clock) -> HeldHook:
        self.hooks.append(HeldHook(settings.id, open=True))
        return self.hooks[-1]

    def use(self, *hooks: HookSettings) -> None:
        self.manager.replace(HooksSettings(hooks))

    def emitted(self, *types: str) -> None:
        for type in types:
            self.manager.emit(type, stream_key="live/a", app="live")

    def stats(self, id: str = "a") -> dict[str, object]:
        hooks = self.manager.stats()["hooks"]
        assert isinstance(hooks, dict)
        return hooks[id]


@pytest.fixture
def house():
    managed = Managed()
    yield managed
    managed.manager.close(0)


def test_an_event_that_is_refused_is_not_queued_and_is_counted(house: Managed) -> None:
    house.use(replace(A, filter=FilterSettings(conditions=("type != play_start", "data.app == live"))))
    house.emitted("publish_start", "play_start", "publish_stop")
    until(lambda: house.stats()["executed"] == 2)
    assert house.hooks[0].done == ["publish_start:live/a", "publish_stop:live/a"]
    assert house.stats()["filtered"] == {"condition": 1}


def test_a_ready_made_event_is_filtered_too(house: Managed) -> None:
    house.use(replace(A, filter=FilterSettings(min_severity="error")))
    house.manager.trigger(Event("stream_error", 0, severity="error"))
    house.manager.trigger(Event("publish_start", 0))
    until(lambda: house.hooks[0].done == ["stream_error"])
    assert house.stats()["filtered"] == {"severity": 1}


def test_a_hook_registered_by_hand_can_have_a_filter_that_outlives_a_reload(house: Managed) -> None:
    hook = HeldHook("own", open=True)
    house.manager.register(hook, ["publish_start"], filter=TWO)
    house.emitted("publish_start", "publish_start", "publish_start")
    house.use(A)
    house.emitted("publish_start")
    assert house.stats("own")["filtered"] == {"rate_limit": 2}
    house.manager.unregister("own")
    house.manager.register(HeldHook("own", open=True), filter=TWO)
    assert house.stats("own")["filtered"] == {}


def test_a_filter_that_can_not_be_used_registers_nothing(house: Managed) -> None:
    with pytest.raises(ConfigError, match=r"hooks.own.conditions: is not a condition; write FIELD"):
        house.manager.register(HeldHook("own"), filter=FilterSettings(conditions=("nonsense",)))
    assert house.manager.stats()["total_hooks"] == 0


def test_a_reload_that_changes_only_filters_keeps_lane_queue_and_bucket(house: Managed) -> None:
    house.use(A)
    hook = house.hooks[0]
    hook.go.clear()
    house.emitted("publish_start")
    house.use(replace(A, event_types=("publish_*",), filter=replace(TWO, min_severity="info")))
    house.emitted("play_start", "publish_stop", "publish_start")
    assert house.hooks == [hook]
    assert house.stats()["filtered"] == {"rate_limit": 1}
    hook.go.set()
    until(lambda: hook.done == ["publish_start:live/a", "publish_stop:live/a"])


def test_a_reload_that_changes_the_hook_but_not_its_rate_keeps_the_bucket(house: Managed) -> None:
    house.use(A)
    house.emitted("publish_start", "publish_start", "publish_start")
    house.use(replace(A, target="http://elsewhere/"))
    house.emitted("publish_start")
    assert len(house.hooks) == 2
    assert house.stats()["filtered"] == {"rate_limit": 2}


def test_a_reload_with_another_rate_starts_with_a_full_bucket(house: Managed) -> None:
    house.use(A)
    house.emitted("publish_start", "publish_start", "publish_start")
    house.use(replace(A, filter=FilterSettings(rate_limit=RateLimit(3, 60.0))))
    house.emitted(*["publish_start"] * 4)
    assert house.stats()["filtered"] == {"rate_limit": 2}


def test_a_reload_with_a_bad_condition_changes_nothing_and_names_every_hook(house: Managed) -> None:
    house.use(A)
    bad = FilterSettings(conditions=("data.a > fast",))
    with pytest.raises(ConfigError) as caught:
        house.use(replace(A, filter=bad), HookSettings("b", "webhook", "http://b/", filter=bad))
    assert [problem.key for problem in caught.value.problems] == ["hooks.a.conditions", "hooks.b.conditions"]
    assert len(house.hooks) == 1
    house.emitted("publish_start", "publish_start", "publish_start")
    assert house.stats()["filtered"] == {"rate_limit": 1}


# --- with the command line ------------------------------------------------------------------------


@proves("--hook-filter-events", "--hook-filter-streams")
def test_an_old_hook_runs_as_ever_beside_a_new_list_of_events(house: Managed) -> None:
    words = ["--hook-script", "connection_accept=/bin/sh", "--hook-stdio-format", "json"]
    command_line = flags.parse([*words, "--hook-filter-events", "publish_start", "--hook-filter-streams", "live/*"])
    house.manager.replace(load(command_line, check_condition=condition.check).settings.hooks)
    script, stdio = house.hooks
    house.manager.emit("connection_accept", conn_id="c1")
    house.emitted("publish_start", "publish_stop")
    house.manager.emit("publish_start", stream_key="vod/a")
    until(lambda: script.done and stdio.done)
    assert (script.done, stdio.done) == (["connection_accept:c1"], ["publish_start:live/a"])
    assert house.stats("stdio")["filtered"] == {"stream_pattern": 1}
