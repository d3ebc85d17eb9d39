"""Signatures with key pairs and RFC 9421, against published vectors and other people's libraries."""

import base64
import datetime
import hmac
import json
import time

import http_message_signatures as reference
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from rtmpd.clock import Clock
from rtmpd.errors import CredentialError
from rtmpd.event.event import Event
from rtmpd.hook.auth.signing import BODY_SIGNERS, check_together
from rtmpd.hook.auth.signing_http import HttpSigner, signature_base
from rtmpd.hook.build import build_hook, check_auth
from rtmpd.hook.verify import VerificationError, verify
from rtmpd.settings import AuthSettings, HookSettings, SigningSecret
from tests.support.proof import proves
from tests.support.receiver import NO_CONTENT, receiving, says

EVENT = Event("publish_start", 1634567890, "c000001", "live/a", {"app": "live"}, "evt_01")
BODY = EVENT.json()
NOW = 1634567890.7
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAIR = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
WHSK = f"whsk_{PAIR}"
PUBLIC = base64.b64decode(PAIR)[32:]
WHPK = "whpk_" + base64.b64encode(PUBLIC).decode()
OTHER_WHPK = "whpk_" + base64.b64encode(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


def pem(key):
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def public_pem(key):
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(PAIR)[:32])
PEM, PUBLIC_PEM = pem(KEY), public_pem(KEY)


def standard(*secrets, body=BODY):
    auth = AuthSettings("standard", secrets=tuple(SigningSecret(secret) for secret in secrets))
    return BODY_SIGNERS["standard"](auth).headers(body, EVENT, NOW)


def mistake(headers, secret, body=BODY, scheme="standard", now=NOW, **more):
    with pytest.raises(VerificationError) as raised:
        verify(headers, body, secret, scheme, now=now, **more)
    return str(raised.value)


# --- Standard Webhooks, v1a -----------------------------------------------------------------------


def test_the_published_signature_with_a_key_pair():
    event = Event("x", 1, id="msg_p5jXN8AQM9LWM0D4loKWxJek")
    auth = AuthSettings("standard", secret=WHSK)
    headers = BODY_SIGNERS["standard"](auth).headers(b'{"test": 2432232314}', event, 1614265330)
    assert headers["webhook-signature"] == (
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    )


def test_a_private_key_may_be_written_without_its_public_half():
    seed = "whsk_" + base64.b64encode(base64.b64decode(PAIR)[:32]).decode().rstrip("=")
    assert standard(seed) == standard(WHSK)


def test_both_kinds_of_secrets_sign_one_request():
    headers = standard(WHSK, WHSEC)
    assert [word.partition(",")[0] for word in headers["webhook-signature"].split()] == ["v1a", "v1"]
    for secret in (WHPK, PUBLIC_PEM, WHSEC, [WHPK, WHSEC], [OTHER_WHPK, WHSEC]):
        verify(headers, BODY, secret, now=NOW)


def test_what_is_wrong_with_a_key_pair_is_told():
    assert "another one" in mistake(standard(WHSK), OTHER_WHPK)
    assert "public key (whpk_) is needed" in mistake(standard(WHSK), WHSEC)
    assert "cannot check" in mistake(standard(WHSEC), WHPK)
    assert "not an Ed25519 public key" in mistake(standard(WHSK), "whpk_AAAA")
    again = json.dumps(json.loads(BODY)).encode()
    assert "parsed and written again" in mistake(standard(WHSK), WHPK, again)
    assert "not what was sent" in mistake(standard(WHSK), WHPK, BODY.replace(b"live", b"evil"))
    signed = standard(WHSK)
    assert "another one" in mistake({**signed, "webhook-signature": "v1a,!"}, WHPK)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("whsk_", "not an Ed25519 private key"),
        ("whsk_AAAA", "not an Ed25519 private key"),
        ("whsk_!", "not an Ed25519 private key"),
        ("whsk_" + base64.b64encode(base64.b64decode(PAIR)[:32] + b"x" * 32).decode(), "does not belong"),
        (WHPK, "public key"),
    ],
)
def test_a_private_key_that_is_none_is_refused(secret, words):
    with pytest.raises(CredentialError, match=words) as raised:
        check_auth(AuthSettings("standard", secret=secret), [], [], "http://h/")
    assert secret[5:20] not in str(raised.value) or len(secret) < 8


# --- RFC 9421 -------------------------------------------------------------------------------------


def http(secret="shared", path="/hook", body=BODY, **fields):
    return HttpSigner(AuthSettings("http_signature", secret=secret, **fields), path).headers(body, EVENT, NOW)


