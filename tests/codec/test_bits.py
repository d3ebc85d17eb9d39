"""Numbers made of bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec.bits import MAX_HEADER_BYTES, BitReader, unescaped
from rtmpd.errors import MediaError
from tests.codec.written import Bits


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, (1 << 40) - 1)), max_size=30))
def test_numbers_of_any_width_come_back(pairs: list[tuple[int, int]]) -> None:
    bits = Bits()
    for width, value in pairs:
        bits.u(width, value & ((1 << width) - 1))
    reader = BitReader(b"\xaa" + bits.bytes(), 1)
    assert [reader.read(width) for width, _ in pairs] == [value & ((1 << width) - 1) for width, value in pairs]
    assert reader.left < 8


@given(st.lists(st.integers(-(1 << 30), 1 << 30), max_size=30))
def test_golomb_numbers_come_back(values: list[int]) -> None:
    bits = Bits()
    for value in values:
        bits.se(value).ue(abs(value))
    reader = BitReader(bits.bytes())
    for value in values:
        assert reader.signed_golomb() == value
        assert reader.unsigned_golomb() == abs(value)


@given(st.binary(max_size=60))
def test_a_nal_unit_comes_back_without_its_escapes(body: bytes) -> None:
    bits = Bits()
    for byte in body:
        bits.u(8, byte)
    assert unescaped(bits.nal()) == body + b"\x80"


def test_only_the_beginning_of_a_nal_unit_is_kept() -> None:
    assert len(unescaped(b"\x67" * 10_000)) == MAX_HEADER_BYTES


@pytest.mark.parametrize("method", ["unsigned_golomb", "signed_golomb", "uvlc", "leb128", "flag"])
def test_the_end_of_the_data_is_an_error(method: str) -> None:
    with pytest.raises(MediaError) as caught:
        getattr(BitReader(b""), method)()
    assert caught.value.code == "truncated"
    with pytest.raises(MediaError):
        BitReader(b"\x00").skip(9)


def test_numbers_without_an_end_are_refused() -> None:
    for method, data in (("unsigned_golomb", bytes(16)), ("uvlc", bytes(16)), ("leb128", b"\xff" * 16)):
        with pytest.raises(MediaError) as caught:
            getattr(BitReader(data), method)()
        assert caught.value.code == "bad_value"


def test_a_number_over_its_limit_is_refused() -> None:
    data = Bits().ue(32).bytes()
    assert BitReader(data).unsigned_golomb(32) == 32
    with pytest.raises(MediaError):
        BitReader(data).unsigned_golomb(31)


@pytest.mark.parametrize(("data", "value"), [(b"\x05", 5), (b"\xe5\x8e\x26", 624485), (b"\x80\x00", 0)])
def test_leb128(data: bytes, value: int) -> None:
    assert BitReader(data).leb128() == value


def test_uvlc_of_32_zeros_is_the_largest_number() -> None:
    assert BitReader(bytes(4) + b"\x80").uvlc() == (1 << 32) - 1
    assert BitReader(b"\x28").uvlc() == 4
