"""One table of networks, for those who come in and for those we connect to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rtmpd.net.networks import DENIED, NEVER, NEVER_CALLED, NOT_ALLOWED, NetworkRules, word_of

METADATA_AND_LINK_LOCAL = (
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
LINK_LOCAL = ["169.254.0.1", "fe80::1", "fe80::1%eth0"]
PUBLIC = "8.8.8.8 172.32.0.1 100.128.0.1 1.1.1.1 2606:4700::1 ::ffff:8.8.8.8 64:ff9b::808:808".split()
WORDS = [("loopback", LOOPBACK), ("private", [*PRIVATE, *LINK_LOCAL]), ("public", PUBLIC)]


@pytest.mark.parametrize("address", METADATA_AND_LINK_LOCAL)
def test_metadata_services_and_link_local_are_never_called_whatever_is_allowed(address: str) -> None:
    allow = ("0.0.0.0/0", "::/0", "public", "private", "loopback")
    assert NetworkRules(never=NEVER_CALLED).refusal(address) == NEVER
    assert NetworkRules(allow, never=NEVER_CALLED).refusal(address) == NEVER


@pytest.mark.parametrize("address", [*LOOPBACK, *PRIVATE, *PUBLIC])
def test_everything_else_may_be_called_unless_the_operator_says_otherwise(address: str) -> None:
    assert NetworkRules(never=NEVER_CALLED).refusal(address) == ""


@pytest.mark.parametrize(("word", "addresses"), WORDS)
def test_each_word_means_its_addresses_and_no_other(word: str, addresses: list[str]) -> None:
    for address in [*LOOPBACK, *PRIVATE, *LINK_LOCAL, *PUBLIC]:
        assert (NetworkRules(deny=[word]).refusal(address) == DENIED) is (address in addresses), address
        assert (NetworkRules(allow=[word]).refusal(address) == NOT_ALLOWED) is (address not in addresses), address


@pytest.mark.parametrize("address", ["2002:a00:1::1", "2002:808:808::1", "2001:0:1::1"])
def test_tunnels_are_private_and_mean_what_they_carry(address: str) -> None:
    assert word_of(ip_address(address)) == "private"
    assert NetworkRules(allow=["public"]).refusal(address)


def test_an_address_that_carries_another_is_refused_if_either_is() -> None:
    assert NetworkRules(deny=["10.0.0.0/8"]).refusal("2002:a00:1::1") == DENIED
    assert NetworkRules(deny=["2002::/16"]).refusal("2002:a00:1::1") == DENIED
    assert NetworkRules(deny=["10.0.0.0/8"]).refusal("2002:b00:1::1") == ""


def test_denied_wins_over_allowed() -> None:
    rules = NetworkRules(allow=["10.0.0.0/8", "8.8.8.8"], deny=["10.1.0.0/16"])
    assert [bool(rules.refusal(address)) for address in ("10.2.0.1", "10.1.0.1", "8.8.8.8", "8.8.4.4")] == [
        False, True, False, True,
    ]  # fmt: skip


def test_a_single_address_is_not_a_prefix() -> None:
    rules = NetworkRules(allow=["10.0.0.1"])
    assert [rules.refusal(address) for address in ("10.0.0.1", "10.0.0.12")] == ["", NOT_ALLOWED]


def test_a_network_that_is_not_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="lan"):
        NetworkRules(["lan"])
