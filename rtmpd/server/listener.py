"""Accepts connections on listening sockets, and survives shortages of descriptors, memory and greenlets."""

from __future__ import annotations

import _socket
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
from ..net.listen import listen_tcp
from ..net.tls import TlsTransport
from ..net.transport import Transport, errno_name
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
    """One address, which has several sockets if its host is a name with several addresses. ``tls_context`` makes it an
    RTMPS listener; it is looked up for each client, so that a new certificate needs no new listener."""

    def __init__(self, address: Address, context: Context, tls_context: ssl.SSLContext | None) -> None:
        self.address = address
        self.tls_context = tls_context
        self.context = context
        self._doors: list[_Door] = []

    @property
    def shortage(self) -> str:
        """Why no connection is accepted now, "" if connections are accepted."""
        return next((shortage for door in self._doors if (shortage := door.shortage)), "")

    def bind(self, backlog: int) -> Address:
        """Take the port, with a queue of ``backlog`` clients for each socket; the address with the real port is
        returned. Raises StartError. May switch greenlets if the host is a name."""
        host, port = self.address.host, self.address.port
        try:
            self._doors = [_Door(self, sock) for sock in listen_tcp(host, port, backlog)]
        except OSError as error:
            hint = "; another server may be using it" if error.errno == errno.EADDRINUSE else ""
            key = "server.tls_listen" if self.address.tls else "server.listen"
            raise StartError(f"cannot listen on {self.address}: {error.strerror or error}{hint}", key=key) from None
        self.address = Address(host, self._doors[0].port, self.address.tls)
        return self.address

    def secure(self, tls_context: ssl.SSLContext | None) -> None:
        """Apply this TLS context to new clients; None is plain RTMP."""
        self.tls_context = tls_context
        self.address = replace(self.address, tls=tls_context is not None)

    def resize(self, backlog: int) -> None:
        """Set the length of the kernel's queue of clients."""
        for door in self._doors:
            door.sock.listen(backlog)

    def start(self) -> None:
        """Start accepting on every address."""
        for door in self._doors:
            door.start()

    def stop(self) -> None:
        """Stop accepting and release the port; connections go on."""
        for door in self._doors:
            door.stop()

    def welcome(self, sock: Any, client: tuple[str, int], server: tuple[str, int]) -> None:
        """Serve a client that has come in at ``server``."""
        transport = Transport(sock) if self.tls_context is None else TlsTransport(sock, self.tls_context)
        connection = Connection(self.context, transport, client, server)
        self.context.pool.start(connection.conn_id, connection.run)


class _Door:
    """One listening socket of a listener."""

    def __init__(self, listener: Listener, sock: Any) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._listener = listener
        self._family = int(sock.family)
        bound_to = _plain(sock.getsockname())
        self.port = bound_to[1]
        self._bound_to = bound_to if bound_to[0] not in _ANY_ADDRESS else None  # none: clients come to several
        self._watcher: Any = None
        self._retry: Any = None
        self._most = 0  # the lowest descriptor that is of the reserve
        self._shortage = ""
        self._short_at = 0.0

    @property
    def shortage(self) -> str:
        over_at = self._short_at + _OVER_S
        return self._shortage if self._shortage and self._listener.context.clock.monotonic() < over_at else ""

    def start(self) -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = limit - min(_MAX_RESERVE, limit // _RESERVE_PART)
        self._watcher = get_hub().loop.io(self.sock.fileno(), 1)
        self._watcher.start(self._accept)

    def stop(self) -> None:
        for watcher in (self._watcher, self._retry):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self.sock.close()

    def _accept(self) -> None:
        """Accept one client. Called from the hub while clients wait; only one, so that connected clients have their
        turn."""
        try:
            descriptor, client = self.sock._accept()  # accept() itself would make a patched socket
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
            _log.warning("connections are accepted again", addr=self._listener.address)
        # what socket.socket is built on: all that a transport needs, and no Python around each step
        sock = _socket.socket(self._family, socket.SOCK_STREAM, socket.IPPROTO_TCP, descriptor)
        try:
            self._listener.welcome(sock, _plain(client), self._bound_to or _plain(sock.getsockname()))
        except OSError:
            sock.close()  # gone already
        except Exception:  # noqa: BLE001  one client's trouble must not end the listener
            _log.exception("a client could not be welcomed", addr=self._listener.address)
            sock.close()

    def _run_short(self, why: str) -> None:
        """Note and log that no further client can be accepted, and leave the others waiting until a client may have
        left."""
        if not self._shortage:
            _log.error("cannot accept connections", addr=self._listener.address, code=why.partition(";")[0])
        self._shortage, self._short_at = why, self._listener.context.clock.monotonic()
        self._watcher.stop()
        if self._retry is not None:
            self._retry.close()
        self._retry = get_hub().loop.timer(_RETRY_S)
        self._retry.start(self._watcher.start, self._accept)


def _plain(address: tuple[Any, ...]) -> tuple[str, int]:
    """``(host, port)``, with IPv4 written as such where it came through an IPv6 socket."""
    host = str(address[0])
    return host.removeprefix("::ffff:") if host.startswith("::ffff:") and "." in host else host, int(address[1])
