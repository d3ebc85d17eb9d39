"""Requests to a running rtmpd, with errors that name the remedy."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from .. import textfile
from ..http.place import CONTROL_SOCKET, candidates, running
from ..textfile import TextFileError
from .errors import CommandFailed, status_of

V1: Final = "/api/v1"
_PIECE_BYTES: Final = 65536
_LINE_BYTES: Final = 16 * 1024 * 1024


class _UnixConnection(HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """A client of one rtmpd, over its control socket or, if ``url`` is given, over that URL with a token. ``timeout_s``
    limits each wait for the network. Every method raises CommandFailed."""

    def __init__(self, socket_path: str, url: str = "", token_file: str = "", timeout_s: float = 30.0) -> None:
        self.socket_path = socket_path
        self.url = url
        self._token = _token(token_file) if token_file else ""
        self._timeout_s = timeout_s

    @property
    def place(self) -> str:
        """The URL or the path of the socket that is used."""
        return self.url or self.socket_path

    def get(self, path: str, query: Mapping[str, object] | None = None, good: tuple[int, ...] = (200,)) -> Any:
        """Return the JSON document at a path. ``good`` are the statuses that count as success."""
        return self._document(self._ask("GET", path + _query(query)), good)

    def post(
        self, path: str, body: Mapping[str, object] | None = None, good: tuple[int, ...] = (200,), method: str = "POST"
    ) -> Any:
        """Send a JSON document and return the JSON answer."""
        return self._document(self._ask(method, path, body or {}), good)

    def text(self, path: str) -> str:
        """Return the text at a path."""
        response = self._ask("GET", path)
        if response.status != 200:
            raise _refusal(response)
        return _read(response).decode("utf-8", "replace")

    def lines(self, path: str, body: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        """Yield the progress records of a long operation as they arrive."""
        response = self._ask("POST", path, body)
        if response.status != 200:
            raise _refusal(response)
        for line in _lines(response):
            yield json.loads(line)

    def events(self, query: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        """Yield events as they happen, until Ctrl-C."""
        response = self._ask("GET", f"{V1}/events{_query(query)}")
        if response.status != 200:
            raise _refusal(response)
        name = ""
        for line in _lines(response):
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data" and name == "too_slow":
                raise CommandFailed("rtmpd closed the stream: it was read too slowly", os.EX_TEMPFAIL)
            elif field == "data":
                yield json.loads(value)

    def _document(self, response: HTTPResponse, good: tuple[int, ...]) -> Any:
        if response.status not in good or response.headers.get_content_type() == "application/problem+json":
            raise _refusal(response)
        try:
            return json.loads(_read(response))
        except ValueError:
            raise CommandFailed(f"{self.place} is not rtmpd: the answer is not JSON", os.EX_UNAVAILABLE) from None

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> HTTPResponse:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connection, base = self._connection()
        try:
            connection.request(method, base + path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            if connection.sock is not None:
                connection.sock.close()  # the answer holds it until it is read
            return response
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None

    def _connection(self) -> tuple[HTTPConnection, str]:
        if not self.url:
            return _UnixConnection(self.socket_path, self._timeout_s), ""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandFailed(f"{self.url} is not an http or https URL", os.EX_USAGE)
        if parts.scheme == "https":
            from http.client import HTTPSConnection

            return HTTPSConnection(parts.hostname, parts.port, timeout=self._timeout_s), parts.path.rstrip("/")
        return HTTPConnection(parts.hostname, parts.port, timeout=self._timeout_s), parts.path.rstrip("/")

    def _unreachable(self, error: OSError | HTTPException) -> CommandFailed:
        place = self.place
        if isinstance(error, HTTPException | ConnectionResetError):
            return CommandFailed(f"{place} is not rtmpd: the answer is not HTTP", os.EX_UNAVAILABLE)
        if isinstance(error, TimeoutError):
            return CommandFailed(f"no answer from {place} within {self._timeout_s:g} s", os.EX_TEMPFAIL)
        if isinstance(error, PermissionError):
            return CommandFailed(f"{place} belongs to another user: run rtmpctl as that user or as root", os.EX_NOPERM)
        if self.url:
            return CommandFailed(f"{place} cannot be reached: {error.strerror or error}", os.EX_UNAVAILABLE)
        if isinstance(error, FileNotFoundError):
            looked = ", ".join(candidates()) if place == CONTROL_SOCKET else place
            text = f"{_who_runs()}: no socket at {looked} (use --socket or --config for another one)"
        elif isinstance(error, ConnectionRefusedError):
            text = f"{_who_runs()}: {place} was left by a daemon that did not shut down cleanly"
        else:
            text = f"{place} cannot be used: {error.strerror or error}"
        return CommandFailed(text, os.EX_UNAVAILABLE)


def _who_runs() -> str:
    """Return whether rtmpd runs although its control socket was not found."""
    found = running()
    if not found:
        return "rtmpd is not running"
    return f"rtmpd is running (process {', '.join(map(str, found))}), but not with this control socket"


def segment(text: str) -> str:
    """Quote text as one segment of a path."""
    return quote(text, safe="")


def _query(query: Mapping[str, object] | None) -> str:
    given = {name: value for name, value in (query or {}).items() if value not in (None, "", [])}
    return "?" + urlencode(given, doseq=True) if given else ""


def _token(path: str) -> str:
    """Return the first token of a file."""
    try:
        lines = [line.strip() for line in textfile.read(path).lines()]
    except TextFileError as error:
        raise CommandFailed(f"token file {path}: {error}", os.EX_NOPERM) from None
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens or not (tokens[0].isascii() and tokens[0].isprintable()):
        raise CommandFailed(f"token file {path} has no token", os.EX_NOPERM)
    return tokens[0]


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read()
    except (OSError, HTTPException):
        raise CommandFailed("the answer was cut short", os.EX_TEMPFAIL) from None


def _lines(response: HTTPResponse) -> Iterator[str]:
    try:
        while line := response.readline(_LINE_BYTES):
            if text := line.decode("utf-8", "replace").rstrip("\r\n"):
                yield text
    except (OSError, HTTPException):
        raise CommandFailed("the answer was cut short", os.EX_TEMPFAIL) from None


def _refusal(response: HTTPResponse) -> CommandFailed:
    """Return the error for a refused request, with rtmpd's own words."""
    try:
        detail = str(json.loads(_read(response))["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"{response.status} {response.reason}"
    return CommandFailed(detail, status_of(response.status))
