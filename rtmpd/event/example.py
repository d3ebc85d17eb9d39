"""An event of any type as an example, for those who want to see one before it happens."""

from __future__ import annotations

from .catalogue import EVENT_TYPES

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
    """Data with every field of the type. Raises KeyError if there is no such type."""
    return {field.name: field.values[-1] if field.values else _VALUES[field.type] for field in EVENT_TYPES[type].fields}
