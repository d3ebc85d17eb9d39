"""Webhooks that prove who sends them, as a receiver sees it."""

import hmac
import logging
import time

import gevent
import jwt
import pytest
import standardwebhooks

from rtmpd import log
from rtmpd.clock import Clock
from rtmpd.config import flags, sample
from rtmpd.config.loader import load
from rtmpd.errors import ConfigError, PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.build import build_hook, check_auth
from rtmpd.hook.manager import HookManager
from rtmpd.hook.verify import verify
from rtmpd.settings import AuthSettings, HookSettings, HooksSettings, HttpSettings, LogSettings, SigningSecret
from tests.support.proof import proves
from tests.support.receiver import NO_CONTENT, receiving, says, status
from tests.support.waiting import until

EVENT = Event("publish_start", 1634567890, "c000001", "live/ü", {"app": "live"}, "evt_01")
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(url, *auth, clock=None, **http):
    settings = HookSettings("hook", "webhook", url, auth=auth, http=HttpSettings(**http))
    return build_hook(settings, clock or Clock())


def deliver(hook, times=1):
    try:
        for _ in range(times):
            hook.execute(EVENT, time.monotonic() + 20)
    finally:
        hook.close()


def test_every_way_at_once_is_verified_by_the_receiver():
    ways = [
        AuthSettings("api_key", key="test123"),
        AuthSettings("hmac", secret="webhook-secret"),
        AuthSettings("standard", secrets=(SigningSecret(WHSEC),)),
        AuthSettings("github", secret="hub"),
        AuthSettings("stripe", secret="stripe"),
        AuthSettings("basic", username="me", password="pw"),
    ]
    with receiving(says(NO_CONTENT)) as receiver:
        deliver(webhook(receiver.url, *ways))
    request = receiver.requests[0]
    assert request.body == EVENT.json()
    secrets = {"api_key": "test123", "hmac": "webhook-secret", "standard": WHSEC, "github": "hub", "stripe": "stripe"}
    for scheme, secret in secrets.items():
        verify(request.headers, request.body, secret, scheme)
    standardwebhooks.Webhook(WHSEC).verify(request.body, request.headers)
    assert request.headers["authorization"].startswith("Basic ")


class SteppingClock(Clock):
    """Ten seconds pass between two looks at the wall."""

    seconds = 1_700_000_000.0

    def wall(self):
        self.seconds += 10
        return self.seconds


def test_each_attempt_is_signed_when_it_is_sent():
    with receiving(says(NO_CONTENT)) as receiver:
        deliver(webhook(receiver.url, AuthSettings("standard", secret=WHSEC), clock=SteppingClock()), times=2)
    first, second = (int(request.headers["webhook-timestamp"]) for request in receiver.requests)
    assert second >= first + 10
    assert receiver.requests[0].headers["webhook-id"] == receiver.requests[1].headers["webhook-id"] == EVENT.id
    for request in receiver.requests:
        verify(request.headers, request.body, WHSEC, now=float(request.headers["webhook-timestamp"]))


def test_fixed_headers_are_sent_and_replace_the_usual_ones():
    headers = (("X-Source", "rtmpd, here"), ("User-Agent", "mine"), ("Authorization", "Bearer token123"))
    with receiving(says(NO_CONTENT)) as receiver:
        deliver(webhook(receiver.url, headers=headers))
    got = receiver.requests[0].headers
    assert (got["x-source"], got["user-agent"], got["authorization"]) == ("rtmpd, here", "mine", "Bearer token123")


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ((AuthSettings("jwt", secret="s" * 32), AuthSettings("basic", username="u")), ()),
        ((AuthSettings("jwt", secret="s" * 32),), (("Authorization", "Bearer x"),)),
        ((AuthSettings("hmac"),), ()),
    ],
)
def test_what_can_not_be_used_is_a_configuration_error(auth, headers):
    with pytest.raises(ConfigError) as raised:
        webhook("http://h/", *auth, headers=headers)
    assert "hooks.hook.auth" in str(raised.value)


def test_a_network_that_is_none_is_a_configuration_error():
    with pytest.raises(ConfigError, match="lan"):
        webhook("http://h/", allow_networks=("lan",))


def test_no_proof_follows_a_redirect():
    with receiving(says(NO_CONTENT)) as other:
        answer = f"HTTP/1.1 307 Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with receiving(says(answer)) as receiver, pytest.raises(PermanentDeliveryError):
            deliver(webhook(receiver.url, AuthSettings("api_key", key="test123")))
        assert other.connections == 0


