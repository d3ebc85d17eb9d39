"""Signatures, against published vectors and other people's libraries."""

import base64
import datetime
import hashlib
import hmac
import time
import warnings

import jwt
import pytest
import standardwebhooks
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rtmpd.errors import CredentialError
from rtmpd.event.event import Event
from rtmpd.hook.auth.signing import BODY_SIGNERS, check_together, headers_of
from rtmpd.hook.auth.tokens import JwtSigner
from rtmpd.hook.build import check_auth
from rtmpd.hook.verify import verify
from rtmpd.settings import AuthSettings, SigningSecret
from tests.support.proof import proves

SPECIFIED = (
    b'{"type":"connection_accept","timestamp":1634567890,"conn_id":"c000001","stream_key":"","data":'
    b'{"client_ip":"192.168.1.100","client_port":54321,"server_ip":"0.0.0.0","server_port":1935}}'
)
EVENT = Event("publish_start", 1634567890, "c000001", "live/a", {"app": "live"}, "evt_01")
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
NOW = 1634567890.7


def signed(auth, body=SPECIFIED, event=EVENT, now=NOW):
    return BODY_SIGNERS[auth.type](auth).headers(body, event, now)


# --- vectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "signature"),
    [
        ("", "sha256=fd3b485afa75a2d22261a0584e790d122eadc1661aafb68115724732c812c75b"),
        ("sha256", "sha256=fd3b485afa75a2d22261a0584e790d122eadc1661aafb68115724732c812c75b"),
        ("sha1", "sha1=fd450923e47028a79fd674a6217fd40244f140c8"),
    ],
)
def test_the_specified_signature_is_the_digest_in_hex_of_the_body(algorithm, signature):
    auth = AuthSettings("hmac", secret="webhook-secret", algorithm=algorithm)
    assert signed(auth) == {"X-Signature": signature}


@proves("hooks.NAME.auth.header")
def test_the_header_of_the_signature_can_be_chosen():
    assert list(signed(AuthSettings("hmac", secret="s", header="X-Sig"))) == ["X-Sig"]


def test_github_s_example():
    headers = signed(AuthSettings("github", secret="It's a Secret to Everybody"), b"Hello, World!")
    assert headers == {
        "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "X-GitHub-Delivery": "evt_01",
        "X-GitHub-Event": "publish_start",
    }


def test_stripe_s_secret_is_taken_as_it_is_written():
    auth = AuthSettings("stripe", secrets=(SigningSecret("whsec_test_secret"),))
    assert signed(auth) == {
        "Stripe-Signature": "t=1634567890,v1=e2bb371c0ff27ad284a9d9abb45a7081da732a7b482e538d42f59529c9418648"
    }


def test_the_example_of_standard_webhooks():
    event = Event("t", 1, id="msg_p5jXN8AQM9LWM0D4loKWxJek")
    headers = signed(
        AuthSettings("standard", secrets=(SigningSecret(WHSEC),)), b'{"test": 2432232314}', event, 1614265330.9
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


# --- other people's libraries -------------------------------------------------------------------


def accepts(secret, headers):
    moment = datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.UTC)
    expected = standardwebhooks.Webhook(secret).sign(headers["webhook-id"], moment, SPECIFIED.decode())
    return expected in headers["webhook-signature"].split()


@pytest.mark.parametrize("secret", [WHSEC, WHSEC.removeprefix("whsec_"), OTHER, OTHER.rstrip("=")])
def test_the_reference_library_accepts_it(secret):
    headers = signed(AuthSettings("standard", secret=secret), now=time.time())
    standardwebhooks.Webhook(secret + "=" * (-len(secret.removeprefix("whsec_")) % 4)).verify(SPECIFIED, headers)


def test_each_secret_in_use_signs_and_one_that_has_ended_does_not():
    auth = AuthSettings("standard", secrets=(SigningSecret(OTHER), SigningSecret(WHSEC, until=NOW)))
    during, after = signed(auth, now=NOW), signed(auth, now=NOW + 0.1)
    assert accepts(OTHER, during) and accepts(WHSEC, during)
    assert accepts(OTHER, after) and not accepts(WHSEC, after)
    assert after["webhook-signature"].count("v1,") == 1


