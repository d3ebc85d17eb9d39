"""AMF0 against a table of bytes, against itself, and against Py3AMF."""

from __future__ import annotations

import copy
import math
import pickle
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.errors import AmfError, MisuseError
from rtmpd.protocol.amf0 import (
    DEFAULT_LIMITS,
    MAX_DEPTH,
    UNDEFINED,
    AmfLimits,
    Date,
    EcmaArray,
    Reader,
    TypedObject,
    XmlDocument,
    decode_all,
    decode_most,
    encode,
)


def shape(value: Any) -> Any:
    """The value with its types spelled out: tells -0.0 from 0.0, True from 1.0, a dict from an
    EcmaArray, one order of properties from another, and makes NaN equal to itself."""
    if isinstance(value, float):
        return "number", struct.pack(">d", value) if not math.isnan(value) else "nan"
    if isinstance(value, TypedObject):
        return TypedObject, value.class_name, [(name, shape(element)) for name, element in value.items()]
    if isinstance(value, dict):
        return type(value), [(name, shape(element)) for name, element in value.items()]
    if isinstance(value, Date):
        return Date, shape(value.milliseconds), value.timezone_minutes
    if isinstance(value, list):
        return list, [shape(element) for element in value]
    return type(value), value


# (name, bytes in hex, value): used in both directions
VECTORS: list[tuple[str, str, Any]] = [
    ("number 0", "00 0000000000000000", 0.0),
    ("number -0", "00 8000000000000000", -0.0),
    ("number 1.5", "00 3ff8000000000000", 1.5),
    ("number infinity", "00 7ff0000000000000", math.inf),
    ("number nan", "00 7ff8000000000000", math.nan),
    ("boolean true", "01 01", True),
    ("boolean false", "01 00", False),
    ("string test", "02 0004 74657374", "test"),
    ("string empty", "02 0000", ""),
    ("string of three bytes per character", "02 0003 e282ac", "€"),
    ("string of 65535 bytes", "02 ffff" + "78" * 65535, "x" * 65535),
    ("long string of 65536 bytes", "0c 00010000" + "78" * 65536, "x" * 65536),
    ("null", "05", None),
    ("undefined", "06", UNDEFINED),
    ("object simple", "03 0003 6b6579 02 0005 76616c7565 000009", {"key": "value"}),
    ("object nested", "03 0001 61 03 0001 62 00 3ff0000000000000 000009 000009", {"a": {"b": 1.0}}),
    ("object in the order of the bytes", "03 0001 62 05 0001 61 05 000009", {"b": None, "a": None}),
    ("object empty", "03 000009", {}),
    ("object with an empty name", "03 0000 05 000009", {"": None}),
    (
        "strict array",
        "0a 00000003 00 3ff0000000000000 00 4000000000000000 00 4008000000000000",
        [1.0, 2.0, 3.0],
    ),
    ("strict array empty", "0a 00000000", []),
    ("ECMA array", "08 00000001 0008 6475726174696f6e 00 0000000000000000 000009", EcmaArray(duration=0.0)),
    ("ECMA array empty", "08 00000000 000009", EcmaArray()),
    ("date", "0b 426d1a94a2000000 0000", Date(1e12)),
    ("date with a zone", "0b 0000000000000000 ffc4", Date(0.0, -60)),
    ("XML document", "0f 00000004 3c612f3e", XmlDocument("<a/>")),
    ("typed object", "10 0003 632e44 0001 78 0101 000009", TypedObject("c.D", {"x": True})),
]
BY_NAME = pytest.mark.parametrize(
    ("raw", "value"), [(bytes.fromhex(raw), value) for _, raw, value in VECTORS], ids=[name for name, _, _ in VECTORS]
)


@BY_NAME
def test_the_table_decodes(raw: bytes, value: Any) -> None:
    assert shape(decode_all(raw)) == shape([value])


@BY_NAME
def test_the_table_encodes(raw: bytes, value: Any) -> None:
    assert encode(value) == raw


def test_values_follow_one_another() -> None:
    raw = bytes.fromhex("".join(raw for _, raw, _ in VECTORS))
    assert shape(decode_all(raw)) == shape([value for _, _, value in VECTORS])


def test_decoding_starts_at_the_offset() -> None:
    assert decode_all(b"\xff\xff" + encode(7.0), offset=2) == [7.0]


def test_nothing_decodes_to_nothing() -> None:
    assert decode_all(b"") == [] and encode() == b""


