"""AMF0: the values of commands and of onMetaData, between bytes and Python.

==========================  ======  ===============================================
AMF0 type                   marker  Python
==========================  ======  ===============================================
number                      00      float (an int is encoded too)
boolean                     01      bool
string, long string         02, 0C  str (encoded as long above 65,535 bytes)
object                      03      dict, in the order of the bytes
null                        05      None
undefined                   06      UNDEFINED
reference                   07      the very object it points to; never encoded
ECMA array                  08      EcmaArray, a dict
strict array                0A      list (a tuple is encoded too)
date                        0B      Date
XML document                0F      XmlDocument, a str
typed object                10      TypedObject, a dict with a ``class_name``
movie clip, unsupported,    04, 0D  AmfError: reserved by the standard, or values
record set, AMF3 value      0E, 11  of AMF3, which the peer was asked not to use
==========================  ======  ===============================================

Every decoded value is a finite tree within the limits, however it is walked: a reference costs what
the object would cost if it were spelled out in its place, and a cycle is an error. So no consumer
has to fear a value that is small on the wire and endless in memory.

``decode_all`` takes everything or nothing. ``decode_most`` and ``Reader`` are for data of which only a part is needed:
what cannot be read, or is too much, costs no more than itself.

Source: Action Message Format, AMF 0 (Adobe, 2007), section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as StructError
from typing import Final, NamedTuple, TypeVar

from ..errors import AmfError
from .amf0_encoder import encode
from .amf0_types import (
    AMF3_VALUE,
    BOOLEAN,
    DATE,
    ECMA_ARRAY,
    LONG_STRING,
    MAX_DEPTH,
    MOVIE_CLIP,
    NULL,
    NUMBER,
    OBJECT,
    OBJECT_END,
    RECORD_SET,
    REFERENCE,
    STRICT_ARRAY,
    STRING,
    TYPED_OBJECT,
    UNDEFINED,
    UNDEFINED_VALUE,
    UNSUPPORTED,
    XML_DOCUMENT,
    Date,
    EcmaArray,
    Encodable,
    TypedObject,
    Undefined,
    Value,
    XmlDocument,
)

__all__ = [
    "ALL",
    "DEFAULT_LIMITS",
    "MAX_DEPTH",
    "UNDEFINED",
    "AmfLimits",
    "Date",
    "EcmaArray",
    "Encodable",
    "Reader",
    "TypedObject",
    "Undefined",
    "Value",
    "XmlDocument",
    "decode_all",
    "decode_most",
    "encode",
]

_U16: Final = Struct(">H")
_U32: Final = Struct(">I")
_DOUBLE: Final = Struct(">d")
_DATE: Final = Struct(">dh")
_new: Final = tuple.__new__  # for named tuples it saves the call of a function in Python


class AmfLimits(NamedTuple):
    """What one call of ``decode_all`` may cost. ``depth`` counts nested objects and arrays (never
    more than ``MAX_DEPTH``), ``items`` values of any type, ``bytes`` encoded bytes; a reference
    counts in all three as the object it stands for."""

    depth: int = 32
    items: int = 4096
    bytes: int = 1024 * 1024


DEFAULT_LIMITS: Final = AmfLimits()

ALL: Final = 1 << 31  #: more values than any message holds


def decode_all(data: bytes, limits: AmfLimits = DEFAULT_LIMITS, offset: int = 0) -> list[Value]:
    """The values in ``data`` from ``offset`` to its end.

    Text that is not UTF-8 is decoded with replacement characters: real encoders send Latin-1.
    Raises AmfError, and nothing else, for bytes that are not AMF0, end early or pass a limit.
    """
    decoder = _Decoder(data, limits, offset)
    values: list[Value] = []
    try:
        while decoder.pos < decoder.size:
            values.append(decoder.value())
    except (IndexError, StructError):
        # the one place where the decoder's plain indexing and unpacking meets the end of the data
        raise decoder.truncated() from None
    return values


def decode_most(data: bytes, limits: AmfLimits = DEFAULT_LIMITS) -> tuple[list[Value], AmfError | None]:
    """What can be read of the values in ``data``, and the error that ended the reading, None if there was none.

    A property of an outermost object that is deeper or has more items than ``limits`` allow is left out, and more
    properties than they allow are not read; neither is an error. ``limits.bytes`` bounds only what references add,
    so the caller bounds the data.
    """
    reader = Reader(data, limits if len(data) <= limits.bytes else limits._replace(bytes=len(data)))
    values: list[Value] = []
    try:
        reader.read(values, ALL)
    except AmfError as error:
        if reader.depth and reader.outermost is not None:
            values.append(reader.outermost)
        return values, None if error.code in _SURPLUS else error
    return values, None


class _Spelled(NamedTuple):
    """A complete object and what it costs to spell it out once more."""

    value: Value
    items: int
    bytes: int
    height: int


_Container = TypeVar("_Container", bound="dict[str, Value] | list[Value]")


class _Decoder:
    """A position in the data and what was spent so far.

    ``deepest`` is the greatest depth inside the object being decoded, ``spent_bytes`` the bytes of
    the data and those that its references stand for, ``seen`` the complex objects in the order of
    their first byte, None for one that is still open. ``skips``, ``outermost`` and ``left_out`` are the reader's.
    """

    __slots__ = (
        "data",
        "deepest",
        "depth",
        "items",
        "left_out",
        "limits",
        "max_depth",
        "outermost",
        "pos",
        "seen",
        "size",
        "skips",
        "spent_bytes",
    )

    def __init__(self, data: bytes, limits: AmfLimits, offset: int = 0) -> None:
        self.data = data
        self.pos = offset
        self.size = len(data)
        self.limits = limits
        self.max_depth = min(limits.depth, MAX_DEPTH)
        self.depth = 0
        self.deepest = 0
        self.items = 0
        self.spent_bytes = self.size - offset
        self.seen: list[_Spelled | None] = []
        self.skips = limits.items * _SKIPPED_PER_ITEM
        self.outermost: dict[str, Value] | None = None
        self.left_out: AmfError | None = None
        if self.spent_bytes > limits.bytes:
            raise self._too_many_bytes()

    def value(self) -> Value:
        """The next value. An IndexError or a struct.error means that the data ends too early.

        Strings, numbers and null, which nearly all values are, are read here without another call.
        """
        data = self.data
        marker = data[self.pos]
        self.pos += 1
        self.items += 1
        if self.items > self.limits.items:
            raise self._too_many_items()
        if marker == STRING:
            start = self.pos + 2
            end = start + _U16.unpack_from(data, self.pos)[0]
            if end > self.size:
                raise self.truncated()
            self.pos = end
            return data[start:end].decode("utf-8", "replace")
        if marker == NUMBER:
            number: float = _DOUBLE.unpack_from(data, self.pos)[0]
            self.pos += 8
            return number
        if marker == NULL:
            return None
        return _DECODERS[marker](self)

    def boolean(self) -> bool:
        flag = self.data[self.pos]
        self.pos += 1
        return flag != 0

    def long_string(self) -> str:
        return self._text(_U32)

    def _text(self, length: Struct) -> str:
        start = self.pos + length.size
        end = start + length.unpack_from(self.data, self.pos)[0]
        if end > self.size:
            raise self.truncated()
        self.pos = end
        return self.data[start:end].decode("utf-8", "replace")

    def xml_document(self) -> XmlDocument:
        return XmlDocument(self.long_string())

    def undefined(self) -> Undefined:
        return UNDEFINED

    def date(self) -> Date:
        date = Date(*_DATE.unpack_from(self.data, self.pos))
        self.pos += _DATE.size
        return date

    def object(self) -> dict[str, Value]:
        return self._complex({}, self._properties)

    def typed_object(self) -> TypedObject:
        return self._complex(TypedObject(""), self._class_name_and_properties)

    def ecma_array(self) -> EcmaArray:
        # The count is a hint: encoders send 0, or the number of another day. The end marker decides.
        _U32.unpack_from(self.data, self.pos)
        self.pos += 4
        return self._complex(EcmaArray(), self._properties)

    def strict_array(self) -> list[Value]:
        return self._complex([], self._elements)

    def _complex(self, container: _Container, fill: Callable[[_Container], None]) -> _Container:
        """Fill one object or array, and keep it with its cost for the references to come."""
        self.depth += 1
        if self.depth > self.max_depth:
            raise AmfError(f"nested deeper than {self.max_depth} at byte {self.pos}", "amf_too_deep")
        index = len(self.seen)
        self.seen.append(None)
        start, items, spent_bytes, outer_deepest = self.pos, self.items, self.spent_bytes, self.deepest
        self.deepest = self.depth
        fill(container)
        spelled_bytes = self.pos - start + self.spent_bytes - spent_bytes
        spelled = container, self.items - items, spelled_bytes, self.deepest - self.depth
        self.seen[index] = _new(_Spelled, spelled)
        self.deepest = max(outer_deepest, self.deepest)
        self.depth -= 1
        return container

    def _class_name_and_properties(self, into: TypedObject) -> None:
        into.class_name = self._text(_U16)
        self._properties(into)

    def _properties(self, into: dict[str, Value]) -> None:
        data, size = self.data, self.size
        # Some encoders leave the end marker out at the very end of onMetaData. That is tolerated
        # between two properties only: a property that was begun has to be complete.
        while self.pos < size:
            start = self.pos + 2
            end = start + _U16.unpack_from(data, self.pos)[0]
            if end == start and data[start] == OBJECT_END:
                self.pos = start + 1
                return
            if end > size:
                raise self.truncated()
            self.pos = end
            name = data[start:end].decode("utf-8", "replace")
            into[name] = self.value()

    def _elements(self, into: list[Value]) -> None:
        count = _U32.unpack_from(self.data, self.pos)[0]
        self.pos += 4
        # An element has one byte at least: a count that cannot be true is refused before the work.
        if count > self.size - self.pos:
            raise self.truncated()
        for _ in range(count):
            into.append(self.value())

    def reference(self) -> Value:
        index: int = _U16.unpack_from(self.data, self.pos)[0]
        self.pos += 2
        if index >= len(self.seen):
            raise AmfError(f"reference to object {index} of {len(self.seen)} at byte {self.pos}", "amf_bad_reference")
        spelled = self.seen[index]
        if spelled is None:
            raise AmfError(f"object {index} contains a reference to itself at byte {self.pos}", "amf_bad_reference")
        self.items += spelled.items
        if self.items > self.limits.items:
            raise self._too_many_items()
        self.deepest = max(self.deepest, self.depth + 1 + spelled.height)
        if self.deepest > self.max_depth:
            raise AmfError(f"nested deeper than {self.max_depth} at byte {self.pos}", "amf_too_deep")
        self.spent_bytes += spelled.bytes
        if self.spent_bytes > self.limits.bytes:
            raise self._too_many_bytes()
        return spelled.value

    def refused(self) -> Value:
        marker = self.data[self.pos - 1]
        name = _REFUSED.get(marker, "unknown type")
        raise AmfError(f"{name} (marker 0x{marker:02X}) at byte {self.pos - 1}", "amf_bad_marker")

    def truncated(self) -> AmfError:
        return AmfError(f"the data ends at byte {self.size}, inside the value at byte {self.pos}", "amf_truncated")

    def _too_many_items(self) -> AmfError:
        return AmfError(f"more than {self.limits.items} values at byte {self.pos}", "amf_too_many_items")

    def _too_many_bytes(self) -> AmfError:
        return AmfError(f"{self.spent_bytes} bytes of AMF0, {self.limits.bytes} are allowed", "amf_too_large")


class Reader(_Decoder):
    """The values in ``data``, one by one.

    ``outermost`` is the last object or ECMA array that was begun outside of any other, with the properties read so far,
    also where reading it failed; ``left_out`` is why a property of one was left out. Raises AmfError if ``data`` is
    longer than ``limits.bytes``.
    """

    __slots__ = ()

    def read(self, into: list[Value], count: int) -> None:
        """Append values to ``into`` until it has ``count`` or the data ends. Raises AmfError for a value that cannot be
        read; nothing can be read after that."""
        try:
            for _ in range(count - len(into)):
                if self.pos >= self.size:
                    break
                self.outermost = None
                into.append(self.value())
        except (IndexError, StructError):
            raise self.truncated() from None

    def _properties(self, into: dict[str, Value]) -> None:
        if self.depth > 1:
            super()._properties(into)
            return
        self.outermost = into
        data, size = self.data, self.size
        while self.pos < size:
            start = self.pos + 2
            end = start + _U16.unpack_from(data, self.pos)[0]
            if end == start and data[start] == OBJECT_END:
                self.pos = start + 1
                return
            if end > size:
                raise self.truncated()
            self.pos = end
            name = data[start:end].decode("utf-8", "replace")
            if data[end] not in _CONTAINERS:
                into[name] = self.value()
                continue
            begun = end, self.items, self.spent_bytes, self.deepest, len(self.seen)
            try:
                into[name] = self.value()
            except AmfError as error:
                if error.code not in _SURPLUS:
                    raise
                self.left_out = error
                self.skips -= self.items - begun[1]
                self.pos, self.items, self.spent_bytes, self.deepest, seen = begun
                del self.seen[seen:]
                self.depth = 1
                self._skip()

    def _skip(self) -> None:
        """Pass over one value without building it; an array of numbers, which indexes of keyframes are, in one step."""
        data = self.data
        to_come = [1]  # values of each array that is open, -1 for properties up to their end marker
        while to_come:
            self.skips -= 1
            if self.skips < 0:
                raise self._too_many_items()
            count = to_come[-1]
            if not count or (count < 0 and self.pos >= self.size):
                to_come.pop()
                continue
            if count > 0:
                to_come[-1] -= 1
            else:
                length = _U16.unpack_from(data, self.pos)[0]
                self.pos += 2 + length
                if not length and data[self.pos] == OBJECT_END:
                    self.pos += 1
                    to_come.pop()
                    continue
            marker = data[self.pos]
            self.pos += 1
            self._skip_value(marker, to_come)
            if self.pos > self.size:
                raise self.truncated()

    def _skip_value(self, marker: int, to_come: list[int]) -> None:
        if marker in _CONTAINERS:
            self.seen.append(None)
        if marker in _FIXED_BYTES:
            self.pos += _FIXED_BYTES[marker]
        elif marker == STRING:
            self.pos += 2 + _U16.unpack_from(self.data, self.pos)[0]
        elif marker in (LONG_STRING, XML_DOCUMENT):
            self.pos += 4 + _U32.unpack_from(self.data, self.pos)[0]
        elif marker == STRICT_ARRAY:
            count = _U32.unpack_from(self.data, self.pos)[0]
            self.pos += 4
            end = self.pos + count * _NUMBER_BYTES
            if end <= self.size and not any(self.data[self.pos : end : _NUMBER_BYTES]):
                self.pos = end
            else:
                to_come.append(count)
        elif marker in _CONTAINERS:
            if marker == ECMA_ARRAY:
                self.pos += 4
            elif marker == TYPED_OBJECT:
                self.pos += 2 + _U16.unpack_from(self.data, self.pos)[0]
            to_come.append(-1)
        else:
            self.refused()


_SURPLUS: Final = frozenset(("amf_too_many_items", "amf_too_deep", "amf_too_large"))
_SKIPPED_PER_ITEM: Final = 16  # values that may be passed over for each that may be read
_CONTAINERS: Final = frozenset((OBJECT, ECMA_ARRAY, STRICT_ARRAY, TYPED_OBJECT))
_NUMBER_BYTES: Final = 9  # with its marker, which is 0
_FIXED_BYTES: Final = {NUMBER: 8, BOOLEAN: 1, NULL: 0, UNDEFINED_VALUE: 0, UNSUPPORTED: 0, REFERENCE: 2, DATE: 10}

_REFUSED: Final[Mapping[int, str]] = {
    MOVIE_CLIP: "a movie clip, which is reserved",
    OBJECT_END: "the end of an object outside of one",
    UNSUPPORTED: "a value that the peer could not express",
    RECORD_SET: "a record set, which is reserved",
    AMF3_VALUE: "an AMF3 value inside AMF0, which is not understood",
}

_BY_MARKER: Final[Mapping[int, Callable[[_Decoder], Value]]] = {
    BOOLEAN: _Decoder.boolean,
    OBJECT: _Decoder.object,
    UNDEFINED_VALUE: _Decoder.undefined,
    REFERENCE: _Decoder.reference,
    ECMA_ARRAY: _Decoder.ecma_array,
    STRICT_ARRAY: _Decoder.strict_array,
    DATE: _Decoder.date,
    LONG_STRING: _Decoder.long_string,
    XML_DOCUMENT: _Decoder.xml_document,
    TYPED_OBJECT: _Decoder.typed_object,
}

# All 256, so that an index error can only come from the data.
_DECODERS: Final = tuple(_BY_MARKER.get(marker, _Decoder.refused) for marker in range(256))
