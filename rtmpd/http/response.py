"""Answers: whole ones, and those that are told piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from .problem import HttpError, phrase

JSON = "application/json"
PROBLEM = "application/problem+json"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
TEXT = "text/plain; charset=utf-8"

_ALWAYS = (
    ("Connection", "close"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass(frozen=True, slots=True)
class Response:
    """``body`` is all of it, or an iterator of its pieces, which may switch greenlets between them."""

    body: bytes | Iterator[bytes] = b""
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()

    def head(self, chunked: bool) -> bytes:
        """Status line and headers. ``chunked`` says how a body of pieces is told from a cut one."""
        lines = [f"HTTP/1.1 {self.status} {phrase(self.status)}", f"Content-Type: {self.content_type}"]
        if isinstance(self.body, bytes):
            lines.append(f"Content-Length: {len(self.body)}")
        elif chunked:
            lines.append("Transfer-Encoding: chunked")
        lines += [f"{name}: {value}" for name, value in (*_ALWAYS, *self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def of_json(facts: object, status: int = 200) -> Response:
    """Facts as one JSON document."""
    return Response(_line(facts), JSON, status)


def of_lines(records: Iterator[dict[str, object]]) -> Response:
    """One JSON document a line, as they come."""
    return Response((_line(record) for record in records), LINES)


def of_error(error: HttpError) -> Response:
    """A refusal."""
    return Response(_line(error.facts()), PROBLEM, error.status, error.headers)


def _line(facts: object) -> bytes:
    return json.dumps(facts, separators=(",", ":"), default=str).encode() + b"\n"
