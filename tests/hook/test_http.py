"""The HTTP client: where it may go, what it takes for an answer, and which connections it uses again."""

import os
import socket
import ssl
import time
from contextlib import contextmanager

import gevent
import pytest
from gevent.server import StreamServer

from rtmpd.clock import Clock, FakeClock
from rtmpd.errors import ConfigError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook import exchange as exchanging
from rtmpd.hook.exchange import NOTHING, NoAnswer, Wanted
from rtmpd.hook.http import HttpClient, target_of
from rtmpd.hook.sink.webhook import WebhookHook
from rtmpd.net import outgoing
from rtmpd.net.outgoing import FRESH_S, literal
from rtmpd.net.tls import client_context
from rtmpd.settings import HttpSettings
from tests.support.authority import Authority
from tests.support.proof import proves
from tests.support.receiver import NO_CONTENT, receiving, says
from tests.support.waiting import until

EVENT = Event("publish_start", 1634567890, id="evt_01")


def post(url, http=HttpSettings(), times=1):  # noqa: B008
    hook = WebhookHook("hook", url, 10, Clock(), http)
    try:
        for _ in range(times):
            hook.execute(EVENT, time.monotonic() + 20)
    finally:
        hook.close()


def refused(url, http=HttpSettings()):  # noqa: B008
    with pytest.raises(TransientDeliveryError) as raised:
        post(url, http)
    return raised.value.code


# --- the connections ----------------------------------------------------------------------------

NO_LOOPBACK = HttpSettings(deny_networks=("loopback",))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_loopback_is_known_however_it_is_written(host):
    with receiving(says(NO_CONTENT)) as receiver:
        url = receiver.url.replace("127.0.0.1", host)
        post(url)
        assert refused(url, NO_LOOPBACK) == "address_refused"
        assert len(receiver.requests) == receiver.connections == 1


