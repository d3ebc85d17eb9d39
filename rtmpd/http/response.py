"""Answers, as Werkzeug's responses: whole ones, those that come piece by piece, and the end of HTTP on a connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from werkzeug.wrappers import Response as Response

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
TEXT: Final = "text/plain; charset=utf-8"


class Upgrade(Response):
    """101: the connection is another protocol's from here on. ``take(sock, begun)`` is called after the answer, with
    what the client has sent since; it may switch greenlets, and when it returns the connection is closed."""

    def __init__(self, protocol: str, take: Callable[[Any, bytes], None], headers: Mapping[str, str] | None = None):
        super().__init__(status=101, headers={**(headers or {}), "Upgrade": protocol, "Connection": "Upgrade"})
        self.take = take


def of_json(facts: object, status: int = 200) -> Response:
    """Facts as one JSON document."""
    return Response(_line(facts), status, content_type=JSON)


def of_lines(records: Iterator[dict[str, object]]) -> Response:
    """One JSON document a line, as they come."""
    return Response((_line(record) for record in records), content_type=LINES)


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _line(facts: object) -> bytes:
    return _encode(facts).encode() + b"\n"
