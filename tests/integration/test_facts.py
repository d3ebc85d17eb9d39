"""What the server tells about itself, and whom it ends when it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rtmpd.protocol import chunk
from rtmpd.server import facts
from tests.support.client import keyframe
from tests.support.house import Running
from tests.support.waiting import wait_until


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    try:
        yield running
    finally:
        running.finish()


def publish(running: Running, name: str = "a") -> str:
    """A publisher that has sent a picture; its connection's id."""
    client = running.client()
    msid = client.publish(name)
    client.headers(msid)
    client.video(msid, keyframe(3000), 40)
    return running.connection(client).conn_id


def test_a_publish_is_told_with_what_it_carries(running: Running) -> None:
    context = running.house.context
    conn_id = publish(running)
    stream = wait_until(lambda: has_video(running), "the picture has come")
    player = running.client()
    player.play("a")
    player.wait_payload(keyframe(3000))
    whole = facts.stream_whole(context, stream["key"])
    assert (whole["publisher"]["conn_id"], whole["publisher"]["video_codec"], whole["players"]) == (conn_id, "H264", 1)
    (playing,) = whole["playing"]
    assert (playing["conn_id"], playing["paused"]) == (running.connection(player).conn_id, False)
    assert playing["bytes_sent"] > 3000
    assert json.dumps(whole)
    with pytest.raises(KeyError):
        facts.stream_whole(context, "live/none")


def has_video(running: Running) -> facts.Facts | None:
    found, _, _ = facts.streams(running.house.context, "", 10)
    return found[0] if found and found[0]["publisher"]["video_packets"] else None


def test_the_server_counts_what_there_is(running: Running) -> None:
    publish(running)
    server = facts.server(running.house.context, running.addresses)
    assert server["accelerated"] is not chunk.__file__.endswith(".py")
    assert (server["connections"], server["streams"], server["publishers"], server["players"]) == (1, 1, 1, 0)
    assert server["listen"] == [f"rtmp://{running.address}"]


def test_connections_and_streams_come_in_pages_that_miss_nobody(running: Running) -> None:
    context = running.house.context
    ids = [publish(running, name) for name in "cab"]
    first, total, after = facts.connections(context, "", 2)
    second, _, end = facts.connections(context, after, 2)
    assert [one["conn_id"] for one in (*first, *second)] == ids
    assert (total, end) == (3, "")
    streams, total, after = facts.streams(context, "", 2)
    assert ([one["name"] for one in streams], total) == (["a", "b"], 3)
    rest, _, end = facts.streams(context, after, 2)
    assert ([one["name"] for one in rest], end) == (["c"], "")
    assert facts.connections(context, "nonsense", 5)[0][0]["conn_id"] == ids[0]


def test_a_connection_that_is_kicked_ends_for_that_reason(running: Running) -> None:
    conn_id = publish(running)
    assert facts.kick(running.house.context, conn_id) == [conn_id]
    running.wait_event("connection_close", conn_id=conn_id, reason="kicked")
    with pytest.raises(KeyError):
        facts.kick(running.house.context, conn_id)


def test_of_a_stream_those_are_kicked_that_have_the_role(running: Running) -> None:
    publisher = publish(running)
    player = running.client()
    player.play("a")
    conn_id = running.connection(player).conn_id
    key = next(iter(running.house.registry)).key
    context = running.house.context
    wait_until(lambda: facts.stream_whole(context, key)["playing"], "the player has joined")
    assert facts.kick_stream(context, key, "players") == [conn_id]
    running.wait_event("connection_close", conn_id=conn_id, reason="kicked")
    assert running.alive(publisher)
    assert facts.kick_stream(context, key, "all") == [publisher]
    running.wait_event("connection_close", conn_id=publisher, reason="kicked")