def test_stripe_s_secrets_end_too():
    auth = AuthSettings("stripe", secrets=(SigningSecret("new"), SigningSecret("old", until=NOW)))
    assert signed(auth, now=NOW)["Stripe-Signature"].count("v1=") == 2
    assert signed(auth, now=NOW + 1)["Stripe-Signature"].count("v1=") == 1


@proves("hooks.NAME.auth.claims")
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_pyjwt_accepts_a_token_made_with_a_secret(algorithm):
    auth = AuthSettings(
        "jwt", secret="k" * 64, algorithm=algorithm, issuer="rtmpd", subject="hooks", audience="office",
        claims=(("site", "berlin"),), ttl_s=600.0,
    )  # fmt: skip
    claims = decoded(JwtSigner(auth), "k" * 64, algorithm, audience="office", issuer="rtmpd", subject="hooks")
    assert claims.pop("jti")
    assert claims == {
        "iss": "rtmpd", "sub": "hooks", "aud": "office", "site": "berlin",
        "iat": int(NOW) - 30, "exp": int(NOW) + 600,
    }  # fmt: skip


def decoded(signer, key, algorithm, now=NOW, **checks):
    kind, _, token = signer.headers(b"", EVENT, now)["Authorization"].partition(" ")
    assert kind == "Bearer"
    options = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, key, algorithms=[algorithm], options=options, **checks)


KEYS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_pyjwt_accepts_a_token_made_with_a_private_key(algorithm):
    key = KEYS[algorithm]()
    auth = AuthSettings("jwt", secret=pem(key), algorithm=algorithm)
    assert decoded(JwtSigner(auth), key.public_key(), algorithm)["exp"] == int(NOW) + 3600


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_a_token_is_used_for_the_most_of_its_life_and_has_an_id_of_its_own():
    signer = JwtSigner(AuthSettings("jwt", secret="k" * 32, ttl_s=100.0))
    first = signer.headers(b"", EVENT, NOW)
    assert signer.headers(b"", EVENT, NOW + 79.9) == first
    second = signer.headers(b"", EVENT, NOW + 80)
    assert decode_id(second) != decode_id(first)
    assert signer.headers(b"", EVENT, NOW - 3600) not in (first, second), "the clock was set back"


def decode_id(headers):
    return jwt.decode(headers["Authorization"].split()[1], options={"verify_signature": False})["jti"]


def test_a_short_secret_signs_tokens_without_a_word_each_time():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        JwtSigner(AuthSettings("jwt", secret="short")).headers(b"", EVENT, NOW)
    assert not said


def test_basic_and_api_key():
    assert signed(AuthSettings("basic", username="me", password="pä:ss")) == {
        "Authorization": "Basic " + base64.b64encode("me:pä:ss".encode()).decode()
    }
    assert signed(AuthSettings("api_key", key="test123")) == {"X-API-Key": "test123"}
    assert signed(AuthSettings("api_key", key="test123", header="X-Key")) == {"X-Key": "test123"}


@proves("hooks.NAME.auth.secret")
def test_a_secret_of_the_environment_need_not_be_utf8():
    raw = b"\xff\xfe" * 8
    expected = hmac.new(raw, SPECIFIED, hashlib.sha256).hexdigest()
    secret = raw.decode("utf-8", "surrogateescape")
    assert signed(AuthSettings("hmac", secret=secret)) == {"X-Signature": f"sha256={expected}"}
    verify(signed(AuthSettings("stripe", secret=secret)), SPECIFIED, secret, "stripe", now=NOW)


def test_the_signature_is_of_the_body_that_is_given():
    auth = AuthSettings("hmac", secret="s")
    expected = hmac.new(b"s", "ü".encode(), hashlib.sha256).hexdigest()
    assert signed(auth, "ü".encode()) == {"X-Signature": f"sha256={expected}"}


# --- what cannot be used -----------------------------------------------------------------------

