"""What connections have moved is added up once, whenever somebody looks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rtmpd.metrics.registry import OTHER
from rtmpd.server.traffic import Traffic, known_apps
from rtmpd.settings import AppSettings, AppsSettings


class Moving:
    def __init__(self) -> None:
        self.has = (0, 0, 0)
        self.told = (0, 0, 0)
        self.waiting_frames = 0

    def moved(self) -> tuple[int, ...]:
        before, self.told = self.told, self.has
        return tuple(now - then for now, then in zip(self.has, before, strict=True))


def client(app: str = "live") -> Any:
    return SimpleNamespace(app=app, activity=Moving())


def totals(flow: Any) -> tuple[int, int, int]:
    return flow.received, flow.sent, flow.dropped


def test_bytes_are_added_once_however_often_a_connection_is_looked_at() -> None:
    traffic, one = Traffic(), client()
    one.activity.has = (100, 50, 1)
    for _ in range(3):
        traffic.look_at(one)
    one.activity.has = (150, 50, 1)
    traffic.note(one)
    assert totals(traffic.total) == totals(traffic.apps["live"]) == (150, 50, 1)


def test_a_connection_without_an_application_counts_in_the_total_only() -> None:
    traffic, one = Traffic(), client("")
    one.activity.has = (100, 50, 0)
    traffic.note(one)
    assert totals(traffic.total) == (100, 50, 0) and traffic.apps == {}


def test_applications_past_the_cap_share_one_name_and_known_ones_have_their_own() -> None:
    traffic = Traffic(["kept"], max_apps=2)
    assert [traffic.slot(app) for app in ("a", "b", "kept", "a", "c")] == ["a", OTHER, "kept", "a", OTHER]
    assert set(traffic.apps) == {"kept", "a", OTHER}


def test_without_metrics_of_applications_there_are_none() -> None:
    traffic = Traffic(["kept"], max_apps=0)
    assert traffic.slot("kept") == "" and traffic.apps == {}


def test_what_waits_and_who_is_there_is_that_of_the_last_round() -> None:
    traffic, one, other = Traffic(), client(), client("vod")
    one.activity.waiting_frames, other.activity.waiting_frames = 3, 4
    for each in (one, other):
        traffic.look_at(each)
    assert traffic.queue_depth == 0
    traffic.turn(1.0)
    assert (traffic.queue_depth, dict(traffic.connections)) == (7, {"live": 1, "vod": 1})
    traffic.turn(2.0)
    assert (traffic.queue_depth, dict(traffic.connections)) == (0, {})


def test_rates_are_those_of_the_last_seconds() -> None:
    traffic, one = Traffic(), client()
    traffic.turn(100.0)
    one.activity.has = (1000, 5000, 0)
    traffic.look_at(one)
    traffic.turn(103.0)
    assert traffic.ingest_bps == 0.0
    traffic.turn(105.0)
    assert (traffic.ingest_bps, traffic.egress_bps) == (200.0, 1000.0)
    traffic.turn(110.0)
    assert (traffic.ingest_bps, traffic.egress_bps) == (0.0, 0.0)


def test_known_applications_are_those_with_a_name_and_not_a_glob() -> None:
    apps = AppsSettings(served=("live", "event-*", "vod"), named=(("radio", AppSettings()),))
    assert known_apps(apps) == ["radio", "live", "vod"]
