"""The webhook sink against real receivers."""

import base64
import datetime
import ipaddress
import os
import ssl
import time

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent.socket import socket as gevent_socket

from rtmpd import __version__
from rtmpd.clock import Clock
from rtmpd.errors import ConfigError, PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.birth import trace_id_of
from rtmpd.event.event import Event
from rtmpd.hook.sink.webhook import WebhookHook
from rtmpd.settings import HttpSettings
from tests.support.receiver import NO_CONTENT, hangs, receiving, says, status
from tests.support.waiting import until

EVENT = Event("publish_start", 1634567890, "c000001", "live/ü", {"app": "live"}, "evt_01", 3, "warning")


def post(url, seconds=20.0, event=EVENT):
    hook = WebhookHook("webhook_0", url, 10, Clock())
    try:
        hook.execute(event, time.monotonic() + seconds)
    finally:
        hook.close()


def test_the_body_is_the_json_and_nothing_else():
    with receiving(says(NO_CONTENT)) as receiver:
        post(receiver.url)
    assert receiver.requests[0].body == EVENT.json()


def test_the_request_says_what_it_is():
    with receiving(says(NO_CONTENT)) as receiver:
        post(receiver.url)
    request = receiver.requests[0]
    assert request.head.startswith("POST /hook?token=secret HTTP/1.1\r\n")
    assert request.headers == {
        "host": receiver.url.split("/")[2],
        "content-type": "application/json",
        "content-length": str(len(EVENT.json())),
        "user-agent": f"rtmpd/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "x-rtmp-event-id": "evt_01",
        "x-rtmp-event-seq": "3",
        "x-rtmp-severity": "warning",
        "x-rtmp-event-version": "1",
    }


@pytest.mark.parametrize("line", ["200 OK", "201 Created", "202 Accepted", "299 Fine"])
def test_any_2xx_is_delivered(line):
    with receiving(status(line)) as receiver:
        post(receiver.url)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504, 599])
def test_these_are_worth_another_try(code):
    with receiving(status(f"{code} No")) as receiver, pytest.raises(TransientDeliveryError) as raised:
        post(receiver.url)
    assert raised.value.code == f"status:{code}"


@pytest.mark.parametrize("code", [300, 304, 400, 401, 404, 410, 413, 422])
def test_these_are_final(code):
    with receiving(status(f"{code} No")) as receiver, pytest.raises(PermanentDeliveryError) as raised:
        post(receiver.url)
    assert raised.value.code == f"status:{code}"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(code):
    with receiving(says(NO_CONTENT)) as other:
        answer = f"HTTP/1.1 {code} Moved\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode()
        with receiving(says(answer)) as receiver, pytest.raises(PermanentDeliveryError):
            post(receiver.url)
        assert len(receiver.requests) == 1
        assert other.connections == 0


def test_an_endpoint_that_says_nothing_is_cut_at_the_deadline():
    with receiving(hangs) as receiver, pytest.raises(TransientDeliveryError, match="timed out"):
        post(receiver.url, seconds=0.1)


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 OK\r\nX: "])
def test_an_answer_drop_by_drop_is_cut_at_the_deadline(start):
    gone = []

    def drips(sock, request):
        sock.sendall(start)
        try:
            while True:
                gevent.sleep(0.01)
                sock.sendall(b"a")
        except OSError:
            gone.append(True)
        return False

    with receiving(drips) as receiver:
        with pytest.raises(TransientDeliveryError, match="timed out"):
            post(receiver.url, seconds=0.2)
        until(lambda: gone)