def test_a_subclass_is_encoded_as_what_it_is_made_of() -> None:
    class Name(str):
        pass

    class Bag(dict[str, Any]):
        pass

    assert encode(Name("a"), Bag(b=Name("c"))) == encode("a", {"b": "c"})


def test_any_byte_but_zero_is_true() -> None:
    assert decode_all(b"\x01\x02") == [True]


def test_undefined_is_one_false_value() -> None:
    assert not UNDEFINED and repr(UNDEFINED) == "undefined"
    assert copy.deepcopy(UNDEFINED) is UNDEFINED and pickle.loads(pickle.dumps(UNDEFINED)) is UNDEFINED


def test_latin1_is_replaced_and_not_refused() -> None:
    assert decode_all(b"\x02\x00\x05caf\xe9!") == ["caf\ufffd!"]


def test_the_count_of_an_ecma_array_is_a_hint() -> None:
    properties = bytes.fromhex("0001 61 05 0001 62 05 000009")
    for count in (0, 1, 2, 3, 0xFFFFFFFF):
        assert decode_all(b"\x08" + struct.pack(">I", count) + properties) == [{"a": None, "b": None}]


@pytest.mark.parametrize("start", ["03", "08 00000002", "10 0001 43"])
def test_an_end_marker_missing_at_the_end_of_the_data_is_tolerated(start: str) -> None:
    whole = bytes.fromhex(start + "0001 61 05 0001 62 01 01")
    assert decode_all(whole) == [{"a": None, "b": True}]
    assert decode_all(encode("onMetaData") + whole) == ["onMetaData", {"a": None, "b": True}]


def test_a_missing_end_marker_does_not_excuse_half_a_property() -> None:
    whole = bytes.fromhex("03 0001 61 05 0001 62 01 01")
    between_properties = {1, 5, len(whole)}
    for end in range(1, len(whole)):
        if end not in between_properties:
            with pytest.raises(AmfError) as caught:
                decode_all(whole[:end])
            assert caught.value.code == "amf_truncated"


@BY_NAME
def test_truncated_values_are_refused(raw: bytes, value: Any) -> None:
    ends = range(1, len(raw)) if len(raw) < 100 else (1, 2, 3, len(raw) - 1)
    for end in ends:
        try:
            (decoded,) = decode_all(raw[:end])
        except AmfError as error:
            assert error.code == "amf_truncated"
        else:
            assert isinstance(decoded, dict), "only an object may lack its end"


@pytest.mark.parametrize("marker", [0x04, 0x09, 0x0D, 0x0E, 0x11, 0x12, 0x7F, 0xFF])
def test_reserved_and_foreign_markers_are_refused_by_name(marker: int) -> None:
    with pytest.raises(AmfError, match=f"marker 0x{marker:02X}.*at byte 1$") as caught:
        decode_all(bytes((0x05, marker)) + bytes(16))
    assert caught.value.code == "amf_bad_marker"


# --- references ---------------------------------------------------------------------------------


def test_a_reference_is_the_object_it_points_to() -> None:
    first, second, third = decode_all(bytes.fromhex("03 000009  0a 00000001 05  07 0001"))
    assert first == {} and third is second


def test_references_count_objects_and_arrays_by_their_first_byte() -> None:
    raw = "0a 00000005  03 000009  0b 0000000000000000 0000  08 00000000 000009  10 0001 43 000009  07 0003"
    (array,) = decode_all(bytes.fromhex(raw))
    assert isinstance(array, list)
    simple, date, ecma, typed, again = array
    assert (simple, ecma) == ({}, {}) and isinstance(date, Date)
    assert again is typed


def test_a_reference_to_no_object_is_refused() -> None:
    for raw in ("07 0000", "03 000009 07 0001", "03 000009 07 ffff"):
        with pytest.raises(AmfError, match="reference") as caught:
            decode_all(bytes.fromhex(raw))
        assert caught.value.code == "amf_bad_reference"


def test_references_do_not_reach_into_another_call() -> None:
    decode_all(bytes.fromhex("03 000009"))
    with pytest.raises(AmfError):
        decode_all(bytes.fromhex("07 0000"))


@pytest.mark.parametrize("raw", ["03 0001 61 07 0000 000009", "0a 00000001 07 0000", "0a 00000001 0a 00000001 07 0000"])
def test_an_object_that_contains_itself_is_refused(raw: str) -> None:
    with pytest.raises(AmfError, match="itself") as caught:
        decode_all(bytes.fromhex(raw))
    assert caught.value.code == "amf_bad_reference"


