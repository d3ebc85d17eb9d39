"""Where webhooks may go: the rules, and the connections that follow them."""

import os
import socket
import ssl
import time

import pytest
from urllib3.util.connection import HAS_IPV6

from rtmpd.clock import Clock
from rtmpd.errors import TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.egress import NetworkRules
from rtmpd.hook.sink.webhook import WebhookHook
from rtmpd.settings import HttpSettings
from tests.support.proof import proves

from .certificates import Authority
from .receiver import NO_CONTENT, receiving, says

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


# --- the rules ----------------------------------------------------------------------------------

NEVER = (
    "169.254.169.254 169.254.0.1 168.63.129.16 100.100.100.200 192.0.0.192 0.0.0.0 0.1.2.3 224.0.0.1 239.1.1.1 "
    "240.0.0.1 255.255.255.255 :: fe80::1 fe80::1%eth0 febf::1 ff02::1 fd00:ec2::254 fd20:ce::254 "
    "::ffff:169.254.169.254 ::ffff:a9fe:a9fe 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::169.254.169.254"
).split()
LOOPBACK = "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1".split()
PRIVATE = (
    "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 "
    "198.51.100.1 203.0.113.1 fc00::1 fdff::1 fec0::1 100::1 64:ff9b:1::1 2001:db8::1 3fff::1 5f00::1 "
    "::ffff:10.0.0.1 64:ff9b::a00:1"
).split()
PUBLIC = "8.8.8.8 172.32.0.1 100.128.0.1 1.1.1.1 2606:4700::1 ::ffff:8.8.8.8 64:ff9b::808:808".split()


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_link_local_are_refused_whatever_is_allowed(address):
    allow = ("0.0.0.0/0", "::/0", "public", "private", "loopback")
    assert "never" in NetworkRules().refusal(address)
    assert "never" in NetworkRules(allow).refusal(address)


@pytest.mark.parametrize("address", [*LOOPBACK, *PRIVATE, *PUBLIC])
def test_everything_else_is_allowed_unless_the_operator_says_otherwise(address):
    assert NetworkRules().refusal(address) == ""


@pytest.mark.parametrize(
    ("word", "addresses"), [("loopback", LOOPBACK), ("private", PRIVATE), ("public", PUBLIC)]
)
def test_each_word_means_its_addresses_and_no_other(word, addresses):
    for address in [*LOOPBACK, *PRIVATE, *PUBLIC]:
        assert bool(NetworkRules(deny=[word]).refusal(address)) is (address in addresses), address
        assert bool(NetworkRules(allow=[word]).refusal(address)) is (address not in addresses), address


@pytest.mark.parametrize("address", ["2002:a00:1::1", "2002:808:808::1", "2001:0:1::1"])
def test_tunnels_are_private_and_mean_what_they_carry(address):
    assert NetworkRules(deny=["private"]).refusal(address)
    assert NetworkRules(allow=["public"]).refusal(address)


def test_denied_wins_over_allowed():
    rules = NetworkRules(allow=["10.0.0.0/8", "8.8.8.8"], deny=["10.1.0.0/16"])
    assert [bool(rules.refusal(address)) for address in ("10.2.0.1", "10.1.0.1", "8.8.8.8", "8.8.4.4")] == [
        False, True, False, True,
    ]  # fmt: skip


def test_a_network_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="lan"):
        NetworkRules(["lan"])


# --- the connections ----------------------------------------------------------------------------

NO_LOOPBACK = HttpSettings(deny_networks=("loopback",))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_loopback_is_known_however_it_is_written(host):
    with receiving(says(NO_CONTENT)) as receiver:
        url = receiver.url.replace("127.0.0.1", host)
        post(url)
        assert refused(url, NO_LOOPBACK) == "address_refused"
        assert len(receiver.requests) == receiver.connections == 1


@pytest.mark.skipif(not HAS_IPV6, reason="this host has no IPv6")
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


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".test", "no-such-name.invalid"])
def test_a_name_that_can_not_be_resolved_is_worth_another_try(name):
    assert refused(f"http://{name}/") != "address_refused"


@pytest.fixture
def resolver(monkeypatch):
    """``answers[name]`` is a list of the addresses of each look-up; ``asked`` the names that were looked up."""
    resolve = socket.getaddrinfo
    answers, asked = {}, []

    def getaddrinfo(host, port, *rest, **named):
        if host not in answers:
            return resolve(host, port, *rest, **named)
        asked.append(host)
        addresses = answers[host].pop(0)
        return [found for address in addresses for found in resolve(address, port, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
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


@proves("hooks.NAME.ca_file")
def test_only_the_authorities_of_ca_file_count(authority, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with receiving(says(NO_CONTENT), wants_certificates(authority)) as receiver:
        assert refused(receiver.url, HttpSettings(ca_file=os.fspath(other.file))) == "SSLCertVerificationError"
