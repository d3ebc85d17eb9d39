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
