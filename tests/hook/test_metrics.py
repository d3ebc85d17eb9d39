"""What the hooks report becomes the specified metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rtmpd.clock import FakeClock
from rtmpd.errors import DeliveryError, NotSentError, TransientDeliveryError
from rtmpd.event.birth import Births
from rtmpd.hook.filter.engine import REASONS
from rtmpd.hook.record.metrics import OUTCOMES, HookMetrics, outcome_of
from rtmpd.hook.record.records import Tried
from rtmpd.metrics.registry import Distribution
from tests.support.metrics import registry

HOOK: Any = SimpleNamespace(id="ops", type="webhook")


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.registry = registry()
        self.metrics = HookMetrics(self.registry, self.clock)
        self.births = Births(self.clock.wall, lambda count: bytes(count))

    def event(self, type: str = "play_start") -> Any:
        return self.births.event(type, "c000001", "live/a", {})

    def tried(self, event: Any, attempt: int, seconds: float, error: DeliveryError | None = None) -> None:
        self.metrics.tried(Tried(HOOK, event, attempt, seconds, "", error))

    def values(self, name: str) -> dict[tuple[str, ...], Any]:
        return {r.labels: r.value for metric, readings in self.registry.read() for r in readings if metric.name == name}


def test_a_try_is_an_execution_with_its_type_event_and_status() -> None:
    rig = Rig()
    rig.tried(rig.event(), 1, 0.02)
    rig.tried(rig.event(), 1, 0.02, TransientDeliveryError("server returned status 503", "status:503"))
    assert rig.values("rtmp_hook_executions_total") == {
        ("webhook", "play_start", "success"): 1,
        ("webhook", "play_start", "failure"): 1,
    }
    assert rig.values("rtmp_hook_attempts_total") == {("ops", "success"): 1, ("ops", "http_5xx"): 1}
    duration = rig.values("rtmp_hook_execution_duration_seconds")["webhook", "play_start"]
    assert isinstance(duration, Distribution) and (duration.count, duration.sum) == (2, pytest.approx(0.04))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("", "success"), ("timeout", "timeout"), ("status:302", "http_3xx"), ("status:404", "http_4xx"),
        ("status:503", "http_5xx"), ("exit:75", "exit"), ("signal:9", "signal"), ("bug", "bug"),
        ("ECONNREFUSED", "error"), ("address_refused", "error"), ("status:abc", "error"), ("status:", "error"),
    ],
)  # fmt: skip
def test_codes_are_counted_by_kind(code: str, outcome: str) -> None:
    assert outcome_of(code) == outcome and outcome in OUTCOMES


def test_the_time_to_delivery_counts_from_the_birth_of_the_event() -> None:
    rig = Rig()
    event = rig.event()
    rig.clock.advance(2.0)
    rig.tried(event, 1, 0.5, TransientDeliveryError("timed out", "timeout"))
    assert rig.values("rtmp_hook_delivery_latency_seconds") == {}
    rig.clock.advance(1.0)
    rig.tried(event, 2, 0.5)
    assert rig.values("rtmp_hook_delivery_latency_seconds")["ops",].sum == pytest.approx(3.0, abs=0.01)


def test_what_was_not_sent_is_no_execution_and_no_failure() -> None:
    rig = Rig()
    rig.tried(rig.event(), 1, 0.5, NotSentError("the worker is busy", "not_sent"))
    assert rig.values("rtmp_hook_attempts_total") == {("ops", "not_sent"): 1}
    assert rig.values("rtmp_hook_executions_total") == {} and rig.metrics.take_durations_ms() == {}


def test_an_event_made_by_hand_has_no_such_time() -> None:
    rig = Rig()
    rig.tried(SimpleNamespace(type="play_start", id="mine"), 1, 0.5)
    assert rig.values("rtmp_hook_delivery_latency_seconds") == {}


def test_events_are_counted_by_type() -> None:
    rig = Rig()
    generated = {"play_start": 2, "play_stop": 1}
    rig.metrics.read_from(SimpleNamespace(stats=lambda: {"hooks": {}}, generated=generated), dict)
    assert rig.values("rtmp_events_generated_total") == {("play_start",): 2, ("play_stop",): 1}


def test_what_filters_refuse_has_the_filter_and_the_reason() -> None:
    rig = Rig()
    rig.metrics.read_from(SimpleNamespace(stats=lambda: {"hooks": {}}, generated={}), lambda: dict.fromkeys(REASONS, 2))
    found = rig.values("rtmp_events_filtered_total")
    assert {reason for _, reason in found} == set(REASONS)
    assert ("condition", "missing_field") in found and ("rate_limit", "rate_limit") in found
    assert set(found.values()) == {2}


def test_lanes_are_read_from_what_they_count() -> None:
    rig = Rig()
    lane = {"queued": 7, "active": 2, "oldest_sec": 1.5, "retried": 3, "dropped": 4, "state": "tripped", "dead": {}}
    rig.metrics.read_from(SimpleNamespace(stats=lambda: {"hooks": {"ops": lane}}, generated={}), dict)
    key = ("ops",)
    assert rig.values("rtmp_hook_backlog")[key] == 7
    assert rig.values("rtmp_hook_in_flight")[key] == 2
    assert rig.values("rtmp_hook_oldest_age_seconds")[key] == 1.5
    assert rig.values("rtmp_hook_retries_total")[key] == 3
    assert rig.values("rtmp_hook_dropped_total")[key] == 4
    assert rig.values("rtmp_hook_state") == {
        ("ops", "active"): 0, ("ops", "retrying"): 0, ("ops", "tripped"): 1, ("ops", "paused"): 0,
        ("ops", "disabled"): 0,
    }  # fmt: skip
    assert rig.metrics.backlogs() == {"ops": 7}


def test_dead_letters_are_counted_by_hook_and_reason() -> None:
    rig = Rig()
    rig.metrics.buried(HOOK, rig.event(), "attempts", 5, "no")
    rig.metrics.buried(HOOK, rig.event(), "attempts", 5, "no")
    assert rig.values("rtmp_hook_dead_letters_total") == {("ops", "attempts"): 2}
    assert rig.metrics.dead_letters() == 2


def test_durations_for_the_monitor_are_those_since_the_last_call() -> None:
    rig = Rig()
    rig.tried(rig.event(), 1, 0.5)
    assert rig.metrics.take_durations_ms() == {"ops": 500.0}
    assert rig.metrics.take_durations_ms() == {}
