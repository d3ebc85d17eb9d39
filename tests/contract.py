"""Whether events are what the catalogue promises: checked wherever a test sees events of the whole daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.event.schema import schema_of


@cache
def _validator(type: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(type), format_checker=Draft202012Validator.FORMAT_CHECKER)


def faults(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Everything in which the bodies (schema 1 or 2) differ from the catalogue, in words."""
    found: dict[str, None] = {}  # each fault once
    for event in events:
        if event.get("type") not in EVENT_TYPES:
            found[f"no event type: {event}"] = None
            continue
        for error in _validator(event["type"]).iter_errors(event):
            found[f"{event['type']} {error.json_path}: {error.message}; in {event}"] = None
        fields = [field.name for field in EVENT_TYPES[event["type"]].fields]
        if list(event["data"]) != [name for name in fields if name in event["data"]]:
            found[f"{event['type']}: the fields are not in the order of the catalogue: {event}"] = None
    return list(found)
