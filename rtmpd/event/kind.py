"""What describes an event type: its fields, its severity, its place in the documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEBUG = "debug"
INFO = "info"
WARNING = "warning"
ERROR = "error"
CRITICAL = "critical"

#: Least severe first.
SEVERITIES = (DEBUG, INFO, WARNING, ERROR, CRITICAL)

_QUOTED = re.compile("`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Field:
    """One key of ``data``. ``type`` is the JSON type: string, integer, number, boolean, array or object; ``values`` are
    all possible values, empty without such a list. An ``optional`` field is absent where its value is not known."""

    name: str
    type: str
    meaning: str
    values: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type.

    ``severity`` holds unless the data say otherwise: ``severity_key`` names the field that decides
    and ``severity_of`` maps its values to severities.
    """

    name: str
    severity: str
    trigger: str
    fields: tuple[Field, ...]
    severity_key: str = ""
    severity_of: tuple[tuple[str, str], ...] = ()

    def severity_for(self, data: Mapping[str, object]) -> str:
        """The severity of one event of this type."""
        if self.severity_key:
            return dict(self.severity_of).get(str(data.get(self.severity_key)), self.severity)
        return self.severity


@dataclass(frozen=True, slots=True)
class Group:
    """The event types of one subject, under one heading of the documentation."""

    title: str
    types: tuple[EventType, ...]


def fields(*rows: str) -> tuple[Field, ...]:
    """The fields written as rows of ``name type meaning``. The type can have marks after it: ``!`` if the words that
    ``meaning`` has in backquotes are all values that there are, ``?`` if the field is optional."""
    return tuple(_field(*row.split(" ", 2)) for row in rows)


def _field(name: str, mark: str, meaning: str) -> Field:
    values = tuple(_QUOTED.findall(meaning)) if "!" in mark else ()
    return Field(name, mark.rstrip("!?"), meaning, values, "?" in mark)
