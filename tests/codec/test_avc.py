"""H.264 headers: held against FFmpeg's decoder on real encodes, and by hand where no encoder goes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import avc
from rtmpd.codec.bits import MAX_HEADER_BYTES, BitReader
from rtmpd.codec.facts import Facts
from rtmpd.errors import MediaError
from tests.codec.written import Bits
from tests.support.encodes import Video, payloads, probed

INTERLACED = (("flags", "+ildct+ilme"), ("x264-params", "tff=1"))
ENCODES = [
    Video("libx264", options=(("profile", "baseline"),)),
    Video("libx264", 66, 38, options=(("profile", "main"), ("preset", "veryfast"))),
    Video("libx264", 1920, 1080, Fraction(30000, 1001), options=(("preset", "veryfast"),), frames=1),
    Video("libx264", 98, 54, Fraction(60), options=(("x264-params", "cqm=jvt:8x8dct=1"), ("preset", "veryfast"))),
    Video("libx264", 64, 36, options=INTERLACED),
    Video("libx264", 720, 576, options=(*INTERLACED, ("level", "3.1")), frames=1),
    Video("libx264", 66, 38, pix_fmt="yuv420p10le"),
    Video("libx264", 66, 37, pix_fmt="yuv422p"),
    Video("libx264", 65, 37, pix_fmt="yuv444p"),
    Video("libx264", 65, 37, pix_fmt="yuv444p", options=(("x264-params", "cqm=jvt:8x8dct=1"), ("preset", "veryfast"))),
    Video("libx264", 66, 38, pix_fmt="gray"),
    Video("libx264", 66, 38, pix_fmt="yuv422p10le", options=(("x264-params", "keyint=1"),)),
    Video("libx264", options=(("level", "5.2"),)),
    Video("libx264", 176, 144, Fraction(15), options=(("level", "1b"), ("profile", "baseline"))),
]


def sps_of(payload: bytes) -> bytes:
    """The SPS in a legacy sequence header."""
    return payload[13 : 13 + int.from_bytes(payload[11:13], "big")]


@pytest.mark.parametrize("video", ENCODES, ids=lambda v: f"{v.pix_fmt}-{v.resolution}-{len(v.options)}")
def test_size_profile_level_and_frame_rate_are_what_ffmpeg_decodes(video: Video) -> None:
    header = payloads(video)[0]
    facts = avc.read_config(header[5:])
    context = probed(video).codec_context
    assert facts.resolution == video.resolution == f"{context.width}x{context.height}"
    assert facts.profile == context.profile.lower()
    if ("level", "1b") in video.options:  # FFmpeg shows the number alone, which is that of level 1.1
        assert (facts.level, context.level) == ("1b", 11)
    else:
        assert facts.level == f"{context.level / 10:.1f}"
    assert facts.framerate == pytest.approx(float(video.rate), abs=0.001)
    assert facts.bit_depth == (10 if "10" in video.pix_fmt else 8)


def test_the_sample_aspect_ratio_is_read_coded_and_written_out() -> None:
    for ratio in ((4, 3), (10, 11), (7, 5)):
        video = Video("libx264", options=(("x264-params", f"sar={ratio[0]}/{ratio[1]}"),))
        assert avc.read_config(payloads(video)[0][5:]).sample_aspect_ratio == ratio
        assert probed(video).codec_context.sample_aspect_ratio == Fraction(*ratio)


# --- by hand --------------------------------------------------------------------------------------


def written_sps(
    profile: int = 66,
    constraints: int = 0,
    level: int = 30,
    *,
    chroma: int = 1,
    separate: int = 0,
    scaling: Bits | None = None,
    order: Bits | None = None,
    crop: tuple[int, int, int, int] | None = None,
    frames_only: bool = True,
    vui: Bits | None = None,
) -> bytes:
    """An SPS of 4 by 3 macroblocks."""
    bits = Bits().u(8, 0x67).u(8, profile).u(8, constraints).u(8, level).ue(0)
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        bits.ue(chroma)
        if chroma == 3:
            bits.u(1, separate)
        bits.ue(0).ue(0).u(1, 0)
        bits.u(1, scaling is not None).add(scaling)
    bits.ue(0).add(order or Bits().ue(2)).ue(1).u(1, 0)
    bits.ue(3).ue(2).u(1, frames_only)
    if not frames_only:
        bits.u(1, 0)
    bits.u(1, 1).u(1, crop is not None)
    for edge in crop or ():
        bits.ue(edge)
    return bits.u(1, vui is not None).add(vui).nal()


@pytest.mark.parametrize("profile", [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])
def test_every_profile_with_colours_in_its_sps_is_read(profile: int) -> None:
    facts = avc.read_sps(written_sps(profile))
    assert facts.resolution == "64x48"
    assert facts.profile


@pytest.mark.parametrize(
    ("profile", "constraints", "name"),
    [
        (66, 0, "baseline"),
        (66, 0x40, "constrained baseline"),
        (77, 0x40, "main"),
        (88, 0, "extended"),
        (100, 0, "high"),
        (100, 0x08, "progressive high"),
        (100, 0x0C, "constrained high"),
        (110, 0x10, "high 10 intra"),
        (144, 0, "high 4:4:4"),
        (44, 0, "cavlc 4:4:4 intra"),
        (118, 0, "multiview high"),
        (7, 0, None),
    ],
)
def test_profiles_are_told_apart_by_their_constraint_flags(profile: int, constraints: int, name: str | None) -> None:
    assert avc.profile_name(profile, constraints) == name


@pytest.mark.parametrize(
    ("profile", "constraints", "level", "name"),
    [(66, 0x10, 11, "1b"), (100, 0x10, 11, "1.1"), (100, 0, 9, "1b"), (66, 0, 10, "1.0"), (100, 0, 62, "6.2"),
     (77, 0, 0, None)],
)  # fmt: skip
def test_level_1b_has_two_spellings(profile: int, constraints: int, level: int, name: str | None) -> None:
    assert avc.level_name(profile, constraints, level) == name


@pytest.mark.parametrize(
    ("chroma", "separate", "frames_only", "resolution"),
    [
        (0, 0, True, "61x41"),
        (1, 0, True, "58x34"),
        (2, 0, True, "58x41"),
        (3, 0, True, "61x41"),
        (3, 1, True, "61x41"),
        (1, 0, False, "58x68"),
        (0, 0, False, "61x82"),
    ],
)
def test_cropping_counts_in_chroma_samples_and_field_lines(
    chroma: int, separate: int, frames_only: bool, resolution: str
) -> None:
    sps = written_sps(244, chroma=chroma, separate=separate, crop=(1, 2, 3, 4), frames_only=frames_only)
    assert avc.read_sps(sps).resolution == resolution


def test_scaling_lists_are_passed_over_also_where_they_end_early() -> None:
    full = Bits().u(1, 1)
    for _ in range(16):
        full.se(1)
    early = Bits().u(1, 1).se(-8)
    lists = Bits().add(full).add(early)
    for _ in range(6):
        lists.u(1, 0)
    assert avc.read_sps(written_sps(100, scaling=lists)).resolution == "64x48"


def test_the_picture_order_of_type_1_is_passed_over() -> None:
    order = Bits().ue(1).u(1, 0).se(-3).se(4).ue(3).se(1).se(-1).se(2)
    assert avc.read_sps(written_sps(order=order)).resolution == "64x48"


def timing(units: int, scale: int) -> Bits:
    return Bits().u(1, 0).u(1, 0).u(1, 0).u(1, 0).u(1, 1).u(32, units).u(32, scale).u(1, 1)


@pytest.mark.parametrize(
    ("units", "scale", "rate"), [(1, 50, 25.0), (1001, 60000, 29.97), (0, 50, None), (1, 0, None), (1, 180000, None)]
)
def test_a_frame_rate_that_can_not_be_meant_is_not_told(units: int, scale: int, rate: float | None) -> None:
    assert avc.read_sps(written_sps(vui=timing(units, scale))).framerate == rate


def test_a_vui_that_is_cut_off_costs_only_itself() -> None:
    sps = written_sps(vui=timing(1, 50))
    facts = avc.read_sps(sps[:-6])
    assert (facts.resolution, facts.framerate) == ("64x48", None)


def test_an_emulation_prevention_byte_is_no_part_of_the_numbers() -> None:
    sps = written_sps(vui=timing(1, 50))
    assert b"\x00\x00\x03" in sps
    assert avc.read_sps(sps).framerate == 25.0


def config(*sps: bytes, version: int = 1) -> bytes:
    sets = b"".join(len(one).to_bytes(2, "big") + one for one in sps)
    return bytes([version, 100, 0, 31, 0xFF, 0xE0 | len(sps)]) + sets


def test_a_configuration_without_sps_still_says_profile_and_level() -> None:
    assert avc.read_config(config()) == Facts(profile="high", level="3.1")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "truncated"),
        (b"\x01\x64\x00", "truncated"),
        (config(version=0), "version"),
        (config(written_sps())[:-3], "truncated"),
        (config(b"\x68\x01\x02"), "nal_type"),
        (config(b""), "nal_type"),
        (config(written_sps()[:6]), "truncated"),
        (config(written_sps(crop=(20, 20, 0, 0))), "bad_value"),
        (config(Bits().u(8, 0x67).u(24, 0x42001E).ue(32).nal()), "bad_value"),
    ],
)
def test_what_can_not_be_read_says_why(data: bytes, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        avc.read_config(data)
    assert caught.value.code == code


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    good = config(written_sps(244, vui=timing(1, 50)))
    for data in (noise, config(b"\x67" + noise), good[:at] + noise + good[at:]):
        try:
            facts = avc.read_config(data)
        except MediaError as error:
            assert error.code in ("truncated", "bad_value", "version", "nal_type")
        else:
            assert facts.width is None or facts.width > 0


def test_of_a_huge_sps_only_the_beginning_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    class Spy(BitReader):
        def __init__(self, data: bytes, offset_bytes: int = 0) -> None:
            lengths.append(len(data))
            super().__init__(data, offset_bytes)

    monkeypatch.setattr(avc, "BitReader", Spy)
    assert avc.read_sps(written_sps() + bytes(1 << 20)).resolution == "64x48"
    assert lengths == [MAX_HEADER_BYTES]