def doubling(levels: int) -> bytes:
    """An array, then arrays that hold two references to the one before: 2**levels values."""
    pieces = [b"\x0a" + struct.pack(">I", 1) + b"\x05"]
    for level in range(levels):
        pieces.append(b"\x0a" + struct.pack(">I", 2) + (b"\x07" + struct.pack(">H", level)) * 2)
    return b"".join(pieces)


def test_references_cost_the_items_they_stand_for() -> None:
    assert len(decode_all(doubling(5))) == 6
    with pytest.raises(AmfError) as caught:
        decode_all(doubling(30))
    assert caught.value.code == "amf_too_many_items"


@pytest.mark.parametrize("value", [["x" * 1000], {"x" * 1000: 0}, TypedObject("x" * 1000)])
def test_references_cost_the_bytes_they_stand_for(value: Any) -> None:
    raw = encode(value) + b"\x07\x00\x00" * 9
    assert len(decode_all(raw, AmfLimits(bytes=11_000))) == 10
    with pytest.raises(AmfError) as caught:
        decode_all(raw, AmfLimits(bytes=10_000))
    assert caught.value.code == "amf_too_large"


def test_references_cost_the_depth_they_stand_for() -> None:
    raw = encode([[[1]]]) + b"\x0a\x00\x00\x00\x01\x07\x00\x00"
    assert decode_all(raw, AmfLimits(depth=4))[1] == [[[[1.0]]]]
    with pytest.raises(AmfError) as caught:
        decode_all(raw, AmfLimits(depth=3))
    assert caught.value.code == "amf_too_deep"


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["0a 00000001", "03 0001 61", "08 00000001 0001 61", "10 0001 43 0001 61"])
def test_depth_is_limited(start: str) -> None:
    limits = AmfLimits(depth=5)
    raw = bytes.fromhex(start)
    assert len(decode_all(raw * 5 + b"\x05", limits)) == 1
    with pytest.raises(AmfError) as caught:
        decode_all(raw * 6 + b"\x05", limits)
    assert caught.value.code == "amf_too_deep"


def test_no_limit_raises_the_depth_over_what_the_stack_holds() -> None:
    raw = b"\x0a\x00\x00\x00\x01"
    limits = AmfLimits(depth=10**9, items=10**9, bytes=10**9)
    assert len(decode_all(raw * MAX_DEPTH + b"\x05", limits)) == 1
    with pytest.raises(AmfError) as caught:
        decode_all(raw * 100_000 + b"\x05", limits)
    assert caught.value.code == "amf_too_deep"


def test_what_can_be_decoded_can_be_encoded() -> None:
    raw = b"\x0a\x00\x00\x00\x01" * MAX_DEPTH + b"\x05"
    assert encode(*decode_all(raw, AmfLimits(depth=MAX_DEPTH))) == raw


def test_siblings_are_not_depth() -> None:
    assert len(decode_all(encode([[], [], []], [[]]), AmfLimits(depth=2))) == 2


def test_items_are_limited_over_the_whole_call() -> None:
    limits = AmfLimits(items=6)
    assert len(decode_all(encode(1, {"a": 1, "b": 2}, [3]), limits)) == 3
    with pytest.raises(AmfError) as caught:
        decode_all(encode(1, {"a": 1, "b": 2}, [3], None), limits)
    assert caught.value.code == "amf_too_many_items"


def test_bytes_are_limited() -> None:
    raw = encode("x" * 97)
    assert len(decode_all(raw, AmfLimits(bytes=100))) == 1
    assert len(decode_all(b"\0" * 50 + raw, AmfLimits(bytes=100), offset=50)) == 1
    with pytest.raises(AmfError) as caught:
        decode_all(raw, AmfLimits(bytes=99))
    assert caught.value.code == "amf_too_large"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("0a ffffffff", "amf_truncated"),
        ("0a 00000002 05", "amf_truncated"),
        ("0a 00001001" + "05" * 0x1001, "amf_too_many_items"),
        ("0c ffffffff 78", "amf_truncated"),
        ("0f 7fffffff 78", "amf_truncated"),
    ],
)
def test_counts_and_lengths_are_not_believed(raw: str, code: str) -> None:
    with pytest.raises(AmfError) as caught:
        decode_all(bytes.fromhex(raw))
    assert caught.value.code == code


# --- encoding -----------------------------------------------------------------------------------


