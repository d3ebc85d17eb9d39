"""What StatsD gets, and what a StatsD that is not there costs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.clock import FakeClock
from rtmpd.metrics.catalogue import METRICS
from rtmpd.metrics.registry import Reading, Registry
from rtmpd.monitor.statsd import StatsdPusher, element, path_of, prefix_of
from rtmpd.net import outgoing
from rtmpd.net.outgoing import Endpoint, literal
from rtmpd.settings import Address, MetricsSettings
from tests.support.metrics import FakeStatsd, Log
from tests.support.proof import proves
from tests.support.waiting import until

HOUR_S = 3600.0
Pusher = Callable[..., StatsdPusher]


class Rig:
    def __init__(self, address: Address, **settings: Any) -> None:
        self.log, self.clock = Log(), FakeClock()
        self.registry = Registry(self.log)
        wanted = MetricsSettings(**{"statsd": address, "statsd_interval_s": HOUR_S, **settings})
        self.pusher = StatsdPusher(wanted, self.registry, self.clock, self.log, "media1.example.net")
        self.registry.histogram("rtmp_handshake_duration_seconds").keeps_samples = True

    def failures(self) -> int:
        return len([message for message, _ in self.log.lines if message == "metrics not sent"])


@pytest.fixture(params=["udp", "tcp"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(protocol: str) -> Iterator[FakeStatsd]:
    fake = FakeStatsd(protocol)
    yield fake
    fake.close()


@pytest.fixture
def rig(server: FakeStatsd, protocol: str) -> Iterator[Rig]:
    rig = Rig(Address("127.0.0.1", server.port), statsd_protocol=protocol)
    yield rig
    rig.pusher.stop()


BASE = "rtmpd.media1_example_net"


def test_counters_go_as_what_was_added_and_gauges_as_they_are(rig: Rig, server: FakeStatsd) -> None:
    counter = rig.registry.counter("rtmp_events_generated_total")
    gauge = [7]
    rig.registry.collect_from(lambda: [Reading("rtmp_connections", gauge[0])])
    for added in (3, 0, 2):
        counter.add("play_start", by=added)
        assert rig.pusher.push()
    until(lambda: len(server.values(f"{BASE}.connections")) == 3)
    assert server.values(f"{BASE}.events.generated.play_start") == [3, 2]
    assert server.values(f"{BASE}.connections") == [7, 7, 7]
    kinds = {path: kind for path, _, kind in server.lines}
    assert kinds[f"{BASE}.connections"] == "g" and kinds[f"{BASE}.events.generated.play_start"] == "c"


def test_a_counter_is_sent_at_first_and_then_only_if_it_has_counted(rig: Rig, server: FakeStatsd) -> None:
    rig.registry.collect_from(lambda: [Reading("rtmp_frames_dropped_total", 0), Reading("rtmp_streams", 1)])
    for _ in range(3):
        rig.pusher.push()
    until(lambda: len(server.values(f"{BASE}.streams")) == 3)
    assert server.values(f"{BASE}.frames_dropped") == [0]


def test_durations_go_as_milliseconds(rig: Rig, server: FakeStatsd) -> None:
    rig.registry.histogram("rtmp_handshake_duration_seconds").observe(0.25)
    rig.pusher.push()
    rig.pusher.push()
    rig.registry.collect_from(lambda: [Reading("rtmp_streams", 1)])
    rig.pusher.push()
    until(lambda: server.values(f"{BASE}.streams"))
    assert [line for line in server.lines if "handshake" in line[0]] == [(f"{BASE}.handshake", 250.0, "ms")]


def test_labels_that_the_path_lacks_are_summed_up(rig: Rig, server: FakeStatsd) -> None:
    histogram = rig.registry.histogram("rtmp_hook_execution_duration_seconds")
    histogram.keeps_samples = True
    histogram.observe(0.1, "script", "play_start")
    histogram.observe(0.2, "script", "play_stop")
    rig.pusher.push()
    until(lambda: len(server.values(f"{BASE}.hooks.script.duration")) == 2)


def test_a_count_that_began_anew_is_added_and_not_taken_away(rig: Rig, server: FakeStatsd) -> None:
    count = [10]
    rig.registry.collect_from(lambda: [Reading("rtmp_hook_retries_total", count[0], ("ops",))])
    rig.pusher.push()
    count[0] = 4
    rig.pusher.push()
    until(lambda: len(server.values(f"{BASE}.lanes.ops.retries")) == 2)
    assert server.values(f"{BASE}.lanes.ops.retries") == [10, 4]


def test_what_the_network_says_can_not_break_the_wire_format(rig: Rig, server: FakeStatsd) -> None:
    """A line feed or a colon in a stream's name would be a metric of the client's own."""
    hostile = ["live/a:1|c\nadmin:5|c", "live/\xe9\x00", ".." * 300, ""]
    rig.registry.collect_from(lambda: [Reading("rtmp_stream_players", 1, (name,)) for name in hostile])
    assert rig.pusher.push()
    until(lambda: len(server.lines) == 4)
    assert all(path.startswith(f"{BASE}.stream.") and len(path) < 150 for path, _, _ in server.lines)


@proves("metrics.statsd_packet")
def test_one_datagram_is_no_longer_than_was_said() -> None:
    server = FakeStatsd()
    rig = Rig(Address("127.0.0.1", server.port), statsd_packet_bytes=600)
    for number in range(200):
        rig.registry.counter("rtmp_events_generated_total").add(f"type{number}")
    rig.pusher.push()
    until(lambda: len(server.lines) == 200)
    assert max(map(len, server.packets)) <= 600 and len(server.packets) > 10
    rig.pusher.stop()
    server.close()


def test_the_greenlet_sends_on_its_clock_and_once_more_at_the_end(server: FakeStatsd, protocol: str) -> None:
    rig = Rig(Address("127.0.0.1", server.port), statsd_protocol=protocol, statsd_interval_s=0.02)
    rig.registry.collect_from(lambda: [Reading("rtmp_connections", 1)])
    rig.pusher.start()
    until(lambda: len(server.values(f"{BASE}.connections")) >= 3)
    rig.registry.counter("rtmp_events_generated_total").add("server_stop")
    rig.pusher.stop()
    until(lambda: server.values(f"{BASE}.events.generated.server_stop") == [1])


# --- trouble ------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@proves("metrics.statsd_protocol")
def test_counters_that_could_not_be_sent_are_in_the_next_reading() -> None:
    port = closed_port()
    rig = Rig(Address("127.0.0.1", port), statsd_protocol="tcp")
    rig.registry.counter("rtmp_events_generated_total").add("play_start", by=5)
    assert not rig.pusher.push() and rig.failures() == 1
    server = FakeStatsd("tcp")
    rig.pusher._address = Address("127.0.0.1", server.port)
    rig.registry.counter("rtmp_events_generated_total").add("play_start", by=2)
    assert rig.pusher.push()
    until(lambda: server.values(f"{BASE}.events.generated.play_start") == [7])
    rig.pusher.stop()
    server.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "a..b"])
def test_a_name_that_can_not_be_resolved_costs_a_log_line(host: str, protocol: str) -> None:
    rig = Rig(Address(host, 8125), statsd_protocol=protocol)
    assert not rig.pusher.push()
    assert rig.failures() == 1


def test_a_server_that_goes_away_is_connected_to_again() -> None:
    server = FakeStatsd("tcp")
    rig = Rig(Address("127.0.0.1", server.port), statsd_protocol="tcp")
    rig.registry.collect_from(lambda: [Reading("rtmp_connections", 1)])
    assert rig.pusher.push()
    until(lambda: server.packets)
    server.close()
    until(lambda: not rig.pusher.push())
    other = FakeStatsd("tcp")
    rig.pusher._address = Address("127.0.0.1", other.port)
    assert rig.pusher.push()
    until(lambda: other.packets)
    rig.pusher.stop()
    other.close()


def test_a_server_that_does_not_read_delays_nobody_but_the_pusher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpd.monitor.statsd._TIMEOUT_S", 0.05)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        rig = Rig(Address("127.0.0.1", deaf.getsockname()[1]), statsd_protocol="tcp")
        turns = [0]

        def others() -> None:
            while True:
                turns[0] += 1
                gevent.sleep(0)

        greenlet = gevent.spawn(others)
        rig.registry.collect_from(
            lambda: [Reading("rtmp_stream_players", 1, (f"live/{number:060}",)) for number in range(2000)]
        )
        until(lambda: not rig.pusher.push())
        greenlet.kill()
        assert turns[0] > 10
        assert "timed out" in str(rig.log.lines[-1][1]["error"])
        rig.pusher.stop()


def test_a_bug_in_one_push_does_not_end_the_pushing(
    monkeypatch: pytest.MonkeyPatch, server: FakeStatsd, protocol: str
) -> None:
    rig = Rig(Address("127.0.0.1", server.port), statsd_protocol=protocol, statsd_interval_s=0.01)
    calls, read = [0], rig.registry.read

    def sometimes() -> object:
        calls[0] += 1
        if calls[0] == 1:
            raise RuntimeError("a bug")
        return read()

    monkeypatch.setattr(rig.registry, "read", sometimes)
    rig.registry.collect_from(lambda: [Reading("rtmp_connections", 1)])
    rig.pusher.start()
    until(lambda: server.packets)
    assert rig.log.lines[0][0] == "metrics could not be sent"
    rig.pusher.stop()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to, in the order of the system; what was asked for is in ``asked``."""
    names: dict[str, list[str]] = {"asked": []}

    def look_up(name: str) -> list[Endpoint]:
        names["asked"].append(name)
        return [endpoint for address in names[name] for endpoint in literal(address)]

    monkeypatch.setattr(outgoing, "look_up", look_up)
    return names


