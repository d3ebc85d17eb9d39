"""Limits and deadlines: over one, a clear event, a closed connection, and nothing else hurt."""

from __future__ import annotations

from itertools import pairwise

import gevent
import pytest

from rtmpd.protocol import constants
from rtmpd.protocol.control import user_control
from rtmpd.protocol.message import Message
from rtmpd.settings import AppSettings
from tests.integration.conftest import Start
from tests.support.client import Raw, connect_chunks, handshake_bytes, keyframe
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.waiting import wait_until


def refused(house: Running) -> None:
    """One more TCP connection is cut at once, with its event and log line."""
    raw = house.raw()
    assert raw.read_to_end() == b""
    event = house.wait_event("connection_error")
    assert (event.data["error_type"], event.data["error_code"], event.data["phase"]) == (
        "protocol_error", "connection_limit", "handshake",
    )  # fmt: skip
    assert event.data["peer_addr"] == f"127.0.0.1:{raw.port}"
    assert len(house.logged("connection refused", conn_id=event.conn_id)) == 1
    assert len(house.errors()) == 1


@proves("limits.connections")
@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
def test_one_connection_too_many_is_cut_and_a_place_that_comes_free_is_given_away(start: Start, limit: str) -> None:
    house = start(limits={limit: 3})
    clients = [house.client() for _ in range(3)]
    refused(house)
    clients[0].close()
    wait_until(lambda: len(house.house.context.connections) == 2, "a place is free")
    house.client().publish()


@proves("limits.connections_per_address")
def test_the_limit_per_address_leaves_other_addresses_alone(start: Start) -> None:
    house = start(limits={"connections_per_address": 1})
    house.client()
    refused(house)
    house.client(source="127.0.0.2").publish()


@proves("limits.connections_per_app")
def test_an_application_with_all_its_connections_refuses_the_next_connect(start: Start) -> None:
    house = start(limits={"connections_per_app": 2})
    for _ in range(2):
        assert house.client().connect().name == "_result"
    late = house.client()
    answer = late.connect()
    assert (answer.name, answer.argument(0)["code"]) == ("_error", "NetConnection.Connect.Rejected")
    late.wait_end()
    assert len(house.errors()) == 1
    assert len(house.logged("request refused")) == 1
    assert house.client().connect("other").name == "_result"


@proves("apps.served")
def test_an_application_that_is_not_served_is_refused(start: Start) -> None:
    house = start(apps={"served": ("live", "cam*")})
    assert house.client().connect("cam7").name == "_result"
    client = house.client()
    assert client.connect("private").argument(0)["code"] == "NetConnection.Connect.InvalidApp"
    client.wait_end()
    assert house.wait_event("stream_error").data["error_type"] == "invalid_stream_key"


def test_players_over_the_limit_of_a_stream_are_refused(start: Start) -> None:
    house = start(app={"max_players": 2})
    house.client().publish()
    players = [house.client() for _ in range(3)]
    for player in players[:2]:
        player.play()
    players[2].connect()
    msid = players[2].create_stream()
    players[2].call("play", None, "a", msid=msid)
    players[2].wait_end()
    assert players[2].codes(msid) == ["NetStream.Play.Failed"]
    assert len(house.errors()) == 1
    players[0].close()
    house.wait_event("subscriber_count", count=1)
    house.wait_event("play_stop")
    house.client().play()


def test_publishers_over_the_limit_of_an_application_are_refused(start: Start) -> None:
    house = start(apps={"named": (("few", AppSettings(max_publishers=1)),)})
    for name in ("a", "b"):
        house.client().publish(name)
    first = house.client()
    first.connect("few")
    first.publish("a")
    second = house.client()
    second.connect("few")
    msid = second.create_stream()
    second.call("publish", None, "b", "live", msid=msid)
    second.wait_end()
    assert second.codes(msid) == ["NetStream.Publish.Failed"]
    assert len(house.errors()) == 1


def test_a_message_just_at_the_limit_passes_and_one_byte_more_does_not(start: Start) -> None:
    house = start(limits={"message_bytes": 10_000})
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    publisher.video(msid, keyframe(10_000 - 5))
    player.wait_payload(keyframe(10_000 - 5))
    publisher.video(msid, keyframe(10_000 - 4))
    house.the_error("connection_error", "protocol_error", "message_too_large", "chunking")


# --- deadlines --------------------------------------------------------------------------------------


def drip(raw: Raw, data: bytes, house: Running) -> None:
    """A byte now and then, until the server has had enough."""
    sent = 0
    with gevent.Timeout(10):
        while len(house.house.context.connections) and sent < len(data):
            raw.send(data[sent : sent + 1])
            sent += 1
            gevent.sleep(0.005)


