"""One stream has one application and one name, by whatever split a client comes: in a house, with every rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gevent
import pytest

from rtmpd.server import facts
from rtmpd.settings import AppSettings, AppsSettings, TokenSettings
from tests.integration.conftest import Start
from tests.support.client import Client, keyframe
from tests.support.house import Running
from tests.support.receiver import receiving, says
from tests.support.waiting import wait_until

SECRET = "5tudio-s3cret"
TOKENS = (TokenSettings("studio", SECRET),)
AT_ONCE = {"failure_delay_s": 0.0, "failure_delay_max_s": 0.0}
PLAY_BY_TOKEN = AppSettings(play_access=("token",), play_tokens=TOKENS)
PUBLISH_BY_TOKEN = AppSettings(publish_access=("token",), publish_tokens=TOKENS)

#: Ways to write ``live/room/cam``.
SPLITS = [
    ("live", "room/cam"),
    ("live/room", "cam"),
    ("live/room/cam", ""),
    ("/live//", "/room//cam/"),
    ("live/_definst_", "room/cam"),
    ("live/room/_definst_", "cam"),
    ("live", "_definst_/room/cam"),
    ("live?x=/a/b", "room/cam?y=1"),
]


def ask(house: Running, action: str, app: str, name: str, **properties: Any) -> tuple[Client, list[str]]:
    """A client that asks to publish or play, and the codes of the answer."""
    client = house.client()
    assert client.connect(app, **properties).name == "_result"
    msid = client.create_stream()
    client.call(action, None, name, "live" if action == "publish" else -2.0, msid=msid)
    codes = client.read_until(lambda: client.codes(msid), "an answer")
    return client, codes


def named(**apps: AppSettings) -> dict[str, Any]:
    return {"named": tuple((name.replace("__", "/"), settings) for name, settings in apps.items())}


# --- the rules of the key hold for every split ------------------------------------------------------


@pytest.mark.parametrize(("app", "name"), SPLITS)
@pytest.mark.parametrize("protected", ["live", "live__room"])
def test_no_split_plays_a_protected_stream_without_a_token(start: Start, app: str, name: str, protected: str) -> None:
    house = start(apps=named(**{protected: PLAY_BY_TOKEN}), access=AT_ONCE)
    ask(house, "publish", "live", "room/cam")
    client, codes = ask(house, "play", app, name)
    assert codes == ["NetStream.Play.Failed"]
    client.wait_end()
    failed = house.wait_event("auth_failed")
    expected = ("live", "room/cam") if protected == "live" else ("live/room", "cam")
    assert (failed.data["app"], failed.data["stream_name"], failed.stream_key) == (*expected, "live/room/cam")
    ask(house, "play", app, f"{name}{'&' if '?' in name else '?'}token={SECRET}")
    assert house.wait_event("play_start", stream_key="live/room/cam").data["app"] == expected[0]


@pytest.mark.parametrize(("app", "name"), [(app, name) for app, name in SPLITS])
def test_no_split_publishes_a_protected_key_without_a_token(start: Start, app: str, name: str) -> None:
    house = start(apps=named(live__room=PUBLISH_BY_TOKEN), access=AT_ONCE)
    client, codes = ask(house, "publish", app, name)
    assert codes == ["NetStream.Publish.Denied"]
    client.wait_end()
    assert not house.of("publish_start") and not house.of("stream_create")


@pytest.mark.parametrize(("app", "name"), SPLITS)
def test_every_split_publishes_the_same_stream(start: Start, app: str, name: str) -> None:
    house = start(apps=named(live=AppSettings()))
    player, _ = ask(house, "play", "live", "room/cam")
    publisher, codes = ask(house, "publish", app, name)
    assert codes == ["NetStream.Publish.Start"]
    publisher.video(1, keyframe())
    player.wait_payload(keyframe())
    started = house.wait_event("publish_start")
    assert (started.data["app"], started.data["publishing_name"], started.stream_key) == (
        "live", "room/cam", "live/room/cam",
    )
    assert len(house.of("stream_create")) == 1
    publisher.close()
    stopped = house.wait_event("publish_stop")
    assert {key: stopped.data[key] for key in ("app", "client_ip", "identity")} == {
        key: started.data[key] for key in ("app", "client_ip", "identity")
    }
    assert house.wait_event("connection_close", role="publisher").data["app"] == "live"


def test_a_viewer_that_waits_first_under_another_split_changes_no_output(start: Start, tmp_path: Path) -> None:
    recorded = AppSettings(record="all", record_dir=str(tmp_path), record_min_free_bytes=0)
    house = start(apps=named(live=recorded))
    ask(house, "play", "live/room", "cam")
    publisher, _ = ask(house, "publish", "live", "room/cam")
    publisher.headers(1)
    publisher.video(1, keyframe())
    assert house.wait_event("recording_start").stream_key == "live/room/cam"


@pytest.mark.parametrize("query", ["app", "tcUrl", "name"])
def test_a_token_is_found_in_each_query(start: Start, query: str) -> None:
    house = start(apps=named(live=PUBLISH_BY_TOKEN))
    token = f"?token={SECRET}"
    tc_url = "rtmp://h/live" + token * (query == "tcUrl")
    _, codes = ask(house, "publish", "live" + token * (query == "app"), "a" + token * (query == "name"), tcUrl=tc_url)
    assert codes == ["NetStream.Publish.Start"]


def test_the_path_comes_from_tc_url_if_there_is_no_application(start: Start) -> None:
    house = start(apps=named(live__room=PUBLISH_BY_TOKEN), access=AT_ONCE)
    _, codes = ask(house, "publish", "", "cam", tcUrl="rtmp://h/live/room")
    assert codes == ["NetStream.Publish.Denied"]


@pytest.mark.parametrize(("action", "code"), [
    ("publish", "NetStream.Publish.BadName"), ("play", "NetStream.Play.Failed"),
])
@pytest.mark.parametrize(("app", "name"), [("live", ""), ("live", "/"), ("live/_definst_", ""), ("vip", "cam")])
def test_a_stream_without_a_name_is_refused_in_words(
    start: Start, action: str, code: str, app: str, name: str
) -> None:
    house = start(apps=named(vip__cam=AppSettings()))
    client, codes = ask(house, action, app, name)
    assert codes == [code]
    error = house.wait_event("stream_error").data
    assert error["error_type"] == "invalid_stream_key"
    assert error["error_message"].startswith("the stream name is missing after the application ")
    status = next(c.argument(0) for c in client.commands("onStatus"))
    assert status["description"] == error["error_message"]


def test_a_key_that_is_only_a_query_is_the_stream_default(start: Start) -> None:
    house = start(apps=named(live=PUBLISH_BY_TOKEN))
    _, codes = ask(house, "publish", "live", f"?token={SECRET}")
    assert codes == ["NetStream.Publish.Start"] and house.wait_event("publish_start").stream_key == "live/default"


@pytest.mark.parametrize(("app", "name"), [("vip", "cam/1"), ("vip/cam", "1")])
def test_what_fcunpublish_names_ends(start: Start, app: str, name: str) -> None:
    house = start(apps=named(vip__cam=AppSettings()))
    client, _ = ask(house, "publish", app, f"{name}?key=x")
    client.call("FCUnpublish", None, f"{name}?key=x")
    assert house.wait_event("publish_stop", stream_key="vip/cam/1").data["reason"] == "unpublished"


# --- applications that are served, and their limits ---------------------------------------------------


def test_what_is_served_is_decided_by_the_whole_path(start: Start) -> None:
    house = start(apps={"served": ("vip/cam", "eu/*"), **named(vip__cam=AppSettings())})
    for app, name in (("vip", "cam/1"), ("vip/cam", "2"), ("eu", "one/1"), ("eu/one", "2")):
        assert ask(house, "publish", app, name)[1] == ["NetStream.Publish.Start"]
    assert sorted(e.data["app"] for e in house.of("publish_start")) == ["eu/one", "eu/one", "vip/cam", "vip/cam"]
    for app, name in (("vip", "other/1"), ("eu", "")):
        client, codes = ask(house, "publish", app, name)
        assert codes == ["NetStream.Publish.BadName"], "connect could not know"
        client.wait_end()
    refused = house.client()
    assert refused.connect("live").argument(0)["code"] == "NetConnection.Connect.InvalidApp"


def test_connections_count_for_the_application_of_their_streams(start: Start) -> None:
    house = start(apps=named(vip__cam=AppSettings()), limits={"connections_per_app": 2})
    assert ask(house, "publish", "vip", "cam/1")[1] == ["NetStream.Publish.Start"]
    assert ask(house, "publish", "vip/cam", "2")[1] == ["NetStream.Publish.Start"]
    late, codes = ask(house, "publish", "vip", "cam/3")
    assert codes == ["NetStream.Publish.BadName"]
    assert house.wait_event("stream_error").data["error_message"] == "vip/cam has its 2 connections"
    late.wait_end()
    house.wait_event("connection_close", conn_id="c000003")
    assert house.client().connect("vip/cam").name == "_error"
    for _ in range(2):
        assert house.client().connect("vip").name == "_result", "they have left vip for vip/cam"
    assert house.client().connect("vip").name == "_error"


def test_a_connection_with_streams_of_two_applications_counts_for_both(start: Start) -> None:
    house = start(apps=named(vip__cam=AppSettings()), limits={"connections_per_app": 1})
    client, _ = ask(house, "publish", "vip", "cam/1")
    msid = client.create_stream()
    client.call("publish", None, "2", "live", msid=msid)
    client.wait_code("NetStream.Publish.Start", msid)
    context = house.house.context
    assert (context.connections_of("vip/cam"), context.connections_of("vip")) == (1, 1)
    assert house.client().connect("vip/cam").name == house.client().connect("vip").name == "_error"
    client.call("deleteStream", None, float(msid))
    house.wait_event("publish_stop", stream_key="vip/2")
    client.call("publish", None, "3", "live", msid=client.create_stream())
    house.wait_event("publish_start", stream_key="vip/3")
    client.call("publish", None, "cam/4", "live", msid=client.create_stream())
    house.wait_event("publish_start", stream_key="vip/cam/4")


def test_limits_per_address_follow_the_key(start: Start) -> None:
    limited = AppSettings(max_publishers_per_address=1, max_players_per_address=1, max_publishers=1, max_players=1)
    house = start(apps=named(vip__cam=limited))
    ask(house, "publish", "vip", "cam/1")
    ask(house, "play", "vip", "cam/1")
    for action, name in (("publish", "cam/2"), ("play", "cam/1"), ("play", "cam/2")):
        client, codes = ask(house, action, "vip", name)
        assert codes == [f"NetStream.{action.capitalize()}.Failed"]
        client.wait_end()
    assert {e.data["app"] for e in house.of("stream_error")} == {"vip/cam"}


# --- what a callback renames ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key"), [("b/c", "live/b/c"), ("/b//c/", "live/b/c"), ("_definst_/b", "live/b")])
def test_a_renamed_stream_is_one_of_the_same_application(start: Start, name: str, key: str) -> None:
    body = json.dumps({"stream_name": name}).encode()
    with receiving(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as receiver:
        asks = AppSettings(publish_access=("callback",), callback_url=receiver.url)
        house = start(apps=named(live=asks, live__room=PUBLISH_BY_TOKEN))
        ask(house, "publish", "live", "a")
        assert house.wait_event("publish_start").stream_key == key
        asked = json.loads(receiver.requests[0].body)
        assert (asked["app"], asked["stream_name"], asked["stream_key"]) == ("live", "a", "live/a")


@pytest.mark.parametrize("action", ["publish", "play"])
def test_a_rename_does_not_get_around_the_rules_of_another_application(start: Start, action: str) -> None:
    body = json.dumps({"stream_name": "room/cam"}).encode()
    with receiving(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as receiver:
        asks = AppSettings(publish_access=("callback",), play_access=("callback",), callback_url=receiver.url)
        strict = AppSettings(publish_deny=("0.0.0.0/0",), play_deny=("0.0.0.0/0",))
        house = start(apps=named(live=asks, live__room=strict), access=AT_ONCE)
        client, codes = ask(house, action, "live", "a")
        assert codes == [{"publish": "NetStream.Publish.Denied", "play": "NetStream.Play.Failed"}[action]]
        client.wait_end()
        assert house.wait_event("auth_failed").data["error"] == (
            "authentication failed: renamed to live/room/cam, which is not a stream of live"
        )
        assert not house.of("stream_create")


# --- reload, and operators --------------------------------------------------------------------------------


def test_an_application_that_a_reload_adds_takes_over_the_streams_that_run(start: Start) -> None:
    house = start(apps=named(live=AppSettings()), access=AT_ONCE)
    publisher, _ = ask(house, "publish", "live", "room/cam")
    player, _ = ask(house, "play", "live/room", "cam")
    elsewhere, _ = ask(house, "publish", "live", "other")
    strict = AppSettings(play_access=("token",), play_tokens=TOKENS, max_publishers_per_address=1)
    house.change(apps=AppsSettings(**named(live=AppSettings(), live__room=strict)))
    publisher.video(1, keyframe())
    player.wait_payload(keyframe())
    for app, name in SPLITS:
        client, codes = ask(house, "play", app, name)
        assert codes == ["NetStream.Play.Failed"]
        client.wait_end()
    assert {e.data["app"] for e in house.of("auth_failed")} == {"live/room"}
    client, codes = ask(house, "publish", "live", "room/cam2")
    assert codes == ["NetStream.Publish.Failed"], "the one that runs counts"
    client.wait_end()
    context = house.house.context
    shown = facts.stream_whole(context, "live/room/cam")
    assert (shown["app"], shown["name"], shown["key"]) == ("live/room", "cam", "live/room/cam")
    assert house.connection(publisher).app == "live/room" and house.connection(elsewhere).app == "live"
    publisher.close()
    stopped = house.wait_event("publish_stop", stream_key="live/room/cam").data
    assert stopped["app"] == house.of("publish_start", stream_key="live/room/cam")[0].data["app"] == "live"
    house.change(apps=AppsSettings(**named(live=AppSettings())))
    assert ask(house, "publish", "live/room", "cam")[1] == ["NetStream.Publish.Start"]


def test_a_reload_during_a_question_lets_nobody_past_the_new_rules(start: Start) -> None:
    let = gevent.event.Event()

    def wait(sock: Any, request: Any) -> bool:
        let.wait(20.0)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    with receiving(wait) as receiver:
        asks = AppSettings(publish_access=("callback",), callback_url=receiver.url)
        house = start(apps=named(live=asks), access=AT_ONCE)
        client = house.client()
        client.connect("live")
        msid = client.create_stream()
        client.call("publish", None, "room/cam", "live", msid=msid)
        connection = house.connection(client)
        wait_until(lambda: connection.waits, "the client waits for its verdict")
        house.change(apps=AppsSettings(**named(live=asks, live__room=PUBLISH_BY_TOKEN)))
        let.set()
        client.wait_end()
        assert client.codes(msid) == ["NetStream.Publish.Denied"]
        assert house.wait_event("auth_failed").data["error"].endswith(
            "live/room/cam, which by now is not a stream of live"
        )


@pytest.mark.parametrize("key", ["vip/cam/1", "/vip//cam/1/", "vip/cam/_definst_/1"])
def test_operators_find_a_stream_however_they_write_its_key(start: Start, key: str) -> None:
    house = start(apps=named(vip__cam=AppSettings()))
    client, _ = ask(house, "publish", "vip", "cam/1")
    conn_id = house.connection(client).conn_id
    context = house.house.context
    assert facts.stream_whole(context, key)["app"] == "vip/cam"
    assert facts.kick_stream(context, key, "all") == [conn_id]
    client.wait_end()


def test_a_refusal_is_logged_with_the_address_before_anything_a_client_can_choose(start: Start) -> None:
    house = start(apps=named(live=PUBLISH_BY_TOKEN), access=AT_ONCE)
    client, _ = ask(house, "publish", "live", "peer_addr=192.0.2.1:1")
    client.wait_end()
    (line,) = house.logged("request refused")
    assert list(line) == ["conn_id", "peer_addr", "action", "error_type", "app", "stream_name", "error"]
    assert (line["peer_addr"], line["action"], line["error_type"]) == (
        f"127.0.0.1:{client.port}", "publish", "auth_failed",
    )
    assert house.wait_event("connection_close").data["remote_addr"] == line["peer_addr"]
