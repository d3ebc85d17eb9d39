"""OAuth2 client credentials against token endpoints of all kinds."""

import base64
import json
import time
from urllib.parse import parse_qs

import gevent
import pytest
from gevent.socket import socket as gevent_socket

from rtmpd.clock import Clock, FakeClock
from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.errors import PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.auth.oauth2 import TokenSource, shared_source
from rtmpd.hook.build import build_hook, check_auth
from rtmpd.hook.fault import AUTH, fault_of
from rtmpd.settings import AuthSettings, HookSettings, HttpSettings
from tests.support.proof import proves
from tests.support.receiver import NO_CONTENT, hangs, receiving, says, status

EVENT = Event("publish_start", 1634567890, id="evt_01")
PLAIN = HttpSettings()


class TokenServer:
    """Hands out token-1, token-2 and so on; ``fields`` are those of the answer besides."""

    def __init__(self, **fields):
        self.fields = {"token_type": "Bearer", "expires_in": 3600, **fields}
        self.given = 0
        self.delay_s = 0.0

    def __call__(self, sock, request):
        gevent.sleep(self.delay_s)
        self.given += 1
        return answer(sock, {"access_token": f"token-{self.given}", **self.fields})


def answer(sock, fields, line="200 OK"):
    body = json.dumps(fields).encode()
    sock.sendall(f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return True


def auth(url, **fields):
    return AuthSettings("oauth2", client_id="me", client_secret="hidden", token_url=url, **fields)


def source(url, clock=None, http=PLAIN, **fields):
    return TokenSource(auth(url, **fields), http, clock or FakeClock())


def failure(tokens):
    with pytest.raises(TransientDeliveryError) as raised:
        tokens.token()
    assert "hidden" not in str(raised.value)
    assert fault_of(raised.value) == AUTH
    return raised.value.code


# --- the request --------------------------------------------------------------------------------


def test_the_client_proves_itself_in_a_header():
    with receiving(TokenServer()) as endpoint:
        assert source(endpoint.url, scopes=("a", "b")).token() == "token-1"
    request = endpoint.requests[0]
    assert parse_qs(request.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"me:hidden"


@proves("hooks.NAME.auth.client_id")
def test_id_and_secret_are_form_encoded_in_the_header():
    with receiving(TokenServer()) as endpoint:
        settings = AuthSettings("oauth2", client_id="a:b", client_secret="c d%", token_url=endpoint.url)
        TokenSource(settings, PLAIN, FakeClock()).token()
    authorization = endpoint.requests[0].headers["authorization"]
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"a%3Ab:c+d%25"


@proves("hooks.NAME.auth.client_auth")
def test_the_client_proves_itself_in_the_form():
    with receiving(TokenServer()) as endpoint:
        source(endpoint.url, client_auth="body").token()
    form = parse_qs(endpoint.requests[0].body.decode())
    assert form == {"grant_type": ["client_credentials"], "client_id": ["me"], "client_secret": ["hidden"]}
    assert "authorization" not in endpoint.requests[0].headers


@proves("--hook-auth-oauth2-client-id", "--hook-auth-oauth2-client-secret", "--hook-auth-oauth2-token-url")
@proves("--hook-auth-oauth2-scopes", "--hook-auth-oauth2-client-auth")
def test_what_the_flags_give_is_what_the_token_endpoint_gets():
    with receiving(TokenServer()) as endpoint, receiving(says(NO_CONTENT)) as receiver:
        words = [
            "-hook-webhook", f"*={receiver.url}", "-hook-auth-oauth2-client-id", "cam",
            "-hook-auth-oauth2-client-secret", "hidden", "-hook-auth-oauth2-token-url", endpoint.url,
            "-hook-auth-oauth2-scopes", "a,b", "-hook-auth-oauth2-client-auth", "body",
        ]  # fmt: skip
        (settings,) = load(flags.parse(words), (), {}, check_auth=check_auth).settings.hooks.hooks
        hook = build_hook(settings, Clock())
        hook.execute(EVENT, time.monotonic() + 20)
        hook.close()
    assert parse_qs(endpoint.requests[0].body.decode()) == {
        "grant_type": ["client_credentials"], "client_id": ["cam"], "client_secret": ["hidden"], "scope": ["a b"],
    }  # fmt: skip
    assert receiver.requests[0].headers["authorization"] == "Bearer token-1"


# --- one for all, in time -----------------------------------------------------------------------


def test_fifty_at_a_cold_start_make_one_request():
    server = TokenServer()
    server.delay_s = 0.05
    with receiving(server) as endpoint:
        tokens = source(endpoint.url, Clock())
        asking = [gevent.spawn(tokens.token) for _ in range(50)]
        gevent.joinall(asking, raise_error=True)
    assert {one.value for one in asking} == {"token-1"}
    assert len(endpoint.requests) == 1


def test_fifty_at_a_dead_endpoint_make_one_request_and_all_fail():
    def fails_slowly(sock, request):
        gevent.sleep(0.05)
        return answer(sock, {"error": "invalid_client", "error_description": "hidden is wrong"}, "401 No")

    with receiving(fails_slowly) as endpoint:
        tokens = source(endpoint.url)
        asking = [gevent.spawn(failure, tokens) for _ in range(50)]
        gevent.joinall(asking, raise_error=True)
    assert {one.value for one in asking} == {"oauth2:invalid_client"}
    assert len(endpoint.requests) == 1


def test_whoever_gives_up_waiting_leaves_the_others_their_token():
    server = TokenServer()
    server.delay_s = 0.2
    with receiving(server) as endpoint:
        tokens = source(endpoint.url, Clock())
        first, second = gevent.spawn(tokens.token), gevent.spawn(tokens.token)
        gevent.sleep(0.05)
        first.kill()
        assert second.get() == "token-1"
    assert len(endpoint.requests) == 1


def test_a_token_is_renewed_before_its_end_while_the_old_one_is_in_use():
    clock = FakeClock()
    with receiving(TokenServer(expires_in=1000)) as endpoint:
        tokens = source(endpoint.url, clock)
        assert tokens.token() == "token-1"
        clock.advance(899)
        assert tokens.token() == "token-1"
        assert len(endpoint.requests) == 1
        clock.advance(1)
        assert tokens.token() == "token-1", "nobody waits for the renewal"
        gevent.sleep(0)
        with gevent.Timeout(10):
            while tokens.token() != "token-2":
                gevent.sleep(0.01)
    assert len(endpoint.requests) == 2


def test_a_token_that_has_ended_is_not_used():
    clock = FakeClock()
    with receiving(TokenServer(expires_in=1000)) as endpoint:
        tokens = source(endpoint.url, clock)
        tokens.token()
        clock.advance(1000)
        assert tokens.token() == "token-2"


def test_a_renewal_that_fails_leaves_the_token_that_is_still_good():
    clock = FakeClock()
    answers = [TokenServer(expires_in=1000), says(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")]
    with receiving(lambda sock, request: answers[min(len(endpoint.requests), 2) - 1](sock, request)) as endpoint:
        tokens = source(endpoint.url, clock)
        tokens.token()
        for _ in range(3):
            clock.advance(300)
            assert tokens.token() == "token-1"
            gevent.sleep(0.05)
        assert len(endpoint.requests) == 2
        clock.advance(100)
        assert failure(tokens) == "oauth2:status:503"


@pytest.mark.parametrize(
    ("said", "life_s"), [("120", 120), (None, 600), ("soon", 600), (0, 600), (-5, 600), (True, 600)]
)
def test_how_long_a_token_lives_is_read_kindly(said, life_s):
    clock = FakeClock()
    with receiving(TokenServer(expires_in=said)) as endpoint:
        tokens = source(endpoint.url, clock)
        tokens.token()
        clock.advance(life_s / 2 - 1)
        assert tokens.token() == "token-1" and len(endpoint.requests) == 1
        clock.advance(life_s / 2 + 1)
        assert tokens.token() == "token-2"


def test_a_life_that_is_not_said_is_taken_to_be_ten_minutes():
    server = TokenServer()
    del server.fields["expires_in"]
    clock = FakeClock()
    with receiving(server) as endpoint:
        tokens = source(endpoint.url, clock)
        tokens.token()
        clock.advance(600)
        assert tokens.token() == "token-2"


# --- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "oauth2:no_token"),
        (b"[]", "oauth2:no_token"),
        (b"[" * 60000, "oauth2:no_token"),
        (b"<html>", "oauth2:no_token"),
        (b'{"token_type":"bearer"}', "oauth2:no_token"),
        (b'{"access_token":"","token_type":"bearer"}', "oauth2:no_token"),
        (b'{"access_token":"a\\r\\nX: b","token_type":"bearer"}', "oauth2:no_token"),
        (b'{"access_token":"t","token_type":"mac"}', "oauth2:no_token"),
        (b'{"access_token":7}', "oauth2:no_token"),
    ],
)
def test_an_answer_without_a_bearer_token_is_a_failure_of_the_endpoint(body, code):
    with receiving(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as endpoint:
        assert failure(source(endpoint.url)) == code


@pytest.mark.parametrize(
    ("line", "fields", "code"),
    [
        ("400 Bad", {"error": "invalid_scope"}, "oauth2:invalid_scope"),
        ("401 No", {"error": "HIDDEN hidden"}, "oauth2:status:401"),
        ("500 No", {"error": 7}, "oauth2:status:500"),
        ("302 Found", {}, "oauth2:status:302"),
    ],
)
def test_the_error_is_told_by_its_word_alone(line, fields, code):
    with receiving(lambda sock, request: answer(sock, fields, line)) as endpoint:
        assert failure(source(endpoint.url)) == code


def test_an_endpoint_that_is_down_is_worth_another_try_later():
    clock = FakeClock()
    unused = gevent_socket()
    unused.bind(("127.0.0.1", 0))
    tokens = source(f"http://127.0.0.1:{unused.getsockname()[1]}/token?key=hidden", clock)
    assert failure(tokens) == "oauth2:network"
    unused.close()


def test_a_failure_holds_for_a_moment_and_not_longer():
    clock = FakeClock()
    answers = [status("503 No"), TokenServer()]
    with receiving(lambda sock, request: answers[len(endpoint.requests) - 1](sock, request)) as endpoint:
        tokens = source(endpoint.url, clock)
        assert failure(tokens) == failure(tokens) == "oauth2:status:503"
        assert len(endpoint.requests) == 1
        clock.advance(1.1)
        assert tokens.token() == "token-1"


def test_an_endpoint_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr("rtmpd.hook.auth.oauth2.FETCH_S", 0.05)
    with receiving(hangs) as endpoint:
        assert failure(source(endpoint.url)) == "oauth2:timeout"


def test_the_token_endpoint_is_held_to_the_rules_of_the_hook():
    with receiving(TokenServer()) as endpoint:
        tokens = source(endpoint.url, http=HttpSettings(deny_networks=("loopback",)))
        assert failure(tokens) == "oauth2:network"
        assert failure(source("http://169.254.169.254/token")) == "oauth2:network"
        assert endpoint.connections == 0


# --- with a webhook -----------------------------------------------------------------------------


@pytest.fixture
def hook(request):
    """``hook(url, token_url)`` is a webhook that the end of the test closes; ``own`` is what proves it otherwise."""

    def made(url, token_url="", own=None, **fields):
        proof = own or auth(token_url, **fields)
        webhook = build_hook(HookSettings("hook", "webhook", url, auth=(proof,)), Clock())
        request.addfinalizer(webhook.close)
        return webhook

    return made


def deliver(webhook, seconds=20.0):
    webhook.execute(EVENT, time.monotonic() + seconds)


def bearer(request):
    return request.headers["authorization"].removeprefix("Bearer ")


def test_a_token_that_is_refused_is_renewed_once_and_the_event_delivered(hook):
    def knows_the_second(sock, request):
        return status("204 No Content" if bearer(request) == "token-2" else "401 No")(sock, request)

    with receiving(TokenServer()) as endpoint, receiving(knows_the_second) as receiver:
        webhook = hook(receiver.url, endpoint.url)
        deliver(webhook)
        deliver(webhook)
        webhook.close()
    assert [bearer(request) for request in receiver.requests] == ["token-1", "token-2", "token-2"]
    assert len(endpoint.requests) == 2


def test_a_receiver_that_refuses_every_token_fails_and_does_not_flood_the_token_endpoint(hook):
    with receiving(TokenServer()) as endpoint, receiving(status("401 No")) as receiver:
        webhook = hook(receiver.url, endpoint.url)
        for _ in range(3):
            with pytest.raises((TransientDeliveryError, PermanentDeliveryError)) as raised:
                deliver(webhook)
            assert raised.value.code == "status:401"
        webhook.close()
    assert [bearer(request) for request in receiver.requests] == ["token-1", "token-2", "token-2", "token-2"]
    assert len(endpoint.requests) == 2


def test_a_token_is_kept_when_the_receiver_fails_in_another_way(hook):
    with receiving(TokenServer()) as endpoint, receiving(status("503 No")) as receiver:
        webhook = hook(receiver.url, endpoint.url)
        for _ in range(2):
            with pytest.raises(TransientDeliveryError):
                deliver(webhook)
        webhook.close()
    assert [bearer(request) for request in receiver.requests] == ["token-1", "token-1"]


def test_without_a_token_nothing_is_sent(hook):
    with receiving(status("503 No")) as endpoint, receiving(says(NO_CONTENT)) as receiver:
        with pytest.raises(TransientDeliveryError, match="token endpoint"):
            deliver(hook(receiver.url, endpoint.url))
        assert receiver.connections == 0


def test_the_deadline_of_the_event_holds_for_the_token_too(hook):
    with receiving(hangs) as endpoint, receiving(says(NO_CONTENT)) as receiver:
        with pytest.raises(TransientDeliveryError, match="timed out"):
            deliver(hook(receiver.url, endpoint.url), seconds=0.1)
        assert receiver.connections == 0


def test_a_401_without_oauth2_is_not_tried_again(hook):
    with receiving(status("401 No")) as receiver:
        webhook = hook(receiver.url, own=AuthSettings("basic", username="u"))
        with pytest.raises((TransientDeliveryError, PermanentDeliveryError)):
            deliver(webhook)
        assert len(receiver.requests) == 1


def test_hooks_with_the_same_client_share_their_token_and_others_do_not():
    clock = FakeClock()
    one = shared_source(auth("http://h/"), PLAIN, clock)
    assert shared_source(auth("http://h/"), HttpSettings(headers=(("X", "y"),)), clock) is one
    assert shared_source(auth("http://h/", scopes=("a",)), PLAIN, clock) is not one
    assert shared_source(auth("http://h/"), HttpSettings(deny_networks=("private",)), clock) is not one
