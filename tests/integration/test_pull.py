"""Streams that are fetched from other houses while somebody watches."""

from __future__ import annotations

import pytest

from rtmpd.server import facts
from rtmpd.settings import Address
from tests.integration.conftest import Start
from tests.integration.test_playback import LISTEN, watching
from tests.integration.test_relay import publish
from tests.support.child import free_port
from tests.support.client import interframe, keyframe
from tests.support.house import Running, wait_until
from tests.support.proof import proves

QUICK = {"push_retry_s": 0.05, "push_retry_max_s": 0.1, "publisher_grace_s": 1.0, "pull_idle_s": 0.2}


@pytest.fixture
def origin(start: Start) -> Running:
    """A house that others fetch from."""
    return warm(start())


def warm(house: Running) -> Running:
    """The house with the greenlets that it will have when others fetch from it."""
    for client in [house.client() for _ in range(5)]:
        client.connect()
        client.close()
    house.close_clients()
    wait_until(house.drained, "its events are delivered")
    return house


def url(house: Running, name: str = "{name}") -> str:
    return f"rtmp://127.0.0.1:{house.address.port}/live/{name}"


@proves("apps.pull")
def test_a_play_of_what_is_not_here_fetches_it_and_the_pictures_are_the_same(start: Start, origin: Running) -> None:
    publisher, msid = publish(origin, "a")
    house = start(app={"pull": (url(origin),), "play_waits": False, **QUICK})
    player = house.client()
    player.play("a")
    player.wait_payload(keyframe(3000))
    publisher.video(msid, interframe(123, b"x"), 80)
    player.wait_payload(interframe(123, b"x"))
    begun = house.wait_event("pull_start")
    assert begun.data["source"] == url(origin, "a")
    published = house.wait_event("publish_start")
    assert (published.data["protocol"], published.data["encoder"]) == ("pull", "rtmpd pull")
    assert published.data["session_id"] == begun.data["session_id"]
    house.wait_event("codec_detected", codec_name="H264")
    second = house.client()
    second.play("a")
    second.wait_payload(keyframe(3000))
    assert len(origin.of("play_start")) == 1


@proves("apps.pull_idle")
def test_it_ends_when_nobody_has_watched_for_a_while(start: Start, origin: Running) -> None:
    publish(origin, "a")
    house = start(app={"pull": (url(origin),), **QUICK})
    player = house.client()
    player.play("a")
    player.wait_payload(keyframe(3000))
    player.close()
    stop = house.wait_event("pull_stop")
    assert stop.data["reason"] == "idle"
    assert house.wait_event("publish_stop").data["reason"] == "idle"
    origin.wait_event("play_stop")
    wait_until(lambda: not house.house.context.pulls, "it is forgotten")


def test_the_next_source_takes_over_and_players_stay(start: Start, origin: Running) -> None:
    publish(origin, "a")
    other = warm(start())
    publish(other, "a")
    nobody = f"rtmp://127.0.0.1:{free_port()}/live/{{name}}"
    house = start(app={"pull": (nobody, url(origin), url(other)), **QUICK})
    player = house.client()
    player.play("a")
    player.wait_payload(keyframe(3000))
    assert house.wait_event("pull_error").data["retry_in_ms"] == 0
    for connection in list(origin.house.context.connections.values()):
        if connection.activity.players:
            connection.end("kicked")
    house.wait_event("pull_start", source=url(other, "a"))
    assert [event.data["source"] for event in house.of("pull_start")] == [url(origin, "a"), url(other, "a")]
    assert not house.of("play_stop")
    assert house.wait_event("pull_stop").data["reason"] == "connection_lost"


def test_a_source_that_is_this_very_server_is_refused(start: Start) -> None:
    port = free_port()
    address = Address("127.0.0.1", port)
    pull = (f"rtmp://localhost:{port}/live/{{name}}",)
    house = start(listen=(address,), app={"pull": pull, **QUICK})
    player = house.client()
    player.play("a")
    assert house.wait_event("pull_error").data["error_message"] == "the source is this very server"
    player.close()
    wait_until(lambda: not house.house.context.pulls, "it is given up")
    assert not house.of("pull_start") and len(house.of("play_start")) == 1


def test_a_viewer_over_http_waits_for_what_is_fetched(start: Start, origin: Running) -> None:
    publish(origin, "a")
    house = start(playback=LISTEN, app={"pull": (url(origin),), **QUICK})
    with watching(house, "/live/live/a.flv?raw=1") as viewer:
        viewer.read_to(keyframe(3000))
    house.wait_event("pull_stop")


def test_a_pull_can_be_kicked_and_a_reload_ends_it(start: Start, origin: Running) -> None:
    publish(origin, "a")
    house = start(app={"pull": (url(origin),), **QUICK})
    player = house.client()
    player.play("a")
    player.wait_payload(keyframe(3000))
    (conn_id,) = house.house.context.pulls
    assert facts.kick_stream(house.house.context, "live/a", "publisher") == [conn_id]
    assert house.wait_event("pull_stop").data["reason"] == "kicked"
    wait_until(lambda: len(house.of("pull_start")) == 2, "the player still wants it")
    apps = type(house.house.settings.apps)()
    house.change(apps=apps)
    assert house.wait_event("pull_stop", reason="config")
    wait_until(lambda: not house.house.context.pulls, "it is forgotten")