# --- secrets ------------------------------------------------------------------------------------

FILE = """
[hooks]
[[standing]]
type = webhook
url = {url}
headers = "X-Token: hidden-header"
  [[[auth]]]
  type = standard
  secrets = whsec_aGlkZGVuLWhpZGRlbi1oaWRkZW4=, "whsec_aGlkZGVuLWhpZGRlbi1vbGRlcg== until 2100-01-01"
  [[[auth-hmac]]]
  type = hmac
  secret = hidden-hmac
  [[[auth-jwt]]]
  type = jwt
  secret = "hidden-jwt,#"
  [[[auth-key]]]
  type = api_key
  key = hidden-key
[[tokens]]
type = webhook
url = {url}
  [[[auth]]]
  type = oauth2
  client_id = me
  client_secret = hidden-client
  token_url = {token_url}
[[open]]
type = webhook
url = {url}
  [[[auth]]]
  type = basic
  username = me
  password = hidden-password
"""
WORDS = (
    "-hook-webhook", "*={url}", "-hook-auth-api-key", "hidden-flag", "-hook-auth-hmac-secret", "hidden-flag",
    "-hook-auth-jwt-secret", "hidden-flag", "-hook-header", "X-More: hidden-flag",
)  # fmt: skip
ENCODED = ("hidden", "aGlkZGVu", "bWU6aGlkZGVu")  # me:hidden


@pytest.fixture
def whole_log(tmp_path):
    """What the daemon's log holds at its most talkative, and what other people's loggers say to root."""
    root, ours = logging.getLogger(), logging.getLogger("rtmpd")
    before = root.level, ours.level
    path = tmp_path / "rtmpd.log"
    log.configure(LogSettings("debug", "text", str(path)))
    root.setLevel(logging.DEBUG)
    yield path.read_text
    for handler in [handler for handler in root.handlers if isinstance(handler, log._Output)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(before[0])
    ours.setLevel(before[1])


@proves("hooks.NAME.auth.token_url")
@pytest.mark.parametrize("answer", ["204 No Content", "401 hidden", "503 hidden"])
def test_no_secret_is_in_the_log_nor_in_what_is_shown(tmp_path, whole_log, answer):
    file = tmp_path / "rtmpd.ini"

    def answers_token(sock, request):
        body = b'{"access_token":"hidden-token","token_type":"bearer"}'
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return True

    with receiving(status(answer)) as receiver, receiving(answers_token) as endpoint:
        url, token_url = receiver.url.partition("?")[0], endpoint.url.partition("?")[0]
        file.write_text(FILE.format(url=url, token_url=token_url))
        words = [word.format(url=url) for word in WORDS]
        loaded = load(flags.parse(["-c", str(file), *words]), (), {}, check_auth=check_auth)
        shown = [repr(loaded.settings), sample.effective(loaded.checked), *map(str, loaded.warnings)]
        manager = HookManager(loaded.settings.hooks, Clock())
        manager.emit("publish_start", conn_id="c000001", stream_key="live/a", app="live")
        until(lambda: len(receiver.requests) >= 4)
        until(lambda: whole_log().count("Hook execut") >= 4)
        manager.close(5.0)
    sent = "".join(request.head for request in receiver.requests)
    for secret in ("hidden-header", "hidden-key", "hidden-flag", "hidden-token", "bWU6aGlkZGVu"):
        assert secret in sent
    for text in [*shown, whole_log().replace("401 hidden", "").replace("503 hidden", "")]:
        assert not [secret for secret in ENCODED if secret in text], text


@proves("hooks.NAME.type", "hooks.NAME.auth.type", "hooks.NAME.auth.secrets")
@pytest.mark.parametrize(
    "line",
    [
        "secret = hidden#hidden",
        'secret = "hidden',
        'secret = "hidden" hidden',
        "secret = hidden, hidden",
        "secret hidden",
        "secret: hidden",
        "secret = " + "hidden" * 1000,
        'secret = """hidden',
        "secrets = whsec_hidden!",
        "secrets = hidden until hidden",
        "key = hidden",
        "password = hidden\nsecret = hidden\nsecret = hidden",
    ],
)
def test_no_secret_is_in_a_complaint_about_the_file(tmp_path, line):
    file = tmp_path / "rtmpd.ini"
    file.write_text(f"[hooks]\n[[a]]\ntype = webhook\nurl = http://h/\n[[[auth]]]\ntype = standard\n{line}\n")
    with pytest.raises(ConfigError) as raised:
        load(flags.parse(["-c", str(file)]), (), {}, check_auth=check_auth)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        ("-hook-auth-api-key", "hidden\n"),
        ("-hook-auth-jwt-secret", "hidden", "-hook-auth-jwt-algorithm", "RS256"),
        ("-hook-header", "hidden"),
        ("-hook-header", "X: hidden\u00fc"),
        ("-hook-header", "X-API-Key: hidden", "-hook-auth-api-key", "hidden"),
        ("-hook-auth-oauth2-client-secret", "hidden"),
    ],
)
def test_no_secret_is_in_a_complaint_about_a_flag(words):
    with pytest.raises(ConfigError) as raised:
        load(flags.parse(["-hook-webhook", "*=http://h/", *words]), (), {}, check_auth=check_auth)
    assert "hidden" not in str(raised.value)


