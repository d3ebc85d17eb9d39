"""An example event of any type, to see one before it happens."""

from __future__ import annotations

from .catalogue import EVENT_TYPES
from .pairing import AFTER_CRASH

_VALUES: dict[str, object] = {
    "string": "example",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}

CONN_ID = "c000000"
STREAM_KEY = "example/stream"


def example_data(type: str) -> dict[str, object]:
    """Return data with every field of the type but those that only an end after a crash has; an alert is one that
    begins. Raises KeyError for a type that is not known."""
    data = {
        field.name: field.values[-1] if field.values else _VALUES[field.type]
        for field in EVENT_TYPES[type].fields
        if field.name not in AFTER_CRASH
    }
    return data | {"state": "raised"} if "state" in data else data
