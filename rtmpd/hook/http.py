"""The HTTP client of the daemon, with kept connections.

Webhooks, dead letters, access callbacks and token endpoints all go through here. It is written for a sender of events,
where a general client does the wrong thing:

- The head of an answer settles the exchange, and a connection on which anything unexpected is left is not used again
  (``exchange``). A 2xx that comes before the request was sent in full acknowledges nothing.
- A kept connection that turns out to be closed, without a byte of an answer, costs no attempt: the request is sent once
  more, over a new one, and says so.
- A kept connection is given up when the name no longer leads to its address.
- Redirects are not followed. Proxies, ``.netrc`` and certificate bundles of the environment have no say.

requests reads the URLs and brings the usual authorities; its own client is not used, as each of these points lies in
http.client below it, and as it costs half of the time of a delivery. Which addresses may be connected to is decided by
the rules of ``net.outgoing``, for each connection.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import gevent
import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from ..clock import Clock
from ..errors import ConnectionLost, HandshakeError
from ..net.networks import NEVER_CALLED, NetworkRules
from ..net.outgoing import AddressRefused, Outgoing, ascii_name, literal
from ..net.tls import TlsTransport
from ..net.transport import Transport
from ..settings import HttpSettings
from .exchange import IDLE_S, NOTHING, Answer, Connection, NoAnswer, Stale, Wanted

MAX_LOOKUPS: Final = 4
RESOLVE_AGAIN_S: Final = 60.0

_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORTS: Final = {"http": 80, "https": 443}


def trouble(error: OSError) -> tuple[str, str]:
    """Return what went wrong in words that hold no secret, and a short code."""
    if isinstance(error, AddressRefused):
        return str(error), "address_refused"
    if isinstance(error, NoAnswer):
        return str(error), error.code
    name = type(error).__name__
    # The numbers of TLS errors are not those of the system.
    code = name if isinstance(error, ssl.SSLError) else errno.errorcode.get(error.errno or 0, name)
    return error.strerror or str(error) or name, code


# --- what is asked ------------------------------------------------------------------------------


class Target(NamedTuple):
    """Where a request goes. ``host`` is in ASCII, ``path`` as it stands in the request line, with the query;
    ``authorization`` is the header that credentials in the URL make, "" without any."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str

    @property
    def authority(self) -> str:
        """Host and port as a URL has them; the zone of an IPv6 address means nothing to others."""
        host = self.host.partition("%")[0]
        host = f"[{host}]" if ":" in host else host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """Read a URL as requests prepares it: IDNA, percent-encoding and what may stand where are its rules. Raises
    ValueError, in words that hold no secret, if ``url`` cannot be used."""
    prepared = requests.PreparedRequest()
    try:
        # For one lone percent sign requests would quote all others again.
        prepared.prepare_url(_LONE_PERCENT.sub("%25", url.strip()), None)
        parts = urlsplit(str(prepared.url))
        host, port = parts.hostname or "", parts.port
        host = host.replace("%25", "%") if ":" in host else ascii_name(host)
    except (requests.RequestException, ValueError, OSError):
        raise ValueError("the host or the port of the URL cannot be used") from None
    if parts.scheme not in _PORTS:
        raise ValueError("only http and https URLs can be used")
    if not re.fullmatch(r"[\w.:%~-]+", host, re.ASCII) or (":" in host and not literal(host)):
        raise ValueError("the host of the URL cannot be used")
    authorization = ""
    if parts.username is not None:
        authorization = basic(unquote(parts.username), unquote(parts.password or ""))
    return Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, prepared.path_url, authorization)


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(_encoded(f"{user}:{password}")).decode()


