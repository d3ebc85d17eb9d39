"""Viewers over HTTP, as sessions beside RTMP players: what they get, who may watch, and what they can cost."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import gevent
import pytest
from gevent.ssl import SSLContext

from rtmpd.codec.classify import AUDIO, VIDEO
from rtmpd.server import facts
from rtmpd.settings import Address, TlsSettings, TokenSettings
from tests.integration.conftest import Start
from tests.support import flv
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, Raw, audio, interframe, keyframe, open_socket
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.waiting import wait_until

LISTEN = {"listen": (Address("127.0.0.1", 0),)}
NO_GRACE = {"publisher_grace_s": 0.0}
KEY = base64.b64encode(bytes(16)).decode()
WS = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"


def publish(house: Running, name: str = "a") -> tuple[Client, int]:
    """A publisher that has sent a keyframe and a picture with sound."""
    client = house.client()
    msid = client.publish(name)
    client.metadata(msid, width=64.0, videocodecid=7.0, audiocodecid=10.0)
    client.headers(msid)
    client.video(msid, keyframe(3000), 0)
    client.audio(msid, audio(), 10)
    client.video(msid, interframe(300), 40)
    wait_until(lambda: (stream := house.house.registry.find(f"live/{name}")) and stream.gop.frames, "media is there")
    return client, msid


class Viewer:
    """One HTTP connection."""

    def __init__(self, house: Running, path: str, headers: str = "", receive_bytes: int = 0, method: str = "GET"):
        host, _, port = house.house.playback_addresses[0].rpartition(":")
        self.sock = open_socket(Address(host, int(port)), receive_bytes)
        self.sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        self.body = b""
        self.status = 0
        self.headers: dict[str, str] = {}

    def head(self) -> Viewer:
        """Read the head of the answer."""
        data = b""
        with gevent.Timeout(8):
            while b"\r\n\r\n" not in data:
                piece = self.sock.recv(65536)
                assert piece, data
                data += piece
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return self

    def read_to(self, what: bytes) -> Viewer:
        """Read until the body has ``what``."""
        looked = 0
        with gevent.Timeout(8):
            while what not in self.body[looked:]:
                looked = max(0, len(self.body) - len(what))
                piece = self.sock.recv(65536)
                assert piece, "the end came first"
                self.body += piece
        return self

    def read_to_end(self) -> bytes:
        """The rest of the body, until the server ends it."""
        with gevent.Timeout(8):
            while piece := self.sock.recv(65536):
                self.body += piece
        return self.body

    def close(self) -> None:
        self.sock.close()


@contextmanager
def watching(house: Running, path: str, headers: str = "", **options: Any) -> Iterator[Viewer]:
    """A viewer that has the head of its answer; it leaves with the block."""
    viewer = Viewer(house, path, headers, **options)
    try:
        yield viewer.head()
    finally:
        viewer.close()


def bodies(data: bytes) -> list[bytes]:
    return [tag.body for tag in flv.tags(data)]


def of_viewer(house: Running, type_: str) -> list[dict[str, Any]]:
    return [event.data for event in house.of(type_) if event.data["protocol"] != "rtmp"]


@proves("playback.listen")
def test_a_viewer_gets_what_a_player_gets_and_is_a_session(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = publish(house)
    with watching(house, "/live/live/a.flv") as viewer:
        assert (viewer.status, viewer.headers["content-type"]) == (200, "video/x-flv")
        viewer.read_to(interframe(300))
        start_event = house.wait_event("play_start", protocol="http-flv")
        assert house.wait_event("subscriber_count").data["count"] == 1
        publisher.video(msid, keyframe(200, b"n"), 80)
        viewer.read_to(keyframe(200, b"n"))
        publisher.call("deleteStream", None, float(msid))
        data = viewer.read_to_end()
    assert data[:13] == bytes.fromhex("464c56 01 05 00000009 00000000")
    sent = bodies(data)
    assert sent[1:] == [AVC_HEADER, AAC_HEADER, keyframe(3000), audio(), interframe(300), keyframe(200, b"n")]
    stop = house.wait_event("play_stop", protocol="http-flv")
    assert (stop.stream_key, stop.data["reason"], stop.data["frames_dropped"]) == ("live/a", "unpublished", 0)
    assert stop.data["session_id"] == start_event.data["session_id"]
    assert stop.data["bytes_sent"] == len(data) - 13
    assert house.wait_event("subscriber_count").data["count"] == 0


@pytest.mark.parametrize(("kinds", "flags"), [(VIDEO, 1), (AUDIO, 4)])
def test_the_header_says_which_tracks_there_are(start: Start, kinds: int, flags: int) -> None:
    house = start(playback=LISTEN)
    client = house.client()
    msid = client.publish("a")
    for at_ms in range(0, 1100, 40):
        if kinds == VIDEO:
            client.video(msid, AVC_HEADER if not at_ms else keyframe(), at_ms)
        else:
            client.audio(msid, AAC_HEADER if not at_ms else audio(), at_ms)
    wait_until(lambda: house.house.registry.find("live/a").gop.joining(0), "media is there")  # type: ignore[union-attr]

    def go_on() -> None:
        for at_ms in range(1100, 4000, 20):
            (client.video if kinds == VIDEO else client.audio)(msid, keyframe() if kinds == VIDEO else audio(), at_ms)
            gevent.sleep(0.01)

    feeding = gevent.spawn(go_on)
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(keyframe() if kinds == VIDEO else audio())
        assert viewer.body[4] == flags
    feeding.kill()


def test_a_web_socket_gets_the_same_in_binary_messages(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = publish(house)
    with watching(house, "/live/live/a.flv", WS) as viewer:
        assert (viewer.status, viewer.headers["upgrade"]) == (101, "websocket")
        viewer.read_to(interframe(300))
        viewer.sock.sendall(b"\x89\x82\0\0\0\0hi")  # a ping
        viewer.read_to(b"\x8a\x02hi")
        publisher.call("deleteStream", None, float(msid))
        data = viewer.read_to_end()
    assert data.startswith(b"\x82\x0dFLV\x01\x05")
    assert data.endswith(b"\x88\x02\x03\xe9")  # going away
    assert house.wait_event("play_stop").data["protocol"] == "ws-flv"


@proves("playback.cors")
def test_only_listed_pages_may_play(start: Start) -> None:
    house = start(playback={**LISTEN, "cors": ("https://good.example",)})
    publish(house)
    with watching(house, "/live/live/a.flv", WS + "Origin: https://evil.example\r\n") as viewer:
        assert viewer.status == 403
    with watching(house, "/live/live/a.flv", WS + "Origin: https://good.example\r\n") as viewer:
        assert viewer.status == 101
    with watching(house, "/live/live/a.flv", "Origin: https://good.example\r\n") as viewer:
        assert viewer.headers["access-control-allow-origin"] == "https://good.example"
    with watching(house, "/live/live/b.flv", "Origin: https://evil.example\r\n") as viewer:
        assert (viewer.status, "access-control-allow-origin" in viewer.headers) == (404, False)
        assert viewer.headers["vary"] == "Origin"
    house.change(playback=type(house.house.settings.playback)(**LISTEN))
    with watching(house, "/live/live/b.flv", "Origin: https://evil.example\r\n") as viewer:
        assert viewer.headers["access-control-allow-origin"] == "*"


def test_a_viewer_passes_the_rules_of_play(start: Start) -> None:
    tokens = (TokenSettings("me", "secret-of-the-viewer", ("*",)),)
    rules = {"play_access": ("token",), "play_tokens": tokens}
    house = start(playback=LISTEN, app=rules, access={"failure_delay_s": 0.0})
    publish(house)
    with watching(house, "/live/live/a.flv?token=wrong") as viewer:
        assert viewer.status == 403
    refused = house.wait_event("auth_failed")
    assert (refused.data["action"], refused.data["stream_name"]) == ("play", "a")
    with watching(house, "/live/live/a.flv?token=secret-of-the-viewer") as viewer:
        viewer.read_to(interframe(300))
    house.wait_event("play_stop", reason="client_closed")
    assert len(of_viewer(house, "play_start")) == 1


def test_viewers_count_for_the_limits_of_players(start: Start) -> None:
    house = start(playback=LISTEN, app={"max_players": 2, "max_players_per_address": 2})
    publish(house)
    player = house.client()
    player.play("a")
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(interframe(300))
        with watching(house, "/live/live/a.flv") as second:
            assert (second.status, second.headers["retry-after"]) == (503, "2")
        assert house.wait_event("stream_error").data["error_type"] == "limit_reached"
        assert house.house.status()["players"] == 2
    house.wait_event("play_stop")
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(interframe(300))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/live/live/none.flv", 404),
        ("/live/.flv", 404),
        ("/", 404),
        ("/live/live/a.mp3", 404),
        ("/live/live/%00.flv", 404),
    ],
)
def test_what_is_not_there_is_not_found(start: Start, path: str, status: int) -> None:
    house = start(playback=LISTEN)
    publish(house)
    with watching(house, path) as viewer:
        assert viewer.status == status
    assert not of_viewer(house, "play_start")
    if "none" in path:
        assert house.wait_event("stream_not_found").data["waiting"] is False


@pytest.mark.parametrize("whole", [True, False])
def test_a_viewer_can_be_kicked(start: Start, whole: bool) -> None:
    house = start(playback=LISTEN)
    publish(house)
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(interframe(300))
        (conn_id,) = house.house.context.viewers
        api = house.house.context
        shown = facts.stream_whole(api, "live/a")["playing"]
        assert [(one["conn_id"], one["protocol"]) for one in shown] == [(conn_id, "http-flv")]
        assert (facts.kick_stream(api, "live/a", "players") if whole else facts.kick(api, conn_id)) == [conn_id]
        viewer.read_to_end()
    assert house.wait_event("play_stop").data["reason"] == "kicked"


def test_codecs_that_flv_players_cannot_play_are_refused_with_an_address_that_works(start: Start) -> None:
    house = start(playback=LISTEN)
    client = house.client()
    msid = client.publish("a")
    client.metadata(msid, videocodecid="av01")
    client.video(msid, b"\x90av01\x81\x00\x0c\x00", 0)
    client.video(msid, b"\x91av01" + b"\x0a\x0b" * 20, 0)
    wait_until(lambda: house.house.registry.find("live/a").gop.frames, "media is there")  # type: ignore[union-attr]
    with watching(house, "/live/live/a.flv") as viewer:
        assert viewer.status == 406
        viewer.read_to(b"/live/live/a.mp4")
    with watching(house, "/live/live/a.flv?raw=1") as viewer:
        viewer.read_to(b"av01")


def test_a_viewer_that_takes_nothing_delays_nobody_and_is_let_go(start: Start) -> None:
    house = start(playback=LISTEN, app={"backlog_bytes": 1 << 17, "send_timeout_s": 0.3})
    publisher, msid = publish(house)
    player = house.client()
    player.play("a")
    viewer = Viewer(house, "/live/live/a.flv", receive_bytes=4096).head()
    for number in range(1, 60):
        publisher.video(msid, keyframe(100_000, b"%d" % (number % 10)), 40 + 40 * number)
        player.wait_payload(keyframe(100_000, b"%d" % (number % 10)))
    stop = house.wait_event("play_stop", protocol="http-flv")
    assert stop.data["reason"] == "slow_player"
    assert stop.data["frames_dropped"] > 10
    viewer.close()


def test_a_slow_viewer_goes_on_at_a_keyframe(start: Start) -> None:
    house = start(playback=LISTEN, app={"backlog_bytes": 1 << 17, **NO_GRACE})
    publisher, msid = publish(house)
    with watching(house, "/live/live/a.flv", receive_bytes=65536) as viewer:
        viewer.read_to(interframe(300))
        for number in range(1, 100):
            picture = (keyframe if number % 5 == 0 else interframe)(90_000, bytes([number]))
            publisher.video(msid, picture, 40 + 40 * number)
            wait_until(lambda: not publisher.peer.writer.busy, "the server takes it")
        publisher.video(msid, keyframe(90_000, b"\x64"), 4040)
        (session,) = house.house.context.viewers.values()
        wait_until(lambda: session.facts(0.0)["frames_dropped"], "frames are dropped")
        viewer.read_to(keyframe(90_000, b"\x64"))
        publisher.call("deleteStream", None, float(msid))
        numbers = [body[5] for body in bodies(viewer.read_to_end()) if len(body) == 90_005]
    gaps = [after for before, after in pairwise(numbers) if after != before + 1]
    assert gaps and all(after % 5 == 0 for after in gaps)
    assert house.wait_event("play_stop").data["frames_dropped"] == 100 - len(numbers)


@proves("playback.tls_listen", "playback.tls_cert", "playback.tls_key")
def test_viewers_over_tls(start: Start, certificate: TlsSettings) -> None:
    house = start(playback={"listen": (Address("127.0.0.1", 0, tls=True),), "tls": certificate}, app=NO_GRACE)
    publisher, msid = publish(house)
    host, _, port = house.house.playback_addresses[0].rpartition(":")
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate.cert)
    with context.wrap_socket(open_socket(Address(host, int(port))), server_hostname="localhost") as sock:
        sock.sendall(b"GET /live/live/a.flv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = b""
        with gevent.Timeout(8):
            while interframe(300) not in data:
                data += sock.recv(65536)
            for number in range(40):
                publisher.video(msid, keyframe(100_000), 100 + number)
            publisher.call("deleteStream", None, float(msid))
            while piece := sock.recv(65536):
                data += piece
    assert bodies(data.partition(b"\r\n\r\n")[2])[-40:] == [keyframe(100_000)] * 40
    assert house.wait_event("play_stop").data["reason"] == "unpublished"


def test_a_stop_of_the_server_ends_viewers_with_their_events(start: Start) -> None:
    house = start(playback=LISTEN)
    publish(house)
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(interframe(300))
        stopping = gevent.spawn(house.house.stop, 0.1)
        viewer.read_to_end()
        stopping.join(8)
    assert [event.data["reason"] for event in house._recorder.events if event.type == "play_stop"] == ["server_stop"]


def test_a_reload_keeps_viewers_also_of_an_address_that_goes(start: Start) -> None:
    house = start(playback=LISTEN)
    publisher, msid = publish(house)
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(interframe(300))
        house.change(playback=type(house.house.settings.playback)(listen=(), connections=7))
        publisher.video(msid, keyframe(50, b"r"), 80)
        viewer.read_to(keyframe(50, b"r"))


def test_a_head_starts_no_session(start: Start) -> None:
    house = start(playback=LISTEN)
    publish(house)
    with watching(house, "/live/live/a.flv", method="HEAD") as viewer:
        assert (viewer.status, viewer.headers["content-type"]) == (200, "video/x-flv")
    with watching(house, "/live/live/a.flv", method="POST") as viewer:
        assert viewer.status == 405
    with watching(house, "/live/live/a.flv", "Origin: https://x.example\r\n", method="OPTIONS") as viewer:
        assert (viewer.status, viewer.headers["access-control-allow-origin"]) == (204, "*")
    assert not of_viewer(house, "play_start")


def test_a_republish_within_the_grace_goes_on_for_viewers(start: Start) -> None:
    house = start(playback=LISTEN, app={"publisher_grace_s": 5.0})
    publisher, _ = publish(house)
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(interframe(300))
        publisher.reset()
        house.wait_event("publish_stop")
        again = house.client()
        msid = again.publish("a")
        again.headers(msid)
        again.video(msid, keyframe(77, b"2"), 0)
        viewer.read_to(keyframe(77, b"2"))
    house.wait_event("play_stop")
    assert len(of_viewer(house, "play_start")) == len(of_viewer(house, "play_stop")) == 1


@proves("playback.connections")
def test_connections_are_bounded_and_idle_ones_make_room(start: Start) -> None:
    house = start(playback={**LISTEN, "connections": 4})
    publish(house)
    streams = [Viewer(house, "/live/live/a.flv").head().read_to(interframe(300)) for _ in range(4)]
    with watching(house, "/live/live/a.flv") as viewer:
        assert viewer.status == 503
    for stream in streams:
        stream.close()


@proves("playback.request_timeout")
def test_a_request_that_never_ends_is_let_go(start: Start) -> None:
    house = start(playback={**LISTEN, "request_timeout_s": 0.2})
    host, _, port = house.house.playback_addresses[0].rpartition(":")
    raw = house.raw(Address(host, int(port)))
    raw.send(b"GET /live/live/a.flv HTTP/1.1\r\nX-Slow: ")
    assert raw.read_to_end().startswith(b"HTTP/1.1 408 ")


@proves("playback.send_timeout")
def test_a_client_that_does_not_take_the_head_of_an_answer_is_let_go(start: Start) -> None:
    house = start(playback={**LISTEN, "send_timeout_s": 0.2})
    host, _, port = house.house.playback_addresses[0].rpartition(":")
    raw = house.raw(Address(host, int(port)), receive_bytes=1024)
    request = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
    (listener,) = house.house._viewers._listeners.values()

    def ask() -> None:
        with pytest.raises(OSError):
            while True:
                raw.sock.sendall(request)
                gevent.sleep(0.0005)

    asking = gevent.spawn(ask)
    wait_until(lambda: listener._connections, "it is connected")
    wait_until(lambda: not listener._connections, "it is let go")
    asking.join(8)
    assert asking.dead


def test_what_follows_a_request_for_a_stream_is_not_a_request(start: Start) -> None:
    house = start(playback=LISTEN)
    publish(house)
    host, _, port = house.house.playback_addresses[0].rpartition(":")
    raw = Raw(Address(host, int(port)))
    request = b"GET /live/live/a.flv HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw.send(request * 50)
    assert raw.read(100).startswith(b"HTTP/1.1 200 ")
    assert len(of_viewer(house, "play_start")) == 1
    raw.close()
    house.wait_event("play_stop")


def test_enhanced_messages_arrive_in_the_old_form(start: Start) -> None:
    house = start(playback=LISTEN)
    client = house.client()
    msid = client.publish("a")
    client.metadata(msid, videocodecid="avc1")
    client.video(msid, b"\x90avc1" + AVC_HEADER[5:], 0)
    client.video(msid, b"\x91avc1\x00\x00\x00picture", 0)
    wait_until(lambda: house.house.registry.find("live/a").gop.frames, "media is there")  # type: ignore[union-attr]
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(b"\x17\x01\x00\x00\x00picture")
    with watching(house, "/live/live/a.flv?raw=1") as viewer:
        viewer.read_to(b"\x91avc1\x00\x00\x00picture")
