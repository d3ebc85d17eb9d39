"""Copies of a stream for other servers, house to house: what arrives, and what a bad destination costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import gevent
import pytest
from gevent import socket

from rtmpd.codec.classify import DATA, HEADER, KEYFRAME
from rtmpd.event.event import Event
from rtmpd.net.transport import Transport
from rtmpd.output.relay import as_published
from rtmpd.protocol import amf0
from rtmpd.protocol.constants import DATA_AMF0, VIDEO
from rtmpd.settings import Address, AppSettings, TlsSettings
from rtmpd.stream.frame import Frame
from tests.integration.conftest import Start
from tests.integration.test_recorder import reload
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, audio, interframe, keyframe
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.waiting import wait_until

NO_GRACE = {"publisher_grace_s": 0.0}
QUICK = {"push_retry_s": 0.1, "push_retry_max_s": 0.2, **NO_GRACE}


@pytest.fixture
def start_target(start: Start) -> Start:
    """Starts a house that copies go to. It finishes after the one that sends them, and has the greenlets that it will
    have when that one counts its own."""

    def begin(**settings: object) -> Running:
        house = start(**settings)
        for client in [house.client() for _ in range(4)]:
            client.connect()
            client.close()
        house.close_clients()
        wait_until(house.drained, "its events are delivered")
        return house

    return begin


def to(house: Running, path: str = "live/{name}") -> str:
    return f"rtmp://127.0.0.1:{house.address.port}/{path}"


def publish(house: Running, name: str = "a") -> tuple[Client, int]:
    """A publisher that has sent a keyframe and a picture."""
    client = house.client()
    msid = client.publish(name)
    client.metadata(msid, width=64.0)
    client.headers(msid)
    client.video(msid, keyframe(3000), 0)
    client.video(msid, interframe(300), 40)
    return client, msid


def relay(house: Running, key: str = "live/a") -> Any:
    """The facts of the one relay of a stream."""
    (facts,) = house.house.outputs.facts(key)["relays"]
    return facts


@proves("apps.push")
def test_a_stream_arrives_from_its_last_keyframe_on(start: Start, start_target: Start) -> None:
    target = start_target()
    house = start(app={"push": (to(target),), **QUICK})
    client, msid = publish(house)
    started = house.wait_event("relay_start")
    player = target.client()
    player.play()
    client.video(msid, interframe(301), 80)
    client.audio(msid, audio(30), 80)
    client.video(msid, interframe(302), 120)
    player.wait_payload(interframe(302))
    wanted = [AVC_HEADER, AAC_HEADER, keyframe(3000), interframe(300), interframe(301), audio(30), interframe(302)]
    assert player.payloads() == wanted
    (metadata,) = [m for m in player.messages if m.type_id == DATA_AMF0 and b"onMetaData" in m.payload]
    assert amf0.decode_all(metadata.payload) == ["onMetaData", {"width": 64.0}]
    client.call("deleteStream", None, float(msid))
    stopped = house.wait_event("relay_stop")
    assert stopped.data["reason"] == "unpublished" and stopped.data["session_id"] == started.data["session_id"]
    assert stopped.data["destination"] == started.data["destination"] == to(target, "live/a")
    assert target.wait_event("publish_stop").data["reason"] == "unpublished", "the destination was told of the end"
    assert not house.of("relay_error") and not house.of("subscriber_count")
    target.close_clients()


def test_metadata_is_sent_in_the_form_that_servers_keep() -> None:
    metadata = Frame(DATA_AMF0, amf0.encode("onMetaData", {"width": 64.0}), 5, DATA | HEADER)
    other = [Frame(DATA_AMF0, amf0.encode("onCuePoint", {}), 5, DATA), Frame(VIDEO, keyframe(), 5, KEYFRAME)]
    first, *rest = as_published([metadata, *other])
    assert amf0.decode_all(first.payload) == ["@setDataFrame", "onMetaData", {"width": 64.0}]
    assert rest == other and metadata.payload.startswith(amf0.encode("onMetaData")), "players share the frame"


def test_secrets_are_shown_nowhere(start: Start, start_target: Start) -> None:
    target = start_target()
    house = start(app={"push": (to(target, "live/key-s3cret?sign=s3cret"),), **QUICK})
    publish(house)
    assert house.wait_event("relay_start").data["destination"] == to(target, "live/***")
    assert target.wait_event("publish_start").data["publishing_name"] == "key-s3cret"
    told = [event.json().decode() for event in house.events]
    logged = [str(record.__dict__) for record in house._log.records if record.name == "rtmpd.output"]
    assert logged and "s3cret" not in "".join(told + logged)
    assert "s3cret" not in str(relay(house)) + str(AppSettings(push=("rtmp://h/live/s3cret",)))


@proves("apps.push_retry", "apps.push_retry_max")
def test_a_destination_that_is_not_there_is_tried_again_ever_later(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    house = start(app={"push": (f"rtmp://127.0.0.1:{port}/live",), **QUICK, "push_retry_s": 0.02})
    publish(house)
    errors = wait_until(lambda: house.of("relay_error")[5:] and house.of("relay_error"), "six attempts")
    assert [event.data["attempt"] for event in errors[:6]] == [1, 2, 3, 4, 5, 6]
    pauses_ms = [int(str(event.data["retry_in_ms"])) for event in errors]
    assert 10 <= pauses_ms[0] <= 20 and 100 <= pauses_ms[5] <= 200, "half to all of what has doubled, up to the most"
    assert len({event.data["session_id"] for event in errors}) == 1 and "cannot be reached" in str(errors[0].data)
    assert not house.of("relay_start")
    (fault,) = house.house.outputs.faults()
    assert fault.message == relay(house)["last_error"] and "cannot be reached" in fault.message
    assert fault[:2] == ("relay_failing", f"live/a to rtmp://127.0.0.1:{port}/live/a")


def test_a_destination_that_comes_back_gets_the_stream_again(start: Start, start_target: Start) -> None:
    target = start_target()
    house = start(app={"push": (to(target),), **QUICK})
    client, msid = publish(house)
    house.wait_event("relay_start")
    victim = target.wait_event("publish_start").conn_id
    target.house.context.connections[victim].end("kicked")
    error = house.wait_event("relay_error")
    stopped = house.wait_event("relay_stop")
    assert error.data["attempt"] == 1 and stopped.data["session_id"] == error.data["session_id"]
    wait_until(lambda: len(house.of("relay_start")) == 2, "the second connection")
    client.video(msid, keyframe(3100), 80)
    player = target.client()
    player.play()
    client.video(msid, interframe(301), 120)
    player.wait_payload(interframe(301))
    player.close()
    assert house.of("relay_start")[1].data["session_id"] != error.data["session_id"]
    assert list(house.house.outputs.faults()) == []


def test_a_destination_that_refuses_is_told_with_its_own_words(start: Start, start_target: Start) -> None:
    target = start_target(app={"publish_deny": ("127.0.0.1",)})
    house = start(app={"push": (to(target),), **QUICK})
    publish(house)
    error = house.wait_event("relay_error")
    assert "refuses" in str(error.data["error_message"]) and not house.of("relay_start")


@pytest.fixture
def silent() -> Iterator[Callable[[], int]]:
    """A server that takes connections and says nothing; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield lambda: int(listener.getsockname()[1])
    listener.close()


