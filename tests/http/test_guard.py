"""Who may ask what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtmpd.http.guard import CONTROL, LOCAL, PUBLIC, Guard, Peer, is_loopback, read_tokens
from rtmpd.http.request import Request, request_of
from rtmpd.http.response import HttpError
from tests.support.desk import TOKEN, Desk


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    path = tmp_path / "tokens"
    path.write_text(f"# comment that is long enough\n\nshort\nanother-token-of-ours\n  {TOKEN}  \n")
    return str(path)


def request(host: str = "localhost", authorization: str = "") -> Request:
    headers = [(b"Host", host.encode()), *([(b"Authorization", authorization.encode())] if authorization else [])]
    return request_of("GET", b"/", headers)


def refusal(guard: Guard, asked: Request, peer: Peer, scope: str) -> int:
    try:
        guard.check(asked, peer, scope)
    except HttpError as error:
        return error.status
    return 200


NEAR, FAR, OWNER = Peer("127.0.0.1", local=True), Peer("192.0.2.1"), Peer("uid 0", trusted=True, local=True)


@pytest.mark.parametrize(
    ("peer", "public", "local", "control"), [(NEAR, 200, 200, 401), (FAR, 200, 401, 401), (OWNER, 200, 200, 200)]
)
def test_what_is_asked_without_a_token(tokens: str, peer: Peer, public: int, local: int, control: int) -> None:
    guard = Guard(tokens, ())
    got = [refusal(guard, request(), peer, scope) for scope in (PUBLIC, LOCAL, CONTROL)]
    assert got == [public, local, control]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer another-token-of-ours", 200),
        ("Bearer short", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN} {TOKEN}", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer # comment that is long enough", 401),
        ("Bearer " + "\u00e9" * 16, 401),
    ],
)
def test_a_token_of_the_file_is_needed(tokens: str, authorization: str, status: int) -> None:
    assert refusal(Guard(tokens, ()), request(authorization=authorization), NEAR, CONTROL) == status


def test_without_a_token_file_nothing_that_needs_a_token_is_allowed() -> None:
    assert refusal(Guard("", ()), request(authorization="Bearer "), NEAR, CONTROL) == 403
    assert refusal(Guard("", ()), request(), OWNER, CONTROL) == 200


def test_a_token_file_that_is_gone_allows_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(str(tmp_path / "gone"), ())
    assert refusal(guard, request(authorization=f"Bearer {TOKEN}"), NEAR, CONTROL) == 401
    assert "token file cannot be read" in caplog.messages


def test_a_token_can_be_changed_at_any_time(tokens: str) -> None:
    guard = Guard(tokens, ())
    Path(tokens).write_text("a-token-that-is-new\n")
    assert refusal(guard, request(authorization=f"Bearer {TOKEN}"), NEAR, CONTROL) == 401
    assert refusal(guard, request(authorization="Bearer a-token-that-is-new"), NEAR, CONTROL) == 200
    assert read_tokens(tokens) == ["a-token-that-is-new"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("media.example.net", 200),
        ("media.example.net.evil.example", 421),
        ("evil.example", 421),
        ("", 421),
        ("localhost:", 200),
        ("localhost:8x", 421),
        ("[::1", 421),
        ("[::1]x", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_a_name_that_somebody_else_has_pointed_here_is_refused(tokens: str, host: str, status: int) -> None:
    guard = Guard(tokens, ["Media.example.net"])
    assert refusal(guard, request(host), NEAR, PUBLIC) == status


def test_loopback_is_what_only_this_machine_can_reach() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "::", "192.0.2.1", "example.net"))


def test_over_tcp_the_api_needs_its_token_and_over_the_control_socket_none(desk: Desk) -> None:
    assert desk.ask("GET", "/api/v1/server", unix=False)[0] == 401
    assert desk.ask("GET", "/api/v1/server", unix=False, token="wrong-wrong-wrong-wrong")[0] == 401
    assert desk.ask("GET", "/api/v1/server", unix=False, token=TOKEN)[0] == 200
    assert desk.ask("GET", "/api/v1/server")[0] == 200
    assert desk.ask("GET", "/metrics", unix=False)[0] == 200


def test_a_stranger_learns_nothing_of_what_there_is(desk: Desk) -> None:
    for path in ("/nothing", "/api/v1/nothing", "/api/v1/hooks/ops"):
        assert desk.ask("GET", path, unix=False)[0] == 401


def test_a_user_who_is_not_the_owner_is_no_better_than_one_from_elsewhere(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("only root can be seen as somebody else")
    monkeypatch.setattr("rtmpd.http.server._ROOT", 12345)
    monkeypatch.setattr(os, "geteuid", lambda: 12346)
    assert desk.ask("GET", "/api/v1/server")[0] == 401
