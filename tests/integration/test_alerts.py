"""Real load raises the alerts of a real house, and its end clears them."""

from __future__ import annotations

import itertools
import os
import resource
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import monkey

from rtmpd.errors import PermanentDeliveryError
from rtmpd.event.event import Event
from rtmpd.monitor import monitor
from rtmpd.settings import AlertSettings, Levels
from tests.integration.conftest import Start
from tests.integration.test_slow import picture, starve
from tests.support.client import handshake_bytes
from tests.support.hooks import HeldHook
from tests.support.house import Running, descriptors
from tests.support.proof import proves
from tests.support.waiting import wait_until

OFF = Levels()
#: Everything off and quick; a test switches on what it is about.
QUIET: dict[str, Any] = {
    "interval_s": 0.05, "hold_s": 0.05, "cool_down_s": 0.0,
    **{name: OFF for name, value in AlertSettings.__dataclass_fields__.items() if isinstance(value.default, Levels)},
    "connections": OFF,
}  # fmt: skip


def alert(house: Running, type: str, state: str, **match: object) -> Event:
    return house.wait_event(type, state=state, **match)


def only(house: Running, type: str) -> list[tuple[object, object]]:
    """State and severity of all alerts there were."""
    assert {event.type for event in house.events if event.type.endswith("_alert")} == {type}
    return [(event.data["state"], event.data["severity"]) for event in house.of(type)]


def test_many_connections(start: Start) -> None:
    house = start(alerts={**QUIET, "connections": Levels(5, 0)})
    clients = [house.client() for _ in range(6)]
    clients[0].publish()
    raised = alert(house, "performance_alert", "raised", metric_type="connections")
    assert raised.data["threshold"] == 5 and raised.data["current_value"] >= 5 and raised.severity == "warning"
    assert raised.data["active_connections"] >= 5 and raised.data["total_streams"] == 1
    assert raised.data["greenlet_count"] == raised.data["goroutine_count"] > 6
    for client in clients[2:]:
        client.close()
    cleared = alert(house, "performance_alert", "cleared", metric_type="connections")
    assert cleared.data["active_connections"] <= 4
    assert only(house, "performance_alert") == [("raised", "warning"), ("cleared", "warning")]
    assert len(house.logged("alert raised", metric="connections")) == 1


@proves("alerts.connections")
def test_without_a_threshold_connections_are_measured_against_their_limit(start: Start) -> None:
    house = start(limits={"connections": 10}, alerts={**QUIET, "connections": None})
    clients = [house.client() for _ in range(8)]
    assert alert(house, "performance_alert", "raised").data["threshold"] == 8
    for client in clients:
        client.close()
    alert(house, "performance_alert", "cleared")


@proves("alerts.cpu")
def test_a_busy_processor(start: Start) -> None:
    house = start(alerts={**QUIET, "cpu": Levels(25, 0)})

    def burn() -> None:
        ends = time.monotonic() + 6.0
        while time.monotonic() < ends:
            sum(range(20_000))
            gevent.sleep(0)

    burner = gevent.spawn(burn)
    try:
        raised = alert(house, "performance_alert", "raised", metric_type="cpu")
        assert raised.data["current_value"] >= 25 == raised.data["threshold"]
    finally:
        burner.kill()
    alert(house, "performance_alert", "cleared", metric_type="cpu")


@proves("alerts.memory")
def test_memory_over_its_threshold(start: Start) -> None:
    house = start(alerts={**QUIET, "memory": Levels(1e-6, 0)})
    raised = alert(house, "performance_alert", "raised", metric_type="memory")
    assert raised.data["current_value"] >= 1e-6 == raised.data["threshold"]


@proves("alerts.descriptors")
def test_descriptors_that_run_short(start: Start) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    threshold = 100 * (descriptors() + 40) / most
    house = start(alerts={**QUIET, "descriptors": Levels(threshold, 0), "hysteresis_percent": 0})
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(60)]
    try:
        raised = alert(house, "resource_alert", "raised", metric_type="descriptors")
        assert raised.data["current_value"] >= round(threshold, 3)
    finally:
        for descriptor in held:
            os.close(descriptor)
    alert(house, "resource_alert", "cleared", metric_type="descriptors")


@proves("alerts.hub_lag")
def test_a_hub_that_is_kept_from_turning(start: Start) -> None:
    house = start(alerts={**QUIET, "hub_lag_ms": Levels(150, 0)})
    monkey.get_original("time", "sleep")(0.5)
    raised = alert(house, "latency_alert", "raised", metric="hub_lag")
    assert raised.data["value_ms"] >= 150 == raised.data["threshold_ms"]
    alert(house, "latency_alert", "cleared", metric="hub_lag")


@proves("alerts.handshake")
def test_a_client_that_is_slow_in_its_handshake(start: Start) -> None:
    house = start(alerts={**QUIET, "hold_s": 0.0, "handshake_ms": Levels(100, 0)})
    raw = house.raw()
    whole = handshake_bytes()
    raw.send(whole[:100])
    gevent.sleep(0.15)  # it is this time that is measured
    raw.send(whole[100:])
    raised = alert(house, "latency_alert", "raised", metric="handshake")
    assert raised.data["value_ms"] >= 100
    alert(house, "latency_alert", "cleared", metric="handshake")