@pytest.mark.skipif(not socket.has_ipv6, reason="this host has no IPv6")
@pytest.mark.parametrize("host", ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"])
def test_ipv6_loopback_is_known_however_it_is_written(host):
    assert refused("http://[::ffff:169.254.169.254]/") == "address_refused"
    assert refused(f"http://{host}:1/", NO_LOOPBACK) == "address_refused"
    assert refused(f"http://{host}:1/") != "address_refused"


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "2852039166", "169.254.43518", "0.0.0.0"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_metadata_services_are_not_reached(scheme, host):
    assert refused(f"{scheme}://{host}/latest/meta-data/?key=hidden") == "address_refused"


def test_an_allowed_network_is_reached_and_no_other():
    with receiving(says(NO_CONTENT)) as receiver:
        post(receiver.url, HttpSettings(allow_networks=("127.0.0.0/8",)))
        assert refused(receiver.url, HttpSettings(allow_networks=("public", "10.0.0.0/8"))) == "address_refused"
        assert receiver.connections == 1


@pytest.mark.parametrize("name", ["x" * 64 + ".test", "no-such-name.invalid"])
def test_a_name_that_can_not_be_resolved_is_worth_another_try(name):
    assert refused(f"http://{name}/") != "address_refused"


@pytest.fixture
def resolver(monkeypatch):
    """``answers[name]`` is a list of the addresses of each look-up; ``asked`` the names that were looked up."""
    answers, asked = {}, []

    def look_up(name):
        asked.append(name)
        return [endpoint for address in answers[name].pop(0) for endpoint in literal(address)]

    monkeypatch.setattr(outgoing, "look_up", look_up)
    return answers, asked


def test_a_name_that_changes_its_address_is_judged_by_the_one_that_is_connected_to(resolver):
    answers, asked = resolver
    with receiving(says(b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n")) as receiver:
        url = receiver.url.replace("127.0.0.1", "rebinds.test")
        rules = HttpSettings(deny_networks=("127.0.0.2",))
        answers["rebinds.test"] = [["127.0.0.1"], ["127.0.0.2"], ["169.254.169.254"], ["127.0.0.1"]]
        post(url, rules)
        assert asked == ["rebinds.test"], "looked up once: there is no gap between the look and the connection"
        assert refused(url, rules) == refused(url, rules) == "address_refused"
        post(url, rules)
        assert receiver.connections == 2


def test_a_name_with_one_forbidden_address_is_refused_as_a_whole(resolver):
    answers, _ = resolver
    with receiving(says(NO_CONTENT)) as receiver:
        answers["both.test"] = [["127.0.0.1", "169.254.169.254"]]
        assert refused(receiver.url.replace("127.0.0.1", "both.test")) == "address_refused"
        assert receiver.connections == 0


@pytest.mark.parametrize("addresses", [["127.0.0.9", "127.0.0.1"], ["127.0.0.1", "127.0.0.9"]])
def test_the_next_address_is_tried_if_one_does_not_answer(resolver, addresses):
    answers, _ = resolver
    with receiving(says(NO_CONTENT)) as receiver:
        answers["two.test"] = [addresses]
        post(receiver.url.replace("127.0.0.1", "two.test"))
        assert len(receiver.requests) == 1


def test_the_host_header_is_that_of_the_url(resolver):
    answers, _ = resolver
    with receiving(says(NO_CONTENT)) as receiver:
        answers["named.test"] = [["127.0.0.1"]]
        post(receiver.url.replace("127.0.0.1", "named.test"))
        assert receiver.requests[0].headers["host"].startswith("named.test:")


# --- proxies ------------------------------------------------------------------------------------


@proves("hooks.NAME.proxy")
def test_a_proxy_is_gone_through_and_held_to_the_rules():
    with receiving(says(NO_CONTENT)) as proxy:
        through = proxy.url.partition("/hook")[0].replace("http://", "http://me:pw@")
        post("http://somewhere.test/hook", HttpSettings(proxy=through))
        assert proxy.requests[0].head.startswith("POST http://somewhere.test/hook HTTP/1.1")
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
        assert refused("http://somewhere.test/", HttpSettings(proxy=through, deny_networks=("loopback",)))
        for host in ("169.254.169.254", "2852039166", "[::ffff:169.254.169.254]"):
            assert refused(f"http://{host}/", HttpSettings(proxy=through)) == "address_refused"
        assert len(proxy.requests) == 1


@contextmanager
def relaying(tls=None):
    """A proxy that understands CONNECT, after a word in between, and what it was asked for."""
    asked = []

    def serve(sock, address):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        asked.append(head.decode())
        host, _, port = head.split()[1].decode().rpartition(":")
        if b"Basic" not in head:
            sock.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            return
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 Connected\r\nServer: p\r\n\r\n")
        with socket.create_connection((host, int(port))) as far:
            ways = [gevent.spawn(pump, sock, far), gevent.spawn(pump, far, sock)]
            gevent.joinall(ways)

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side has gone

    server = StreamServer(("127.0.0.1", 0), serve, **({"ssl_context": tls} if tls else {}))
    server.start()
    try:
        yield f"http{'s' if tls else ''}://me:pw@127.0.0.1:{server.server_port}", asked
    finally:
        server.stop(timeout=0)


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_encrypted_receiver_is_reached_through_a_proxy(authority, encrypted):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.issue("server"))
    with receiving(says(NO_CONTENT), tls) as receiver, relaying(tls if encrypted else None) as (proxy, asked):
        settings = HttpSettings(proxy=proxy, ca_file=os.fspath(authority.file))
        post(receiver.url, settings, times=2)
        assert len(receiver.requests) == 2 and receiver.connections == 1
        assert asked[0].startswith(f"CONNECT 127.0.0.1:{receiver.url.split(':')[2].split('/')[0]} HTTP/1.1\r\nHost: ")
        assert receiver.requests[0].head.startswith("POST /hook")
        stranger = HttpSettings(proxy=proxy.replace("me:pw@", ""), ca_file=settings.ca_file)
        assert refused(receiver.url, stranger) == "proxy_status:407"


# --- certificates -------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def wants_certificates(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@proves("hooks.NAME.client_cert", "hooks.NAME.client_key")
def test_a_receiver_that_wants_a_client_certificate_gets_it(authority):
    certificate, key = map(os.fspath, authority.issue("client"))
    ca = os.fspath(authority.file)
    with receiving(says(NO_CONTENT), wants_certificates(authority)) as receiver:
        post(receiver.url, HttpSettings(client_cert=certificate, client_key=key, ca_file=ca))
        assert len(receiver.requests) == 1
        refused(receiver.url, HttpSettings(ca_file=ca))
        assert len(receiver.requests) == 1


def test_key_and_certificate_may_be_in_one_file(authority, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(path.read_bytes() for path in authority.issue("client")))
    with receiving(says(NO_CONTENT), wants_certificates(authority)) as receiver:
        post(receiver.url, HttpSettings(client_cert=os.fspath(both), ca_file=os.fspath(authority.file)))
        assert len(receiver.requests) == 1


def test_an_authority_of_some_years_ago_will_do_on_every_python(tmp_path):
    authority = Authority(tmp_path, old=True)
    with receiving(says(NO_CONTENT), wants_certificates(authority)) as receiver:
        certificate, key = map(os.fspath, authority.issue("client"))
        post(receiver.url, HttpSettings(client_cert=certificate, client_key=key, ca_file=os.fspath(authority.file)))
        assert len(receiver.requests) == 1
    assert not client_context().verify_flags & ssl.VERIFY_X509_STRICT, "relays are no stricter"


@proves("hooks.NAME.ca_file")
def test_only_the_authorities_of_ca_file_count(authority, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with receiving(says(NO_CONTENT), wants_certificates(authority)) as receiver:
        assert refused(receiver.url, HttpSettings(ca_file=os.fspath(other.file))) == "SSLCertVerificationError"
    anybody = wants_certificates(authority)
    anybody.verify_mode = ssl.CERT_NONE
    with receiving(says(NO_CONTENT), anybody) as receiver:
        post(receiver.url, HttpSettings(ca_file=os.fspath(authority.file)))
        assert len(receiver.requests) == 1


# --- what is an answer --------------------------------------------------------------------------

PATIENCE_S = 5.0
OKAY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CLOSED = object()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(clock):
    client = HttpClient(HttpSettings(), 4, clock)
    yield client
    client.close()


def ask(client, listener, wanted=NOTHING, content=b"{}", host="127.0.0.1"):
    target = target_of(f"http://{host}:{listener.getsockname()[1]}/x?y=1")
    headers = {"Content-Length": str(len(content))}

    def work():
        with gevent.Timeout(PATIENCE_S):
            return client.exchange(target, "POST", headers, content, wanted, {"X-Again": "1"})

    return gevent.spawn(work)


def request_of(sock):
    """The next request, with a body of two bytes."""
    request = b""
    while not request.endswith(b"\r\n\r\n{}"):
        data = sock.recv(65536)
        assert data, request
        request += data
    return request


def exchange(client, listener, *pieces, wanted=NOTHING):
    """One exchange over a new connection, which is returned with the answer."""
    asking = ask(client, listener, wanted)
    sock, _ = listener.accept()
    sock.settimeout(PATIENCE_S)
    request_of(sock)
    for piece in pieces:
        if piece is CLOSED:
            sock.shutdown(socket.SHUT_WR)
        else:
            sock.sendall(piece)
            gevent.sleep(0.002)
    try:
        return asking.get(timeout=PATIENCE_S), sock
    except NoAnswer:
        sock.close()
        raise


def is_kept(client, listener, sock):
    """Whether the next request comes over the same connection; it is answered."""
    asking = ask(client, listener)
    ready = gevent.spawn(listener.accept)
    other = gevent.spawn(sock.recv, 65536)
    gevent.joinall([ready, other], count=1, timeout=PATIENCE_S)
    if other.ready() and other.value:
        ready.kill()
        sock.sendall(OKAY)
        assert asking.get(timeout=PATIENCE_S).status == 200
        return True
    fresh, _ = ready.get(timeout=PATIENCE_S)
    assert b"X-Again" not in request_of(fresh)
    fresh.sendall(OKAY)
    assert asking.get(timeout=PATIENCE_S).status == 200
    other.kill()
    fresh.close()
    return False


def test_head_and_body_go_out_in_one_segment_and_the_connection_is_kept(client, listener):
    asking = ask(client, listener)
    sock, _ = listener.accept()
    with sock:
        assert sock.recv(65536) == (
            b"POST /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}"
            % listener.getsockname()[1]
        )
        sock.sendall(OKAY)
        assert asking.get(timeout=PATIENCE_S).status == 200
        assert is_kept(client, listener, sock)


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize(
    "interim",
    [
        [HINTS],
        [HINTS, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"],
        [HINTS[:30], HINTS[30:]],
        [HINTS + OKAY[:5]],
        [HINTS * exchanging.MAX_INTERIM],
        [b"HTTP/1.1 199 Odd\r\nContent-Length: 0\r\n\r\n"],
    ],
)
def test_interim_answers_are_passed_over(client, listener, interim):
    """RFC 9110, 15.2: a client must be able to parse one or more of them before the final answer."""
    final = OKAY[5:] if interim[-1].endswith(OKAY[:5]) else OKAY
    answer, sock = exchange(client, listener, *interim, final)
    with sock:
        assert answer.status == 200
        assert is_kept(client, listener, sock)


def failure(client, listener, *pieces):
    with pytest.raises(NoAnswer) as raised:
        exchange(client, listener, *pieces)[1].close()
    return raised.value.code


def test_interim_answers_without_end_are_not_followed(client, listener):
    assert failure(client, listener, HINTS * (exchanging.MAX_INTERIM + 1)) == "too_many_interim"


def test_a_switch_to_another_protocol_is_no_answer(client, listener):
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    assert failure(client, listener, switch) == "status:101"


@pytest.mark.parametrize("text", [b"SSH-2.0-x\r\n\r\n", b"\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n"])
def test_what_is_not_http_is_no_answer(client, listener, text):
    assert failure(client, listener, text) == "not_http"


@pytest.mark.parametrize("pieces", [[CLOSED], [b"HTTP/1.1 200 OK\r\nX: ", CLOSED], [HINTS, CLOSED]])
def test_a_head_that_is_cut_off_is_no_answer(client, listener, pieces):
    assert failure(client, listener, *pieces) == "closed"


def test_the_number_of_header_lines_does_not_matter_and_their_size_is_bounded(client, listener):
    many = b"".join(b"X-H%d: v\r\n" % number for number in range(1500))
    answer, sock = exchange(client, listener, b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 0\r\n\r\n")
    with sock:
        assert answer.headers["x-h1499"] == "v" and is_kept(client, listener, sock)
    endless = b"X: " + b"y" * (exchanging.MAX_HEAD_BYTES + 65536)
    assert failure(client, listener, b"HTTP/1.1 200 OK\r\n" + endless) == "head_too_large"


@pytest.mark.parametrize(
    ("rest", "keeps"),
    [
        ([b"204 No Content\r\n\r\n"], True),
        ([b"200\r\ncontent-length: 0\r\n\r\n"], True),
        ([b"200 OK\nContent-Length: 0\n\n"], True),
        ([b"200 OK\r\nContent-Length: 2\r\n\r\nok"], True),
        ([b"200 OK\r\nContent-Length: 2\r\n\r\no", b"k"], True),
        ([b"200 OK\r\nContent-Length: 2, 2\r\n\r\nok"], True),
        ([b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-T: 1\r\n\r\n"], True),
        ([b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r", b"\no", b"k\r\n0\r\n", b"\r\n"], True),
        ([b"500 No\r\nContent-Length: 2\r\n\r\nno"], True),
        ([b"200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"], True),
        ([b"200 OK\r\n\r\n"], False),
        ([b"200 OK\r\n\r\nok", CLOSED], False),
        ([b"200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], False),
        ([b"200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n"], False),
        ([b"204 No Content\r\nContent-Length: 5\r\n\r\n"], False),
        ([b"204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"], False),
        ([b"304 Not Modified\r\nContent-Length: 0\r\n\r\nbody"], False),
        ([b"200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"], False),
        ([b"200 OK\r\nContent-Length: 2\r\n\r\nok\r\n"], False),
        ([b"200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"], False),
        ([b"200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], False),
        ([b"200 OK\r\nContent-Length: +0\r\n\r\n"], False),
        ([b"200 OK\r\nContent-Length : 0\r\n\r\n"], False),
        ([b"200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n"], False),
        ([b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], False),
        ([b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n"], False),
        ([b"200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"], False),
        ([b"200 OK\r\nContent-Length: 10\r\n\r\nok"], False),
        ([b"200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000], False),
    ],
)
def test_the_head_settles_and_only_a_clean_connection_is_kept(client, listener, rest, keeps):
    answer, sock = exchange(client, listener, *(piece if piece is CLOSED else b"HTTP/1.1 " * (not number) + piece
                                                for number, piece in enumerate(rest)))  # fmt: skip
    with sock:
        assert answer.status == int(rest[0][:3])
        gevent.sleep(0.01)  # whatever else was sent is there
        assert is_kept(client, listener, sock) is keeps


def test_an_answer_of_http_1_0_ends_its_connection(client, listener):
    answer, sock = exchange(client, listener, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
    with sock:
        assert answer.status == 200 and not is_kept(client, listener, sock)


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n", OKAY, b"\r\n"])
def test_a_connection_on_which_something_came_meanwhile_is_not_used_again(client, listener, unasked):
    """Else the second answer to one request is that to the next, which nobody has read."""
    _, sock = exchange(client, listener, OKAY)
    with sock:
        if unasked:
            sock.sendall(unasked)
        else:
            sock.shutdown(socket.SHUT_WR)
        gevent.sleep(0.01)
        assert not is_kept(client, listener, sock)


def test_a_kept_connection_that_ends_without_an_answer_is_replaced_and_the_request_says_so(client, listener):
    _, sock = exchange(client, listener, OKAY)
    asking = ask(client, listener)
    assert b"X-Again" not in request_of(sock)
    sock.close()
    fresh, _ = listener.accept()
    with fresh:
        assert b"\r\nX-Again: 1\r\n" in request_of(fresh)
        fresh.sendall(OKAY)
        assert asking.get(timeout=PATIENCE_S).status == 200


def test_a_kept_connection_that_ends_in_an_answer_has_failed(client, listener):
    for begun in (b"HTTP/1.1 2", HINTS):
        _, sock = exchange(client, listener, OKAY)
        asking = ask(client, listener)
        request_of(sock)
        sock.sendall(begun)
        gevent.sleep(0.01)
        sock.close()
        with pytest.raises(NoAnswer):
            asking.get(timeout=PATIENCE_S)


LARGE = b"x" * 20_000_000 + b"{}"


@pytest.mark.parametrize("begins", [b"", HINTS])
def test_an_answer_that_comes_before_the_request_was_sent_is_that_answer(client, listener, begins):
    asking = ask(client, listener, content=LARGE)
    sock, _ = listener.accept()
    with sock:
        sock.recv(1000)
        sock.sendall(begins)
        gevent.sleep(0.01)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        assert asking.get(timeout=PATIENCE_S).status == 413
        asking = ask(client, listener)
        fresh, _ = listener.accept()
        with fresh:
            request_of(fresh)
            fresh.sendall(OKAY)
            assert asking.get(timeout=PATIENCE_S).status == 200


def test_an_answer_that_is_followed_by_the_end_is_read_although_sending_failed(client, listener):
    asking = ask(client, listener, content=LARGE)
    sock, _ = listener.accept()
    sock.recv(1000)
    sock.sendall(b"HTTP/1.1 413 Too Large\r\n\r\n")
    sock.close()  # over unread bytes: the sender sees a reset
    try:
        assert asking.get(timeout=PATIENCE_S).status == 413
    except NoAnswer as error:
        assert error.code in ("ECONNRESET", "EPIPE")  # where the reset overtook the answer


def test_a_success_before_the_request_was_sent_acknowledges_nothing(client, listener):
    asking = ask(client, listener, content=LARGE)
    sock, _ = listener.accept()
    with sock:
        sock.recv(1000)
        sock.sendall(OKAY)
        with pytest.raises(NoAnswer) as raised:
            asking.get(timeout=PATIENCE_S)
    assert raised.value.code == "early_answer"


def test_a_large_request_is_sent_whole_between_interim_answers(client, listener):
    asking = ask(client, listener, content=LARGE)
    sock, _ = listener.accept()
    with sock:
        got = 0
        sock.sendall(HINTS)
        while True:
            data = sock.recv(1_000_000)
            got += len(data)
            if data.endswith(b"{}"):
                break
        sock.sendall(OKAY)
        assert asking.get(timeout=PATIENCE_S).status == 200 and got > len(LARGE)


# --- bodies that are wanted ---------------------------------------------------------------------

SOME = Wanted(64)


@pytest.mark.parametrize(
    ("pieces", "body", "is_whole"),
    [
        ([b"200 OK\r\nContent-Length: 7\r\n\r\n", b'{"a":1}'], b'{"a":1}', True),
        ([b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n", b"3\r\n:1}\r\n0\r\n\r\n"], b'{"a":1}', True),
        ([b"200 OK\r\n\r\n", b'{"a"', CLOSED], b'{"a"', True),
        ([b"200 OK\r\n\r\n", b'{"a"', b":1}"], b'{"a":1}', True),
        ([b"200 OK\r\n\r\n", b"ok\n"], b"ok\n", True),
        ([b"200 OK\r\nContent-Length: 9\r\n\r\n", b'{"a"', CLOSED], b'{"a"', False),
        ([b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n", CLOSED], b'{"a"', False),
        ([b"200 OK\r\nContent-Length: 99\r\n\r\n{" + b" " * 98], b"{" + b" " * 63, False),
        ([b"403 No\r\n\r\n", b"{"], b"", False),
        ([b"204 No\r\n\r\n"], b"", True),
    ],
)
def test_a_body_is_read_as_far_as_it_is_wanted(client, listener, pieces, body, is_whole):
    pieces = [piece if piece is CLOSED or number else b"HTTP/1.1 " + piece for number, piece in enumerate(pieces)]
    answer, sock = exchange(client, listener, *pieces, wanted=SOME)
    sock.close()
    assert (answer.body, answer.is_whole) == (body, is_whole)


def test_a_body_of_an_error_is_read_where_that_is_wanted_too(client, listener):
    answer, sock = exchange(client, listener, b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\n{}", wanted=Wanted(9, True))
    sock.close()
    assert answer.body == b"{}"


def test_a_body_has_a_time_of_its_own(client, listener, monkeypatch):
    monkeypatch.setattr(exchanging, "BODY_S", 0.02)
    answer, sock = exchange(client, listener, b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a"', wanted=SOME)
    with sock:
        assert answer.status == 200 and not answer.is_whole


# --- kept connections ---------------------------------------------------------------------------


def test_a_kept_connection_whose_name_leads_elsewhere_by_now_is_given_up(client, listener, clock, resolver):
    answers, asked = resolver
    answers["moves.test"] = [["127.0.0.1"], ["127.0.0.1"], ["127.0.0.9"], ["127.0.0.1"]]

    def over(sock=None):
        asking = ask(client, listener, host="moves.test")
        if sock is None:
            sock, _ = listener.accept()
        request_of(sock)
        sock.sendall(OKAY)
        asking.get(timeout=PATIENCE_S)
        return sock

    def minutes_pass(sock, number):
        """Use the connection until its name has been looked up ``number`` times, and no longer."""
        while len(asked) < number:
            clock.advance(exchanging.IDLE_S / 2)
            over(sock)
            until(lambda: client._way._running == 0)

    with over() as sock:
        for number in (2, 3):
            minutes_pass(sock, number)
        clock.advance(FRESH_S)
        with over():
            assert sock.recv(100) == b"", "the old one was closed"


def test_a_connection_that_was_idle_for_long_is_not_used_again(client, listener, clock):
    _, sock = exchange(client, listener, OKAY)
    clock.advance(exchanging.IDLE_S - 1)
    assert is_kept(client, listener, sock)
    clock.advance(exchanging.IDLE_S + 1)
    assert not is_kept(client, listener, sock)
    sock.close()


def test_a_server_that_says_how_long_it_keeps_connections_is_believed(client, listener, clock):
    _, sock = exchange(client, listener, b"HTTP/1.1 204 No\r\nKeep-Alive: timeout=5, max=100\r\n\r\n")
    clock.advance(6)
    with sock:
        assert not is_kept(client, listener, sock)


def test_no_more_connections_are_kept_than_were_allowed(clock, listener):
    client = HttpClient(HttpSettings(), 1, clock)
    asking = [ask(client, listener) for _ in range(3)]
    socks = [listener.accept()[0] for _ in asking]
    for sock in socks:
        request_of(sock)
    for sock in socks:
        sock.sendall(OKAY)
    gevent.joinall(asking, raise_error=True)
    ends = [gevent.spawn(sock.recv, 1) for sock in socks]
    until(lambda: sum(each.ready() for each in ends) == 2)
    client.close()
    gevent.joinall(ends, timeout=PATIENCE_S)
    assert [each.value for each in ends] == [b""] * 3
    for sock in socks:
        sock.close()


# --- URLs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://h.test", "h.test", "/"),
        ("HTTP://H.Test:80/a b?c=d e#f", "h.test", "/a%20b?c=d%20e"),
        ("https://h.test:443/%7Ea%", "h.test", "/~a%25"),
        ("https://h.test.:8443/\xfc?q", "h.test.:8443", "/%C3%BC?q"),
        ("http://b\xfccher.test/", "xn--bcher-kva.test", "/"),
        ("http://[::1]:81/", "[::1]:81", "/"),
        ("http://[fe80::1%25lo]/", "[fe80::1]", "/"),
        ("http://me:p%40w@h.test/", "h.test", "/"),
    ],
)
def test_what_a_url_means(url, authority, path):
    target = target_of(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    "url", ["ftp://h/", "http:///x", "http://a..b/", "http://h:x/", "http://[::1", "http://[::g]/", "http://h h/", "h"]
)
def test_what_is_not_a_url_for_requests_is_an_error(url):
    with pytest.raises(ValueError):
        target_of(url)
    with pytest.raises(ConfigError, match="not a usable URL"):
        WebhookHook("hook", url, 1, Clock())


def test_a_header_cannot_end_its_line(client, listener):
    target = target_of(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    for headers in ({"X": "a\r\nY: b"}, {"X\n": "a"}, {"X": "a\rb"}):
        with pytest.raises(NoAnswer, match="line break"):
            client.exchange(target, "POST", headers, b"")


# --- time-outs say where ------------------------------------------------------------------------


def test_a_timeout_says_what_was_waited_for(listener, monkeypatch):
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with pytest.raises(TransientDeliveryError, match="timed out: no answer came"):
        WebhookHook("hook", url, 1, Clock()).execute(EVENT, time.monotonic() + 0.5)
    monkeypatch.setattr(outgoing.Outgoing, "_launch", lambda self, flight: None)  # a name server that never answers
    with pytest.raises(TransientDeliveryError, match="timed out: the name was not resolved"):
        WebhookHook("hook", "http://mute.test/", 1, Clock()).execute(EVENT, time.monotonic() + 0.5)