WRONG = [
    (AuthSettings("hmac"), "secret"),
    (AuthSettings("hmac", secret="s", algorithm="md5"), "algorithm"),
    (AuthSettings("github"), "secret"),
    (AuthSettings("api_key"), "key"),
    (AuthSettings("api_key", key="a\nb"), "key"),
    (AuthSettings("api_key", key=" a"), "key"),
    (AuthSettings("standard"), "secrets"),
    (AuthSettings("standard", secret="whsec_"), "secrets"),
    (AuthSettings("standard", secret="not base64!"), "secrets"),
    (AuthSettings("standard", secret="hidden\u00fc"), "secrets"),
    (AuthSettings("standard", secrets=(SigningSecret(WHSEC, until=1e12),)), "secrets"),
    (AuthSettings("stripe", secrets=(SigningSecret(""),)), "secrets"),
    (AuthSettings("basic", password="p"), "username"),
    (AuthSettings("basic", username="a:b"), "username"),
    (AuthSettings("jwt"), "secret"),
    (AuthSettings("jwt", secret="s", algorithm="none"), "algorithm"),
    (AuthSettings("jwt", secret="hidden", algorithm="RS256"), "secret"),
    (AuthSettings("jwt", secret="s", claims=(("exp", "1"),)), "claims"),
    (AuthSettings("oauth2", client_id="c", token_url="http://h/"), "client_secret"),
    (AuthSettings("oauth2", client_id="c", client_secret="s", token_url="http://a:b@h/"), "token_url"),
]


@pytest.mark.parametrize(("auth", "key"), WRONG)
def test_what_can_not_be_used_names_the_key_that_is_to_blame(auth, key):
    with pytest.raises(CredentialError) as raised:
        check_auth(auth, [], [], "http://h/")
    assert raised.value.key == key
    assert "hidden" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("algorithm", ["ES256", "HS256"])
def test_a_public_key_does_not_sign(algorithm):
    public = KEYS["ES256"]().public_key()
    text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(CredentialError):
        JwtSigner(AuthSettings("jwt", secret=text, algorithm=algorithm))


@pytest.mark.parametrize(
    ("auth", "is_weak"),
    [
        (AuthSettings("hmac", secret="s" * 15), True),
        (AuthSettings("hmac", secret="s" * 16), False),
        (AuthSettings("standard", secret="whsec_" + base64.b64encode(b"s" * 23).decode()), True),
        (AuthSettings("standard", secret=WHSEC), False),
        (AuthSettings("jwt", secret="s" * 31), True),
        (AuthSettings("jwt", secret="s" * 32), False),
        (AuthSettings("jwt", secret="s" * 63, algorithm="HS512"), True),
        (AuthSettings("api_key", key="test123"), False),
    ],
)
def test_a_secret_that_can_be_guessed_is_told(auth, is_weak):
    assert bool(check_auth(auth, [], [], "")) is is_weak


@pytest.mark.parametrize(
    ("auth", "headers", "url"),
    [
        ((AuthSettings("jwt"), AuthSettings("basic")), (), ""),
        ((AuthSettings("jwt"),), (("authorization", "x"),), ""),
        ((AuthSettings("oauth2"),), (), "http://a:b@h/"),
        ((), (("Authorization", "x"),), "http://a@h/"),
        ((AuthSettings("hmac"), AuthSettings("hmac")), (), ""),
        ((AuthSettings("hmac"), AuthSettings("api_key", header="x-signature")), (), ""),
        ((AuthSettings("hmac"),), (("X-SIGNATURE", "x"),), ""),
    ],
)
def test_no_two_write_the_same_header(auth, headers, url):
    with pytest.raises(CredentialError):
        check_together(auth, headers, url)


def test_different_headers_live_together():
    all_different = [AuthSettings(type) for type in ("api_key", "hmac", "standard", "github", "stripe", "jwt")]
    check_together(all_different, [("X-Source", "x"), ("User-Agent", "y")], "http://h/")


@pytest.mark.parametrize("type", sorted(BODY_SIGNERS))
def test_a_signer_writes_the_headers_that_it_says(type):
    auth = AuthSettings(type, key="k", secret=WHSEC, username="u")
    assert tuple(signed(auth)) == headers_of(auth)


def test_no_representation_shows_a_secret():
    auth = AuthSettings(
        "jwt", key="hidden", secret="hidden", secrets=(SigningSecret("hidden"),), client_secret="hidden",
        token_url="https://h/?key=hidden", password="hidden",
    )  # fmt: skip
    assert "hidden" not in repr(auth)
    signers = [BODY_SIGNERS[type](AuthSettings(type, key="hidden", secret="hidden00", username="u", password="hidden"))
               for type in BODY_SIGNERS]  # fmt: skip
    assert "hidden" not in repr(signers)
