"""Where requests may go, decided at the moment of each connection.

A URL says nothing about an address: names are resolved anew for each connection, may resolve to something else the
next time, and ``http://2130706433/`` is loopback too. So the rules look at the addresses that the resolver has just
given, and the connection goes to one of exactly these. If one of several is refused all are: a name that has both a
public and a forbidden address is not trusted. A kept connection is not looked at again.

====================  =========================================================================
networks              rule
====================  =========================================================================
metadata services,    always refused: no webhook lives there, and credentials of the host do
link-local, multicast
private, loopback     allowed, since it is the operator who writes the URLs
``deny_networks``     refused
``allow_networks``    if there are any, everything else is refused
====================  =========================================================================

An IPv6 address that carries an IPv4 one is refused if either is. Through a proxy the rules hold for the address of
the proxy, and for the host of the URL if that is an address.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from select import POLLIN
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from gevent.monkey import get_original
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import allowed_gai_family, create_connection

from ..settings import HttpSettings

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

PUBLIC = "public"
PRIVATE = "private"
LOOPBACK = "loopback"


def _networks(text: str) -> tuple[_Network, ...]:
    return tuple(ip_network(word) for word in text.split())


# The single addresses are metadata services outside link-local: Azure, Alibaba, Oracle, AWS and Google over IPv6.
_NEVER = _networks("""
    0.0.0.0/8 169.254.0.0/16 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32 100.100.100.200/32 192.0.0.192/32
    ::/128 fe80::/10 ff00::/8 fd00:ec2::254/128 fd20:ce::254/128
""")
_LOOPBACK = _networks("127.0.0.0/8 ::1/128")
# What the IANA registers of special addresses name, and what is not for the public Internet.
_PRIVATE = _networks("""
    10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15
    198.51.100.0/24 203.0.113.0/24
    fc00::/7 fec0::/10 100::/64 64:ff9b:1::/48 2001::/32 2001:db8::/32 2002::/16 3fff::/20 5f00::/16
""")
_poll = get_original("select", "poll")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


class AddressRefused(OSError):
    """The rules forbid the address. An OSError, since it has to pass through the HTTP library as one."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.strerror = message


class NetworkRules:
    """The rules of one hook. Raises ValueError for a network that is none."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)
        self._networks = {name: ip_network(name) for name in {*self._allow, *self._deny} - {PUBLIC, PRIVATE, LOOPBACK}}

    def refusal(self, address: str) -> str:
        """Why the address must not be connected to; "" if it may. Raises ValueError if it is none."""
        for meant in _meanings(ip_address(address.partition("%")[0])):
            if _is_in(meant, _NEVER):
                return f"the address {meant} is never connected to"
            if any(self._fits(meant, name) for name in self._deny):
                return f"the address {meant} is in deny_networks"
            if self._allow and not any(self._fits(meant, name) for name in self._allow):
                return f"the address {meant} is not in allow_networks"
        return ""

    def _fits(self, address: _Address, name: str) -> bool:
        if name == LOOPBACK:
            return _is_in(address, _LOOPBACK)
        if name == PRIVATE:
            return _is_in(address, _PRIVATE)
        if name == PUBLIC:
            return not _is_in(address, (*_LOOPBACK, *_PRIVATE))
        return address in self._networks[name]


def _is_in(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)


def _meanings(address: _Address) -> list[_Address]:
    """The address and, if it is IPv6 with an IPv4 one inside, that one; of a mapped address only that."""
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


class EgressAdapter(HTTPAdapter):
    """The way out of one hook: at most ``connections`` are kept, and the rules of ``http`` hold for each.

    Nothing of the surroundings counts: no proxy, certificate bundle or credentials of the environment. Raises
    ValueError for a network that is none.
    """

    def __init__(self, http: HttpSettings, connections: int) -> None:
        self._rules = NetworkRules(http.allow_networks, http.deny_networks)
        self._pools = _guarded_pools(self._rules)
        self._verify = http.ca_file or True
        self._cert = (http.client_cert, http.client_key or http.client_cert) if http.client_cert else None
        self._proxies = {"http": http.proxy, "https": http.proxy} if http.proxy else {}
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Called by the base class: have the manager make guarded connections."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """Called by the base class: the same for connections to the proxy."""
        manager = super().proxy_manager_for(proxy, **named)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def exchange(self, request: requests.PreparedRequest) -> requests.Response:
        """Send; the answer's body is not read yet, redirects are not followed. Raises the errors of requests and
        urllib3, and AddressRefused inside of them. May switch greenlets."""
        if self._proxies:
            self.check_literal(urlsplit(request.url or "").hostname or "")
        return self.send(request, stream=True, verify=self._verify, cert=self._cert, proxies=self._proxies)

    def close(self) -> None:
        """Close the kept connections, now: urllib3 leaves it to the garbage collector, and a route keeps its pool. What
        is under way ends as it would."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            keys = manager.pools.keys()
            for pool in [manager.pools.get(key) for key in keys]:
                if pool is not None:
                    pool.close()
        super().close()

    def pool_of(self, request: requests.PreparedRequest) -> HTTPConnectionPool:
        """The connections that ``exchange`` takes one of. Never switches."""
        pool = self.get_connection_with_tls_context(request, self._verify, proxies=self._proxies, cert=self._cert)
        assert isinstance(pool, HTTPConnectionPool)
        return pool

    def route_of(self, request: requests.PreparedRequest) -> Route:
        """What requests finds out anew for each request, for those that go to the URL of this one. Raises what
        ``exchange`` raises. Never switches."""
        pool = self.pool_of(request)
        self.cert_verify(pool, request.url, self._verify, self._cert)  # type: ignore[no-untyped-call]
        target = self.request_url(request, self._proxies)
        literal = urlsplit(request.url or "").hostname or "" if self._proxies else ""
        return Route(self, pool, target, literal)

    def check_literal(self, host: str) -> None:
        """A proxy connects to an address that we never see, except when it is written in the URL. Raises
        AddressRefused."""
        try:
            address = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return  # a name: it is the proxy that resolves it
        if reason := self._rules.refusal(address):
            raise AddressRefused(reason)