class Keys(reference.HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        return {"shared": b"shared", "pair": KEY.public_key()}[key_id]

    def resolve_private_key(self, key_id):
        raise AssertionError


@pytest.mark.parametrize(
    ("key_id", "algorithm", "secret", "of_reference"),
    [
        ("shared", "", "shared", reference.algorithms.HMAC_SHA256),
        ("pair", "ed25519", PEM, reference.algorithms.ED25519),
        ("pair", "ed25519", WHSK, reference.algorithms.ED25519),
    ],
)
def test_the_reference_library_verifies_a_request_as_it_arrived(key_id, algorithm, secret, of_reference):
    auth = AuthSettings("http_signature", secret=secret, algorithm=algorithm, key_id=key_id)
    with receiving(says(NO_CONTENT)) as receiver:
        url = receiver.url.replace("/hook", "/a b/ü")
        hook = build_hook(HookSettings("hook", "webhook", url, auth=(auth,)), Clock())
        hook.execute(EVENT, time.monotonic() + 20)
        hook.close()
    request = receiver.requests[0]
    method, target, _ = request.head.split("\r\n")[0].split()
    arrived = requests.Request(method, f"http://h{target}", request.headers, data=request.body).prepare()
    verifier = reference.HTTPMessageVerifier(signature_algorithm=of_reference, key_resolver=Keys())
    (result,) = verifier.verify(arrived, max_age=datetime.timedelta(minutes=1))
    covered = {'"@method"', '"@path"', '"content-digest"', '"webhook-id"'}
    assert covered <= set(result.covered_components)
    path = target.partition("?")[0]
    public = PUBLIC_PEM if algorithm else secret
    verify(request.headers, request.body, public, "http_signature", path=path)


def test_the_signature_base_is_that_of_the_published_example():
    """RFC 9421, B.2.5."""
    values = {"date": "Tue, 20 Apr 2021 02:07:55 GMT", "@authority": "example.com", "content-type": "application/json"}
    parameters = '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    base = signature_base(("date", "@authority", "content-type"), values, parameters)
    key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    signature = hmac.digest(base64.b64decode(key), base, "sha256")
    assert base64.b64encode(signature).decode() == "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="


def test_what_is_wrong_with_an_http_signature_is_told():
    scheme = {"scheme": "http_signature", "path": "/hook"}
    good = http()
    verify(good, BODY, ["other", "shared"], **scheme, now=NOW)
    assert "another one" in mistake(good, "other", **scheme)
    assert "another one" in mistake(good, WHPK, **scheme)
    assert "method, path" in mistake(good, "shared", scheme="http_signature", path="/other")
    assert "method, path" in mistake(good, "shared", method="PUT", **scheme)
    assert "method, path" in mistake({**good, "webhook-id": "evt_02"}, "shared", **scheme)
    assert "digest is another one" in mistake(good, "shared", BODY.replace(b"live", b"evil"), **scheme)
    assert "parsed and written again" in mistake(good, "shared", json.dumps(json.loads(BODY)).encode(), **scheme)
    assert "301 s old" in mistake(good, "shared", now=int(NOW) + 301, **scheme)
    for name in good:
        assert f"header {name} is missing" in mistake({**good, name: ""}, "shared", **scheme)
    less = good["Signature-Input"].replace(' "content-digest"', "")
    assert "does not cover content-digest" in mistake({**good, "Signature-Input": less}, "shared", **scheme)
    more = good["Signature-Input"].replace(' "webhook-id"', ' "webhook-id" "@query"')
    assert "covers @query" in mistake({**good, "Signature-Input": more}, "shared", **scheme)
    for text in ("rtmpd=", "sig=()", good["Signature-Input"].replace(";created=1634567890", "")):
        assert "not one of the sender's" in mistake({**good, "Signature-Input": text}, "shared", **scheme)
    key = base64.b64encode(b"k" * 32).decode()
    decoded = http("k" * 32)
    assert "must not be decoded" in mistake(decoded, key, **scheme)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, "secret"),
        ({"secret": "s", "algorithm": "sha256"}, "algorithm"),
        ({"secret": "s", "key_id": "ü"}, "key_id"),
        ({"secret": "s", "key_id": "a\n"}, "key_id"),
        ({"secret": "s", "algorithm": "ed25519"}, "secret"),
        ({"secret": "-----BEGIN X", "algorithm": "ed25519"}, "secret"),
        ({"secret": pem(rsa.generate_private_key(65537, 2048)), "algorithm": "ed25519"}, "secret"),
        ({"secret": PUBLIC_PEM, "algorithm": "ed25519"}, "secret"),
    ],
)
def test_an_http_signature_that_can_not_be_made_is_refused(fields, key):
    with pytest.raises(CredentialError) as raised:
        check_auth(AuthSettings("http_signature", **fields), [], [], "http://h/")
    assert raised.value.key == key


@proves("hooks.NAME.auth.key_id")
def test_a_name_of_a_key_can_hold_any_sign():
    headers = http(key_id='a"\\;b')
    assert ';keyid="a\\"\\\\;b"' in headers["Signature-Input"]


def test_a_short_secret_is_weak_and_a_key_pair_is_not():
    assert "is short" in check_auth(AuthSettings("http_signature", secret="short"), [], [], "http://h/")
    assert not check_auth(AuthSettings("http_signature", secret=PEM, algorithm="ed25519"), [], [], "http://h/")
    assert not check_auth(AuthSettings("standard", secret=WHSK), [], [], "http://h/")


def test_the_id_is_the_one_header_that_two_ways_may_write():
    both = [AuthSettings("standard", secret=WHSEC), AuthSettings("http_signature", secret="s")]
    check_together(both, [], "http://h/")
    with pytest.raises(CredentialError):
        check_together(both[1:], [("Webhook-Id", "mine")], "http://h/")
    with pytest.raises(CredentialError):
        check_together([both[1], both[1]], [], "http://h/")