def test_integers_and_tuples_are_encoded_as_numbers_and_arrays() -> None:
    assert encode(15, (1, True)) == encode(15.0, [1.0, True])


def test_lone_surrogates_are_replaced() -> None:
    assert decode_all(encode("a\udcff", {"\udcff": 1})) == ["a?", {"?": 1.0}]


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        object(),
        {1, 2},
        1j,
        10**400,
        {1: "a"},
        {"x" * 65536: 1},
        {"a": [b"deep inside"]},
        Date(0.0, 10**6),
        cycle(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_amf0_can_not_say_is_misuse(value: Any) -> None:
    with pytest.raises(MisuseError):
        encode(value)


# --- properties ---------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = (
    st.none()
    | st.just(UNDEFINED)
    | st.booleans()
    | st.floats(allow_nan=False)
    | text
    | text.map(XmlDocument)
    | st.builds(Date, st.floats(allow_nan=False), st.integers(-0x8000, 0x7FFF))
)


def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(text, children, max_size=5)
    return (
        st.lists(children, max_size=5)
        | properties
        | properties.map(EcmaArray)
        | st.builds(TypedObject, text, properties)
    )


values = st.recursive(scalars, containers, max_leaves=20)


@given(st.lists(values, max_size=4))
def test_encoded_values_decode_to_themselves(originals: list[Any]) -> None:
    assert shape(decode_all(encode(*originals))) == shape(originals)


