"""Who may publish or play, in a house of its own: what waits, what is held, what is told."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent.event import Event as Signal
from gevent.socket import socket

from rtmpd.server.access import lease
from rtmpd.settings import AccessSettings, AppSettings, AppsSettings, TokenSettings
from tests.integration.conftest import Start
from tests.support.client import Client, keyframe
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.receiver import Receiver, Request, receiving, says
from tests.support.waiting import wait_until

SECRET = "5tudio-s3cret"
TOKENS = (TokenSettings("studio", SECRET),)
BY_TOKEN = {"publish_access": ("token",), "play_access": ("token",), "publish_tokens": TOKENS, "play_tokens": TOKENS}
AT_ONCE = {"failure_delay_s": 0.0, "failure_delay_max_s": 0.0}


def ask(client: Client, action: str, name: str, app: str = "live") -> int:
    """Ask to publish or play, without waiting for the answer; the message stream id."""
    if not client.commands("_result"):
        client.connect(app)
    msid = client.create_stream()
    client.call(action, None, name, "live" if action == "publish" else -2.0, msid=msid)
    return msid


def answer(body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


class Gatekeeper:
    """A callback that answers when it is let, by the name of the stream."""

    def __init__(self) -> None:
        self.said = Signal()
        self.status = "200 OK"

    def __call__(self, sock: socket, request: Request) -> bool:
        self.said.wait(20.0)
        sock.sendall(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    def let(self, status: str = "200 OK") -> None:
        self.status = status
        self.said.set()


@contextmanager
def silent() -> Iterator[Receiver]:
    """A callback that does not answer while this lasts."""
    keeper = Gatekeeper()
    with receiving(keeper) as receiver:
        try:
            yield receiver
        finally:
            keeper.let()


def by_callback(receiver: Receiver, **more: Any) -> dict[str, Any]:
    return {"publish_access": ("callback",), "callback_url": receiver.url, **more}


def waits_for(house: Running, client: Client) -> None:
    """Until the question about this client is pending."""
    connection = house.connection(client)
    wait_until(lambda: connection.waits, "the client waits for its verdict")


# --- refused and admitted -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "code"), [("publish", "NetStream.Publish.Denied"), ("play", "NetStream.Play.Failed")]
)
def test_a_refusal_reaches_the_client_and_is_told(start: Start, action: str, code: str) -> None:
    house = start(app=BY_TOKEN)
    client = house.client()
    conn_id = house.connection(client).conn_id
    msid = ask(client, action, "a?token=wr0ng")
    assert client.wait_end().clean
    client.close()
    status = next(c.argument(0) for c in client.commands("onStatus") if c.msid == msid)
    assert (status["level"], status["code"], status["description"]) == ("error", code, "Authentication failed.")
    failed = house.wait_event("auth_failed", conn_id=conn_id)
    assert failed.stream_key == "live/a" and failed.severity == "warning"
    assert dict(failed.data) == {
        "action": action,
        "app": "live",
        "stream_name": "a",
        "error": "authentication failed: invalid credentials",
        "remote_addr": f"127.0.0.1:{client.port}",
    }
    error = house.wait_event("stream_error", conn_id=conn_id)
    assert (error.data["error_type"], error.data["error_message"]) == ("auth_failed", failed.data["error"])
    assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "rejected"
    assert not house.of("stream_create") and not house.of("publish_start") and not house.of("play_start")
    assert len(house.of("auth_failed")) == len(house.of("stream_error")) == 1


def test_who_has_a_token_publishes_under_its_identity_and_others_play_with_theirs(start: Start) -> None:
    house = start(app={**BY_TOKEN, "play_tokens": (TokenSettings("viewer", "v1ewer"),)})
    publisher, player = house.client(), house.client()
    msid = publisher.publish(f"a?token={SECRET}")
    publisher.headers(msid)
    publisher.video(msid, keyframe())
    player.play("a?token=v1ewer")
    player.wait_payload(keyframe())
    started = house.wait_event("publish_start")
    assert (started.data["identity"], started.data["query"]) == ("studio", {"token": "***"})
    assert (started.data["publishing_name"], started.stream_key) == ("a", "live/a")
    assert not house.of("auth_failed")


def test_a_token_can_stand_in_the_url_of_the_application(start: Start) -> None:
    house = start(app=BY_TOKEN)
    client = house.client()
    client.connect(f"live?token={SECRET}")
    msid = ask(client, "publish", "a")
    client.wait_code("NetStream.Publish.Start", msid)
    assert house.wait_event("publish_start").stream_key == "live/a"


def test_tokens_reach_neither_events_nor_log(start: Start) -> None:
    house = start(app=BY_TOKEN)
    for action in ("publish", "play"):
        admitted, refused = house.client(), house.client()
        getattr(admitted, action)(f"a?token={SECRET}&key=0ther")
        refused.connect("live?token=ref0sed")
        ask(refused, action, "a?token=wr0ng")
        refused.wait_end()
    house.close_clients()
    told = b"".join(event.json() for event in house.events) + repr([r.__dict__ for r in house._log.records]).encode()
    assert b"auth_failed" in told and b"publish started" in told
    for secret in (SECRET, "wr0ng", "ref0sed", "0ther"):
        assert secret.encode() not in told


def test_address_lists_refuse_before_anything_is_asked(start: Start) -> None:
    with silent() as receiver:
        house = start(app=by_callback(receiver, publish_deny=("127.0.0.2",)))
        client = house.client(source="127.0.0.2")
        ask(client, "publish", "a")
        client.wait_end()
        assert house.wait_event("auth_failed").data["error"] == "authentication failed: the address is denied"
        assert not receiver.requests


@proves("apps.max_players_per_address", "apps.max_publishers_per_address")
def test_one_address_has_so_many_publishers_and_players(start: Start) -> None:
    house = start(app={"max_publishers_per_address": 1, "max_players_per_address": 1})
    first, second = house.client(), house.client()
    msid = first.publish("a")
    asked = ask(second, "publish", "b")
    second.wait_end()
    assert second.codes(asked) == ["NetStream.Publish.Failed"]
    house.client(source="127.0.0.2").publish("b")
    player, another = house.client(), house.client()
    player.play("a")
    asked = ask(another, "play", "a")
    another.wait_end()
    assert another.codes(asked) == ["NetStream.Play.Failed"]
    first.call("deleteStream", None, float(msid))
    house.wait_event("publish_stop")
    house.client().publish("c")
    assert {e.data["error_type"] for e in house.of("stream_error")} == {"limit_reached"}


# --- the question is pending ----------------------------------------------------------------------


def test_nobody_else_gets_the_key_while_the_question_is_pending(start: Start) -> None:
    keeper = Gatekeeper()
    with receiving(keeper) as receiver:
        house = start(app=by_callback(receiver))
        first, second = house.client(), house.client()
        msid = ask(first, "publish", "a")
        waits_for(house, first)
        asked = ask(second, "publish", "a")
        second.wait_end()
        assert second.codes(asked) == ["NetStream.Publish.BadName"]
        assert house.wait_event("stream_error").data["error_type"] == "publish_conflict"
        assert not house.of("stream_create") and not house.of("auth_failed")
        keeper.let()
        first.wait_code("NetStream.Publish.Start", msid)
        assert len(receiver.requests) == 1 and len(house.of("publish_start")) == 1


def test_a_question_under_the_rule_to_replace_leaves_the_publisher_alone_until_the_answer(start: Start) -> None:
    keeper = Gatekeeper()
    keeper.let()
    with receiving(keeper) as receiver:
        house = start(app=by_callback(receiver, publish_conflict="replace"), access=AT_ONCE)
        first, player, second, third = (house.client() for _ in range(4))
        msid = first.publish()
        player.play()
        keeper.said.clear()
        asked = ask(second, "publish", "a")
        ask(third, "publish", "a")
        waits_for(house, second)
        waits_for(house, third)
        first.video(msid, keyframe())
        player.wait_payload(keyframe())
        assert not house.of("publish_replaced")
        keeper.let("403 Forbidden")
        second.wait_end()
        third.wait_end()
        assert second.codes(asked) == ["NetStream.Publish.Denied"]
        first.video(msid, keyframe(fill=b"2"), 40)
        player.wait_payload(keyframe(fill=b"2"))
        assert not house.of("publish_replaced")
        keeper.let()
        later = house.client()
        later.publish()
        first.wait_end()
        assert house.wait_event("publish_replaced").data["by_conn_id"] == house.connection(later).conn_id


def test_a_refusal_frees_the_key_before_it_is_told(start: Start) -> None:
    keeper = Gatekeeper()
    with receiving(keeper) as receiver:
        house = start(app=by_callback(receiver, max_publishers=1, max_publishers_per_address=1))
        first, second, third = (house.client() for _ in range(3))
        ask(first, "publish", "a")
        waits_for(house, first)
        asked = ask(second, "publish", "b")
        second.wait_end()
        assert second.codes(asked) == ["NetStream.Publish.Failed"], "the pending one counts"
        keeper.let("403 Forbidden")
        first.wait_end()
        keeper.let()
        third.publish("a")


def test_a_hanging_callback_delays_its_own_connection_only(start: Start) -> None:
    with silent() as receiver:
        named = (("ask", AppSettings(**by_callback(receiver, play_access=("callback",)))),)
        house = start(apps={"named": named}, access={"callback_timeout_s": 30.0})
        stuck = [house.client() for _ in range(8)]
        for number, client in enumerate(stuck):
            ask(client, "publish" if number % 2 else "play", f"s{number}", "ask")
        for client in stuck:
            waits_for(house, client)
        house.check_service()
        assert all(house.connection(client).waits for client in stuck)
        assert not house.of("auth_failed")


@proves("apps.callback_url", "access.callback_timeout")
def test_a_callback_that_does_not_answer_in_time_refuses(start: Start) -> None:
    with silent() as receiver, gevent.Timeout(4):  # less than the time-out is by default
        house = start(app=by_callback(receiver), access={"callback_timeout_s": 0.05})
        client = house.client()
        asked = ask(client, "publish", "a")
        client.wait_end()
        assert client.codes(asked) == ["NetStream.Publish.Denied"]
        error = str(house.wait_event("auth_failed").data["error"])
        assert error == "authentication failed: auth callback failed: timed out: no answer came"


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_client_that_leaves_during_the_question_frees_the_key(start: Start, end: str) -> None:
    keeper = Gatekeeper()
    with receiving(keeper) as receiver:
        house = start(app=by_callback(receiver), access={"callback_timeout_s": 30.0})
        first, second = house.client(), house.client()
        msid = ask(first, "publish", "a")
        waits_for(house, first)
        first.video(msid, keyframe(), 0)  # what it sent on is no reason not to notice
        conn_id = house.connection(first).conn_id
        getattr(first, end)()
        assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "client_closed"
        assert not house.of("publish_start") and not house.of("auth_failed") and not house.errors()
        keeper.let()
        second.publish()


def test_who_waits_for_a_verdict_is_not_taken_for_dead(start: Start) -> None:
    named = (("else", AppSettings()),)
    keeper = Gatekeeper()
    with receiving(keeper) as receiver:
        house = start(
            app=by_callback(receiver),
            apps={"named": named},
            limits={"ping_interval_s": 0.05, "ping_timeout_s": 0.05},
            access={"callback_timeout_s": 30.0},
        )
        client, idle = house.client(), house.client()
        msid = ask(client, "publish", "a")
        waits_for(house, client)
        idle.connect("else")
        idle_id = house.connection(idle).conn_id
        assert house.wait_event("connection_close", conn_id=idle_id).data["reason"] == "timeout"
        keeper.let()
        client.wait_code("NetStream.Publish.Start", msid)


def test_a_stop_does_not_wait_for_answers(start: Start) -> None:
    with silent() as receiver:
        house = start(app=by_callback(receiver), access={"callback_timeout_s": 30.0})
        client = house.client()
        ask(client, "publish", "a")
        waits_for(house, client)
        with gevent.Timeout(5.0):
            house.house.stop(0.0)
        closed = [event for event in house._recorder.events if event.type == "connection_close"]
        assert [event.data["reason"] for event in closed] == ["server_stop"]


# --- what an answer can say -----------------------------------------------------------------------


def test_an_answer_can_rename_the_stream_and_name_the_publisher(start: Start) -> None:
    with receiving(says(answer({"stream_name": "public", "identity": "alice"}))) as receiver:
        house = start(app=by_callback(receiver))
        publisher, player = house.client(), house.client()
        msid = publisher.publish("s3cret-key")
        player.play("public")
        publisher.video(msid, keyframe())
        player.wait_payload(keyframe())
        started = house.wait_event("publish_start")
        assert (started.stream_key, started.data["publishing_name"]) == ("live/public", "public")
        assert started.data["identity"] == "alice"
        publisher.call("deleteStream", None, float(msid))
        player.wait_code("NetStream.Play.UnpublishNotify")
        assert "s3cret-key" not in " ".join(event.json().decode() for event in house.events)


def test_a_rename_onto_a_stream_that_is_published_is_a_conflict(start: Start) -> None:
    with receiving(says(answer({"stream_name": "public"}))) as receiver:
        house = start(app=by_callback(receiver))
        house.client().publish("one")
        other = house.client()
        asked = ask(other, "publish", "two")
        other.wait_end()
        assert other.codes(asked) == ["NetStream.Publish.BadName"]


@pytest.mark.parametrize("action", ["publish", "play"])
def test_a_lease_ends_the_connection(start: Start, action: str) -> None:
    with receiving(says(answer({"lease": 0.2}))) as receiver:
        house = start(app=by_callback(receiver, play_access=("callback",)))
        client = house.client()
        conn_id = house.connection(client).conn_id
        getattr(client, action)("a")
        client.wait_end()
        assert house.wait_event("connection_close", conn_id=conn_id).data["reason"] == "lease_expired"
        assert house.wait_event(f"{action}_stop").data["reason"] == "lease_expired"
        assert not house.errors()


def test_a_publisher_that_sends_more_than_it_may_is_ended(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_WINDOW_S", 0.1)
    with receiving(says(answer({"max_bitrate": 1000}))) as receiver:
        house = start(app=by_callback(receiver))
        client = house.client()
        client.video(client.publish(), keyframe(10_000))
        client.wait_end()
        assert house.wait_event("connection_close").data["reason"] == "bitrate_exceeded"


@proves("access.callback_secret", "access.callback_headers", "access.callback_deny_networks")
def test_questions_are_signed_and_follow_the_rules_for_where_they_may_go(start: Start) -> None:
    with receiving(says(answer({}))) as receiver:
        secret = {"callback_secret": "k" * 32, "callback_headers": (("X-Site", "berlin"),)}
        start(app=by_callback(receiver), access=secret).client().publish("a?token=t")
        headers, body = receiver.requests[0].headers, receiver.requests[0].body
        assert headers["x-signature"] == "sha256=" + hmac.new(b"k" * 32, body, "sha256").hexdigest()
        assert headers["x-site"] == "berlin"
        assert json.loads(body)["token"] == "t"
        house = start(app=by_callback(receiver), access={"callback_deny_networks": ("loopback",)})
        client = house.client()
        ask(client, "publish", "a")
        client.wait_end()
        assert "deny_networks" in str(house.wait_event("auth_failed").data["error"])
        assert "secret" not in str(house.wait_event("auth_failed").data["error"])
        assert len(receiver.requests) == 1


# --- refused over and over ------------------------------------------------------------------------


def test_who_is_refused_again_waits_and_holds_nothing_meanwhile(start: Start) -> None:
    house = start(app=BY_TOKEN, access={"failure_delay_s": 30.0, "failure_delay_max_s": 30.0})
    first = house.client()
    asked = ask(first, "publish", "a?token=wr0ng")
    first.wait_end()
    assert first.codes(asked) == ["NetStream.Publish.Denied"]
    first.close()
    held = house.client()
    ask(held, "publish", "a?token=wr0ng")
    waits_for(house, held)
    assert len(house.of("auth_failed")) == 2, "told at once"
    house.client().publish(f"a?token={SECRET}")  # the key is free, and who is right does not wait
    stranger = house.client(source="127.0.0.2")
    ask(stranger, "publish", "b?token=wr0ng")
    stranger.wait_end()
    stranger.close()
    assert house.connection(held).waits
    held.close()
    wait_until(lambda: len(house.of("connection_close")) == 3, "the one that was held back is gone")


# --- new rules ------------------------------------------------------------------------------------


def test_rules_can_be_replaced_while_sessions_go_on_and_questions_are_pending(start: Start) -> None:
    keeper = Gatekeeper()
    with receiving(keeper) as receiver:
        house = start(app=by_callback(receiver), access=AT_ONCE)
        pending = house.client()
        msid = ask(pending, "publish", "a")
        waits_for(house, pending)
        house.change(access=AccessSettings(), apps=AppsSettings(default=AppSettings(**BY_TOKEN)))
        refused = house.client()
        asked = ask(refused, "publish", "b")
        refused.wait_end()
        assert refused.codes(asked) == ["NetStream.Publish.Denied"]
        house.client().publish(f"b?token={SECRET}")
        keeper.let()
        pending.wait_code("NetStream.Publish.Start", msid)
        assert len(receiver.requests) == 1