def test_a_udp_address_is_resolved_again_after_minutes(names: dict[str, list[str]]) -> None:
    server = FakeStatsd()
    names["statsd.test"] = ["127.0.0.1"]
    rig = Rig(Address("statsd.test", server.port))
    assert rig.pusher.push() and rig.pusher.push()
    assert names["asked"] == ["statsd.test"]
    rig.clock.advance(301)
    assert rig.pusher.push()
    assert names["asked"] == ["statsd.test"] * 2
    rig.pusher.stop()
    server.close()


def test_a_name_whose_ipv6_address_comes_first_reaches_a_statsd_on_ipv4(
    names: dict[str, list[str]], server: FakeStatsd, protocol: str
) -> None:
    names["localhost"] = ["::1", "127.0.0.1"]
    rig = Rig(Address("localhost", server.port), statsd_protocol=protocol)
    rig.registry.collect_from(lambda: [Reading("rtmp_connections", 1)])
    assert rig.pusher.push()
    until(lambda: server.values(f"{BASE}.connections") == [1])
    assert rig.log.lines == []
    rig.pusher.stop()


def test_where_nobody_listens_the_next_address_is_used_and_the_counters_are_sent_again(
    names: dict[str, list[str]],
) -> None:
    server = FakeStatsd()
    names["two.test"] = ["127.0.0.9", "127.0.0.1"]
    rig = Rig(Address("two.test", server.port))
    rig.registry.counter("rtmp_events_generated_total").add("play_start", by=5)
    rig.pusher.push()
    until(lambda: rig.pusher.push() and rig.failures() == 1)
    until(lambda: server.values(f"{BASE}.events.generated.play_start"))
    assert server.values(f"{BASE}.events.generated.play_start") == [5]
    assert rig.log.lines[0][1]["error"] == "Connection refused"
    for _ in range(3):
        assert rig.pusher.push()
    assert rig.failures() == 1, "reported once"
    rig.pusher.stop()
    server.close()