@proves("alerts.hook", "alerts.hook_backlog")
def test_a_slow_hook_and_its_backlog(start: Start) -> None:
    settings = {"hold_s": 0.0, "hook_ms": Levels(50, 0), "hook_backlog": Levels(3, 0)}
    house = start(alerts={**QUIET, **settings})
    slow = HeldHook("slow")
    house.house.hooks.register(slow, ("connection_accept",), concurrency=1)
    clients = [house.client() for _ in range(6)]
    for client in clients:
        client.connect()
    raised = alert(house, "resource_alert", "raised", metric_type="hook_backlog")
    assert raised.data["hook_id"] == "slow" and raised.data["current_value"] >= 3
    gevent.sleep(0.06)  # it is this time that is measured
    slow.go.set()
    assert alert(house, "latency_alert", "raised", metric="hook").data["hook_id"] == "slow"
    alert(house, "resource_alert", "cleared", hook_id="slow")
    alert(house, "latency_alert", "cleared", hook_id="slow")
    assert len(clients) == len(wait_until(lambda: len(slow.done) == 6 and slow.done, "all were delivered"))


class Refusing:
    id = "refusing"
    type = "test"

    def execute(self, event: Event, deadline: float) -> None:
        raise PermanentDeliveryError("no", "status:400")

    def close(self) -> None:
        pass


@proves("alerts.dead_letters")
def test_dead_letters(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_DEAD_LETTERS_S", 0.3)
    house = start(alerts={**QUIET, "hold_s": 0.0, "dead_letters": Levels(2, 0)})
    alive = house.house.instruments
    wait_until(lambda: any(True for _ in alive._monitor.read()), "a first look")  # type: ignore[union-attr]
    house.house.hooks.register(Refusing(), ("connection_accept",))
    for _ in range(2):
        house.client().connect()
    raised = alert(house, "resource_alert", "raised", metric_type="dead_letters")
    assert raised.data["current_value"] == 2 == raised.data["threshold"]
    alert(house, "resource_alert", "cleared", metric_type="dead_letters")


@proves("alerts.queue_depth")
def test_players_that_fall_behind(start: Start) -> None:
    house = start(
        alerts={**QUIET, "queue_depth": Levels(10, 0)}, app={"backlog_bytes": 50_000_000, "flush": "immediate"}
    )
    publisher, sleeper = house.client(), house.client(receive_bytes=4096)
    msid = publisher.publish()
    publisher.headers(msid)
    sleeper.play()
    starve(house, sleeper)
    for number in range(60):
        publisher.video(msid, picture(number), number * 40)
    raised = alert(house, "performance_alert", "raised", metric_type="queue_depth")
    assert raised.data["message_queue_depth"] >= 10 == raised.data["threshold"]
    sleeper.close()
    alert(house, "performance_alert", "cleared", metric_type="queue_depth")


def test_the_file_systems_of_recordings_are_watched_without_being_named(start: Start, tmp_path: Path) -> None:
    house = start(alerts={**QUIET, "disk": Levels(1e-9, 0)}, app={"record": "all", "record_dir": str(tmp_path)})
    assert alert(house, "resource_alert", "raised", metric_type="disk").data["path"] == str(tmp_path)


@proves("alerts.disk", "alerts.disk_paths")
def test_a_file_system_over_its_threshold(start: Start) -> None:
    house = start(alerts={**QUIET, "disk": Levels(1e-9, 0), "disk_paths": ("/", "/no/such/folder")})
    raised = alert(house, "resource_alert", "raised", metric_type="disk")
    assert raised.data["path"] == "/" and 0 < raised.data["current_value"] <= 100
    assert house.logged("file system cannot be watched", path="/no/such/folder")


def test_a_calm_house_raises_nothing_with_the_thresholds_it_comes_with(start: Start) -> None:
    house = start(alerts={"interval_s": 0.05, "hold_s": 0.1})
    house.check_service()
    wait_until(lambda: len(list(house.house.instruments._monitor.read())) >= 7, "a look")  # type: ignore[union-attr]
    gevent.sleep(0.2)
    told = [event.data.get("metric_type", event.data.get("metric")) for event in house.events if "_alert" in event.type]
    assert set(told) <= {"cpu", "hub_lag"}  # the machine that runs the tests may be busy


@proves("alerts.enabled")
def test_alerts_can_be_switched_off(start: Start) -> None:
    house = start(alerts={**QUIET, "enabled": False, "connections": Levels(1, 0)})
    house.client()
    gevent.sleep(0.2)
    assert not [event for event in house.events if event.type.endswith("_alert")]


@proves("alerts.interval")
def test_values_are_looked_at_as_often_as_the_interval_says(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(monitor.Monitor, "look", lambda self: looks.append(self))
    start(alerts={**QUIET, "interval_s": 0.05})
    wait_until(lambda: len(looks) >= 3, "three looks")


@proves("alerts.message")
def test_a_message_that_takes_long(start: Start) -> None:
    house = start(alerts={**QUIET, "hold_s": 0.0, "message_ms": Levels(1e-5, 0)})
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    publisher.headers(msid)
    player.play()
    frames = itertools.count()

    def raised_meanwhile() -> list[Event]:
        number = next(frames)
        publisher.video(msid, picture(number), number * 40)
        return house.of("latency_alert")

    (raised,) = wait_until(raised_meanwhile, "the alert")
    assert raised.data["value_ms"] >= 1e-5 == raised.data["threshold_ms"]
