"""Publish and play in one process: the main job, and everything a player may ask on the way."""

from __future__ import annotations

import pytest

from rtmpd.protocol.constants import DATA_AMF0, STREAM_BEGIN, STREAM_EOF
from tests.integration.conftest import Start
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, audio, interframe, keyframe
from tests.support.house import Running, greenlets
from tests.support.proof import proves
from tests.support.waiting import wait_until

parked_or_not = pytest.mark.parametrize("park", [True, False], ids=["parked", "unparked"])


def live(house: Running, name: str = "a") -> tuple[Client, int]:
    """A publisher that has sent its headers and a keyframe at 0."""
    publisher = house.client()
    msid = publisher.publish(name)
    publisher.headers(msid)
    publisher.video(msid, keyframe())
    return publisher, msid


def watching(house: Running, name: str = "a") -> tuple[Client, int]:
    """A player that has the keyframe of ``live``."""
    player = house.client()
    msid = player.play(name)
    player.wait_payload(keyframe())
    return player, msid


def test_a_player_receives_what_is_published(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    publisher.headers(msid)
    sent = [AVC_HEADER, AAC_HEADER]
    for number in range(50):
        picture = keyframe(5000 + number) if number % 10 == 0 else interframe(3000 + number)
        publisher.video(msid, picture, number * 40)
        publisher.audio(msid, audio(40 + number), number * 40)
        sent += [picture, audio(40 + number)]
    player.wait_payload(sent[-1])
    assert player.payloads() == sent
    assert [frame.timestamp for frame in player.frames[2:]] == [n * 40 for n in range(50) for _ in range(2)]


def test_the_events_of_a_publish_and_a_play_come_in_order(start: Start) -> None:
    house = start()
    publisher, msid = live(house)
    player, playing = watching(house)
    publishing_id, playing_id = (house.connection(client).conn_id for client in (publisher, player))
    player.call("deleteStream", None, float(playing))
    house.wait_event("play_stop")
    publisher.call("deleteStream", None, float(msid))
    house.wait_event("publish_stop")
    house.close_clients()
    assert house.types(publishing_id) == [
        "connection_accept", "handshake_complete", "publish_start", "codec_detected", "codec_detected",
        "publish_stop", "connection_close",
    ]  # fmt: skip
    assert house.types(playing_id) == [
        "connection_accept", "handshake_complete", "play_start", "subscriber_count",
        "play_stop", "subscriber_count", "connection_close",
    ]  # fmt: skip
    assert [e.data["count"] for e in house.of("subscriber_count")] == [1, 0]
    stop = house.of("publish_stop")[0].data
    assert (stop["video_packets"], stop["audio_packets"], stop["reason"]) == (2, 1, "unpublished")
    assert stop["total_bytes"] == len(AVC_HEADER + AAC_HEADER + keyframe())
    assert house.of("play_stop")[0].data["reason"] == "stopped"


def test_a_late_joiner_gets_metadata_headers_and_the_pictures_since_the_keyframe(start: Start) -> None:
    house = start()
    publisher, msid = live(house)
    publisher.metadata(msid, width=64.0)
    publisher.video(msid, interframe(fill=b"1"), 40)
    publisher.video(msid, keyframe(fill=b"2"), 80)
    publisher.video(msid, interframe(fill=b"3"), 120)
    wait_until(lambda: house.connection(publisher).peer.idle and len(list(house.house.registry)) == 1, "all is read")
    early = house.client()
    early.play()
    early.wait_payload(interframe(fill=b"3"))
    player = house.client()
    player.play()
    publisher.video(msid, interframe(fill=b"4"), 160)
    player.wait_payload(interframe(fill=b"4"))
    assert player.payloads() == [
        AVC_HEADER, AAC_HEADER, keyframe(fill=b"2"), interframe(fill=b"3"), interframe(fill=b"4"),
    ]  # fmt: skip
    assert [frame.timestamp for frame in player.frames] == [80, 80, 80, 120, 160]
    metadata = [m for m in player.messages if m.type_id == DATA_AMF0 and b"onMetaData" in m.payload]
    assert len(metadata) == 1
    assert metadata[0].payload.startswith(b"\x02\x00\x0aonMetaData")


def test_a_player_may_come_before_the_publisher(start: Start) -> None:
    house = start()
    player = house.client()
    playing = player.play()
    assert house.wait_event("stream_not_found").data["waiting"] is True
    live(house)
    player.wait_payload(keyframe())
    assert player.codes(playing) == ["NetStream.Play.Reset", "NetStream.Play.Start", "NetStream.Play.PublishNotify"]
    assert (STREAM_BEGIN, playing) in player.controls


@proves("apps.play_waits")
def test_where_players_may_not_wait_they_are_told_and_sent_away(start: Start) -> None:
    house = start(app={"play_waits": False})
    player = house.client()
    player.connect()
    msid = player.create_stream()
    player.call("play", None, "a", msid=msid)
    player.wait_end()
    assert player.codes(msid) == ["NetStream.Play.StreamNotFound"]
    event = house.wait_event("stream_not_found")
    assert (event.stream_key, event.data["waiting"]) == ("live/a", False)
    assert not house.of("stream_create")


@parked_or_not
def test_a_player_is_told_of_the_end_in_both_forms_and_of_the_next_beginning(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park})
    publisher, msid = live(house)
    player, playing = watching(house)
    publisher.call("deleteStream", None, float(msid))
    player.wait_code("NetStream.Play.UnpublishNotify", playing)
    player.wait_control(STREAM_EOF, playing)
    again = publisher.create_stream()
    publisher.call("publish", None, "a", "live", msid=again)
    player.wait_code("NetStream.Play.PublishNotify", playing)
    publisher.video(again, keyframe(fill=b"2"), 0)
    player.wait_payload(keyframe(fill=b"2"))


