"""The types of AMF0 and the Python values that stand for those that Python has no own type for.

Source: Action Message Format, AMF 0 (Adobe, 2007), section 2.1.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

# type markers
NUMBER: Final = 0x00
BOOLEAN: Final = 0x01
STRING: Final = 0x02
OBJECT: Final = 0x03
MOVIE_CLIP: Final = 0x04
NULL: Final = 0x05
UNDEFINED_VALUE: Final = 0x06
REFERENCE: Final = 0x07
ECMA_ARRAY: Final = 0x08
OBJECT_END: Final = 0x09
STRICT_ARRAY: Final = 0x0A
DATE: Final = 0x0B
LONG_STRING: Final = 0x0C
UNSUPPORTED: Final = 0x0D
RECORD_SET: Final = 0x0E
XML_DOCUMENT: Final = 0x0F
TYPED_OBJECT: Final = 0x10
AMF3_VALUE: Final = 0x11

MAX_DEPTH: Final = 128
"""Nesting that no limit can raise: both directions recurse, and the interpreter's stack is finite."""


class Undefined(enum.Enum):
    """The type of ``UNDEFINED``, a false value of its own."""

    UNDEFINED = "undefined"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class Date:
    """A moment: milliseconds since 1970 (UTC). ``timezone_minutes`` is reserved and should be 0."""

    milliseconds: float
    timezone_minutes: int = 0


class XmlDocument(str):
    """The text of an XML document, unparsed."""

    __slots__ = ()


class EcmaArray(dict[str, "Value"]):
    """An associative array: equal to the dict of its properties, but encoded as an array."""

    __slots__ = ()


class TypedObject(dict[str, "Value"]):
    """An object of a registered class: equal to the dict of its properties."""

    __slots__ = ("class_name",)

    def __init__(self, class_name: str, properties: Mapping[str, Value] | Iterable[tuple[str, Value]] = ()) -> None:
        super().__init__(properties)
        self.class_name = class_name


# What decoding gives, and the wider set that encoding takes.
Value: TypeAlias = "float | bool | str | Undefined | Date | dict[str, Value] | list[Value] | None"
Encodable: TypeAlias = float | bool | str | Undefined | Date | dict[str, Any] | list[Any] | tuple[Any, ...] | None
