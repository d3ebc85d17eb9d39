"""AMF0: from Python values to bytes, one writer for each Python type.

Source: Action Message Format, AMF 0 (Adobe, 2007), section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any, Final, TypeAlias

from ..errors import MisuseError
from .amf0_types import (
    BOOLEAN,
    DATE,
    ECMA_ARRAY,
    LONG_STRING,
    MAX_DEPTH,
    NULL,
    NUMBER,
    OBJECT,
    OBJECT_END,
    STRICT_ARRAY,
    STRING,
    TYPED_OBJECT,
    UNDEFINED_VALUE,
    XML_DOCUMENT,
    Date,
    EcmaArray,
    Encodable,
    TypedObject,
    Undefined,
    XmlDocument,
)

_U16: Final = Struct(">H")
_MARKED_U16: Final = Struct(">BH")
_MARKED_U32: Final = Struct(">BI")
_MARKED_DOUBLE: Final = Struct(">Bd")
_MARKED_DATE: Final = Struct(">Bdh")

_Writer: TypeAlias = Callable[[bytearray, Any, int], None]

_END_OF_PROPERTIES: Final = bytes((0, 0, OBJECT_END))
_SHORT_BYTES: Final = 0xFFFF


def encode(*values: Encodable) -> bytes:
    """The bytes of ``values``, one after the other.

    An object that occurs twice is spelled out twice. Raises MisuseError for a Python object that
    AMF0 has no type for, a property name over 65,535 bytes, nesting beyond ``MAX_DEPTH`` or a
    cycle.
    """
    out = bytearray()
    for value in values:
        writer = _WRITERS.get(type(value)) or _inherited_writer(value)
        writer(out, value, 0)
    return bytes(out)


def _write(out: bytearray, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MisuseError(f"nested deeper than {MAX_DEPTH}, or in a cycle")
    writer = _WRITERS.get(type(value)) or _inherited_writer(value)
    writer(out, value, depth)


def _inherited_writer(value: object) -> _Writer:
    for cls in type(value).__mro__:
        writer = _WRITERS.get(cls)
        if writer is not None:
            return writer
    raise MisuseError(f"AMF0 has no type for {type(value).__name__}")


def _write_number(out: bytearray, value: float, depth: int) -> None:
    try:
        out += _MARKED_DOUBLE.pack(NUMBER, value)
    except StructError:
        raise MisuseError("the integer is too large for a number") from None


def _write_boolean(out: bytearray, value: bool, depth: int) -> None:
    out += bytes((BOOLEAN, value))


def _write_string(out: bytearray, value: str, depth: int) -> None:
    text = value.encode("utf-8", "replace")
    size = len(text)
    out += _MARKED_U16.pack(STRING, size) if size <= _SHORT_BYTES else _MARKED_U32.pack(LONG_STRING, size)
    out += text


def _write_xml_document(out: bytearray, value: XmlDocument, depth: int) -> None:
    text = value.encode("utf-8", "replace")
    out += _MARKED_U32.pack(XML_DOCUMENT, len(text))
    out += text


def _write_null(out: bytearray, value: None, depth: int) -> None:
    out.append(NULL)


def _write_undefined(out: bytearray, value: Undefined, depth: int) -> None:
    out.append(UNDEFINED_VALUE)


def _write_date(out: bytearray, value: Date, depth: int) -> None:
    try:
        out += _MARKED_DATE.pack(DATE, value.milliseconds, value.timezone_minutes)
    except StructError as error:
        raise MisuseError(f"no AMF0 date: {error}") from None


def _write_object(out: bytearray, value: dict[str, Any], depth: int) -> None:
    out.append(OBJECT)
    _write_properties(out, value, depth)


def _write_ecma_array(out: bytearray, value: EcmaArray, depth: int) -> None:
    out += _MARKED_U32.pack(ECMA_ARRAY, len(value))
    _write_properties(out, value, depth)


def _write_typed_object(out: bytearray, value: TypedObject, depth: int) -> None:
    out.append(TYPED_OBJECT)
    _write_name(out, value.class_name)
    _write_properties(out, value, depth)


def _write_strict_array(out: bytearray, value: Sequence[Any], depth: int) -> None:
    out += _MARKED_U32.pack(STRICT_ARRAY, len(value))
    for element in value:
        _write(out, element, depth + 1)


def _write_properties(out: bytearray, value: dict[str, Any], depth: int) -> None:
    for name, element in value.items():
        _write_name(out, name)
        _write(out, element, depth + 1)
    out += _END_OF_PROPERTIES


def _write_name(out: bytearray, name: object) -> None:
    if not isinstance(name, str):
        raise MisuseError(f"a property name has to be text, not {type(name).__name__}")
    text = name.encode("utf-8", "replace")
    if len(text) > _SHORT_BYTES:
        raise MisuseError(f"a property name of {len(text)} bytes")
    out += _U16.pack(len(text))
    out += text


_WRITERS: Final[Mapping[type, _Writer]] = {
    float: _write_number,
    int: _write_number,
    bool: _write_boolean,
    str: _write_string,
    XmlDocument: _write_xml_document,
    type(None): _write_null,
    Undefined: _write_undefined,
    Date: _write_date,
    dict: _write_object,
    EcmaArray: _write_ecma_array,
    TypedObject: _write_typed_object,
    list: _write_strict_array,
    tuple: _write_strict_array,
}
