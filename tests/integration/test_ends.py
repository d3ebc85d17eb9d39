"""How connections end, and in which order the end is told."""

from __future__ import annotations

import gevent
import pytest

from rtmpd.protocol.message import Message
from tests.integration.client import connect_chunks, handshake_bytes, keyframe
from tests.integration.conftest import Start
from tests.integration.house import wait_until


@pytest.mark.parametrize("sent", [b"", b"\x03", handshake_bytes()[:1537], handshake_bytes()[:2000]])
def test_a_reset_inside_the_handshake_is_a_network_error_there(start: Start, sent: bytes) -> None:
    house = start()
    raw = house.raw()
    raw.send(sent)
    connection = house.connection(raw)
    wait_until(lambda: connection.peer.bytes_received == len(sent), "the server has it")
    raw.reset()
    house.the_error("connection_error", "network_error", "ECONNRESET", "handshake")
    house.check_service()


@pytest.mark.parametrize("sent", [b"", connect_chunks()], ids=["connect to come", "connected"])
def test_a_reset_of_an_idle_connection_is_a_goodbye(start: Start, sent: bytes) -> None:
    house = start()
    raw = house.raw().handshake()
    raw.send(sent)
    house.wait_event("connection_accept")
    connection = house.connection(raw)
    wait_until(lambda: connection.peer.bytes_received == 3073 + len(sent), "the server has it")
    raw.reset()
    assert house.wait_event("connection_close").data["reason"] == "client_closed"
    assert not house.errors()


def test_a_reset_inside_a_message_is_a_network_error(start: Start) -> None:
    house = start()
    raw = house.raw().handshake()
    raw.send(connect_chunks()[:30])
    connection = house.connection(raw)
    wait_until(lambda: connection.peer.bytes_received == 3073 + 30, "the server has it")
    raw.reset()
    house.the_error("connection_error", "network_error", "ECONNRESET", "chunking")


def test_a_publisher_that_resets_is_lost_and_the_end_is_told_in_order(start: Start) -> None:
    house = start()
    publisher = house.client()
    msid = publisher.publish()
    publisher.video(msid, keyframe())
    connection = house.connection(publisher)
    wait_until(lambda: any(p.has_media for p in connection.publishers), "the server has it")
    publisher.reset()
    event = house.the_error("connection_error", "network_error", "ECONNRESET", "media_processing")
    assert event.stream_key == "live/a"
    assert [e.type for e in house.events][-5:] == [
        "publish_start", "connection_error", "publish_stop", "stream_delete", "connection_close",
    ]  # fmt: skip
    assert house.of("publish_stop")[0].data["reason"] == "network_error"
    assert house.of("connection_close")[0].data["reason"] == "network_error"


@pytest.mark.parametrize("park", [True, False])
@pytest.mark.parametrize("flowing", [True, False])
def test_a_player_that_resets_while_the_stream_is_live_is_a_network_error(
    start: Start, park: bool, flowing: bool
) -> None:
    house = start(server={"park_idle_players": park})
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    publisher.video(msid, keyframe())
    player.wait_payload(keyframe())
    conn_id = house.connection(player).conn_id
    player.reset()
    while flowing and house.alive(conn_id):
        publisher.video(msid, keyframe())
        gevent.sleep(0.002)
    event = house.wait_event("connection_error")
    assert (event.data["error_type"], event.data["phase"]) == ("network_error", "media_processing")
    assert event.data["error_code"] in ("ECONNRESET", "EPIPE")
    house.wait_event("connection_close", conn_id=conn_id)
    assert house.types(conn_id)[-4:] == ["connection_error", "play_stop", "subscriber_count", "connection_close"]
    assert len(house.errors()) == 1
    house.check_service()


def test_a_socket_that_fails_in_the_fan_out_is_told_by_its_errno(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    publisher.publish()
    player.play()
    connection = house.connection(player)
    playing = next(iter(connection.activity.players.values()))
    playing.subscriber.fail(BrokenPipeError(32, "Broken pipe"))
    publisher.reset()
    player.reset()
    assert {e.data["error_code"] for e in [house.wait_event("connection_error", conn_id=connection.conn_id)]} <= {
        "ECONNRESET", "EPIPE",
    }  # fmt: skip


@pytest.mark.parametrize("park", [True, False])
def test_a_waiting_player_that_resets_has_said_goodbye(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park})
    player = house.client()
    player.play()
    player.reset()
    assert house.wait_event("connection_close").data["reason"] == "client_closed"
    assert not house.errors()


@pytest.mark.parametrize("role", ["publish", "play"])
def test_delete_stream_and_then_a_reset_is_no_error(start: Start, role: str) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    playing = player.play()
    publisher.video(msid, keyframe())
    player.wait_payload(keyframe())
    leaver, stream = (publisher, msid) if role == "publish" else (player, playing)
    conn_id = house.connection(leaver).conn_id
    leaver.call("deleteStream", None, float(stream))
    leaver.reset()
    assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "client_closed"
    assert not house.errors()
    stop = house.of(f"{role}_stop")[0]
    assert stop.data["reason"] in ("unpublished", "stopped")


@pytest.mark.parametrize("park", [True, False])
def test_a_clean_end_of_a_player_is_no_error(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park})
    publisher, player = house.client(), house.client()
    publisher.publish()
    player.play()
    conn_id = house.connection(player).conn_id
    player.close()
    house.wait_event("connection_close", conn_id=conn_id)
    assert house.types(conn_id)[-3:] == ["play_stop", "subscriber_count", "connection_close"]
    assert not house.errors()


def test_a_publisher_that_leaves_inside_a_message_is_a_network_error(start: Start) -> None:
    house = start()
    publisher = house.client()
    msid = publisher.publish()
    publisher.video(msid, keyframe())
    publisher.raw(b"\x07\x00\x00\x28\x00\x10\x00\x09" + msid.to_bytes(4, "little") + bytes(100))
    publisher.close()
    event = house.the_error("connection_error", "network_error", "EOF", "chunking")
    assert event.stream_key == "live/a"
    stop = house.wait_event("publish_stop").data
    assert (stop["video_packets"], stop["reason"]) == (1, "network_error")


def test_a_stop_of_the_server_tells_players_and_ends_everybody(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    publisher.publish()
    player.play()
    house.house.stop(0.0)
    player.wait_end()
    publisher.wait_end()
    assert "NetStream.Play.UnpublishNotify" in player.codes()
    reasons = {e.type: e.data["reason"] for e in house._recorder.events if "reason" in e.data}
    ended = dict.fromkeys(("publish_stop", "play_stop", "connection_close"), "server_stop")
    assert reasons == {**ended, "server_stop": "stop"}


def test_media_behind_the_end_of_its_publish_is_a_violation_and_nothing_more(start: Start) -> None:
    house = start()
    publisher = house.client()
    msid = publisher.publish()
    publisher.call("closeStream", None, msid=msid)
    publisher.send(Message(9, keyframe(), 0, msid), 7)
    house.the_error("protocol_error", "protocol_error", "media_without_publish", "media_processing")
    publisher.answer(publisher.call("createStream", None))
