"""How connections end, and in which order the end is told."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from rtmpd.errors import PeerTimeout
from rtmpd.net.tls import TlsTransport
from rtmpd.protocol.chunk import encode
from rtmpd.protocol.command import command_message
from rtmpd.protocol.control import user_control
from rtmpd.protocol.message import Message
from rtmpd.settings import Address
from tests.integration.conftest import Start
from tests.support.client import Client, chunked, connect_chunks, handshake_bytes, keyframe
from tests.support.house import Running, greenlets
from tests.support.waiting import wait_until


@pytest.mark.parametrize("sent", [b"\x03", handshake_bytes()[:1537], handshake_bytes()[:2000]])
def test_a_reset_inside_the_handshake_is_a_network_error_there(start: Start, sent: bytes) -> None:
    house = start()
    raw = house.raw()
    raw.send(sent)
    connection = house.connection(raw)
    wait_until(lambda: connection.peer.bytes_received == len(sent), "the server has it")
    raw.reset()
    house.the_error("connection_error", "network_error", "ECONNRESET", "handshake")
    house.check_service()


@pytest.mark.parametrize("secure", [False, True], ids=["rtmp", "rtmps"])
@pytest.mark.parametrize("way", ["end", "reset"])
def test_who_connects_and_leaves_without_a_byte_is_a_probe(
    start: Start, rtmps: dict[str, object], secure: bool, way: str
) -> None:
    house = start(**rtmps)
    raw = house.raw(house.addresses[0 if secure else 1])
    connection = house.connection(raw)
    getattr(raw, way)()
    wait_until(lambda: not house.alive(connection.conn_id), "the server has noticed")
    assert house.logged("connection closed", conn_id=connection.conn_id, reason="client_closed")
    assert not house.errors()


def test_who_leaves_inside_the_tls_handshake_is_a_network_error(start: Start, rtmps: dict[str, object]) -> None:
    house = start(**rtmps)
    raw = house.raw(house.addresses[0])
    raw.send(b"\x16\x03\x01\x02\x00\x01")
    raw.end()
    house.the_error("connection_error", "network_error", "EOF", "handshake")


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
    wait_until(lambda: any(p.has_media for p in connection.activity.publishers.values()), "the server has it")
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
def test_a_player_that_resets_while_the_stream_is_live_has_left(start: Start, park: bool, flowing: bool) -> None:
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
    assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "client_closed"
    assert house.types(conn_id)[-3:] == ["play_stop", "subscriber_count", "connection_close"]
    assert not house.errors()
    house.check_service()


def test_a_player_that_resets_inside_its_last_message_has_left(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    publisher.publish()
    player.play()
    connection = house.connection(player)
    received = connection.peer.bytes_received
    player.raw(b"\x03\x00\x00\x00\x00\x00\x40\x14\x00\x00\x00\x00half")
    wait_until(lambda: connection.peer.bytes_received == received + 16, "the server has it")
    player.reset()
    assert house.wait_event("connection_close", conn_id=connection.conn_id).data["reason"] == "client_closed"
    assert not house.errors()


def test_a_connection_that_plays_and_publishes_is_cut_off_by_a_reset(start: Start) -> None:
    house = start()
    both = house.client()
    both.publish("a")
    both.play("a")
    both.reset()
    house.the_error("connection_error", "network_error", "ECONNRESET", "media_processing")


def test_a_socket_that_fails_in_the_fan_out_ends_the_play_without_an_error(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    publisher.publish()
    player.play()
    connection = house.connection(player)
    playing = next(iter(connection.activity.players.values()))
    playing.subscriber.fail(BrokenPipeError(32, "Broken pipe"))
    player.reset()
    assert house.wait_event("play_stop", conn_id=connection.conn_id).data["reason"] == "client_closed"
    assert not house.errors()


# --- how soon players hear of it --------------------------------------------------------------------


GRACE = {"publisher_grace_s": 30.0}


def published_and_played(house: Running, address: Address | None = None, **options: Any) -> tuple[Client, Client, int]:
    publisher, player = house.client(address, **options), house.client(house.addresses[-1])
    msid = publisher.publish()
    player.play()
    publisher.headers(msid)
    publisher.video(msid, keyframe())
    player.wait_payload(keyframe())
    return publisher, player, msid


@pytest.mark.parametrize("secure", [False, True], ids=["rtmp", "rtmps"])
@pytest.mark.parametrize("how", ["fin", "half", "deleteStream", "closeStream", "FCUnpublish", "publish(false)", "kick"])
def test_an_end_by_the_publishers_or_the_operators_will_reaches_players_at_once(
    start: Start, rtmps: dict[str, object], how: str, secure: bool
) -> None:
    house = start(app=GRACE, **rtmps)
    publisher, player, msid = published_and_played(house, house.addresses[0 if secure else 1], tls=secure)
    if how == "fin":
        publisher.close()
    elif how == "half":
        publisher.transport.shutdown_writing()
    elif how == "deleteStream":
        publisher.call("deleteStream", None, float(msid))
    elif how == "closeStream":
        publisher.call("closeStream", None, msid=msid)
    elif how == "FCUnpublish":
        publisher.call("FCUnpublish", None, "a")
    elif how == "publish(false)":
        publisher.call("publish", None, False, msid=msid)
    else:
        house.connection(publisher).end("kicked")
    player.wait_code("NetStream.Play.UnpublishNotify")
    assert not house.errors()


def test_a_tls_goodbye_without_the_end_of_tcp_is_an_end(start: Start, rtmps: dict[str, object]) -> None:
    house = start(app=GRACE, **rtmps)
    publisher, player, _ = published_and_played(house, house.addresses[0], tls=True)
    assert isinstance(publisher.transport, TlsTransport)
    publisher.transport._say_goodbye()
    player.wait_code("NetStream.Play.UnpublishNotify")
    assert house.wait_event("publish_stop").data["reason"] == "client_closed"


@pytest.mark.parametrize("how", ["reset", "inside a message", "protocol error", "silence"])
def test_players_of_a_publisher_that_was_cut_off_are_kept_for_its_return(start: Start, how: str) -> None:
    house = start(app=GRACE, limits={"publisher_timeout_s": 0.3 if how == "silence" else 0.0})
    publisher, player, msid = published_and_played(house)
    if how == "reset":
        publisher.reset()
    elif how == "inside a message":
        publisher.raw(b"\x07\x00\x00\x28\x00\x10\x00\x09" + msid.to_bytes(4, "little") + bytes(100))
        publisher.close()
    elif how == "protocol error":
        publisher.raw(b"\xff" * 20)
    house.wait_event("publish_stop")
    assert house.house.registry.find("live/a").live  # type: ignore[union-attr]
    again = house.client()
    msid = again.publish()
    again.video(msid, keyframe(200))
    player.wait_payload(keyframe(200))
    assert "NetStream.Play.UnpublishNotify" not in player.codes()


def test_an_end_in_order_counts_even_if_our_last_bytes_came_too_late(start: Start) -> None:
    """The publisher closes; what is sent to it after that is answered with a reset, and sending fails."""
    house = start(app=GRACE)
    publisher, player, _ = published_and_played(house)
    connection = house.connection(publisher)
    with_ping = encode(2, user_control(6, 1), 128)
    publisher.raw(with_ping * 3)
    connection.peer.writer.fail("EPIPE", "writing failed: [Errno 32] Broken pipe")
    publisher.close()
    player.wait_code("NetStream.Play.UnpublishNotify")
    assert house.wait_event("publish_stop").data["reason"] == "client_closed"
    assert not house.errors()


# --- a refused client -------------------------------------------------------------------------------


def refused(house: Running) -> Client:
    """A client whose second publish was refused a moment ago."""
    first, second = house.client(), house.client()
    first.publish("taken")
    second.connect()
    msid = second.create_stream()
    second.call("publish", None, "taken", "live", msid=msid)
    second.wait_code("NetStream.Publish.BadName", msid)
    return second


def test_what_a_refused_client_still_asks_for_is_not_done(start: Start) -> None:
    house = start()
    client = refused(house)
    conn_id = house.connection(client).conn_id
    answered = len(client.messages)
    client.call("createStream", None)
    client.call("publish", None, "other", "live", msid=1)
    client.call("play", None, "other", -2.0, msid=1)
    client.wait_end()
    assert len(client.messages) == answered
    assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "rejected"
    assert [e.type for e in house.events if e.conn_id == conn_id and e.type.endswith("_start")] == []


def test_a_refused_client_that_does_not_leave_loses_its_place_all_the_same(start: Start) -> None:
    house = start()
    client = refused(house)
    connection = house.connection(client)
    began = house.house.context.clock.monotonic()
    while house.alive(connection.conn_id):
        client.call("createStream", None)
        gevent.sleep(0.01)
    assert house.house.context.clock.monotonic() - began < 6
    assert house.wait_event("connection_close", conn_id=connection.conn_id).data["reason"] == "rejected"
    assert not [e for e in house.errors() if e.type != "stream_error"]


def test_a_refusal_reaches_a_client_that_reads_late(start: Start) -> None:
    """The writer is busy when the connection begins to leave: our direction is closed after the last byte."""
    house = start(app={"backlog_bytes": 64 * 1024 * 1024})
    publisher, player = house.client(), house.client(receive_bytes=4096)
    msid = publisher.publish()
    publisher.chunk_size(65536)
    player.play()
    other = player.create_stream()
    publisher.video(msid, keyframe(6_000_000))
    connection = house.connection(player)
    wait_until(lambda: connection.peer.writer.busy, "the picture does not fit")
    player.call("publish", None, "a", "live", msid=other)
    wait_until(lambda: connection.deadline_code == "leave", "the publish is refused")
    player.wait_code("NetStream.Publish.BadName")
    player.wait_end()
    assert house.wait_event("connection_close", conn_id=connection.conn_id).data["reason"] == "rejected"


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


def test_a_publisher_that_leaves_between_two_chunks_of_a_message_is_a_network_error(start: Start) -> None:
    house = start()
    publisher = house.client()
    msid = publisher.publish()
    publisher.raw(b"\x07\x00\x00\x28\x00\x10\x00\x09" + msid.to_bytes(4, "little") + bytes(128))
    publisher.close()
    house.the_error("connection_error", "network_error", "EOF", "chunking")


def test_the_first_reason_for_an_end_is_the_one_that_is_reported(start: Start) -> None:
    house = start()
    publisher = house.client()
    publisher.publish()
    connection = house.connection(publisher)
    connection.end("kicked")
    connection.end("timeout", PeerTimeout("too late", "late"))
    assert house.wait_event("connection_close").data["reason"] == "kicked"
    assert house.of("publish_stop")[0].data["reason"] == "kicked"
    assert not house.errors()


def test_a_player_that_says_two_things_at_once_is_heard_before_it_is_parked(start: Start) -> None:
    house = start(server={"park_idle_players": True})
    player = house.client()
    player.play()
    wait_until(lambda: f"{house.connection(player).conn_id}" not in greenlets(), "it is parked")
    calls = [command_message("getStreamLength", number, None, "a") for number in (101.0, 102.0, 103.0)]
    player.raw(chunked(*((3, call) for call in calls)))
    for call in (101.0, 102.0, 103.0):
        player.answer(call)


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
