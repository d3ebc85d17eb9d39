"""Room by room: prepare changes nothing, commit changes all, abort leaves nothing behind."""

from __future__ import annotations

import logging
import socket as plain_socket
import ssl
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import gevent
import pytest
from cryptography import x509
from gevent import socket

from rtmpd import log
from rtmpd.errors import ConfigError
from rtmpd.reload import _OF_THE_PROCESS
from rtmpd.settings import (
    Address,
    AlertSettings,
    AppSettings,
    AppsSettings,
    HookSettings,
    HooksSettings,
    Levels,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    Settings,
    TlsSettings,
)
from rtmpd.settings.http import ApiSettings
from tests.integration.conftest import Start, make_certificate
from tests.integration.test_reload_options import Desk
from tests.support.client import PATIENCE_S, Client, interframe, keyframe
from tests.support.house import Running
from tests.support.waiting import wait_until

ANY_PORT = Address("127.0.0.1", 0)


def taken() -> plain_socket.socket:
    return plain_socket.create_server(("127.0.0.1", 0))


def free() -> Address:
    with taken() as sock:
        return Address("127.0.0.1", sock.getsockname()[1])


def accepts(address: Address) -> bool:
    try:
        socket.create_connection((address.host, address.port), PATIENCE_S).close()
    except ConnectionRefusedError:
        return False
    return True


def refused(house: Running, **slices: object) -> str:
    """The problem for which nothing was changed."""
    before = house.house.settings, house.house.addresses
    with pytest.raises(ConfigError) as caught:
        house.change(**slices)
    assert (house.house.settings, house.house.addresses) == before
    return str(caught.value)


def test_every_slice_of_the_settings_is_some_parts_matter(start: Start) -> None:
    parts = [slice for slices, _ in start().house._parts(Settings()) for slice in slices]
    assert {*parts, *_OF_THE_PROCESS} == {slice.name for slice in fields(Settings)}


# --- listeners ------------------------------------------------------------------------------------


