"""The HTTP server: listeners, and a bounded number of connections for each.

Each listener has its own bound, so that an attack on a TCP port leaves the control socket usable; where it is
reached, the connection that has been idle longest makes room. What a connection may do and how long is in ``exchange``.
Nothing that happens to a connection reaches the hub or another connection.

The listeners and the loop are ours as ``gevent.pywsgi`` sets no TCP_NODELAY, has no time-outs, bounds nothing and reads
contradicting lengths leniently. Bytes are parsed by llhttp (httptools), strictly; requests, responses, routing, ranges
and conditional answers are Werkzeug's, as a library of parts.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket as stdlib_socket
import ssl
import struct
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import gevent
from gevent import Greenlet, socket

from ..change import Change
from ..errors import PeerError
from ..log import logger
from ..net.listen import listen_tcp, listen_unix
from ..net.tls import TlsTransport, server_context
from ..net.transport import RawSocket, Transport
from ..settings import Address
from ..settings.http import ApiSettings
from .exchange import Channel, Exchange, Handle, Service, refused
from .guard import Peer, is_address, is_loopback

_log = logger("http")

_BACKLOG: Final = 64
_RETRY_S: Final = 0.2
_DRAIN_S: Final = 5.0
_PIECE_BYTES: Final = 65536
_ROOT: Final = 0

class NoSocket(OSError):
    """The control socket cannot be created. ``key`` is the option at fault."""

    key = "http.socket"


class HttpServer:
    """``handle`` answers a request; it may raise HttpError and may switch greenlets. ``start`` and ``stop`` once
    each; ``socket_path`` is where the control socket is to be made, "" for none. ``section`` is that of the
    configuration."""

    def __init__(self, settings: ApiSettings, socket_path: str, handle: Handle, section: str = "http") -> None:
        self._settings = settings
        self._section = section
        self._socket_path = socket_path
        self._handle = handle
        self._listeners: dict[Address | str, _Listener] = {}  # by the address as it is written, or the path
        self._leaving: set[Greenlet[[], None]] = set()

    def start(self) -> list[str]:
        """Listen; the addresses with their real ports, then the path. Raises OSError, with nothing left bound.
        May switch greenlets."""
        self.prepare(self._settings, self._socket_path, self._handle).commit()
        return [listener.name for listener in self._listeners.values()]

    def prepare(self, settings: ApiSettings, socket_path: str, handle: Handle) -> Change:
        """Prepare a change (``change``). A listener that stays keeps its socket and its requests. The certificate is
        read again. Raises OSError, StartError."""
        tls = server_context(settings.tls.cert, settings.tls.key, self._section) if settings.has_tls else None
        secure = {_place(address) for address in settings.listen if address.tls}
        wanted: list[Address | str] = [_place(address) for address in settings.listen]
        wanted += [socket_path] if socket_path else []
        kept = {place: listener for place, listener in self._listeners.items() if place in wanted}
        removed = [listener for place, listener in self._listeners.items() if place not in wanted]
        added: dict[Address | str, _Listener] = {}
        gid = _gid_of(settings.socket_group)
        try:
            for place in wanted:
                if place not in kept:
                    added[place] = _opened(place, settings, handle, tls if place in secure else None)
                    added[place].admit(gid)
        except BaseException:
            _stop(added.values())
            raise

        def commit() -> None:
            self._settings, self._socket_path, self._handle = settings, socket_path, handle
            self._listeners = {place: kept.get(place) or added[place] for place in wanted}
            for place, listener in kept.items():
                listener.serve(settings, handle, tls if place in secure else None)
                listener.admit(gid)
            for listener in added.values():
                listener.start()
            for listener in removed:
                listener.close()

        def retire() -> None:
            for listener in removed:
                leaving = gevent.spawn(listener.drain)
                leaving.name = f"http end {listener.name}"
                leaving.link(self._leaving.discard)
                self._leaving.add(leaving)

        return Change(commit, retire, lambda: _stop(added.values()))

    @property
    def socket_path(self) -> str:
        """The path of the control socket; "" without one."""
        return self._socket_path

    def stop(self) -> None:
        """Close the listeners and end running requests. May switch."""
        gevent.killall(list(self._leaving))
        _stop(self._listeners.values())
        self._listeners = {}


class _Listener:
    """One place that is listened on, with a socket for each address of its name, and its connections."""

    def __init__(
        self,
        socks: list[Any],
        place: Address | str,
        local: bool,
        settings: ApiSettings,
        handle: Handle,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._path = place if isinstance(place, str) else ""
        self.name = self._path or _name(place, socks[0])
        self._socks = [socket.socket(fileno=sock.detach()) for sock in socks]
        self._local = local
        self._service = Service(settings, handle)
        self._tls = tls
        self._inode = os.stat(self._path).st_ino if self._path else 0
        self._accepting: list[Greenlet[..., None]] = []
        self._connections: dict[Greenlet[..., None], Exchange] = {}
        self._gid = -1

    def serve(self, settings: ApiSettings, handle: Handle, tls: ssl.SSLContext | None) -> None:
        """Serve with these from the next request on, also on connections that are kept; ``tls`` is for new ones."""
        self._tls = tls
        self._service.settings = settings
        self._service.handle = handle

    def start(self) -> None:
        for sock in self._socks:
            accepting: Greenlet[..., None] = Greenlet(self._accept, sock)
            accepting.name = f"http {self.name}"
            accepting.start()
            self._accepting.append(accepting)

    def drain(self) -> None:
        """After ``close``, wait for running requests, for a bounded time."""
        try:
            gevent.joinall(list(self._connections), timeout=_DRAIN_S)
        finally:
            gevent.killall(list(self._connections))

    def stop(self) -> None:
        self.close()
        gevent.killall(list(self._connections))

    def close(self) -> None:
        """Accept no more, and keep no connection. A path is removed only if it is still ours: another daemon may have
        taken it."""
        self._service.is_closing = True
        gevent.killall([one for one, exchange in self._connections.items() if exchange.idle_since], block=False)
        gevent.killall(self._accepting, block=False)
        for sock in self._socks:
            sock.close()
        try:
            if self._path and os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except OSError as error:
            if error.errno != errno.ENOENT:
                _log.warning("cannot remove the control socket", path=self._path, error=error.strerror)

    def _accept(self, listening: Any) -> None:
        is_short = False
        while True:
            try:
                sock, _ = listening.accept()
            except OSError as error:
                if not is_short:
                    is_short = True
                    _log.error("cannot accept connections", addr=self.name, error=error.strerror)
                gevent.sleep(_RETRY_S)
                continue
            if is_short:
                is_short = False
                _log.warning("connections are accepted again", addr=self.name)
            if len(self._connections) >= self._service.settings.connections and not self._make_room():
                _refuse(sock)
                continue
            try:
                exchange = Exchange(self._service, self._peer(sock))
            except OSError:
                sock.close()  # gone already
                continue
            raw = RawSocket(fileno=sock.detach())
            transport = Transport(raw) if self._tls is None else TlsTransport(raw, self._tls)
            connection = Greenlet(self._serve, transport, exchange)
            connection.name = f"http connection {self.name}"
            connection.link(partial(self._ended, transport))
            self._connections[connection] = exchange
            connection.start()

    def _ended(self, transport: Transport, connection: Greenlet[..., None]) -> None:
        """Free what a connection held, also if its greenlet was killed before it began."""
        self._connections.pop(connection, None)
        transport.close()

    def _make_room(self) -> bool:
        """End the connection that has been idle longest, if one is."""
        idle = [(exchange.idle_since, one) for one, exchange in self._connections.items() if exchange.idle_since]
        if not idle:
            return False
        _, longest = min(idle, key=lambda each: each[0])
        del self._connections[longest]
        longest.kill(block=False)
        return True

    def _serve(self, transport: Transport, exchange: Exchange) -> None:
        try:
            transport.set_nodelay()
            if isinstance(transport, TlsTransport):
                timeout_s = self._service.settings.request_timeout_s
                with gevent.Timeout(timeout_s, TimeoutError("no TLS handshake in time")):
                    transport.handshake()
            exchange.run(Channel(transport))
        except (OSError, PeerError) as error:
            _log.debug("http connection ended", addr=self.name, error=error)
        except Exception:  # noqa: BLE001  one request's trouble must not reach the hub
            _log.exception("http connection ended because of a bug", addr=self.name)

    def _peer(self, sock: Any) -> Peer:
        if not self._path:
            host, port = sock.getpeername()[:2]
            plain = host.removeprefix("::ffff:") if "." in host else host  # IPv4 through a socket for both
            return Peer(plain, local=self._local, port=port)
        _, uid, gid = struct.unpack("3i", sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_PEERCRED, 12))
        is_member = self._gid >= 0 and (gid == self._gid or self._gid in _groups_of(uid))
        return Peer(f"uid {uid}", trusted=is_member or uid in (_ROOT, os.geteuid()), local=True)

    def admit(self, gid: int) -> None:
        """Let the members of group ``gid`` use the path from now on; -1: no group. Raises OSError."""
        if self._path and gid != self._gid:
            os.chown(self._path, -1, gid if gid >= 0 else os.getegid())
            os.chmod(self._path, 0o660 if gid >= 0 else 0o600)
            self._gid = gid


class NoGroup(OSError):
    """The group cannot get access. ``key`` is the option at fault."""

    key = "http.socket_group"


def _gid_of(group: str) -> int:
    """Return the id of the group for the control socket, -1 for none. Raises NoGroup."""
    if not group:
        return -1
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise NoGroup(errno.EINVAL, f"the group {group} does not exist") from None
    if os.geteuid() != _ROOT and gid not in (os.getegid(), *os.getgroups()):
        text = f"the user of rtmpd is not a member of {group}, so it cannot give the control socket to that group"
        raise NoGroup(errno.EPERM, text)
    return gid


def _groups_of(uid: int) -> list[int]:
    """Return the groups of a user; empty for an unknown user."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return []
    return os.getgrouplist(user.pw_name, user.pw_gid)


