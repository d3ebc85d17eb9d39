"""Two publishers, one key: who has it; and a publisher that comes back."""

from __future__ import annotations

from typing import Any

from rtmpd.protocol.constants import STREAM_EOF
from rtmpd.protocol.message import Message
from tests.integration.conftest import Start
from tests.support.client import Client, interframe, keyframe
from tests.support.house import Running
from tests.support.waiting import wait_until


def second(house: Running, **options: Any) -> tuple[Client, int]:
    """Another publisher of the same key, as far as having asked for it."""
    client = house.client(**options)
    client.connect()
    msid = client.create_stream()
    client.call("publish", None, "a", "live", msid=msid)
    return client, msid


def test_reject_tells_the_second_publisher_and_leaves_the_first_alone(start: Start) -> None:
    house = start()
    first, player = house.client(), house.client()
    msid = first.publish()
    player.play()
    late, asked = second(house)
    late.wait_end()
    assert late.codes(asked) == ["NetStream.Publish.BadName"]
    event = house.wait_event("stream_error")
    assert (event.stream_key, event.data["error_type"]) == ("live/a", "publish_conflict")
    first.video(msid, keyframe())
    player.wait_payload(keyframe())
    assert len(house.of("publish_start")) == 1


def test_replace_gives_the_key_to_the_second_publisher_and_players_stay(start: Start) -> None:
    house = start(app={"publish_conflict": "replace"})
    first, player = house.client(), house.client()
    msid = first.publish()
    playing = player.play()
    first.video(msid, keyframe(), 1000)
    player.wait_payload(keyframe())
    first_id = house.connection(first).conn_id
    later, asked = second(house)
    later.wait_code("NetStream.Publish.Start", asked)
    first.wait_end()
    later.video(asked, keyframe(fill=b"2"), 5)
    player.wait_payload(keyframe(fill=b"2"))
    assert player.frames[-1].timestamp > 1000
    assert (STREAM_EOF, playing) not in player.controls
    assert "NetStream.Play.UnpublishNotify" not in player.codes()
    event = house.wait_event("publish_replaced")
    assert (event.conn_id, event.data["by_conn_id"], event.data["policy"]) == (
        first_id, house.connection(later).conn_id, "replace",
    )  # fmt: skip
    assert house.wait_event("publish_stop").data["reason"] == "replaced"
    assert house.wait_event("connection_close").data["reason"] == "replaced"
    kinds = [e.type for e in house.events if e.type.startswith(("publish", "stream"))]
    assert kinds == ["stream_create", "publish_start", "publish_replaced", "publish_stop", "publish_start"]


def test_nothing_of_a_replaced_publisher_gets_into_the_stream_any_more(start: Start) -> None:
    house = start(app={"publish_conflict": "replace", "flush": "immediate"})
    first, player = house.client(), house.client()
    msid = first.publish()
    player.play()
    first.video(msid, keyframe())
    player.wait_payload(keyframe())
    publishing = next(iter(house.connection(first).activity.publishers.values()))
    connection = house.connection(first)
    later, asked = second(house)
    later.wait_code("NetStream.Publish.Start", asked)
    # what the server had received from it before it noticed
    publishing.media(Message(9, keyframe(fill=b"x"), 40, msid))
    publishing.stream.idle()
    later.video(asked, keyframe(fill=b"2"), 0)
    player.wait_payload(keyframe(fill=b"2"))
    assert keyframe(fill=b"x") not in player.payloads()
    wait_until(lambda: not house.alive(connection.conn_id), "the replaced publisher's connection ends")


def test_a_stalled_publisher_gives_way_to_one_from_its_own_address(start: Start) -> None:
    house = start(app={"stalled_after_s": 0.05})
    first = house.client()
    msid = first.publish()
    first.video(msid, keyframe())
    publishing = next(iter(house.connection(first).activity.publishers.values()))
    wait_until(lambda: publishing.has_media and publishing.stalled_s() > 0.05, "the publisher counts as stalled")
    later, asked = second(house)
    later.wait_code("NetStream.Publish.Start", asked)
    assert house.wait_event("publish_replaced").data["policy"] == "stalled"


def test_a_stalled_publisher_does_not_give_way_to_a_stranger(start: Start) -> None:
    house = start(app={"stalled_after_s": 0.05})
    first = house.client()
    first.publish()
    publishing = next(iter(house.connection(first).activity.publishers.values()))
    wait_until(lambda: publishing.stalled_s() > 0.05, "the publisher counts as stalled")
    stranger, asked = second(house, source="127.0.0.2")
    stranger.wait_end()
    assert stranger.codes(asked) == ["NetStream.Publish.BadName"]


def test_players_stay_when_a_cut_publisher_returns_in_time(start: Start) -> None:
    house = start(app={"publisher_grace_s": 8.0})
    first, player = house.client(), house.client()
    msid = first.publish()
    player.play()
    first.video(msid, keyframe(), 1000)
    player.wait_payload(keyframe())
    first.reset()
    house.wait_event("publish_stop")
    later = house.client()
    msid = later.publish()
    later.headers(msid)
    later.video(msid, keyframe(fill=b"2"), 0)
    later.video(msid, interframe(fill=b"3"), 40)
    player.wait_payload(interframe(fill=b"3"))
    times = [frame.timestamp for frame in player.frames]
    assert times == sorted(times)
    assert times[-1] - times[-2] == 40
    assert times[-2] - times[0] < 8000
    assert "NetStream.Play.UnpublishNotify" not in player.codes()
    assert len(house.of("stream_create")) == 1


def test_players_are_told_when_a_cut_publisher_does_not_return(start: Start) -> None:
    house = start(app={"publisher_grace_s": 0.1})
    first, player = house.client(), house.client()
    first.publish()
    playing = player.play()
    first.reset()
    player.wait_code("NetStream.Play.UnpublishNotify", playing)
    player.wait_control(STREAM_EOF, playing)
    assert not house.of("stream_delete")


def test_nothing_is_kept_for_a_cut_publisher_once_its_players_are_gone(start: Start) -> None:
    house = start(app={"publisher_grace_s": 3600.0})
    first, player = house.client(), house.client()
    first.publish()
    player.play()
    first.reset()
    house.wait_event("publish_stop")
    assert not house.of("stream_delete")
    player.close()
    house.wait_event("stream_delete")


def test_the_goodbye_of_a_publisher_ends_its_players_at_once_whatever_the_grace(start: Start) -> None:
    house = start(app={"publisher_grace_s": 3600.0})
    first, player = house.client(), house.client()
    msid = first.publish()
    playing = player.play()
    first.call("FCUnpublish", None, "a")
    first.call("deleteStream", None, float(msid))
    player.wait_code("NetStream.Play.UnpublishNotify", playing)
