"""The VVC configuration, which no encoder at hand writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import vvc
from rtmpd.codec.facts import Facts
from rtmpd.errors import MediaError
from tests.codec.written import Bits


def config(
    *, sub_layers: int = 1, present: int = 0, constraint_bytes: int = 1, sub_profiles: int = 0, level: int = 67
) -> bytes:
    bits = Bits().u(5, 31).u(2, 3).u(1, 1)
    bits.u(9, 0).u(3, sub_layers).u(2, 0).u(2, 1).u(3, 2).u(5, 31)
    bits.u(2, 0).u(6, constraint_bytes).u(7, 1).u(1, 0).u(8, level).u(8 * constraint_bytes, 0)
    if sub_layers > 1:
        flags = sub_layers - 1
        bits.u(flags, present).u(8 - flags, 0)
        bits.u(8 * present.bit_count(), 0)
    bits.u(8, sub_profiles).u(32 * sub_profiles, 0)
    return bits.u(16, 1920).u(16, 1080).u(16, 50 * 256).u(8, 0).bytes()


WHOLE = Facts(profile="main 10", level="4.1", width=1920, height=1080, framerate=50.0, bit_depth=10)


@pytest.mark.parametrize(
    "data",
    [
        config(),
        config(constraint_bytes=12),
        config(sub_layers=3, present=0b00),
        config(sub_layers=3, present=0b10),
        config(sub_layers=7, present=0b101011),
        config(sub_profiles=3),
        bytes(4) + config(),
    ],
)
def test_profile_level_size_and_rate(data: bytes) -> None:
    assert vvc.read_config(data) == WHOLE


@pytest.mark.parametrize(("level", "name"), [(16, "1.0"), (35, "2.1"), (51, "3.1"), (86, "5.2"), (0, None)])
def test_level_names(level: int, name: str | None) -> None:
    assert vvc.read_config(config(level=level)).level == name


def test_a_configuration_without_profile_says_nothing() -> None:
    assert vvc.read_config(b"\xfe\x00") == Facts()


@pytest.mark.parametrize(("data", "code"), [(b"", "truncated"), (b"\x01\x02", "version"), (config()[:9], "truncated")])
def test_what_can_not_be_read_says_why(data: bytes, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        vvc.read_config(data)
    assert caught.value.code == code


@given(st.binary(max_size=100), st.integers(0, 20))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    good = config(sub_layers=3, present=1)
    for data in (noise, b"\xff" + noise, good[:at] + noise + good[at:]):
        try:
            vvc.read_config(data)
        except MediaError as error:
            assert error.code in ("truncated", "version")
