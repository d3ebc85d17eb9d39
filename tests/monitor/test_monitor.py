"""The monitor tells what has passed a threshold, about whom, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gevent
import pytest

from rtmpd.clock import FakeClock
from rtmpd.event.catalogue import severity_of
from rtmpd.monitor import monitor as module
from rtmpd.monitor.disks import Disks
from rtmpd.monitor.monitor import Monitor, RecentGrowth, Sources
from rtmpd.monitor.system import Usage
from rtmpd.settings import AlertSettings, Levels
from tests import contract
from tests.support.waiting import until

CALM = Usage(1.0, 1.0, 1, 1.0, 1, 1000, 1)
SHARP = AlertSettings(
    interval_s=0.01, hold_s=0.0, cool_down_s=0.0, connections=Levels(10, 20), dead_letters=Levels(1, 100)
)


class Rig:
    def __init__(self, settings: AlertSettings = SHARP) -> None:
        self.clock = FakeClock()
        self.usage = CALM
        self.values: dict[str, Any] = {
            "connections": 0, "streams": 0, "queue_depth": 0, "handshake_ms": 0.0, "message_ms": 0.0, "hub_lag_ms": 0.0,
            "hooks_ms": {}, "hook_backlogs": {}, "dead_letters": 0,
            "store_is_up": True,
        }  # fmt: skip
        sources = Sources(**{name: (lambda name=name: self.values[name]) for name in self.values})
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.disks = Disks(lambda: settings.disk_paths, tuple)
        self.monitor = Monitor(settings, sources, FakeSystem(self), self.disks, self.emit, self.clock)  # type: ignore[arg-type]

    def look(self, **values: Any) -> list[tuple[str, dict[str, Any]]]:
        """One look at these values; what was told of it."""
        self.values.update(values)
        self.clock.advance(1.0)
        self.told.clear()
        self.monitor.look()
        return list(self.told)

    def emit(self, type: str, /, *, conn_id: str = "", stream_key: str = "", **data: object) -> None:
        body = {"type": type, "timestamp": 0, "conn_id": conn_id, "stream_key": stream_key, "data": data}
        assert not contract.faults([body])
        self.told.append((type, data))


@pytest.fixture
def rig() -> Rig:
    return Rig()


class FakeSystem:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def look(self) -> Usage:
        return self.rig.usage


def test_a_calm_server_has_nothing_to_tell(rig: Rig) -> None:
    assert [rig.look() for _ in range(3)] == [[], [], []]


def test_a_performance_alert_has_every_specified_field(rig: Rig) -> None:
    rig.values |= {"streams": 3, "queue_depth": 7}
    waiting = [gevent.spawn(gevent.sleep, 60) for _ in range(3)]
    ((type, data),) = rig.look(connections=12)
    gevent.killall(waiting)
    assert type == "performance_alert"
    greenlets = data.pop("greenlet_count")
    assert greenlets >= 3 and data.pop("goroutine_count") == greenlets
    assert data == {
        "metric_type": "connections", "current_value": 12, "threshold": 10, "severity": "warning", "state": "raised",
        "active_connections": 12, "total_streams": 3, "message_queue_depth": 7,
    }  # fmt: skip
    ((_, data),) = rig.look(connections=0)
    assert (data["state"], data["severity"], data["active_connections"]) == ("cleared", "warning", 0)


@pytest.mark.parametrize(
    ("usage", "metric", "value"),
    [
        (replace(CALM, cpu_percent=90.0), "cpu", 90.0),
        (replace(CALM, memory_percent=91.0), "memory", 91.0),
    ],
)
def test_what_the_process_uses_is_a_performance_alert(rig: Rig, usage: Usage, metric: str, value: float) -> None:
    rig.usage = usage
    ((type, data),) = rig.look()
    assert (type, data["metric_type"], data["current_value"]) == ("performance_alert", metric, value)
    rig.usage = CALM
    assert [data["state"] for _, data in rig.look()] == ["cleared"]


def test_too_many_frames_that_wait_are_a_performance_alert(rig: Rig) -> None:
    ((type, data),) = rig.look(queue_depth=60000)
    assert (type, data["metric_type"], data["severity"]) == ("performance_alert", "queue_depth", "critical")


@pytest.mark.parametrize("metric", ["handshake", "message", "hub_lag"])
def test_what_takes_long_is_a_latency_alert(rig: Rig, metric: str) -> None:
    threshold = getattr(SHARP, f"{metric}_ms").warning
    ((type, data),) = rig.look(**{f"{metric}_ms": threshold + 0.5})
    assert type == "latency_alert"
    assert data == {
        "metric": metric, "value_ms": threshold + 0.5, "threshold_ms": threshold,
        "severity": "warning", "state": "raised",
    }  # fmt: skip
    assert severity_of(type, data) == "warning"


def test_a_slow_hook_is_named_and_only_that_one(rig: Rig) -> None:
    ((type, data),) = rig.look(hooks_ms={"slow": 6000.0, "quick": 1.0})
    assert (type, data["metric"], data["hook_id"], data["state"]) == ("latency_alert", "hook", "slow", "raised")
    rig.look(hooks_ms={"quick": 1.0})
    assert [d["hook_id"] for _, d in [*rig.told, *rig.look()]] == ["slow"]


def test_descriptors_are_a_resource_alert(rig: Rig) -> None:
    rig.usage = replace(CALM, descriptors=960)
    ((type, data),) = rig.look()
    assert (type, data["metric_type"], data["current_value"], data["severity"]) == (
        "resource_alert", "descriptors", 96.0, "critical",
    )  # fmt: skip
    assert severity_of(type, data) == "critical"


def test_a_backlog_is_told_of_its_hook_and_over_when_the_hook_is_gone(rig: Rig) -> None:
    ((type, data),) = rig.look(hook_backlogs={"ops": 600, "other": 3})
    assert (type, data["metric_type"], data["hook_id"]) == ("resource_alert", "hook_backlog", "ops")
    ((_, data),) = rig.look(hook_backlogs={"other": 3})
    assert (data["state"], data["hook_id"]) == ("cleared", "ops")


def test_hooks_that_come_and_go_leave_nothing_behind(rig: Rig) -> None:
    for number in range(50):
        rig.look(hook_backlogs={f"hook{number}": 1}, hooks_ms={f"hook{number}": 1.0})
    rig.look(hook_backlogs={}, hooks_ms={})
    assert not [key for key in rig.monitor._alerts if key[1]]


def test_a_full_disk_is_told_with_its_path(rig: Rig) -> None:
    rig.monitor._disks.percent = {"/var/lib/rtmpd": 95.0, "/": 10.0}
    ((type, data),) = rig.look()
    assert (type, data["metric_type"], data["path"]) == ("resource_alert", "disk", "/var/lib/rtmpd")


def test_dead_letters_are_an_alert_for_a_minute(rig: Rig) -> None:
    rig.look(dead_letters=5)  # those from before it began to watch
    ((type, data),) = rig.look(dead_letters=7)
    assert (type, data["metric_type"], data["current_value"]) == ("resource_alert", "dead_letters", 2)
    rig.clock.advance(58)
    assert rig.look() == []
    rig.clock.advance(2)
    assert [data["state"] for _, data in rig.look()] == ["cleared"]


def test_growth_that_began_anew_is_counted_from_there() -> None:
    growth = RecentGrowth(60.0)
    assert [growth.within(count, float(at)) for at, count in enumerate((5, 7, 2, 3))] == [0, 2, 0, 1]


def test_the_levels_are_metrics_too(rig: Rig) -> None:
    rig.look(connections=15, hook_backlogs={"a": 600, "b": 6000})
    found = {reading.labels[0]: reading.value for reading in rig.monitor.read()}
    assert (found["connections"], found["hook_backlog"], found["cpu"]) == (1, 2, 0)


def test_no_threshold_for_connections_is_no_alert() -> None:
    rig = Rig(replace(SHARP, connections=None))
    assert rig.look(connections=10**9) == []


def test_new_settings_end_an_alert_that_they_do_not_have(rig: Rig) -> None:
    rig.look(connections=12)
    rig.monitor.configure(replace(SHARP, connections=Levels(100, 200)))
    assert [(data["state"], data["threshold"]) for _, data in rig.look()] == [("cleared", 100)]
    assert rig.look(connections=150) != []
    rig.monitor.configure(replace(SHARP, connections=Levels()))
    assert [data["state"] for _, data in rig.look()] == ["cleared"]


def test_the_greenlet_goes_on_after_a_bug(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        return 3

    monkeypatch.setattr(module, "count_greenlets", count)
    rig.values["connections"] = 15
    rig.monitor._alerts.clear()
    rig.monitor.start()
    rig.clock.advance(1.0)
    until(lambda: calls)
    rig.values["connections"] = 0
    until(lambda: rig.told)
    rig.monitor.stop()
    rig.monitor.stop()