def tail(markers: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that look enough like AMF0 to get deep into the decoder."""
    pieces = st.sampled_from(markers).map(lambda marker: bytes((marker,))) | st.sampled_from(
        [b"\0\0\x09", b"\0\x01a", b"\0\0\0\x01", b"\0\0", b"\xff\xff\xff\xff", bytes(8)]
    )
    return st.lists(pieces | st.binary(max_size=4), max_size=60).map(b"".join)


@settings(max_examples=400)
@given(st.binary(max_size=200) | tail(bytes(range(18))) | st.lists(values, max_size=3).map(lambda v: encode(*v)[:-1]))
def test_any_bytes_decode_or_raise_an_amf_error(data: bytes) -> None:
    try:
        decoded = decode_all(data)
    except AmfError as error:
        assert error.code.startswith("amf_")
    else:
        spelled_out = encode(*decoded)
        assert shape(decode_all(spelled_out)) == shape(decoded)


# --- another implementation ---------------------------------------------------------------------


def from_pyamf(pyamf: Any, value: Any) -> Any:
    """A value that Py3AMF decoded, in our mapping."""
    if value is pyamf.Undefined:
        return UNDEFINED
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        return [from_pyamf(pyamf, element) for element in value]
    properties = {str(name): from_pyamf(pyamf, element) for name, element in value.items()}
    return EcmaArray(properties) if isinstance(value, pyamf.MixedArray) else properties


def to_pyamf(pyamf: Any, value: Any) -> Any:
    if value is UNDEFINED:
        return pyamf.Undefined
    if isinstance(value, list):
        return [to_pyamf(pyamf, element) for element in value]
    if isinstance(value, dict):
        properties = {name: to_pyamf(pyamf, element) for name, element in value.items()}
        return pyamf.MixedArray(properties) if isinstance(value, EcmaArray) else properties
    return value


def unordered(value: Any) -> Any:
    """As ``shape``, but without the order of properties, which Py3AMF does not keep everywhere."""
    if isinstance(value, dict):
        return type(value), {name: unordered(element) for name, element in value.items()}
    if isinstance(value, list):
        return list, [unordered(element) for element in value]
    return shape(value)


# Py3AMF turns names of digits into integers and integral numbers into int, so names are words here
# and the sign of zero is not compared.
words = st.text("abcdefghijklmnopqrstuvwxyzäöß_", min_size=1, max_size=8)
plain = (
    st.none()
    | st.just(UNDEFINED)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)
common = st.recursive(
    plain,
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(words, children, max_size=4)
        | st.dictionaries(words, children, max_size=4).map(EcmaArray)
    ),
    max_leaves=12,
)


@given(common)
def test_py3amf_reads_what_we_write(value: Any) -> None:
    pyamf = pytest.importorskip("pyamf")
    (read,) = list(pyamf.decode(encode(value), encoding=pyamf.AMF0))
    assert unordered(from_pyamf(pyamf, read)) == unordered(value)


@given(common)
def test_we_read_what_py3amf_writes(value: Any) -> None:
    pyamf = pytest.importorskip("pyamf")
    # It writes an object that occurs twice as a reference: reading it back covers those too.
    raw = pyamf.encode(to_pyamf(pyamf, [value, value]), encoding=pyamf.AMF0).getvalue()
    assert unordered(decode_all(raw)) == unordered([[value, value]])


# --- what can be read of it ---------------------------------------------------------------------

SMALL = AmfLimits(depth=3, items=20)


def test_data_within_the_limits_is_read_as_by_decode_all() -> None:
    data = encode("onMetaData", EcmaArray({"width": 64.0, "tracks": {"1": {"a": True}}}), 5.0)
    assert decode_most(data, SMALL) == (decode_all(data, SMALL), None)


@pytest.mark.parametrize(
    "surplus",
    [
        [float(i) for i in range(5000)],
        {"times": [float(i) for i in range(5000)], "positions": [0.0] * 5000},
        [{"name": "cue", "time": float(i), "parameters": {}} for i in range(40)],
        EcmaArray({f"k{i}": [None, True, "text", UNDEFINED] for i in range(30)}),
        {"a": {"b": {"c": {"d": "too deep"}}}},
        TypedObject("Cue", {f"k{i}": Date(1.0) for i in range(30)}),
        ["x" * 70_000] * 25,
    ],
    ids=["numbers", "index", "cues", "ecma", "deep", "typed", "long"],
)
def test_what_passes_a_limit_is_left_out_and_the_rest_is_read(surplus: Any) -> None:
    with pytest.raises(AmfError):
        decode_all(encode("onMetaData", {"index": surplus}), SMALL)
    data = encode("onMetaData", {"width": 640.0, "index": surplus, "height": 360.0, "title": "t"}, 7.0)
    assert decode_most(data, SMALL) == (["onMetaData", {"width": 640.0, "height": 360.0, "title": "t"}, 7.0], None)


def test_too_many_properties_are_read_as_far_as_the_limit_goes() -> None:
    (read,), error = decode_most(encode({f"p{i}": float(i) for i in range(100)}), SMALL)
    assert error is None
    assert isinstance(read, dict) and list(read) == [f"p{i}" for i in range(19)]


def test_an_object_that_cannot_be_read_to_its_end_is_read_so_far() -> None:
    data = encode("onMetaData", {"width": 640.0}).removesuffix(b"\x00\x00\x09") + b"\x00\x03odd\x11\x01"
    values, error = decode_most(data)
    assert values == ["onMetaData", {"width": 640.0}]
    assert error is not None and error.code == "amf_bad_marker"
    values, error = decode_most(encode("onMetaData", {"width": 640.0, "title": "long"})[:-5])
    assert values == ["onMetaData", {"width": 640.0}]
    assert error is not None and error.code == "amf_truncated"


def test_a_reference_to_what_was_left_out_is_an_error_of_its_own() -> None:
    data = encode("x", {"index": [None] * 30}).removesuffix(b"\x00\x00\x09") + b"\x00\x03ref\x07\x00\x01"
    values, error = decode_most(data, SMALL)
    assert values == ["x", {}]
    assert error is not None and error.code == "amf_bad_reference"


def test_the_work_on_what_is_left_out_is_bounded() -> None:
    data = encode({"a": 1.0, "index": [None] * 10_000, "b": 2.0})
    assert decode_most(data, SMALL) == ([{"a": 1.0}], None)
    many = encode({f"k{i}": [None] * 30 for i in range(100)} | {"b": 2.0})
    assert decode_most(many, SMALL) == ([{}], None)


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_reading_most_of_them_raises_nothing(data: bytes) -> None:
    values, error = decode_most(data, SMALL)
    try:
        assert shape(decode_all(data, SMALL)) == shape(values)
    except AmfError:
        assert isinstance(values, list)
    else:
        assert error is None


def test_a_reader_reads_as_many_values_as_are_wanted_or_there() -> None:
    reader = Reader(encode("one", 2.0, "three"), DEFAULT_LIMITS)
    values: list[Any] = []
    reader.read(values, 2)
    assert values == ["one", 2.0]
    reader.read(values, 2)
    assert values == ["one", 2.0]
    reader.read(values, 9)
    assert values == ["one", 2.0, "three"]
    cut_off = Reader(encode("one", "two")[:-1], DEFAULT_LIMITS)
    with pytest.raises(AmfError):
        cut_off.read(values := [], 9)
    assert values == ["one"]
    with pytest.raises(AmfError):
        Reader(bytes(11), AmfLimits(bytes=10))
