"""The HTTP callback, its answers, its cache and what holds without an answer."""

from __future__ import annotations

import json
from typing import Any

import gevent
import gevent.event
import pytest

from rtmpd.errors import DeliveryError
from rtmpd.identity import StreamId
from rtmpd.server.access import callback
from rtmpd.server.access.callback import Callback
from rtmpd.server.access.question import Question
from rtmpd.settings import AccessSettings
from tests.support.asking import Endpoint, StandingClock, ask
from tests.support.proof import proves

YES, NO, DOWN = (200, b""), (403, b""), DeliveryError("connection refused")


def judged(endpoint: Endpoint, clock: StandingClock | None = None, **settings: Any) -> Callback:
    return Callback(AccessSettings(**settings), endpoint, clock or StandingClock())


def test_the_question_is_the_json_of_go_rtmp() -> None:
    endpoint = Endpoint(YES)
    judged(endpoint, callback_timeout_s=3.0).judge(ask("live/a", "t"))
    body, timeout_s = endpoint.asked[0]
    assert timeout_s == 3.0
    assert json.loads(body) == {
        "action": "publish",
        "app": "live",
        "stream_name": "a",
        "stream_key": "live/a",
        "token": "t",
        "remote_addr": "192.0.2.7:50123",
    }
    judged(endpoint).judge(ask(action="play", address="2001:db8::1"))
    said = json.loads(endpoint.asked[1][0])
    assert (said["action"], said["token"], said["remote_addr"]) == ("play", "", "[2001:db8::1]:50123")


@pytest.mark.parametrize(
    "body", [b"", b"ok", b"[]", b"{}", b'{"allow": true}', b'{"identity": null, "more": 1}', b"\xff"]
)
def test_200_admits(body: bytes) -> None:
    assert judged(Endpoint((200, body))).judge(ask()).allowed


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 404])
def test_another_decision_refuses(status: int) -> None:
    verdict = judged(Endpoint((status, b'{"allow": true}')), callback_failure="allow").judge(ask())
    assert not verdict.allowed and verdict.reason == f"auth callback refused: status {status}"


def test_200_with_allow_false_refuses_and_can_say_why() -> None:
    verdict = judged(Endpoint((200, b'{"allow": false, "reason": "not\\nyours"}'))).judge(ask())
    assert not verdict.allowed and verdict.reason == "auth callback refused: notyours"


def test_the_answer_can_name_rename_and_limit() -> None:
    body = b'{"identity": "alice", "stream_name": "public", "lease": 3600, "max_bitrate": 5e6}'
    verdict = judged(Endpoint((200, body))).judge(ask())
    assert (verdict.identity, verdict.name, verdict.lease_s, verdict.max_bps) == ("alice", "public", 3600.0, 5e6)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"allow": "no"}',
        b'{"identity": 5}',
        b'{"stream_name": "a\\u0000"}',
        b'{"lease": 0}',
        b'{"lease": -1}',
        b'{"lease": true}',
        b'{"lease": "1h"}',
        b'{"max_bitrate": NaN}',
        b'{"lease": Infinity}',
    ],
)
def test_an_answer_that_can_not_be_followed_is_none(body: bytes) -> None:
    verdict = judged(Endpoint((200, body))).judge(ask())
    assert not verdict.allowed and verdict.reason.startswith("auth callback failed: the answer ")


@pytest.mark.parametrize("answer", [DOWN, (302, b""), (408, b""), (429, b""), (500, b""), (503, b"")])
def test_without_an_answer_the_policy_decides(answer: Any) -> None:
    refused = judged(Endpoint(answer)).judge(ask())
    assert not refused.allowed and refused.reason.startswith("auth callback failed: ")
    assert judged(Endpoint(answer), callback_failure="allow").judge(ask()).allowed


@proves("access.callback_failure")
def test_the_last_known_answer_stands_in_for_the_same_question_only() -> None:
    clock = StandingClock()
    endpoint = Endpoint((200, b'{"identity": "alice"}'), NO, DOWN)
    rules = judged(endpoint, clock, callback_failure="last-known-good")
    rules.judge(ask("live/a"))
    rules.judge(ask("live/b"))
    assert rules.judge(ask("live/a")).identity == "alice"
    assert rules.judge(ask("live/b")).reason == "auth callback refused: status 403"
    for other in (ask("live/c"), ask("live/a", "t"), ask("live/a", action="play"), ask("live/a", address="192.0.2.8")):
        assert rules.judge(other).reason == "auth callback failed: connection refused"
    clock.now += callback.REMEMBERED_S
    assert not rules.judge(ask("live/a")).allowed


@proves("access.callback_cache")
def test_an_answer_stands_for_a_while() -> None:
    clock, endpoint = StandingClock(), Endpoint(YES, NO)
    rules = judged(endpoint, clock, callback_cache_s=10.0)
    again = Question("publish", StreamId("live", "a"), "", "192.0.2.7", 50124)
    assert rules.judge(ask()).allowed and rules.judge(again).allowed
    assert len(endpoint.asked) == 1
    clock.now += 10.0
    assert not rules.judge(ask()).allowed
    assert not rules.judge(ask()).allowed
    assert len(endpoint.asked) == 2


def test_nothing_is_kept_without_need() -> None:
    rules = judged(Endpoint(YES))
    rules.judge(ask())
    assert not rules._verdicts


def test_what_is_kept_is_bounded_and_holds_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "REMEMBERED", 3)
    endpoint = Endpoint(YES)
    rules = judged(endpoint, callback_cache_s=60.0)
    for name in "abcd":
        rules.judge(ask(f"live/{name}", "s3cret"))
    assert len(rules._verdicts) == 3 and "s3cret" not in repr(rules._verdicts)
    rules.judge(ask("live/d", "s3cret"))
    assert len(endpoint.asked) == 4


def test_failures_are_not_kept() -> None:
    rules = judged(Endpoint(DOWN, YES), callback_cache_s=60.0)
    assert not rules.judge(ask()).allowed
    assert rules.judge(ask()).allowed


def test_questions_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "PENDING", 1)
    let_go = gevent.event.Event()

    def wait(body: bytes, timeout_s: float) -> tuple[int, bytes]:
        let_go.wait(5.0)
        return YES

    rules = Callback(AccessSettings(), wait, StandingClock())
    first = gevent.spawn(rules.judge, ask())
    gevent.sleep(0)
    assert rules.judge(ask()).reason == "auth callback failed: 1 questions are pending"
    let_go.set()
    assert first.get(timeout=5.0).allowed
    assert rules.judge(ask()).allowed
