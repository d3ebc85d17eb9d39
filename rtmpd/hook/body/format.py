"""Formats of request bodies: JSON schemas, CloudEvents and batches.

=======================  ================================  =======================================
format                   one event                         a batch
=======================  ================================  =======================================
json, schema 1           ``event.json()``                  as in schema 2: outside the body there
                                                           is no room for the ids
json, schema 2           the event with all its facts      ``{"batch_id":"bat_...","events":[...]}``
cloudevents-structured   one JSON object                   an array
cloudevents-binary       the data, facts in headers        -
a template               what it makes of the event        -
=======================  ================================  =======================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from ...event.event import Event
from ...settings import FORMAT_BINARY, FORMAT_JSON, FORMAT_STRUCTURED
from .cloudevents import BinaryEncoder, StructuredEncoder
from .schema import Body, schema_2
from .template import Template

JSON = "application/json"
VERSION_HEADER = "X-RTMP-Event-Version"
BATCH_ID_HEADER = "X-RTMP-Batch-Id"
BATCH_SIZE_HEADER = "X-RTMP-Batch-Size"

#: The status of an answer that has one for each event (RFC 4918, 11.1).
MULTI_STATUS = 207

_BATCH_ID_DIGITS = 26


class Encoder(Protocol):
    """Makes a body of one event."""

    def encode(self, event: Event) -> Body:
        """The body."""
        ...


class BatchEncoder(Encoder, Protocol):
    """Makes a body of several events too, each of which becomes an item first: then it is known how long it is."""

    def item(self, event: Event) -> bytes:
        """One event of a batch."""
        ...

    def batch(self, id: str, items: Sequence[bytes]) -> Body:
        """The batch ``id`` of these."""
        ...


class Form(NamedTuple):
    """A format that can be asked for. ``schema`` counts for json."""

    format: str = FORMAT_JSON
    schema: int = 1


class JsonEncoder:
    """Our own JSON, in schema 1 or 2."""

    def __init__(self, schema: int, node: str) -> None:
        self._schema = schema
        self._node = node
        self._headers = {VERSION_HEADER: str(schema)}

    def encode(self, event: Event) -> Body:
        """One event."""
        content = event.json() if self._schema == 1 else schema_2(event, self._node)
        return Body(JSON, self._headers, content)

    def item(self, event: Event) -> bytes:
        """One event of a batch."""
        return schema_2(event, self._node, with_tries=True)

    def batch(self, id: str, items: Sequence[bytes]) -> Body:
        """The envelope."""
        content = b'{"batch_id":"%s","events":[%s]}' % (id.encode(), b",".join(items))
        return Body(JSON, {VERSION_HEADER: "2"}, content)


class TemplateEncoder:
    """What a template makes of an event."""

    def __init__(self, template: Template, node: str) -> None:
        self._template = template
        self._node = node

    def encode(self, event: Event) -> Body:
        """One event."""
        return Body(self._template.content_type, {}, self._template.render(event, self._node))


_NONE: Mapping[str, str] = MappingProxyType({})


class Terms(NamedTuple):
    """How events are sent at the moment: one by one with ``single``, or up to ``batch_events`` in one request with
    ``batch``, None if there are no batches. ``headers`` go with every request."""

    single: Encoder
    batch: BatchEncoder | None = None
    batch_events: int = 1
    headers: Mapping[str, str] = _NONE


def terms_of(form: Form, node: str, batch_events: int = 1) -> Terms:
    """The terms under which events have this form."""
    if form.format == FORMAT_BINARY:
        return Terms(BinaryEncoder(node))
    encoder = _BATCH_ENCODERS[form.format](form, node)
    return Terms(encoder, encoder if batch_events > 1 else None, batch_events)


_BATCH_ENCODERS: dict[str, Callable[[Form, str], BatchEncoder]] = {
    FORMAT_JSON: lambda form, node: JsonEncoder(form.schema, node),
    FORMAT_STRUCTURED: lambda form, node: StructuredEncoder(node),
}


#: The status of an answer to OPTIONS and its headers; None if there was none.
Ask = Callable[[Mapping[str, str]], tuple[int, Mapping[str, str]] | None]


class FixedTerms:
    """Nothing is asked: events are sent as the settings say."""

    allowed_rate: float | None = None

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def now(self, ask: Ask) -> Terms:
        """The terms."""
        return self._terms

    def spend(self) -> None:
        """A request is to be sent."""

    def refused(self) -> None:
        """The receiver does not understand what it was sent."""


# --- batches ------------------------------------------------------------------------------------

#: An event and what it is in the body of a batch.
Item = tuple[Event, bytes]


def batch_event(events: Sequence[Event]) -> Event:
    """What stands for the batch where it is signed: an event of type ``batch`` whose id is ``bat_`` and a digest of the
    ids, so that a batch that is sent again has the id it had."""
    digest = hashlib.sha256("\n".join(event.id for event in events).encode()).hexdigest()
    return Event("batch", events[0].timestamp, id=f"bat_{digest[:_BATCH_ID_DIGITS]}")


def cut(items: Iterable[Item], most: int, most_bytes: int) -> Iterator[list[Item]]:
    """``items`` in their order, at most ``most`` at a time and, if ``most_bytes`` is not 0, as many as have room in it;
    one that is larger goes alone."""
    piece: list[Item] = []
    size = 0
    for item in items:
        size += len(item[1])
        if piece and (len(piece) == most or (most_bytes and size > most_bytes)):
            yield piece
            piece, size = [], len(item[1])
        piece.append(item)
    if piece:
        yield piece


def results_of(content: bytes) -> dict[str, int] | None:
    """The status of events by their id that an answer gives: ``{"results":[{"id":"evt_...","status":200}]}``. None if
    it is not of that form. Never raises."""
    try:
        answer = json.loads(content)
        rows = answer["results"]
        found = {row["id"]: row["status"] for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if all(_is_result(id, status) for id, status in found.items()) else None


def _is_result(id: object, status: object) -> bool:
    return isinstance(id, str) and type(status) is int and 100 <= status <= 599
