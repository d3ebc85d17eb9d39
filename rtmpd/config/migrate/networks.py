"""Rules of which the first that fits decides, as two lists of which the one of refusals wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

Network = IPv4Network | IPv6Network

_EVERYWHERE: tuple[Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


@dataclass(frozen=True, slots=True)
class Rule:
    """``allow`` or deny ``address``: an address, a network or ``all``."""

    allow: bool
    address: str


def lists(rules: Sequence[Rule]) -> tuple[list[str], list[str]]:
    """What to allow and what to deny, so that the same addresses pass. An empty list of what to allow is everything.
    Raises ValueError for an invalid address."""
    exceptions: list[Network] = []
    default_allow = True
    for rule in rules:
        if rule.address == "all":
            default_allow = rule.allow
            break
    kept: list[Network] = []
    for rule in rules:
        if rule.address == "all":
            break
        network = ip_network(rule.address, strict=False)
        if rule.allow == default_allow:
            exceptions.append(network)
        else:
            kept += _without(network, exceptions)
    if default_allow:
        return [], _texts(kept)
    return (_texts(kept), []) if kept else ([], _texts(_EVERYWHERE))


def _without(network: Network, holes: Iterable[Network]) -> list[Network]:
    left = [network]
    for hole in holes:
        left = [part for one in left for part in _minus(one, hole)]
    return left


def _minus(network: Network, hole: Network) -> list[Network]:
    if isinstance(network, IPv4Network) and isinstance(hole, IPv4Network):
        return [network] if not network.overlaps(hole) else _cut(network, hole)
    if isinstance(network, IPv6Network) and isinstance(hole, IPv6Network):
        return [network] if not network.overlaps(hole) else _cut(network, hole)
    return [network]


def _cut(network: Network, hole: Network) -> list[Network]:
    if hole.supernet_of(network):  # type: ignore[arg-type]  # both are of one version
        return []
    return list(network.address_exclude(hole))  # type: ignore[arg-type]


def _texts(networks: Iterable[Network]) -> list[str]:
    v4 = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
    v6 = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
    return [*map(shown, v4), *map(shown, v6)]


def shown(network: Network) -> str:
    """A network as text: one address without its length."""
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address if alone else network)


def listeners(addresses: Iterable[str]) -> list[str]:
    """Addresses to listen on as rtmpd writes them, each once: a port alone is every address, of IPv6 too, so another
    address with its port is left out. ``*`` and a missing host are every address, a missing port is 1935."""
    found: dict[str, None] = {}
    for given in addresses:
        address = given.removeprefix("*")
        if address.isdigit() or (address.startswith("${") and ":" not in address):
            address = f":{address}"
        elif ":" not in address.rpartition("]")[2]:
            address = f"{address}:1935"
        found[address] = None
    return [one for one in found if one.startswith(":") or f":{one.rpartition(':')[2]}" not in found]
