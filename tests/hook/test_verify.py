"""The receivers' helper: it accepts what is sent, and names the mistake in what is not."""

import base64
import datetime
import hmac
import json
import subprocess
import sys

import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.event.event import Event
from rtmpd.hook.auth.signing import BODY_SIGNERS
from rtmpd.hook.verify import VerificationError, verify
from rtmpd.settings import AuthSettings, SigningSecret

EVENT = Event("publish_start", 1634567890, "c000001", "live/ü", {"app": "live", "n": 1.5}, "evt_01")
BODY = EVENT.json()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = 1634567890.0
SCHEMES = ("api_key", "hmac", "standard", "github", "stripe")
SIGNED = ("hmac", "standard", "github", "stripe")
TIMED = ("standard", "stripe")


def sent(scheme, secret=SECRET, body=BODY, **fields):
    auth = AuthSettings(scheme, key=secret, secret=secret, **fields)
    return BODY_SIGNERS[scheme](auth).headers(body, EVENT, NOW)


def mistake(headers, body=BODY, secret=SECRET, scheme="standard", now=NOW, **more):
    with pytest.raises(VerificationError) as raised:
        verify(headers, body, secret, scheme, now=now, **more)
    assert SECRET not in str(raised.value) and OTHER not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("secret", [SECRET, [SECRET], [OTHER, SECRET]])
def test_what_is_sent_is_accepted(scheme, secret):
    verify(sent(scheme), BODY, secret, scheme, now=NOW)


def test_sha1_and_other_headers_are_accepted():
    verify(sent("hmac", algorithm="sha1"), BODY, SECRET, "hmac")
    verify(sent("hmac", header="X-Sig"), BODY, SECRET, "hmac", header="x-sig")
    verify(sent("api_key", header="X-Key"), BODY, SECRET, "api_key", header="X-Key")


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_upper_and_lower_case_of_header_names_do_not_count(change):
    verify({change(name): value for name, value in sent("standard").items()}, BODY, SECRET, now=NOW)


def test_one_of_several_signatures_is_enough():
    for scheme in TIMED:
        signer = BODY_SIGNERS[scheme](AuthSettings(scheme, secrets=(SigningSecret(OTHER), SigningSecret(SECRET))))
        headers = signer.headers(BODY, EVENT, NOW)
        verify(headers, BODY, SECRET, scheme, now=NOW)
        verify(headers, BODY, OTHER, scheme, now=NOW)


def test_what_the_reference_library_signs_is_accepted():
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    signature = standardwebhooks.Webhook(SECRET).sign("msg_1", moment, BODY.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1634567890", "webhook-signature": f"v1a,x {signature}"}
    verify(headers, BODY, SECRET, now=NOW)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_header_that_is_missing_is_named(scheme):
    headers = sent(scheme)
    for name in [name for name in headers if not name.startswith("X-GitHub")]:
        left = {other: value for other, value in headers.items() if other != name}
        assert f"the header {name} is missing" in mistake(left, scheme=scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_secret_is_not_accepted(scheme):
    assert "another one" in mistake(sent(scheme), secret=OTHER, scheme=scheme)


@pytest.mark.parametrize("scheme", SIGNED)
def test_a_body_that_was_changed_is_not_accepted(scheme):
    assert "not what was sent" in mistake(sent(scheme), BODY.replace(b"live", b"evil"), scheme=scheme)


@pytest.mark.parametrize("scheme", SIGNED)
def test_a_body_that_was_parsed_and_written_again_is_told_apart(scheme):
    for again in (json.dumps(json.loads(BODY)), json.dumps(json.loads(BODY), indent=1)):
        assert "parsed and written again" in mistake(sent(scheme), again.encode(), scheme=scheme)
    assert "white space" in mistake(sent(scheme), BODY + b"\n", scheme=scheme)


@pytest.mark.parametrize("scheme", TIMED)
def test_a_signature_of_another_time_is_refused_with_its_age(scheme):
    verify(sent(scheme), BODY, SECRET, scheme, now=NOW + 300)
    verify(sent(scheme), BODY, SECRET, scheme, now=NOW - 300)
    assert "301 s old, 300 s are allowed" in mistake(sent(scheme), scheme=scheme, now=NOW + 301)
    assert "301 s in the future" in mistake(sent(scheme), scheme=scheme, now=NOW - 301)
    verify(sent(scheme), BODY, SECRET, scheme, now=NOW + 301, tolerance_s=400)


def test_the_clock_is_the_default():
    assert "s old" in mistake(sent("standard"), now=None)


def test_a_key_that_was_not_decoded_is_told_apart():
    headers = sent("stripe")
    signed = BODY_SIGNERS["standard"](AuthSettings("standard", secret=SECRET)).headers(BODY, EVENT, NOW)
    text = f"evt_01.{signed['webhook-timestamp']}.".encode() + BODY
    raw = base64.b64encode(hmac.digest(SECRET.encode(), text, "sha256")).decode()
    assert "must be decoded" in mistake({**signed, "webhook-signature": f"v1,{raw}"})
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    decoded = hmac.digest(key, b"1634567890." + BODY, "sha256").hex()
    headers["Stripe-Signature"] = f"t=1634567890,v1={decoded}"
    assert "must not be decoded" in mistake(headers, scheme="stripe")


@pytest.mark.parametrize(
    ("headers", "scheme", "message"),
    [
        ({"X-Signature": "0123"}, "hmac", "sha256="),
        ({"X-Signature": "md5=00"}, "hmac", "sha256="),
        ({"X-Signature": "sha256=\udcff\u00fc"}, "hmac", "another one"),
        ({"Stripe-Signature": "v1=00"}, "stripe", "t=TIME"),
        ({"Stripe-Signature": "t=1,t=2,v1=00"}, "stripe", "t=TIME"),
        ({"Stripe-Signature": "t=1634567890,v0=00"}, "stripe", "no signature"),
        ({"Stripe-Signature": "t=soon,v1=00"}, "stripe", "not a number"),
        ({"Stripe-Signature": "t=" + "9" * 5000 + ",v1=00"}, "stripe", "not a number"),
    ],
)
def test_a_header_that_makes_no_sense_is_told(headers, scheme, message):
    assert message in mistake(headers, scheme=scheme)


NAMES = st.sampled_from([name for scheme in SCHEMES for name in sent(scheme)])
VALUES = st.text() | st.from_regex(r"(sha256=|t=\d{1,12},v1=|v1,)[0-9a-f]{0,8}( v1,.*)?") | st.just("1634567890")


@settings(max_examples=50)
@given(st.dictionaries(NAMES, VALUES), st.binary() | st.just(BODY), st.sampled_from(SCHEMES), st.text(min_size=1))
def test_nobody_who_does_not_know_the_secret_gets_in_or_breaks_it(headers, body, scheme, secret):
    with pytest.raises(VerificationError):
        verify(headers, body, "x" + secret, scheme, now=NOW)


def test_misuse_is_told():
    assert "bytes as they came" in mistake(sent("standard"), body=BODY.decode())
    assert "bytes as they came" in mistake(sent("standard"), body=json.loads(BODY))
    assert "no scheme" in mistake(sent("standard"), scheme="md5")
    assert "no secret" in mistake(sent("standard"), secret="")
    assert "no secret" in mistake(sent("standard"), secret=[])
    assert "not base64" in mistake(sent("standard"), secret="not base64!")


def test_it_needs_neither_gevent_nor_requests():
    code = "import sys, rtmpd.hook.verify; print(sorted({'gevent', 'requests', 'urllib3', 'jwt'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
