"""Listening sockets. Accepting survives whatever the system is short of."""

from __future__ import annotations

import errno
import os
import resource
import socket
import ssl
from dataclasses import replace
from typing import Any, Final

from gevent.hub import get_hub

from ..errors import StartError
from ..log import logger
from ..net.tls import TlsTransport
from ..net.transport import RawSocket, Transport, errno_name
from ..settings import Address
from .connection import Connection
from .context import Context

_log = logger("server")

_SHORTAGE: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_RETRY_S: Final = 0.2
_OVER_S: Final = 2.0  # without another refusal in this time a shortage is over
_MAX_RESERVE: Final = 32  # descriptors that connections leave for HTTP, the control socket and files
_RESERVE_PART: Final = 8  # of few descriptors the reserve is an eighth
_ANY_ADDRESS: Final = ("0.0.0.0", "::")


class Listener:
    """One address. ``tls_context`` makes it an RTMPS listener; it is looked up for each client,
    so that a new certificate needs no new listener."""

    def __init__(self, address: Address, context: Context, tls_context: ssl.SSLContext | None) -> None:
        self.address = address
        self.tls_context = tls_context
        self._context = context
        self._sock: Any = None
        self._family = 0
        self._bound_to: tuple[str, int] | None = None  # none if clients may come to several addresses
        self._watcher: Any = None
        self._retry: Any = None
        self._most = 0  # the lowest descriptor that is of the reserve
        self._shortage = ""
        self._short_at = 0.0

    @property
    def shortage(self) -> str:
        """Why no connection is accepted now, "" if they are."""
        over_at = self._short_at + _OVER_S
        return self._shortage if self._shortage and self._context.clock.monotonic() < over_at else ""

    def bind(self, backlog: int) -> Address:
        """Take the port, with a queue of ``backlog`` clients; the address with the real port is returned. Raises
        StartError."""
        host, port = self.address.host, self.address.port
        try:
            self._sock = _bound(host, port, backlog)
        except OSError as error:
            hint = "; another server may be using it" if error.errno == errno.EADDRINUSE else ""
            key = "server.tls_listen" if self.address.tls else "server.listen"
            raise StartError(f"can not listen on {self.address}: {error.strerror or error}{hint}", key=key) from None
        self._sock.setblocking(False)
        self._family = int(self._sock.family)
        bound_to = _plain(self._sock.getsockname())
        self._bound_to = bound_to if bound_to[0] not in _ANY_ADDRESS else None
        self.address = Address(host, bound_to[1], self.address.tls)
        return self.address

    def secure(self, tls_context: ssl.SSLContext | None) -> None:
        """Have clients speak TLS, or not, from now on, with this certificate. Never switches."""
        self.tls_context = tls_context
        self.address = replace(self.address, tls=tls_context is not None)

    def resize(self, backlog: int) -> None:
        """Have the kernel queue so many clients from now on. Never switches."""
        self._sock.listen(backlog)

    def start(self) -> None:
        """Begin to accept."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = limit - min(_MAX_RESERVE, limit // _RESERVE_PART)
        self._watcher = get_hub().loop.io(self._sock.fileno(), 1)
        self._watcher.start(self._accept)

    def stop(self) -> None:
        """Accept no more and give the port back; connections go on. Never switches."""
        for watcher in (self._watcher, self._retry):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        if self._sock is not None:
            self._sock.close()

    def _accept(self) -> None:
        """Called from the hub while clients wait; one at a time, so that those who are in have their turn."""
        try:
            descriptor, client = self._sock._accept()  # accept() itself would make a patched socket
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _SHORTAGE:
                self._run_short(errno_name(error))
            return  # anything else (ECONNABORTED ...) concerns one client that is gone
        if descriptor >= self._most:  # the kernel gives the lowest that is free
            os.close(descriptor)
            self._run_short(f"EMFILE; the last {_MAX_RESERVE} descriptors at most are kept for HTTP and files")
            return
        if self._shortage:
            self._shortage = ""
            _log.warning("connections are accepted again", addr=self.address)
        sock = RawSocket(self._family, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)  # else it asks the kernel
        try:
            self._welcome(sock, client)
        except OSError:
            sock.close()  # gone already
        except Exception:  # noqa: BLE001  one client's trouble must not end the listener
            _log.exception("a client could not be welcomed", addr=self.address)
            sock.close()

    def _run_short(self, why: str) -> None:
        """Note and log that there is no room for one more client, and leave the others waiting until somebody may have
        left."""
        if not self._shortage:
            _log.error("cannot accept connections", addr=self.address, code=why.partition(";")[0])
        self._shortage, self._short_at = why, self._context.clock.monotonic()
        self._watcher.stop()
        if self._retry is not None:
            self._retry.close()
        self._retry = get_hub().loop.timer(_RETRY_S)
        self._retry.start(self._watcher.start, self._accept)

    def _welcome(self, sock: Any, client: tuple[Any, ...]) -> None:
        server = self._bound_to or _plain(sock.getsockname())
        transport = Transport(sock) if self.tls_context is None else TlsTransport(sock, self.tls_context)
        connection = Connection(self._context, transport, _plain(client), server)
        self._context.crew.start(connection.conn_id, connection.run)


def _bound(host: str, port: int, backlog: int) -> Any:
    """A listening socket; without a host one that takes IPv6 and IPv4 where the system can."""
    family = socket.AF_INET6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else socket.AF_INET
    if host and ":" not in host:
        family, _, _, _, resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        host = str(resolved[0])
    sock = RawSocket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host else 0)
        sock.bind((host, port))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _plain(address: tuple[Any, ...]) -> tuple[str, int]:
    """``(host, port)``, with IPv4 written as such where it came through an IPv6 socket."""
    host = str(address[0])
    return host.removeprefix("::ffff:") if host.startswith("::ffff:") and "." in host else host, int(address[1])
