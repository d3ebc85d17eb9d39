"""Data messages: the wrapper goes, everything else stays as it came."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec.metadata import (
    clears_metadata,
    data_name,
    is_metadata,
    metadata_properties,
    strip_set_data_frame,
)

VALUES = b"\x08\x00\x00\x00\x01\x00\x05width\x00\x40\x94\x00\x00\x00\x00\x00\x00\x00\x00\x09"


def amf0_string(text: str) -> bytes:
    return b"\x02" + len(text).to_bytes(2, "big") + text.encode()


def amf0_long_string(text: str) -> bytes:
    return b"\x0c" + len(text).to_bytes(4, "big") + text.encode()


BARE = amf0_string("onMetaData") + VALUES


@pytest.mark.parametrize("string", [amf0_string, amf0_long_string])
def test_set_data_frame_is_stripped_and_the_rest_is_untouched(string: Callable[[str], bytes]) -> None:
    assert strip_set_data_frame(string("@setDataFrame") + BARE) == BARE


@pytest.mark.parametrize(
    "payload",
    [
        BARE,
        b"",
        b"\x02",
        b"\x02\x00",
        b"\x02\x00\x0d@setDataFram",
        b"\x00\x40\x00\x00\x00\x00\x00\x00\x00",
        amf0_string("@setDataFrames") + BARE,
        amf0_string("onTextData") + VALUES,
        amf0_string("|RtmpSampleAccess") + b"\x01\x01\x01\x01",
        BARE + amf0_string("@setDataFrame"),
    ],
)
def test_everything_else_passes_unchanged(payload: bytes) -> None:
    assert strip_set_data_frame(payload) is payload


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (BARE, "onMetaData"),
        (amf0_string("@setDataFrame") + BARE, "@setDataFrame"),
        (amf0_long_string("onCuePoint"), "onCuePoint"),
        (amf0_string(""), ""),
        (b"\x02\x00\x02\xff\xfe", "\ufffd\ufffd"),
        (b"\x02\x00\x05abcd", ""),
        (b"\x0c\x00\x00", ""),
        (b"\x05", ""),
        (b"", ""),
    ],
)
def test_the_name_is_the_first_string(payload: bytes, name: str) -> None:
    assert data_name(payload) == name


def test_metadata_is_recognised_wrapped_and_bare() -> None:
    assert is_metadata(BARE)
    assert is_metadata(amf0_string("@setDataFrame") + BARE)
    assert not is_metadata(amf0_string("@setDataFrame") + amf0_string("onTextData") + VALUES)
    assert not is_metadata(amf0_string("@setDataFrame"))
    assert not is_metadata(amf0_string("@clearDataFrame") + amf0_string("onMetaData"))
    assert not is_metadata(amf0_string("onCuePoint") + VALUES)


def test_clear_data_frame_clears_only_what_it_names() -> None:
    assert clears_metadata(amf0_string("@clearDataFrame") + amf0_string("onMetaData"))
    assert not clears_metadata(amf0_string("@clearDataFrame") + amf0_string("onTextData"))
    assert not clears_metadata(amf0_string("@clearDataFrame"))
    assert not clears_metadata(BARE)


@pytest.mark.parametrize(
    ("values", "properties"),
    [
        (["@setDataFrame", "onMetaData", {"width": 1280.0}], {"width": 1280.0}),
        (["onMetaData", {"width": 1280.0}], {"width": 1280.0}),
        (["onMetaData", {}], {}),
        (["onMetaData"], None),
        (["onMetaData", None], None),
        (["onTextData", {"text": "x"}], None),
        (["@setDataFrame"], None),
        ([{"width": 1280.0}], None),
        ([], None),
    ],
)
def test_the_properties_of_decoded_metadata(values: list[object], properties: dict[str, object] | None) -> None:
    assert metadata_properties(values) == properties


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda tail: b"\x02\x00\x0d@setDataFrame" + tail)))
def test_no_bytes_make_them_raise_and_at_most_one_wrapper_goes(payload: bytes) -> None:
    stripped = strip_set_data_frame(payload)
    assert payload.endswith(stripped)
    assert len(payload) - len(stripped) in (0, 16, 18)
    assert isinstance(data_name(payload), str)
    assert not (is_metadata(payload) and clears_metadata(payload))
