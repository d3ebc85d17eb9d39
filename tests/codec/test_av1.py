"""AV1 sequence headers: held against FFmpeg's decoder on real encodes, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import av1
from rtmpd.codec.facts import Facts
from rtmpd.errors import MediaError
from tests.codec.written import Bits
from tests.support.encodes import Video, packets_of, payloads, probed

ENCODES = [
    Video("libsvtav1", 64, 64),
    Video("libsvtav1", 66, 70),
    Video("libsvtav1", 1920, 1080, frames=1),
    Video("libsvtav1", 98, 66, pix_fmt="yuv420p10le"),
]


@pytest.mark.parametrize("video", ENCODES, ids=lambda v: f"{v.pix_fmt}-{v.resolution}")
def test_size_profile_and_level_are_what_ffmpeg_decodes(video: Video) -> None:
    facts = av1.read_config(payloads(video)[0][5:])
    context = probed(video).codec_context
    assert facts.resolution == video.resolution == f"{context.width}x{context.height}"
    assert facts.profile == context.profile.lower()
    assert facts.level == f"{2 + context.level // 4}.{context.level % 4}"
    assert facts.bit_depth == (10 if "10" in video.pix_fmt else 8)


def test_a_keyframe_repeats_the_sequence_header() -> None:
    keyframe, first = packets_of(ENCODES[1])[0]
    assert keyframe
    assert av1.read_units(first).resolution == "66x70"


# --- by hand --------------------------------------------------------------------------------------


def sequence_header(
    *, reduced: bool = False, equal: bool = True, ticks: int = 0, points: tuple[int, ...] = (5,), model: bool = False
) -> bytes:
    """A sequence header of 640 by 360 with 30 ticks per second."""
    bits = Bits().u(3, 0).u(1, reduced).u(1, reduced)
    if reduced:
        bits.u(5, points[0])
    else:
        bits.u(1, 1).u(32, 1).u(32, 30).u(1, equal)
        if equal:
            bits.ue(ticks)  # uvlc is written like ue(v)
        bits.u(1, model)
        if model:
            bits.u(5, 9).u(32, 1).u(5, 9).u(5, 9)
        bits.u(1, 1).u(5, len(points) - 1)
        for level in points:
            bits.u(12, 0).u(5, level)
            if level > 7:
                bits.u(1, 1)
            if model:
                bits.u(1, 1).u(10, 3).u(10, 4).u(1, 0)
            bits.u(1, 1).u(4, 7)
    return bits.u(4, 9).u(4, 8).u(10, 639).u(9, 359).u(8, 0).bytes()


def obu(kind: int, body: bytes, *, sized: bool = True, extension: bool = False) -> bytes:
    head = bytes([kind << 3 | extension << 2 | sized << 1]) + (b"\x08" if extension else b"")
    return head + (bytes([len(body)]) if sized else b"") + body


CONFIG = b"\x81\x09\x0c\x00"


@pytest.mark.parametrize(
    ("header", "level", "rate"),
    [
        (sequence_header(), "3.1", 30.0),
        (sequence_header(ticks=1), "3.1", 15.0),
        (sequence_header(equal=False), "3.1", None),
        (sequence_header(model=True, points=(13, 5, 9)), "5.1", 30.0),
        (sequence_header(points=(31,)), None, 30.0),
        (sequence_header(reduced=True), "3.1", None),
    ],
)
def test_what_may_stand_before_the_size_is_passed_over(header: bytes, level: str | None, rate: float | None) -> None:
    facts = av1.read_units(obu(1, header))
    assert (facts.resolution, facts.level, facts.framerate) == ("640x360", level, rate)


def test_the_sequence_header_is_found_behind_other_units_and_with_an_extension() -> None:
    data = obu(2, b"") + obu(15, b"x" * 100) + obu(1, sequence_header(), extension=True)
    assert av1.read_units(data).resolution == "640x360"
    assert av1.read_units(obu(2, b"") + obu(1, sequence_header(), sized=False)).resolution == "640x360"


def test_without_a_sequence_header_the_configuration_says_profile_and_level() -> None:
    assert av1.read_config(CONFIG) == Facts(profile="main", level="4.1", bit_depth=8)
    assert av1.read_config(b"\x80\x04" + CONFIG) == Facts(profile="main", level="4.1", bit_depth=8)
    assert av1.read_config(b"\x81\x29\x6c\x00").bit_depth == 12


def test_after_so_many_units_no_more_are_looked_at() -> None:
    assert av1.read_units(obu(2, b"") * 15 + obu(1, sequence_header())).resolution
    assert av1.read_units(obu(2, b"") * 16 + obu(1, sequence_header())) == Facts()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x09", "truncated"),
        (b"\x01" + CONFIG[1:], "version"),
        (CONFIG + obu(1, sequence_header()[:5]), "truncated"),
        (CONFIG + b"\x0a" + b"\xff" * 9, "bad_value"),
    ],
)
def test_what_can_not_be_read_says_why(data: bytes, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        av1.read_config(data)
    assert caught.value.code == code


@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    good = CONFIG + obu(1, sequence_header(model=True, points=(13, 5)))
    for data in (noise, CONFIG + noise, good[:at] + noise + good[at:]):
        for read in (av1.read_config, av1.read_units):
            try:
                facts = read(data)
            except MediaError as error:
                assert error.code in ("truncated", "bad_value", "version")
            else:
                assert facts.width is None or facts.width > 0