def test_of_a_large_answer_only_the_head_is_read():
    sent = []

    def floods(sock, request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                sock.sendall(b"a" * 65536)
                sent.append(65536)
        except OSError:
            sent.append(0)
        return False

    with receiving(floods) as receiver:
        post(receiver.url)
        until(lambda: sent and sent[-1] == 0)
    assert sum(sent) < 20_000_000


def test_a_compressed_answer_is_not_unpacked():
    with receiving(says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad")) as receiver:
        post(receiver.url)


@pytest.mark.parametrize(
    "answer",
    [
        NO_CONTENT,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
def test_the_connection_is_kept_after_a_small_answer(answer):
    with receiving(says(answer)) as receiver:
        hook = WebhookHook("webhook_0", receiver.url, 10, Clock())
        for _ in range(3):
            hook.execute(EVENT, time.monotonic() + 20)
        hook.close()
        assert (receiver.connections, len(receiver.requests)) == (1, 3)


def test_a_kept_connection_that_the_receiver_closed_is_not_a_failure():
    """The receiver closes when the next request is there already: no client can see that coming."""

    def closes_the_second(sock, request):
        if len(receiver.requests) == 2:
            return False
        sock.sendall(NO_CONTENT)
        return True

    with receiving(closes_the_second) as receiver:
        hook = WebhookHook("webhook_0", receiver.url, 10, Clock())
        hook.execute(EVENT, time.monotonic() + 20)
        hook.execute(EVENT, time.monotonic() + 20)
        hook.close()
    assert [request.headers["x-rtmp-event-id"] for request in receiver.requests] == ["evt_01"] * 3


def test_a_receiver_that_closes_a_new_connection_has_failed():
    with receiving(lambda sock, request: False) as receiver, pytest.raises(TransientDeliveryError):
        post(receiver.url)
    assert len(receiver.requests) == 1


def test_nobody_there_is_worth_another_try_and_the_query_is_not_told():
    unused = gevent_socket()
    unused.bind(("127.0.0.1", 0))
    port = unused.getsockname()[1]
    with pytest.raises(TransientDeliveryError) as raised:
        post(f"http://127.0.0.1:{port}/hook?token=secret")
    unused.close()
    assert raised.value.code == "ECONNREFUSED"
    assert "secret" not in str(raised.value)


def test_an_answer_that_is_not_http_is_worth_another_try():
    with receiving(says(b"SSH-2.0-OpenSSH_9.2\r\n")) as receiver, pytest.raises(TransientDeliveryError):
        post(receiver.url)


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with receiving(says(NO_CONTENT), context) as receiver, pytest.raises(TransientDeliveryError) as raised:
        post(receiver.url)
    assert raised.value.code == "SSLCertVerificationError"
    assert not receiver.requests


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_credentials_in_the_url_become_basic_authentication():
    with receiving(says(NO_CONTENT)) as receiver:
        post(receiver.url.replace("http://", "http://user:pass@"))
    assert receiver.requests[0].headers["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()


def test_the_surroundings_have_no_say(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", os.fspath(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with receiving(says(NO_CONTENT)) as receiver:
        post(receiver.url)
    assert "authorization" not in receiver.requests[0].headers


def test_cookies_are_not_kept():
    with receiving(says(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")) as receiver:
        hook = WebhookHook("webhook_0", receiver.url, 10, Clock())
        hook.execute(EVENT, time.monotonic() + 20)
        hook.execute(EVENT, time.monotonic() + 20)
        hook.close()
    assert "cookie" not in receiver.requests[1].headers


@pytest.mark.parametrize("url", ["", "example.com/hook", "ftp://example.com/", "http://", "http://[::1/hook?token=x"])
def test_a_url_that_can_not_be_used_is_a_configuration_error(url):
    with pytest.raises(ConfigError) as raised:
        WebhookHook("webhook_3", url, 10, Clock())
    assert "hooks.webhook_3" in str(raised.value)
    assert "token" not in str(raised.value)


def test_a_preview_shows_what_would_be_sent_without_secrets():
    http = HttpSettings(headers=(("X-Key", "a-secret-of-ours"),))
    hook = WebhookHook("ops", "http://user:word@127.0.0.1:1/x?token=a-secret-of-ours", 1, Clock(), http)
    shown = hook.preview(EVENT)
    hook.close()
    assert shown["headers"]["X-Key"] == "***"
    assert shown["headers"]["X-RTMP-Event-Id"] == "evt_01"
    assert shown["body"] == EVENT.json().decode()
    assert "a-secret-of-ours" not in str(shown) and "word" not in str(shown)


def test_a_delivery_carries_its_trace():
    event = Event("publish_start", 0, "", "live/a", id="evt_" + "1" * 26)
    with receiving(says(NO_CONTENT)) as receiver:
        post(receiver.url, event=event)
    assert receiver.requests[0].headers["traceparent"].split("-")[1] == trace_id_of(event.id)
