"""Listening sockets: TCP on every address of a name, and Unix sockets that only their owner can reach.

The sockets are plain blocking sockets; the caller wraps them as needed.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib_socket
import stat
from typing import Any, Final

from ..clock import Clock
from .outgoing import Endpoint, Outgoing, within
from .transport import RawSocket

RESOLVE_S: Final = 10.0
_PORT_TRIES: Final = 10

# What an address that this machine does not have is refused with: IPv6 may be switched off.
_NOT_HERE: Final = frozenset((errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT))


def listen_tcp(host: str, port: int, backlog: int) -> list[Any]:
    """Return a listening socket for each address of ``host``, all with the same port; port 0 is a free one. Addresses
    that this machine does not have are left out, unless none remains. Without a host, one socket takes IPv6 and
    IPv4 where the system can.

    Raises OSError, with nothing left bound. May switch greenlets to look a name up, for ``RESOLVE_S`` at most.
    """
    if not host:
        dual = stdlib_socket.has_dualstack_ipv6()
        endpoint = Endpoint(*((stdlib_socket.AF_INET6, ("::", port)) if dual else (stdlib_socket.AF_INET, ("", port))))
        return [_bound(endpoint, backlog, v6only=False)]
    endpoints = within(RESOLVE_S, lambda: Outgoing(Clock(), 1).resolve(host, port))
    for _ in range(_PORT_TRIES):
        try:
            return _all_bound(endpoints, backlog)
        except OSError as error:
            if port or len(endpoints) == 1 or error.errno != errno.EADDRINUSE:
                raise
    return _all_bound(endpoints, backlog)  # the port that is free on one address was taken on another, each time


def _all_bound(endpoints: list[Endpoint], backlog: int) -> list[Any]:
    socks: list[Any] = []
    absent: OSError | None = None
    try:
        for endpoint in endpoints:
            port = socks[0].getsockname()[1] if socks else endpoint.sockaddr[1]
            try:
                socks.append(_bound(endpoint.at(port), backlog))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                absent = absent or error
        if absent is not None and not socks:
            raise absent
    except BaseException:
        for sock in socks:
            sock.close()
        raise
    return socks


def _bound(endpoint: Endpoint, backlog: int, v6only: bool = True) -> Any:
    sock = RawSocket(endpoint.family, stdlib_socket.SOCK_STREAM)
    try:
        sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_REUSEADDR, 1)
        if endpoint.family == stdlib_socket.AF_INET6:
            sock.setsockopt(stdlib_socket.IPPROTO_IPV6, stdlib_socket.IPV6_V6ONLY, int(v6only))
        sock.bind(endpoint.sockaddr)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def listen_unix(path: str, backlog: int) -> Any:
    """Return a listening socket at ``path``, for its owner only. A socket left by a killed process is replaced; a
    socket in use, or any other file, is not. Raises OSError."""
    sock = RawSocket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            _remove_stale(path)
        mask = os.umask(0o177)  # no other user can connect between bind and a chmod
        try:
            sock.bind(path)
        finally:
            os.umask(mask)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(errno.EEXIST, "there is something else, not a socket")
    with RawSocket(stdlib_socket.AF_UNIX, stdlib_socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a running process whose queue is full says EAGAIN
        if probe.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, "a running daemon listens there")
    os.unlink(path)
