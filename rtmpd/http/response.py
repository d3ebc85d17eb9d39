"""Answers, as Werkzeug's responses: whole ones, those that come piece by piece, refusals, and the end of HTTP on a
connection. A refusal is a document that a program can read (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Response

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain; charset=utf-8"

#: Reason phrases of RFC 9110 that Python has renamed: http.HTTPStatus has the older ones before 3.13.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase(status: int) -> str:
    """Return the reason phrase of a status, the same in every version of Python. Source: RFC 9110, section 15."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase


class HttpError(HTTPException):
    """A request that is refused with ``status``. ``headers`` go with the answer."""

    def __init__(self, status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.code = self.status = status
        self.detail = detail
        self.headers = headers

    def __str__(self) -> str:
        return self.detail

    def facts(self) -> dict[str, object]:
        """The body of the answer, ``application/problem+json``."""
        return {"title": phrase(self.status), "status": self.status, "detail": self.detail}

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        """The answer's body, for Werkzeug."""
        return json.dumps(self.facts(), separators=(",", ":")) + "\n"

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        """The answer's headers, for Werkzeug."""
        return [("Content-Type", PROBLEM), *self.headers]


def problem_of(error: HTTPException) -> HttpError:
    """The same refusal as a problem document; those that Werkzeug's parts raise are pages for people."""
    if isinstance(error, HttpError):
        return error
    kept = tuple((name, value) for name, value in error.get_headers() if name.lower() != "content-type")
    return HttpError(error.code or 500, error.description or "", kept)


def refusal(what: str, error: Exception) -> HttpError:
    """Return the answer to an error of what was asked. KeyError means that ``what`` does not exist; any other error
    has its own message, and perhaps a ``status``."""
    if isinstance(error, KeyError):
        return HttpError(404, f"no such {what}")
    return HttpError(int(getattr(error, "status", 409)), str(error))


Take = Callable[[Any, bytes], None]


class Takeover(Response):
    """The head of an answer after which the connection is not ours any more: its body is of any length, or it is
    another protocol. ``take(channel, begun)`` is called after the head, with the ``exchange.Channel`` and what the
    client has sent since; it may switch greenlets, and when it returns the connection is closed."""

    def __init__(self, take: Take, headers: Mapping[str, str], status: int = 200) -> None:
        super().__init__(status=status, headers=dict(headers))
        self.take = take


class Upgrade(Takeover):
    """101: the connection speaks ``protocol`` from here on."""

    def __init__(self, protocol: str, take: Take, headers: Mapping[str, str] | None = None):
        super().__init__(take, {**(headers or {}), "Upgrade": protocol, "Connection": "Upgrade"}, 101)


def of_json(facts: object, status: int = 200) -> Response:
    """Facts as one JSON document."""
    return Response(_line(facts), status, content_type=JSON)


def of_lines(records: Iterator[dict[str, object]]) -> Response:
    """One JSON document a line, as they come."""
    return Response((_line(record) for record in records), content_type=LINES)


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _line(facts: object) -> bytes:
    return _encode(facts).encode() + b"\n"
