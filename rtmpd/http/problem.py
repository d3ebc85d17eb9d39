"""Refusals, as answers that a program can read (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from werkzeug.exceptions import HTTPException

PROBLEM: Final = "application/problem+json"

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


class Gone(Exception):
    """The client left before its request was complete, so it gets no answer."""