def _encoded(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def _head(method: str, path: str, host: str, headers: Mapping[str, str]) -> bytes:
    """Raises NoAnswer for a header that would end its line."""
    given = {name.lower() for name in headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise NoAnswer("a header of the request has a line break", "bad_header")
    return _encoded(head + "\r\n\r\n")


class HttpClient:
    """The way out of one consumer, in the way of ``http``: at most ``connections`` are kept, ``max_lookups`` names are
    looked up at once. Raises ValueError for a network that is not valid."""

    def __init__(
        self, http: HttpSettings, connections: int, clock: Clock, max_lookups: int = MAX_LOOKUPS
    ) -> None:
        self._clock = clock
        self._connections = connections
        self._rules = NetworkRules(http.allow_networks, http.deny_networks, NEVER_CALLED)
        self._way = Outgoing(clock, max_lookups, self._rules)
        self._files = (http.ca_file, http.client_cert, http.client_key or http.client_cert)
        self._proxy = target_of(http.proxy) if http.proxy else None
        self._context: ssl.SSLContext | None = None
        self._context_of: object = None
        self._idle: list[Connection] = []  # the last one that was used is the last
        self._is_closed = False

    def exchange(
        self,
        target: Target,
        method: str,
        headers: Mapping[str, str],
        content: bytes,
        wanted: Wanted = NOTHING,
        again: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return its answer. ``again`` are headers for the request that is sent once more, over a
        new connection. The deadline is the caller's (``gevent.Timeout``, which gets a note of what was waited for). May
        switch greenlets. Raises OSError, which ``trouble`` puts into words."""
        request = self._request(target, method, headers, content)
        try:
            connection = self._kept(target)
            if connection is not None:
                try:
                    return self._over(connection, request, wanted)
                except Stale:
                    if again:
                        headers = {**again, **headers}
                        request = self._request(target, method, headers, content)
            return self._over(self._opened(target), request, wanted)
        except gevent.Timeout as late:
            if not getattr(late, "__notes__", None):
                late.add_note("no answer came")
            raise

    def close(self) -> None:
        """Close the kept connections. Exchanges that are under way end as they would."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def _request(self, target: Target, method: str, headers: Mapping[str, str], content: bytes) -> bytes:
        path = target.path
        if self._proxy is not None and target.scheme == "http":
            path = f"http://{target.authority}{path}"
            if self._proxy.authorization:
                headers = {"Proxy-Authorization": self._proxy.authorization, **headers}
        return _head(method, path, target.authority, headers) + content

    def _over(self, connection: Connection, request: bytes, wanted: Wanted) -> Answer:
        try:
            answer = connection.exchange(request, wanted)
        except BaseException:
            connection.close()
            raise
        if connection.is_reusable and not self._is_closed:
            self._keep(connection)
        else:
            connection.close()
        return answer

    # --- kept connections -------------------------------------------------------------------------

    def _key(self, target: Target) -> object:
        """What connections to the same end have in common."""
        if self._proxy is not None and target.scheme == "http":
            return "proxy"
        return target[:3]

    def _keep(self, connection: Connection) -> None:
        now = self._clock.monotonic()
        connection.idle_since = now
        self._idle.append(connection)
        while len(self._idle) > self._connections or now - self._idle[0].idle_since > IDLE_S:
            self._idle.pop(0).close()

    def _kept(self, target: Target) -> Connection | None:
        key = self._key(target)
        for number in range(len(self._idle) - 1, -1, -1):
            if number < len(self._idle) and self._idle[number].key == key:
                connection = self._idle.pop(number)
                if self._is_good(connection, self._proxy or target):
                    return connection
                connection.close()
        return None

    def _is_good(self, connection: Connection, end: Target) -> bool:
        now = self._clock.monotonic()
        if now - connection.idle_since > connection.idle_s:
            return False
        if now - connection.checked_at > RESOLVE_AGAIN_S:
            leads_to_it = self._way.leads_to(end.host, connection.address)
            if leads_to_it is False:
                return False
            if leads_to_it:
                connection.checked_at = now  # else the next request looks again: the answer will have come
        return connection.is_clean()

    # --- new connections --------------------------------------------------------------------------

    def _opened(self, target: Target) -> Connection:
        proxy = self._proxy
        if proxy is not None:
            self._way.check(literal(target.host))  # the proxy connects to an address that we never see, but this one
        end = proxy or target
        sock, endpoint = self._way.connect(end.host, end.port)
        transport = Transport(sock)
        transport.set_nodelay()
        try:
            layers: list[Transport] = [transport]
            if end.scheme == "https":
                layers = [self._secured(transport.detach(), end)]
            if proxy is not None and target.scheme == "https":
                layers = self._tunnel(layers, proxy, target)
        except gevent.Timeout as late:
            late.add_note("the connection was not made secure")
            raise
        return Connection(self._key(target), layers, endpoint.address, self._clock.monotonic())

    def _tunnel(self, layers: list[Transport], proxy: Target, target: Target) -> list[Transport]:
        """Have the proxy connect to the target (RFC 9110, 9.3.6); what is then spoken over."""
        headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
        host = f"[{target.host}]" if ":" in target.host else target.host
        way = f"{host}:{target.port}"
        try:
            connection = Connection(None, layers, "", 0.0)
            answer = connection.exchange(_head("CONNECT", way, way, headers), NOTHING)
            if not 200 <= answer.status < 300:
                raise NoAnswer(f"the proxy answered with status {answer.status}", f"proxy_status:{answer.status}")
            if not isinstance(layers[-1], TlsTransport):
                return [self._secured(layers[-1].detach(), target)]
            return [layers[-1], self._secured(_Through(layers[-1]), target)]
        except BaseException:
            layers[-1].close()
            raise

    def _secured(self, sock: Any, end: Target) -> TlsTransport:
        """TLS over the socket, which is closed if that fails. Raises OSError."""
        try:
            transport = TlsTransport(sock, self._tls(), end.host.rstrip(".").partition("%")[0])
        except BaseException:
            sock.close()
            raise
        try:
            transport.handshake()
        except HandshakeError as error:
            transport.close()
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise NoAnswer(str(error), error.code) from None
        except ConnectionLost as error:
            transport.close()
            raise NoAnswer(str(error), error.code) from None
        except BaseException:
            transport.close()
            raise
        return transport

    def _tls(self) -> ssl.SSLContext:
        """The context for new connections, made anew when one of its files has changed. Raises OSError."""
        if not any(self._files):
            return _usual_context()
        state = [(found.st_mtime_ns, found.st_ino) for found in map(os.stat, filter(None, self._files))]
        if self._context is None or state != self._context_of:
            ca_file, cert, key = self._files
            context = _context(ca_file or DEFAULT_CA_BUNDLE_PATH)
            if cert:
                context.load_cert_chain(cert, key)
            self._context, self._context_of = context, state
        return self._context


def _context(ca_file: str) -> ssl.SSLContext:
    """TLS 1.2 and later, with the authorities of ``ca_file``. Not the strict checks that are Python's default since
    3.13: private authorities of some years ago do not pass them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(ca_file)
    return context


@lru_cache(maxsize=1)
def _usual_context() -> ssl.SSLContext:
    """That of all who have no files of their own: reading the authorities takes milliseconds."""
    return _context(DEFAULT_CA_BUNDLE_PATH)


class _Through:
    """An encrypted connection (to a proxy) as the socket of another one."""

    def __init__(self, outer: TlsTransport) -> None:
        self._outer = outer
        self.fileno = outer.fileno
        self.close = outer.close

    def setblocking(self, blocking: bool) -> None:
        """It is as the outer one is."""

    def recv(self, size: int) -> bytes:
        """All that has come, since the watcher of the socket does not see what is decrypted already."""
        pieces = []
        while data := self._outer.recv_now():
            pieces.append(data)
        if not pieces and data is None:
            raise BlockingIOError
        return b"".join(pieces)

    def send(self, data: Any) -> int:
        if not self._outer.flush():
            raise BlockingIOError
        return self._outer.send_now(data)

    def shutdown(self, how: int) -> None:
        self._outer.shutdown()
