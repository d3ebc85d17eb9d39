"""Decides which requests are allowed.

The control socket is a file: its mode admits the daemon's own user and root, and the kernel names the client's user.
Over TCP a bearer token is needed, except for health checks from anywhere, and for metrics and health from this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from .. import textfile
from ..log import logger
from ..textfile import TextFileError
from .request import Request
from .response import HttpError

#: From anywhere, from this machine, or with a token.
PUBLIC, LOCAL, CONTROL = "public", "local", "control"

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@\s]+))(?::[0-9]*)?")
_LEAST_TOKEN_CHARS = 16
_CHALLENGE = (("WWW-Authenticate", 'Bearer realm="rtmpd"'),)

_log = logger("http")


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of a request. ``trusted``: it came through the control socket as a user that may; ``local``: it came
    through an address that only this machine can reach; ``port`` is 0 on the control socket."""

    name: str
    trusted: bool = False
    local: bool = False
    port: int = 0


class Guard:
    """Checks Host and token. ``token_file`` is read at each request that needs one, so that a token can be changed
    at any time; "" allows nothing that needs a token."""

    def __init__(self, token_file: str, hosts: Iterable[str]) -> None:
        self._token_file = token_file
        self._hosts = frozenset(("localhost", *(host.lower() for host in hosts)))

    def check(self, request: Request, peer: Peer, scope: str) -> None:
        """Raise HttpError if the request is for another host, or is not allowed."""
        if peer.trusted:
            return
        if not self._is_host(request.headers.get("host", "")):
            raise HttpError(421, "the Host of the request is not served here; [http] hosts lists the served ones")
        if scope == PUBLIC or (scope == LOCAL and peer.local):
            return
        self._check_token(request, peer)

    def _is_host(self, text: str) -> bool:
        """Accept addresses and listed names only, because a foreign name may resolve to us (DNS rebinding)."""
        match = _HOST.fullmatch(text)
        host = (match[1] or match[2]).lower() if match else ""
        return host in self._hosts or is_address(host)

    def _check_token(self, request: Request, peer: Peer) -> None:
        if not self._token_file:
            raise HttpError(403, "this needs a token, and [http] token_file is not set; use the control socket")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise HttpError(401, "this needs Authorization: Bearer with a token from [http] token_file", _CHALLENGE)
        given = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
        known = [hashlib.sha256(one.encode()).digest() for one in read_tokens(self._token_file)]
        if not sum(hmac.compare_digest(given, one) for one in known):  # all of them, in equal time
            _log.warning("request with a wrong token", peer=peer.name, path=request.path)
            raise HttpError(401, "the token is not known", _CHALLENGE)


def read_tokens(path: str) -> list[str]:
    """Return the tokens of a file, one per line, without comments (#) and lines that are too short. If the file cannot
    be read, that is logged and there are no tokens."""
    try:
        lines = [line.strip() for line in textfile.read(path).lines()]
    except TextFileError as error:
        _log.error("token file cannot be read", file=path, error=error)
        return []
    return [line for line in lines if len(line) >= _LEAST_TOKEN_CHARS and not line.startswith("#")]


def is_address(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on ``host``."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)