def test_addresses_come_and_go_and_sessions_stay(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect()
    server, added, old = house.house.settings.server, free(), house.address
    house.change(server=replace(server, listen=(ANY_PORT, added)))
    assert house.house.addresses == [old, added] and accepts(old) and accepts(added)
    house.change(server=replace(server, listen=(added,)))
    assert house.house.addresses == [added] and not accepts(old)
    assert client.create_stream() and house.alive(house.connection(client).conn_id)
    house.client(added).publish()


def test_a_port_that_is_taken_changes_nothing_and_leaves_nothing_bound(start: Start) -> None:
    house, added = start(), free()
    server = house.house.settings.server
    with taken() as other:
        port = other.getsockname()[1]
        problem = refused(house, server=replace(server, listen=(ANY_PORT, added, Address("127.0.0.1", port))))
        assert problem.startswith(f"server.listen: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert not accepts(added) and accepts(house.address)


def test_what_was_prepared_is_let_go_when_a_later_part_can_not_be(start: Start) -> None:
    house, added = start(), free()
    house.house.serve_http(Desk(), log)
    server = house.house.settings.server
    with taken() as other:
        http = ApiSettings(listen=(Address("127.0.0.1", other.getsockname()[1]),), socket="")
        problem = refused(house, server=replace(server, listen=(ANY_PORT, added)), http=http)
    assert problem.startswith("http.listen: cannot listen on 127.0.0.1:")
    assert not accepts(added)


def test_an_abort_gives_back_what_was_made_and_the_old_goes_on(start: Start) -> None:
    house, added = start(), free()
    server = house.house.settings.server
    change = house.house.prepare(replace(house.house.settings, server=replace(server, listen=(added,))))
    assert house.house.addresses == [house.address]
    change.abort()
    assert not accepts(added) and accepts(house.address)
    house.check_service()


def certificate_seen(address: Address) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sock = socket.create_connection((address.host, address.port), PATIENCE_S)
    with context.wrap_socket(sock) as secure:
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"").serial_number


def test_a_certificate_replaced_under_its_path_is_that_of_new_clients(start: Start, tmp_path: Path) -> None:
    tls = make_certificate(tmp_path)
    house = start(listen=(Address("127.0.0.1", 0, tls=True), ANY_PORT), server={"tls": tls})
    before = certificate_seen(house.address)
    assert make_certificate(tmp_path) == tls
    assert certificate_seen(house.address) == before
    house.change()
    assert certificate_seen(house.address) != before
    Path(tls.cert).write_text("nonsense")
    assert refused(house).startswith("server.tls_cert: the certificate")
    assert certificate_seen(house.address) != before


def test_a_port_can_become_one_for_tls_and_back(start: Start, certificate: TlsSettings) -> None:
    place = free()
    house = start(listen=(place,))
    client = house.client()
    client.connect()
    server = house.house.settings.server
    house.change(server=replace(server, listen=(replace(place, tls=True),), tls=certificate))
    assert house.house.addresses == [replace(place, tls=True)] and certificate_seen(place)
    assert client.create_stream()
    house.change(server=server)
    house.client().connect()


# --- http -----------------------------------------------------------------------------------------


def asked(place: Address | str, path: str = "/healthz", host: str = "localhost", token: str = "") -> bytes:
    """The first line and the rest of an answer."""
    family = socket.AF_UNIX if isinstance(place, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(place if isinstance(place, str) else (place.host, place.port))
        line = f"Authorization: Bearer {token}\r\n" if token else ""
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer


@pytest.fixture
def served(start: Start) -> tuple[Running, Address, ApiSettings]:
    place = free()
    house = start(http={"listen": (place,)})
    house.house.serve_http(Desk(), log)
    return house, place, house.house.settings.http


def test_http_addresses_and_the_control_socket_come_and_go(
    served: tuple[Running, Address, ApiSettings], tmp_path: Path
) -> None:
    house, old, http = served
    added, path = free(), tmp_path / "c.sock"
    house.change(http=replace(http, listen=(old, added), socket=str(path)))
    for place in (old, added, str(path)):
        assert asked(place).startswith(b"HTTP/1.1 200")
    house.change(http=replace(http, listen=(added,), socket=""))
    assert asked(added).startswith(b"HTTP/1.1 200")
    assert not accepts(old) and not path.exists()


def test_hosts_and_token_files_hold_from_the_next_request_on(
    served: tuple[Running, Address, ApiSettings], tmp_path: Path
) -> None:
    house, place, http = served
    (tmp_path / "tokens").write_text("t" * 32)
    assert asked(place, host="a.example").startswith(b"HTTP/1.1 421")
    assert asked(place, "/api/v1/server", token="t" * 32).startswith((b"HTTP/1.1 401", b"HTTP/1.1 403"))
    house.change(http=replace(http, hosts=("a.example",), token_file=str(tmp_path / "tokens")))
    assert asked(place, host="a.example").startswith(b"HTTP/1.1 200")
    assert asked(place, "/api/v1/server", token="t" * 32).startswith(b"HTTP/1.1 200")


def test_who_follows_the_events_goes_on_and_the_bound_on_them_is_new(
    served: tuple[Running, Address, ApiSettings], tmp_path: Path
) -> None:
    house, place, http = served
    (tmp_path / "tokens").write_text("t" * 32)
    path = "/api/v1/events?type=connection_accept&count=2"
    house.change(http=replace(http, token_file=str(tmp_path / "tokens")))
    follower = gevent.spawn(asked, place, path, token="t" * 32)
    wait_until(lambda: "events-tail" in house.house.hooks.lanes, "somebody follows")
    house.client().connect()
    house.change(http=replace(house.house.settings.http, event_listeners=1, listen=()))
    assert not accepts(place)
    house.client().connect()
    answer = follower.get(timeout=PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"event: connection_accept") == 2


# --- apps, limits ---------------------------------------------------------------------------------


def apps(**changed: object) -> AppsSettings:
    return AppsSettings(default=replace(AppSettings(), **changed))


def test_a_publisher_is_read_as_its_streams_new_flush_policy_asks(start: Start) -> None:
    house = start(app={"flush": "window", "flush_window_ms": 30})
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    transport = house.connection(publisher).peer.transport
    stream = house.house.registry.find("live/a")
    assert stream is not None and transport.gather_s == 0.03
    for number, (flush, window_ms, gather_s) in enumerate(
        [("immediate", 50, 0.0), ("window", 20, 0.02), ("audio-waits", 50, 0.0), ("window", 40, 0.04)]
    ):
        house.change(apps=apps(flush=flush, flush_window_ms=window_ms))
        assert (transport.gather_s, stream._policy.gathered) == (gather_s, gather_s > 0)
        publisher.video(msid, keyframe(50 + number), number * 40)
        player.wait_payload(keyframe(50 + number))


def test_the_gop_cache_of_a_running_stream_can_be_switched_off_and_on(start: Start) -> None:
    house = start()
    publisher = house.client()
    msid = publisher.publish()
    stream = house.house.registry.find("live/a")
    assert stream is not None
    publisher.video(msid, keyframe(60))
    wait_until(lambda: stream.gop.frames, "it is cached")
    house.change(apps=apps(gop_cache=False))
    assert not stream.gop.frames
    house.change(apps=apps())
    publisher.video(msid, keyframe(61), 40)
    publisher.video(msid, interframe(61), 80)
    wait_until(lambda: len(stream.gop.frames) == 2, "it is cached again")
    player = house.client()
    player.play()
    player.wait_payload(interframe(61))


def test_backlogs_limits_and_the_conflict_rule_are_new_for_who_is_there(start: Start) -> None:
    house = start()
    publisher, player, rival = house.client(), house.client(), house.client()
    publisher.publish()
    player.play()
    stream = house.house.registry.find("live/a")
    assert stream is not None
    rival_msid = rival_publish(rival)
    rival.wait_code("NetStream.Publish.BadName", rival_msid)
    house.change(apps=apps(publish_conflict="replace", backlog_bytes=70000, backlog_ms=200))
    (subscriber,) = stream.subscribers
    assert (subscriber._limit_bytes, subscriber._backlog_ms) == (70000, 200)
    house.client().publish()
    publisher.wait_end()
    house.change(limits=LimitSettings(connections=1))
    house.raw().read_to_end()
    assert house.of("connection_error")[-1].data["error_type"] == "resource_error" or house.errors()


def rival_publish(client: Client) -> int:
    client.connect()
    msid = client.create_stream()
    client.call("publish", None, "a", "live", msid=msid)
    return msid


# --- metrics and alerts ---------------------------------------------------------------------------


class Statsd:
    """A server that keeps what it is sent."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self.sock.getsockname()[1])
        self.counted = 0.0
        self._greenlet = gevent.spawn(self._receive)

    def _receive(self) -> None:
        while True:
            for line in self.sock.recv(65536).decode().splitlines():
                if ".connections_accepted:" in line:
                    self.counted += float(line.partition(":")[2].partition("|")[0])

    def close(self) -> None:
        self._greenlet.kill()
        self.sock.close()


@pytest.fixture
def statsds() -> Iterator[tuple[Statsd, Statsd]]:
    both = Statsd(), Statsd()
    yield both
    for each in both:
        each.close()


def test_a_new_target_of_the_metrics_counts_on_and_nothing_twice(start: Start, statsds: tuple[Statsd, Statsd]) -> None:
    first, second = statsds
    house = start(metrics={"statsd": first.address, "statsd_interval_s": 0.05})
    for _ in range(3):
        house.client().connect()
    wait_until(lambda: first.counted == 3, "they are counted")
    house.change(metrics=MetricsSettings(statsd=second.address, statsd_interval_s=0.05))
    house.client().connect()
    wait_until(lambda: second.counted >= 1, "the next one is counted there")
    house.change(metrics=MetricsSettings())
    house.client().connect()
    house.change(metrics=MetricsSettings(statsd=second.address, statsd_interval_s=0.05))
    house.client().connect()
    wait_until(lambda: second.counted >= 2, "the last one is counted there")
    assert (first.counted, second.counted) == (3, 2)


def test_alerts_are_retuned_disabled_and_enabled(start: Start) -> None:
    house = start()
    sharp = AlertSettings(interval_s=0.02, hold_s=0.0, cool_down_s=0.0, connections=Levels(1, 1000))
    for _ in range(3):
        house.client().connect()
    house.change(alerts=replace(sharp, interval_s=3600.0))
    house.change(alerts=sharp)  # whoever sleeps for an hour is woken
    house.wait_event("performance_alert", metric_type="connections", state="raised")
    house.change(alerts=replace(sharp, connections=Levels(500, 1000)))
    house.wait_event("performance_alert", metric_type="connections", state="cleared")
    house.change(alerts=replace(sharp, enabled=False))
    assert house.house.instruments._monitor is not None
    assert house.house.instruments._monitor._greenlet is None


# --- log, hooks -----------------------------------------------------------------------------------


def test_log_file_form_and_level_change_and_a_file_that_can_not_be_made_changes_nothing(
    start: Start, tmp_path: Path, logs: None
) -> None:
    house = start()
    logger = log.logger("test")
    house.change(log=LogSettings("debug", "json", str(tmp_path / "a")))
    logger.debug("first")
    house.change(log=LogSettings("info", "text", str(tmp_path / "b")))
    logger.debug("never")
    logger.info("second")
    assert refused(house, log=LogSettings(file=str(tmp_path / "none" / "c"))) == "log.file: No such file or directory"
    logger.info("third")
    assert '"message":"first"' in (tmp_path / "a").read_text()
    rows = (tmp_path / "b").read_text().splitlines()
    assert [row.rpartition(" ")[2] for row in rows if " test: " in row] == ["second", "third"]
    assert logging.getLogger("rtmpd").level == logging.INFO


def test_a_hook_that_can_not_be_built_leaves_the_hooks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    house = start()
    closed: list[str] = []

    class Made:
        type = "test"

        def __init__(self, id: str) -> None:
            self.id = id

        def close(self) -> None:
            closed.append(self.id)

    def build(settings: HookSettings, clock: object) -> object:
        if settings.id == "bad":
            raise ConfigError([])
        return Made(settings.id)

    monkeypatch.setattr(house.house.hooks, "_build", build)
    refused(house, hooks=HooksSettings((HookSettings("good", "test", ""), HookSettings("bad", "test", ""))))
    assert closed == ["good"] and list(house.house.hooks.lanes) == ["recorder"]
    settings = replace(house.house.settings, hooks=HooksSettings((HookSettings("good", "test", ""),)))
    house.house.prepare(settings).abort()
    assert closed == ["good", "good"] and list(house.house.hooks.lanes) == ["recorder"]


def test_a_hook_that_is_registered_meanwhile_stays(start: Start) -> None:
    house = start()
    change = house.house.hooks.prepare(HooksSettings())

    class Late:
        id, type = "late", "test"

        def execute(self, event: object, deadline: float) -> None:
            """It is taken."""

        def close(self) -> None:
            """Nothing is held."""

    house.house.hooks.register(Late())
    change.commit()
    assert "late" in house.house.hooks.lanes