def test_several_message_streams_of_one_connection_do_not_mix(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    first, second = publisher.publish("one"), publisher.publish("two")
    assert first != second
    ones, twos = player.play("one"), player.play("two")
    for number in range(10):
        publisher.video(first, keyframe(fill=b"1"), number * 40)
        publisher.video(second, keyframe(fill=b"2"), number * 40)
    player.read_until(lambda: len(player.frames) == 20, "twenty frames")
    assert player.payloads(ones) == [keyframe(fill=b"1")] * 10
    assert player.payloads(twos) == [keyframe(fill=b"2")] * 10
    publisher.call("deleteStream", None, float(first))
    player.wait_code("NetStream.Play.UnpublishNotify", ones)
    publisher.video(second, keyframe(fill=b"3"), 400)
    player.wait_payload(keyframe(fill=b"3"), twos)


def test_one_connection_may_publish_and_play_what_it_publishes(start: Start) -> None:
    house = start()
    client = house.client()
    publishing, playing = client.publish(), client.play()
    for number in range(20):
        client.video(publishing, keyframe(20_000 + number), number * 40)
    client.read_until(lambda: len(client.frames) == 20, "twenty frames")
    assert client.payloads(playing) == [keyframe(20_000 + number) for number in range(20)]


@parked_or_not
def test_receive_audio_and_video_leave_that_kind_out(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park}, app={"flush": "immediate"})
    publisher, msid = live(house)
    player, playing = watching(house)
    playing_there = house.connection(player).activity.players[playing]
    player.call("receiveAudio", None, False, msid=playing)
    wait_until(lambda: playing_there.subscriber.wants == 6, "the player wants no audio")
    publisher.audio(msid, audio(fill=b"1"), 40)
    publisher.video(msid, interframe(fill=b"1"), 40)
    player.wait_payload(interframe(fill=b"1"))
    assert audio(fill=b"1") not in player.payloads()
    player.call("receiveAudio", None, True, msid=playing)
    wait_until(lambda: playing_there.subscriber.wants == 7, "the player wants audio again")
    publisher.audio(msid, audio(fill=b"2"), 80)
    player.wait_payload(audio(fill=b"2"))
    player.call("receiveVideo", None, False, msid=playing)
    wait_until(lambda: playing_there.subscriber.wants == 5, "the player wants no video")
    publisher.video(msid, interframe(fill=b"3"), 120)
    player.call("receiveVideo", None, True, msid=playing)
    wait_until(lambda: playing_there.subscriber.wants == 7, "the player wants video again")
    publisher.video(msid, interframe(fill=b"4"), 160)
    publisher.video(msid, keyframe(fill=b"5"), 200)
    player.wait_payload(keyframe(fill=b"5"))
    assert not {interframe(fill=b"3"), interframe(fill=b"4")} & set(player.payloads())


@parked_or_not
def test_pause_stops_the_media_and_resuming_goes_on_at_a_keyframe(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park})
    publisher, msid = live(house)
    player, playing = watching(house)
    player.call("pause", None, True, 0.0, msid=playing)
    player.wait_code("NetStream.Pause.Notify", playing)
    publisher.video(msid, keyframe(fill=b"1"), 40)
    seen = house.client()
    seen.play()
    seen.wait_payload(keyframe(fill=b"1"))
    player.call("pause", None, False, 0.0, msid=playing)
    player.wait_code("NetStream.Unpause.Notify", playing)
    publisher.video(msid, interframe(fill=b"2"), 80)
    publisher.video(msid, keyframe(fill=b"3"), 120)
    player.wait_payload(keyframe(fill=b"3"))
    assert not {keyframe(fill=b"1"), interframe(fill=b"2")} & set(player.payloads())