def test_a_destination_that_says_nothing_is_given_up_and_left_at_once(
    start: Start, silent: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpd.net.link._SETUP_TIMEOUT_S", 0.2)
    house = start(app={"push": (f"rtmp://127.0.0.1:{silent()}/live",), **QUICK})
    client, msid = publish(house)
    assert "did not answer" in str(house.wait_event("relay_error").data["error_message"])
    client.call("deleteStream", None, float(msid))
    house.wait_event("stream_delete")
    wait_until(lambda: not house.house.outputs.facts("live/a")["relays"], "the relay has ended")


def test_a_destination_that_hangs_costs_frames_and_then_its_connection(
    start: Start, start_target: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = start_target()
    limits = {"backlog_bytes": 256 * 1024, "send_timeout_s": 0.3}
    house = start(app={"push": (to(target),), **QUICK, **limits})
    house.house.outputs.watch_period_s = 0.05
    client, msid = publish(house)
    house.wait_event("relay_start")
    port = target.house.context.connections[target.wait_event("publish_start").conn_id].port
    player = house.client()
    player.play()
    monkeypatch.setattr(Transport, "recv", _deaf(port))
    numbers = count(2)

    def send_until_given_up() -> list[Event]:
        number = next(numbers)
        picture = keyframe(60_000 + number)
        client.video(msid, picture, number * 40)
        player.wait_payload(picture)
        return house.of("relay_stop")

    (stopped,) = wait_until(send_until_given_up, "the relay is given up")
    assert stopped.data["reason"] == "send_timeout"
    pictures = [payload for payload in player.payloads() if payload.startswith(b"\x17\x01")]
    assert len(pictures) == next(numbers) - 1, "a player of the stream lost nothing"
    assert relay(house)["frames_dropped"] > 0
    monkeypatch.undo()


def _deaf(port: int) -> Callable[[Transport], bytes]:
    """``Transport.recv``, but for the connection that came from ``port``: its server does not read any more."""
    real = Transport.recv

    def recv(transport: Transport) -> bytes:
        while transport._sock.getpeername()[1] == port and Transport.recv is recv:
            gevent.sleep(0.01)
        return real(transport)

    return recv


def test_several_destinations_do_not_know_each_other(
    start: Start, start_target: Start, silent: Callable[[], int]
) -> None:
    target = start_target()
    templates = (f"rtmp://127.0.0.1:{silent()}/live", to(target, "live/one-{name}"), to(target, "other/{name}"))
    house = start(app={"push": templates, **QUICK})
    publish(house)
    wait_until(lambda: len(target.of("publish_start")) == 2, "two of three")
    assert {event.stream_key for event in target.of("publish_start")} == {"live/one-a", "other/a"}


def test_a_certificate_is_checked(
    start: Start, start_target: Start, certificate: TlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = (Address("127.0.0.1", 0), Address("127.0.0.1", 0, tls=True))
    target = start_target(listen=listen, server={"tls": certificate})
    url = f"rtmps://localhost:{target.addresses[1].port}/live"
    house = start(app={"push": (url,), **QUICK})
    publish(house)
    assert "TLS" in str(house.wait_event("relay_error").data["error_message"])
    monkeypatch.setenv("SSL_CERT_FILE", certificate.cert)
    assert house.wait_event("relay_start").data["destination"] == f"{url}/a"


@proves("apps.push_verify")
def test_a_certificate_is_not_checked_if_nobody_asks_for_it(
    start: Start, start_target: Start, certificate: TlsSettings
) -> None:
    listen = (Address("127.0.0.1", 0), Address("127.0.0.1", 0, tls=True))
    target = start_target(listen=listen, server={"tls": certificate})
    house = start(app={"push": (f"rtmps://localhost:{target.addresses[1].port}/live",), "push_verify": False, **QUICK})
    publish(house)
    house.wait_event("relay_start")
    assert not house.of("relay_error")


def test_a_stop_of_the_server_ends_its_relays_in_order(start: Start, start_target: Start) -> None:
    target = start_target()
    house = start(app={"push": (to(target),), **QUICK})
    publish(house)
    house.wait_event("relay_start")
    house.house.stop(0.0)
    stops = [event for event in house._recorder.events if event.type == "relay_stop"]
    assert [event.data["reason"] for event in stops] == ["server_stop"]
    assert target.wait_event("publish_stop").data["reason"] == "unpublished"


def test_a_destination_that_is_removed_is_left(start: Start, start_target: Start) -> None:
    target = start_target()
    house = start(app={"push": (to(target), to(target, "other/{name}")), **QUICK})
    publish(house)
    wait_until(lambda: len(house.of("relay_start")) == 2, "both are connected")
    reload(house, push=(to(target),))
    stopped = house.wait_event("relay_stop")
    assert (stopped.data["reason"], stopped.data["destination"]) == ("config", to(target, "other/a"))
    assert relay(house)["state"] == "connected" and len(house.of("relay_stop")) == 1