class Route:
    """The way to one URL: ``pool`` are the connections, ``target`` is what stands in the request line, ``literal`` the
    host of a URL that is asked for through a proxy."""

    __slots__ = ("_adapter", "_literal", "_target", "pool")

    def __init__(self, adapter: EgressAdapter, pool: HTTPConnectionPool, target: str, literal: str) -> None:
        self._adapter = adapter
        self._target = target
        self._literal = literal
        self.pool = pool

    def exchange(self, method: str, headers: Mapping[str, str], body: bytes | None) -> urllib3.BaseHTTPResponse:
        """Send; the answer's body is not read yet, redirects are not followed. ``headers`` have the length of the body.
        Raises the errors of urllib3, and AddressRefused inside of them. May switch greenlets."""
        if self._literal:
            self._adapter.check_literal(self._literal)
        return self.pool.urlopen(
            method,
            self._target,
            body,
            headers,
            self._adapter.max_retries,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )


def head_of(raw: urllib3.BaseHTTPResponse, most_bytes: int) -> bytes:
    """A small answer to its end, so that the connection can be used again; of a large one just
    the head, undecoded, so that nobody can fill our memory. May switch greenlets."""
    pieces: list[bytes] = []
    left = most_bytes
    while left > 0:
        piece = raw.read(left, decode_content=False)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def root_of(error: BaseException) -> BaseException:
    """What the libraries wrapped: the innermost error."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


class _Brisk(HTTPConnection):
    """Sends the head and the body of a request together, and asks the kernel itself whether it is still connected: the
    poll of the event loop costs as much as the send."""

    _held: list[bytes] | None = None

    def request(self, *arguments: Any, **named: Any) -> None:
        """Called by the pool."""
        held = self._held = []
        try:
            super().request(*arguments, **named)
        finally:
            self._held = None
        self.send(b"".join(held))

    def send(self, data: Any) -> None:
        """Called by ``request`` and, for the proxy, by ``connect``."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    @property
    def is_connected(self) -> bool:
        """Whether it can be used again: nothing is there to be read, not even the end."""
        if self.sock is None:
            return False
        poll = _poll()
        poll.register(self.sock.fileno(), POLLIN)
        return not poll.poll(0)


def _guarded_pools(rules: NetworkRules) -> dict[str, type[HTTPConnectionPool]]:
    """Pools whose connections follow ``rules``. The manager knows its pools by class, so the rules are in them."""

    class Http(_Brisk, HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, rules)

    class Https(_Brisk, HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, rules)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


def _connect(connection: HTTPConnection, rules: NetworkRules) -> socket.socket:
    """Resolve, look at every address, connect to the first that answers. Raises OSError. Switches greenlets."""
    host = connection._dns_host.strip("[]")
    try:
        found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the host is no name that can be resolved") from error
    addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
    for address in addresses:
        if reason := rules.refusal(address):
            raise AddressRefused(reason)
    for address in addresses[:-1]:
        try:
            return _connect_to(connection, address)
        except OSError:
            continue  # the next one may answer
    return _connect_to(connection, addresses[-1])


def _connect_to(connection: HTTPConnection, address: str) -> socket.socket:
    return create_connection(
        (address, connection.port),
        connection.timeout,
        source_address=connection.source_address,
        socket_options=connection.socket_options,
    )
