"""Lists of networks that clients may, or may not, come from."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_SHARED = ip_network("100.64.0.0/10")  # carriers' NAT (RFC 6598), which ipaddress calls neither private nor global


class AddressRules:
    """``deny`` wins over ``allow``; if there is an ``allow``, all others are refused. Networks are in CIDR
    form, or the words public, private and loopback. Raises ValueError for one that is none."""

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        self._allow = _Networks(allow)
        self._deny = _Networks(deny)

    @property
    def is_empty(self) -> bool:
        """Whether every address may."""
        return self._allow.is_empty and self._deny.is_empty

    def refusal(self, address: str) -> str:
        """Why this address may not, "" if it may. Never switches."""
        if self.is_empty:
            return ""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return "the client has no address to look up"
        if self._deny.holds(parsed):
            return "the address is denied"
        return "" if self._allow.is_empty or self._allow.holds(parsed) else "the address is not allowed"


class _Networks:
    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(names)
        self._words = {name for name in given if name in ("public", "private", "loopback")}
        self._networks = tuple(ip_network(name) for name in given if name not in self._words)

    @property
    def is_empty(self) -> bool:
        return not self._words and not self._networks

    def holds(self, address: IPv4Address | IPv6Address) -> bool:
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return _word_for(address) in self._words or any(address in network for network in self._networks)


def _word_for(address: IPv4Address | IPv6Address) -> str:
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private or address.is_link_local or address in _SHARED else "public"