@proves("--hook-auth-api-key", "--hook-auth-header", "--hook-header")
@proves("--hook-auth-hmac-secret", "--hook-auth-hmac-algorithm", "--hook-auth-hmac-header")
@proves("--hook-auth-jwt-secret", "--hook-auth-jwt-algorithm", "--hook-auth-jwt-ttl", "--hook-auth-jwt-claim")
@proves("--hook-auth-jwt-issuer", "--hook-auth-jwt-subject", "--hook-auth-jwt-audience")
def test_what_the_flags_give_is_what_the_receiver_verifies():
    signing, token = "hmac-secret-" * 4, "jwt-secret-" * 6
    words = (
        "-hook-auth-api-key", "api-key", "-hook-auth-header", "X-Our-Key", "-hook-header", "X-Site: north",
        "-hook-auth-hmac-secret", signing, "-hook-auth-hmac-algorithm", "sha1", "-hook-auth-hmac-header", "X-Sum",
        "-hook-auth-jwt-secret", token, "-hook-auth-jwt-algorithm", "HS384", "-hook-auth-jwt-ttl", "5m",
        "-hook-auth-jwt-issuer", "us", "-hook-auth-jwt-subject", "cameras", "-hook-auth-jwt-audience", "office",
        "-hook-auth-jwt-claim", "role=ingest",
    )  # fmt: skip
    with receiving(says(NO_CONTENT)) as receiver:
        loaded = load(flags.parse(["-hook-webhook", f"*={receiver.url}", *words]), (), {}, check_auth=check_auth)
        (settings,) = loaded.settings.hooks.hooks
        deliver(build_hook(settings, Clock()))
    headers, body = receiver.requests[0].headers, receiver.requests[0].body
    assert (headers["x-our-key"], headers["x-site"]) == ("api-key", "north")
    assert headers["x-sum"].endswith(hmac.digest(signing.encode(), body, "sha1").hex())
    bearer = headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(bearer, token, algorithms=["HS384"], audience="office", issuer="us")
    life_s = claims["exp"] - claims["iat"] - 30  # it is issued half a minute back, for clocks that are late
    assert (claims["sub"], claims["role"], life_s) == ("cameras", "ingest", 300)


def test_no_secret_is_in_an_error_of_the_delivery():
    with receiving(lambda sock, request: False) as receiver, pytest.raises(TransientDeliveryError) as raised:
        deliver(webhook(receiver.url, AuthSettings("api_key", key="hidden")))
    assert "hidden" not in repr(raised.value)


def test_a_hook_whose_secret_is_another_one_is_built_anew():
    with receiving(says(NO_CONTENT)) as receiver:

        def settings(key):
            auth = (AuthSettings("api_key", key=key),)
            return HooksSettings((HookSettings("hook", "webhook", receiver.url, auth=auth),))

        manager = HookManager(settings("old"), Clock())
        manager.emit("publish_start", app="live")
        until(lambda: len(receiver.requests) == 1)
        manager.replace(settings("new"))
        manager.emit("publish_start", app="live")
        until(lambda: len(receiver.requests) == 2)
        manager.close(5.0)
        gevent.sleep(0)
    assert [request.headers["x-api-key"] for request in receiver.requests] == ["old", "new"]
