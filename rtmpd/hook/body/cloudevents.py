"""Events as CloudEvents 1.0, in the HTTP binding's three modes.

==================  =======================================================================
attribute           value
==================  =======================================================================
id                  the id of the event
source              ``/rtmpd/NODE``; with the id it identifies the event
type                ``rtmpd.`` and the type of the event
subject             the stream key, if the event is of a stream
time                its birth
datacontenttype     ``application/json``
data                ``data`` of the event
severity, connid    extensions of ours; ``connid`` if the event is of a connection
sequence            the extension of that name: ``seq`` with leading zeros, so that it sorts as text
attempt             extension of ours: the number of the try, if it is known
redelivered         extension of ours: why the event may have arrived before
==================  =======================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from ...event.event import Event
from .schema import Body, json_bytes, time_of, tries_of

STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json; charset=utf-8"

# Values of type String hold no control characters and no noncharacters (CloudEvents 1.0, Type System).
_LAST_OF_PLANES = "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_LAST_OF_PLANES}]")
# U+0021 to U+007E without the quotation mark and the percent sign (HTTP binding, 3.1.3.2).
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def attributes(event: Event, node: str) -> dict[str, str]:
    """The attributes that are not empty, except ``datacontenttype``."""
    attempt, redelivered = tries_of(event)
    found = {
        "specversion": "1.0",
        "id": event.id,
        "source": "/rtmpd/" + quote(node, safe="", errors="replace"),
        "type": f"rtmpd.{event.type}",
        "subject": event.stream_key,
        "time": time_of(event),
        "severity": event.severity,
        "sequence": f"{event.seq:020}",
        "connid": event.conn_id,
        "attempt": str(attempt) if attempt else "",
        "redelivered": redelivered,
    }
    return {name: clean for name, value in found.items() if (clean := _FORBIDDEN.sub("", value))}


class StructuredEncoder:
    """Attributes and data in one JSON object; batches are arrays of these."""

    def __init__(self, node: str) -> None:
        self._node = node

    def encode(self, event: Event) -> Body:
        """One event."""
        return Body(STRUCTURED, {}, self.item(event))

    def item(self, event: Event) -> bytes:
        """One event of a batch."""
        data = {"datacontenttype": "application/json", "data": dict(event.data)}
        return json_bytes(attributes(event, self._node) | data)

    def batch(self, id: str, items: Sequence[bytes]) -> Body:
        """A batch. The form has no room for its ``id``."""
        return Body(BATCH, {}, b"[" + b",".join(items) + b"]")


class BinaryEncoder:
    """The data is the body, the attributes are headers. There are no batches of it."""

    def __init__(self, node: str) -> None:
        self._node = node

    def encode(self, event: Event) -> Body:
        """One event."""
        headers = {f"ce-{name}": header_value(value) for name, value in attributes(event, self._node).items()}
        return Body("application/json", headers, json_bytes(dict(event.data)))


def header_value(text: str) -> str:
    """``text`` percent-encoded as the HTTP binding wants it (3.1.3.2)."""
    return quote(text, safe=_SAFE, errors="replace")