def test_a_statsd_that_begins_to_listen_gets_what_was_counted_meanwhile() -> None:
    port = closed_port()
    rig = Rig(Address("127.0.0.1", port))
    for _ in range(3):
        rig.registry.counter("rtmp_events_generated_total").add("play_start")
        rig.pusher.push()
    assert rig.failures() >= 1, "not without a word"
    server = FakeStatsd(port=port)
    rig.pusher.push()
    until(lambda: server.values(f"{BASE}.events.generated.play_start") == [3])
    rig.pusher.stop()
    server.close()


# --- paths --------------------------------------------------------------------------------------


@proves("metrics.statsd_prefix")
@pytest.mark.parametrize(
    ("settings", "prefix"),
    [
        ({}, "rtmpd.web1_example_net"),
        ({"statsd_host": ""}, "rtmpd"),
        ({"statsd_host": "edge.7", "statsd_prefix": "a.b c"}, "a.b_c.edge_7"),
        ({"statsd_prefix": "", "statsd_host": ""}, ""),
    ],
)
def test_the_prefix_says_which_machine_it_is(settings: dict[str, str], prefix: str) -> None:
    assert prefix_of(MetricsSettings(**settings), "web1.example.net") == prefix  # type: ignore[arg-type]


@given(st.text())
def test_an_element_is_one_element(text: str) -> None:
    assert 0 < len(element(text)) <= 80
    assert set(element(text)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def test_a_path_has_its_labels_in_it() -> None:
    metric = METRICS["rtmp_hook_executions_total"]
    assert path_of(metric, ("script", "play_start", "success")) == "hooks.script.play_start.success"
