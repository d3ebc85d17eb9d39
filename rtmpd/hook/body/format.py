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

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from ...event.event import Event
from ...settings import FORMAT_BINARY, FORMAT_JSON, FORMAT_STRUCTURED
from .cloudevents import BinaryEncoder, StructuredEncoder
from .schema import Body, schema_2
from .template import Template

JSON = "application/json"
VERSION_HEADER = "X-RTMP-Event-Version"


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
