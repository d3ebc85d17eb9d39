"""The metrics of a real house: what went through it is what they say."""

from __future__ import annotations

from typing import Any

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from rtmpd.metrics.registry import OTHER
from rtmpd.settings import Address, AppSettings
from tests.integration.conftest import Start
from tests.support.client import keyframe
from tests.support.house import Running
from tests.support.metrics import FakeStatsd
from tests.support.proof import proves
from tests.support.waiting import wait_until


def page(house: Running) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and the values of its labels."""
    text = house.house.instruments.render().decode()
    families = parser.text_string_to_metric_families(text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def value(house: Running, name: str, *labels: str) -> float:
    return page(house).get((name, labels), 0.0)


def play_something(house: Running, name: str = "a") -> tuple[Any, Any]:
    publisher, player = house.client(), house.client()
    msid = publisher.publish(name)
    publisher.headers(msid)
    publisher.video(msid, keyframe(5000), 40)
    player.play(name)
    player.wait_payload(keyframe(5000))
    return publisher, player


def test_what_is_there_is_counted_while_it_is_there(start: Start) -> None:
    house = start()
    play_something(house)
    found = page(house)
    names = {"rtmp_connections": 2, "rtmp_publishers": 1, "rtmp_players": 1, "rtmp_streams": 1}
    assert {name: found[name, ()] for name in names} == names
    house.close_clients()
    found = page(house)
    assert {name: found[name, ()] for name in names} == dict.fromkeys(names, 0)
    assert found["rtmp_connections_accepted_total", ()] == 2


def test_bytes_are_those_that_the_connections_tell_when_they_close(start: Start) -> None:
    house = start()
    for name in ("a", "b"):
        play_something(house, name)
    wait_until(lambda: value(house, "rtmp_sent_bytes_total") > 10_000, "the living are counted too")
    assert value(house, "rtmp_received_bytes_total") > 10_000
    house.close_clients()
    closed = house.of("connection_close")
    for name, key in (("received", "bytes_received"), ("sent", "bytes_sent")):
        told = sum(event.data[key] for event in closed)  # type: ignore[misc]
        assert value(house, f"rtmp_{name}_bytes_total") == told
        assert value(house, f"rtmp_app_{name}_bytes_total", "live") <= told


def test_a_connection_that_nobody_looked_at_is_counted_when_it_closes(start: Start) -> None:
    house = start()
    house.house._server._watch.stop()
    play_something(house)
    assert value(house, "rtmp_received_bytes_total") == 0
    house.close_clients()
    told = sum(event.data["bytes_received"] for event in house.of("connection_close"))  # type: ignore[misc]
    assert value(house, "rtmp_received_bytes_total") == told > 5000


def test_totals_never_run_backwards(start: Start) -> None:
    house = start()
    seen = [0.0]
    for name in ("a", "b", "c"):
        publisher, player = play_something(house, name)
        seen.append(value(house, "rtmp_received_bytes_total"))
        publisher.close()
        seen.append(value(house, "rtmp_received_bytes_total"))
        player.close()
    assert seen == sorted(seen) and seen[-1] > seen[1]


def test_events_and_executions_are_counted_by_type(start: Start) -> None:
    house = start()
    play_something(house)
    house.close_clients()
    by_type: dict[str, int] = {}
    for event in house.events:
        by_type[event.type] = by_type.get(event.type, 0) + 1
    found = page(house)
    generated = {labels[0]: count for (name, labels), count in found.items() if name == "rtmp_events_generated_total"}
    assert generated == by_type
    for type, count in by_type.items():
        assert found["rtmp_hook_executions_total", ("test", type, "success")] == count
        assert found["rtmp_hook_execution_duration_seconds_count", ("test", type)] == count
    assert found["rtmp_hook_attempts_total", ("recorder", "success")] == len(house.events)
    assert found["rtmp_hook_delivery_latency_seconds_count", ("recorder",)] == len(house.events)


def test_a_handshake_is_measured(start: Start) -> None:
    house = start()
    house.client().connect()
    assert value(house, "rtmp_handshake_duration_seconds_count") == 1


@proves("metrics.max_apps")
def test_applications_that_clients_make_up_are_counted_together(start: Start) -> None:
    named = (("kept", AppSettings()),)
    house = start(metrics={"max_apps": 3}, apps={"named": named})
    for number in range(10):
        house.client().connect(f"made-up-{number}")
    house.client().connect("kept")
    wait_until(lambda: value(house, "rtmp_app_connections", OTHER) == 8, "all are counted")
    apps = {labels[0] for name, labels in page(house) if name == "rtmp_app_connections"}
    assert len(apps) == 4 and {"kept", OTHER} <= apps
    assert value(house, "rtmp_app_connections", "kept") == 1


@proves("metrics.max_streams", "metrics.per_stream")
def test_streams_have_metrics_only_by_option_and_never_too_many(start: Start) -> None:
    house = start()
    play_something(house)
    assert not [name for name, _ in page(house) if name.startswith("rtmp_stream_")]
    house = start(metrics={"per_stream": True, "max_streams": 2})
    for name in ("one", 'tw"o\\', "three"):
        play_something(house, name)
    players = {labels[0]: count for (name, labels), count in page(house).items() if name == "rtmp_stream_players"}
    assert players == {"live/one": 1, 'live/tw"o\\': 1}
    assert value(house, "rtmp_stream_received_bytes_total", "live/one") > 5000


def test_openmetrics_can_be_read_too(start: Start) -> None:
    house = start()
    play_something(house)
    text = house.house.instruments.render(openmetrics=True).decode()
    families = {family.name: family for family in openmetrics_parser.text_string_to_metric_families(text)}
    assert families["rtmp_events_generated"].type == "counter"
    assert families["rtmp_build_info"].samples[0].value == 1


@proves("metrics.statsd_host")
def test_statsd_gets_the_same_and_the_last_of_it_at_the_stop(start: Start) -> None:
    server = FakeStatsd()
    to = {"statsd": Address("127.0.0.1", server.port), "statsd_interval_s": 0.05, "statsd_host": "web1"}
    house = Running(metrics=to)
    try:
        play_something(house)
        wait_until(lambda: 2 in server.values("rtmpd.web1.connections"), "StatsD knows of both")
        house.close_clients()
    finally:
        house.finish()
    told = house.told()
    closed = "rtmpd.web1.events.generated.connection_close"
    wait_until(lambda: sum(server.values(closed)) == 2, "the last counters came")
    assert sum(server.values("rtmpd.web1.hooks.test.publish_start.success")) == 1
    assert sum(v for path, v, kind in server.lines if "events.generated" in path) == len(told)
    assert server.values("rtmpd.web1.handshake")
    server.close()


@proves("metrics.statsd", "metrics.statsd_interval")
def test_a_house_whose_statsd_does_not_exist_works_all_the_same(start: Start) -> None:
    house = start(metrics={"statsd": Address("no-such-host.invalid", 8125), "statsd_interval_s": 0.02})
    wait_until(lambda: house.logged("metrics not sent"), "it is told")
    house.check_service()
