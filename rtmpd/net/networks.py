"""Classifies addresses as loopback, private or public: one table for clients and for servers that we connect to.

========  ==============================================================================================
word      addresses
========  ==============================================================================================
loopback  127.0.0.0/8, ::1
private   every other address that the IANA registers of special addresses keep off the public Internet:
          private and shared networks, link-local, multicast, documentation, tunnels
public    all others
========  ==============================================================================================

Each address has exactly one word. An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, compatible) is
judged by both: it is refused if either is.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

PUBLIC = "public"
PRIVATE = "private"
LOOPBACK = "loopback"
WORDS = (PUBLIC, PRIVATE, LOOPBACK)

#: Why an address may not.
NEVER = "never"
DENIED = "denied"
NOT_ALLOWED = "not allowed"


def _networks(text: str) -> tuple[_Network, ...]:
    return tuple(ip_network(word) for word in text.split())


_LOOPBACK = _networks("127.0.0.0/8 ::1/128")
_PRIVATE = _networks("""
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
    192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/128 64:ff9b:1::/48 100::/64 2001::/32 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10
    ff00::/8
""")
#: What no webhook, callback or token endpoint is at: link-local and multicast, and the metadata services of clouds,
#: which give the host's credentials away. The single addresses are those services outside link-local: of Azure, Alibaba
#: and Oracle, and of AWS and Google over IPv6.
NEVER_CALLED = _networks("""
    0.0.0.0/8 169.254.0.0/16 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32
    ::/128 fe80::/10 ff00::/8 fd00:ec2::254/128 fd20:ce::254/128
""")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


class NetworkRules:
    """Rules for addresses: none of ``never`` and ``deny`` is allowed, and if ``allow`` is not empty, only its addresses
    are. ``allow`` and ``deny`` are networks in CIDR form or the words above. Raises ValueError for anything else."""

    __slots__ = ("_allow", "_deny", "_never", "is_empty")

    def __init__(
        self, allow: Iterable[str] = (), deny: Iterable[str] = (), never: tuple[_Network, ...] = ()
    ) -> None:
        self._allow = _Networks(allow)
        self._deny = _Networks(deny)
        self._never = never
        #: Whether every address may.
        self.is_empty = not (self._allow.given or self._deny.given or never)

    def refusal(self, address: str) -> str:
        """Return why the address is refused (``NEVER``, ``DENIED``, ``NOT_ALLOWED``), "" if it is allowed. A zone
        (``%eth0``) is ignored. Raises ValueError if ``address`` is not an address."""
        if self.is_empty:
            return ""
        for meant in _meanings(ip_address(address.partition("%")[0])):
            if _is_in(meant, self._never):
                return NEVER
            if self._deny.holds(meant):
                return DENIED
            if self._allow.given and not self._allow.holds(meant):
                return NOT_ALLOWED
        return ""


class _Networks:
    """A list of networks, as ``given``: CIDR blocks and the words of ``WORDS``."""

    __slots__ = ("_networks", "_words", "given")

    def __init__(self, names: Iterable[str]) -> None:
        self.given = tuple(names)
        self._words = {name for name in self.given if name in WORDS}
        self._networks = tuple(ip_network(name) for name in self.given if name not in WORDS)

    def holds(self, address: _Address) -> bool:
        return word_of(address) in self._words or _is_in(address, self._networks)


def word_of(address: _Address) -> str:
    """Return ``loopback``, ``private`` or ``public``."""
    if _is_in(address, _LOOPBACK):
        return LOOPBACK
    return PRIVATE if _is_in(address, _PRIVATE) else PUBLIC


def _is_in(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)


def _meanings(address: _Address) -> list[_Address]:
    """Return the address and any embedded IPv4 address; of a mapped or NAT64 address only the latter."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address, address.sixtofour]
    inside = IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64:
        return [inside]
    if address in _COMPATIBLE and int(address) > 1:
        return [address, inside]
    return [address]