def test_play2_switches_to_another_stream_on_the_same_message_stream(start: Start) -> None:
    house = start()
    live(house, "a")
    other, msid = live(house, "b")
    other.video(msid, keyframe(fill=b"b"), 40)
    player, playing = watching(house, "a")
    player.call("play2", None, {"streamName": "b"}, msid=playing)
    player.wait_payload(keyframe(fill=b"b"), playing)
    house.wait_event("play_stop", stream_key="live/a")
    assert house.wait_event("play_start", stream_key="live/b").conn_id == house.connection(player).conn_id


@pytest.mark.parametrize("command", ["closeStream", "deleteStream"])
@parked_or_not
def test_a_player_that_stops_stays_connected_and_may_play_again(start: Start, park: bool, command: str) -> None:
    house = start(server={"park_idle_players": park})
    live(house)
    player, playing = watching(house)
    player.call(command, None, *([float(playing)] if command == "deleteStream" else []), msid=playing)
    house.wait_event("play_stop", reason="stopped")
    assert house.wait_event("subscriber_count", count=0)
    player.play()
    house.wait_event("subscriber_count", count=1)
    player.read_until(lambda: player.payloads().count(keyframe()) == 2, "the keyframe again")


@parked_or_not
def test_media_of_a_player_is_refused_and_reaches_nobody(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park})
    publisher, msid = live(house)
    player, playing = watching(house)
    other, _ = watching(house)
    player.video(playing, keyframe(fill=b"x"), 40)
    event = house.the_error("protocol_error", "protocol_error", "media_without_publish", "media_processing")
    assert event.conn_id == house.connection(player).conn_id
    publisher.video(msid, keyframe(fill=b"y"), 80)
    for client in (player, other):
        client.wait_payload(keyframe(fill=b"y"))
        assert keyframe(fill=b"x") not in client.payloads()


def test_closing_a_publish_keeps_the_connection_for_another(start: Start) -> None:
    house = start()
    publisher, msid = live(house)
    publisher.call("closeStream", None, msid=msid)
    publisher.wait_code("NetStream.Unpublish.Success", msid)
    publisher.call("publish", None, "b", "live", msid=msid)
    publisher.wait_code("NetStream.Publish.Start", msid, count=2)
    publisher.call("FCUnpublish", None, "b")
    house.wait_event("publish_stop", stream_key="live/b", reason="unpublished")
    house.close_clients()
    assert [str(e) for e in house.of("publish_start")] == ["publish_start:live/a", "publish_start:live/b"]


@pytest.mark.parametrize("park", [True, False])
def test_a_player_that_only_listens_keeps_a_greenlet_only_if_it_is_to(start: Start, park: bool) -> None:
    house = start(server={"park_idle_players": park})
    live(house)
    player, _ = watching(house)
    conn_id = house.connection(player).conn_id
    player.call("getStreamLength", None, "a")
    player.read_until(lambda: len(player.commands("_result")) == 3, "an answer")
    wait_until(lambda: greenlets()[conn_id] == (0 if park else 1), "the player is parked, or not")


def test_the_digest_handshake_is_answered_in_kind(start: Start) -> None:
    house = start()
    client = house.client(digest=True)
    client.publish()
    assert house.wait_event("handshake_complete").data["scheme"] == "digest"


def test_nagle_is_off_before_the_handshake(start: Start) -> None:
    house = start()
    raw = house.raw()
    sock = house.connection(raw).peer.transport._sock
    assert sock.getsockopt(6, 1) != 0  # IPPROTO_TCP, TCP_NODELAY
    raw.close()


def test_in_a_window_the_publisher_is_read_once_per_window_and_nothing_is_lost(start: Start) -> None:
    house = start(app={"flush": "window", "flush_window_ms": 30})
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    connection = house.connection(publisher)
    assert connection.peer.transport.gather_s == 0.03
    player.play()
    publisher.headers(msid)
    sent = [AVC_HEADER, AAC_HEADER]
    for number in range(40):
        picture = keyframe(4000 + number) if number % 10 == 0 else interframe(2000 + number)
        publisher.video(msid, picture, number * 20)
        publisher.audio(msid, audio(number + 1), number * 20)
        sent += [picture, audio(number + 1)]
    player.wait_payload(sent[-1])
    assert player.payloads(1) == sent
    publisher.play("other")
    wait_until(lambda: connection.peer.transport.gather_s == 0.0, "a player's own requests are read at once")