def _place(address: Address) -> Address:
    """What a listener is known by: one that begins or ceases to speak TLS is the same; free ports are not."""
    return replace(address, tls=False) if address.port else address


def _opened(place: Address | str, settings: ApiSettings, handle: Handle, tls: ssl.SSLContext | None) -> _Listener:
    """A listener for an address or a path. Raises OSError."""
    if isinstance(place, Address):
        try:
            socks = listen_tcp(place.host, place.port, _BACKLOG)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {place}: {error.strerror or error}") from None
        return _Listener(socks, place, is_loopback(place.host), settings, handle, tls)
    try:
        sock = listen_unix(place, _BACKLOG)
    except OSError as error:
        raise NoSocket(error.errno, f"cannot make the control socket {place}: {error.strerror or error}") from None
    return _Listener([sock], place, True, settings, handle)


def _name(place: Address | str, sock: Any) -> str:
    """What is listened on, with the real port."""
    host, port = sock.getsockname()[:2]
    if isinstance(place, Address) and place.host and not is_address(place.host):
        host = place.host
    return str(Address(host, port))


def _stop(listeners: Iterable[_Listener]) -> None:
    for listener in listeners:
        listener.stop()


def _refuse(sock: Any) -> None:
    """Refuse a connection over the limit, in one send, which fits into an empty buffer."""
    with sock:
        try:
            sock.setblocking(False)
            sock.send(refused(503, "too many connections", (("Retry-After", "1"),)))
            sock.shutdown(stdlib_socket.SHUT_WR)
            sock.recv(_PIECE_BYTES)  # what has come and is not read would reset the connection
        except OSError:
            pass  # gone already