@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "slow-loris"])
@pytest.mark.parametrize("step", ["handshake", "connect"])
def test_who_takes_too_long_to_begin_is_cut_however_it_drips(start: Start, step: str, dripping: bool) -> None:
    house = start(limits={f"{step}_timeout_s": 0.15})
    raw = house.raw()
    if step == "connect":
        raw.handshake()
        house.wait_event("connection_accept")
    else:
        house.connection(raw)
    if dripping:
        drip(raw, handshake_bytes() if step == "handshake" else connect_chunks("x" * 5000), house)
    raw.read_to_end()
    phase = "handshake" if step == "handshake" else "command_processing"
    event = house.the_error("connection_error", "timeout", f"{step}_timeout", phase)
    assert event.data["connection_duration_ms"] >= 150
    house.check_service()


@proves("limits.first_media_timeout")
def test_a_publisher_that_sends_no_media_is_cut(start: Start) -> None:
    house = start(limits={"first_media_timeout_s": 0.15})
    publisher = house.client()
    publisher.publish()
    publisher.wait_end()
    house.the_error("connection_error", "timeout", "first_media_timeout", "media_processing")
    assert house.wait_event("publish_stop").data["reason"] == "timeout"


@proves("limits.publisher_timeout")
def test_a_publisher_whose_media_stop_is_cut(start: Start) -> None:
    house = start(limits={"publisher_timeout_s": 0.15})
    publisher = house.client()
    msid = publisher.publish()
    publisher.video(msid, keyframe())
    publisher.wait_end()
    house.the_error("connection_error", "timeout", "publisher_timeout", "media_processing")


@proves("limits.ping_interval")
@pytest.mark.parametrize("park", [True, False], ids=["parked", "unparked"])
def test_a_silent_player_is_asked_for_a_sign_of_life_and_lives_as_long_as_it_answers(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park}, limits={"ping_interval_s": 0.05, "ping_timeout_s": 2.0})
    player = house.client()
    player.play()
    connection = house.connection(player)
    begun = connection.peer.bytes_received
    reader = gevent.spawn(player.wait_end)  # the test client answers as it reads
    try:
        wait_until(lambda: connection.peer.bytes_received >= begun + 3 * 18, "three answers have come")
    finally:
        reader.kill()
    assert not house.errors()
    assert house.alive(connection.conn_id)


@proves("limits.ping_timeout")
@pytest.mark.parametrize("park", [True, False], ids=["parked", "unparked"])
def test_a_player_that_does_not_answer_is_given_up(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park}, limits={"ping_interval_s": 0.05, "ping_timeout_s": 0.1})
    player = house.client()
    player.play()
    conn_id = house.connection(player).conn_id
    house.the_error("connection_error", "timeout", "ping_timeout", "media_processing")
    house.wait_event("connection_close")
    assert house.types(conn_id)[-4:] == ["connection_error", "play_stop", "subscriber_count", "connection_close"]


def test_a_ping_is_answered_with_its_own_timestamp(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect()
    client.send(user_control(constants.PING_REQUEST, 0xDEADBEEF), 2)
    client.wait_control(constants.PING_RESPONSE, 0xDEADBEEF)


# --- acknowledgements -------------------------------------------------------------------------------


def test_the_server_acknowledges_by_the_window_it_is_given(start: Start) -> None:
    house = start()
    publisher = house.client()
    publisher.connect()
    publisher.send(Message(constants.WINDOW_ACK_SIZE, (20_000).to_bytes(4, "big")), 2)
    msid = publisher.publish()
    for number in range(10):
        publisher.video(msid, keyframe(15_000), number * 40)
    acknowledged = publisher.peer.acknowledged
    publisher.read_until(lambda: acknowledged[-1:] > [150_000 - 65_536], "most of it is acknowledged")
    assert acknowledged == sorted(set(acknowledged))
    assert all(after - before >= 20_000 for before, after in pairwise(acknowledged))
    assert acknowledged[-1] <= house.connection(publisher).peer.bytes_received


@proves("server.window_ack")
def test_the_client_is_told_a_window_and_its_acknowledgements_are_taken(start: Start) -> None:
    house = start(server={"window_ack_bytes": 30_000})
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    assert player.peer.peer_window == 30_000
    for number in range(10):
        publisher.video(msid, keyframe(20_000), number * 40)
    player.read_until(lambda: len(player.frames) == 10, "ten frames")
    assert player.peer._acknowledged > 100_000
    assert not house.errors()
