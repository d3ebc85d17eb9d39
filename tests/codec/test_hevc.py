"""H.265 headers: held against FFmpeg's decoder on real encodes, and by hand where no encoder goes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import hevc
from rtmpd.errors import MediaError
from tests.codec.written import Bits
from tests.support.encodes import Video, payloads, probed


def x265(params: str) -> tuple[tuple[str, str], ...]:
    return (("x265-params", params),)


ENCODES = [
    Video("libx265", 64, 64),
    Video("libx265", 66, 38, Fraction(30000, 1001)),
    Video("libx265", 1920, 1080, Fraction(50), frames=1),
    Video("libx265", 66, 38, pix_fmt="yuv420p10le"),
    Video("libx265", 66, 37, pix_fmt="yuv422p10le"),
    Video("libx265", 65, 37, pix_fmt="yuv444p"),
    Video("libx265", 66, 38, pix_fmt="gray"),
    Video("libx265", 66, 38, options=x265("scaling-list=default")),
    Video("libx265", 66, 38, options=x265("temporal-layers=3:b-adapt=0:bframes=4"), frames=12),
    Video("libx265", 66, 38, options=x265("level-idc=51:high-tier=1")),
    Video("libx265", 66, 38, options=x265("ref=5:bframes=4:rc-lookahead=10"), frames=12),
    Video("libx265", 66, 38, options=(*x265("keyint=1"), ("preset", "veryslow"))),
]


@pytest.mark.parametrize("video", ENCODES, ids=lambda v: f"{v.pix_fmt}-{v.resolution}-{dict(v.options)}")
def test_size_profile_level_and_frame_rate_are_what_ffmpeg_decodes(video: Video) -> None:
    facts = hevc.read_config(payloads(video)[0][5:])
    context = probed(video).codec_context
    assert facts.resolution == video.resolution == f"{context.width}x{context.height}"
    assert facts.profile == context.profile.lower()
    assert facts.level == f"{context.level / 30:.1f}"
    assert facts.framerate == pytest.approx(float(video.rate), abs=0.001)
    assert facts.bit_depth == (10 if "10" in video.pix_fmt else 8)


def test_the_sample_aspect_ratio_is_read() -> None:
    video = Video("libx265", options=x265("sar=7"))
    assert hevc.read_config(payloads(video)[0][5:]).sample_aspect_ratio == (20, 11)


# --- by hand --------------------------------------------------------------------------------------


def written_sps(
    *,
    sub_layers: int = 0,
    chroma: int = 1,
    window: tuple[int, int, int, int] | None = None,
    scaling: Bits | None = None,
    references: Bits | None = None,
    size: tuple[int, int] = (64, 48),
    rate: int = 30,
) -> bytes:
    """An SPS with PCM, long-term references and a VUI with everything before the timing."""
    bits = Bits().u(16, 0x4201).u(4, 0).u(3, sub_layers).u(1, 1)
    bits.u(3, 0).u(5, 2).u(32, 0).u(48, 0).u(8, 93)
    for layer in range(sub_layers):
        bits.u(1, layer % 2).u(1, 1)
    if sub_layers:
        bits.u(2 * (8 - sub_layers), 0)
    for layer in range(sub_layers):
        bits.u(88 * (layer % 2) + 8, 0)
    bits.ue(0).ue(chroma)
    if chroma == 3:
        bits.u(1, 0)
    bits.ue(size[0]).ue(size[1]).u(1, window is not None)
    for edge in window or ():
        bits.ue(edge)
    bits.ue(0).ue(0).ue(4).u(1, 0).ue(1).ue(2).ue(3)
    for value in (0, 1, 0, 1, 2, 2):
        bits.ue(value)
    bits.u(1, scaling is not None)
    if scaling:
        bits.u(1, 1).add(scaling)
    bits.u(2, 3).u(1, 1).u(8, 0x77).ue(0).ue(1).u(1, 0)
    bits.add(references or Bits().ue(0))
    bits.u(1, 1).ue(2).u(9, 5).u(9, 6)
    bits.u(2, 3).u(1, 1)
    bits.u(1, 1).u(8, 255).u(16, 4).u(16, 3)
    bits.u(1, 1).u(1, 0).u(1, 1).u(4, 5).u(1, 1).u(24, 0x010101).u(1, 1).ue(2).ue(2)
    bits.u(3, 0).u(1, 1).ue(0).ue(0).ue(0).ue(0)
    return bits.u(1, 1).u(32, 1).u(32, rate).u(1, 0).nal()


def test_everything_that_may_stand_before_the_timing_is_passed_over() -> None:
    facts = hevc.read_sps(written_sps())
    assert (facts.profile, facts.level, facts.resolution) == ("main 10", "3.1", "64x48")
    assert (facts.framerate, facts.sample_aspect_ratio) == (30.0, (4, 3))


@pytest.mark.parametrize("sub_layers", range(7))
def test_sub_layers_are_passed_over(sub_layers: int) -> None:
    assert hevc.read_sps(written_sps(sub_layers=sub_layers)).framerate == 30.0


@pytest.mark.parametrize(
    ("chroma", "resolution"), [(0, "61x41"), (1, "58x34"), (2, "58x41"), (3, "61x41")]
)
def test_the_conformance_window_counts_in_chroma_samples(chroma: int, resolution: str) -> None:
    assert hevc.read_sps(written_sps(chroma=chroma, window=(1, 2, 3, 4))).resolution == resolution


def test_scaling_lists_are_passed_over() -> None:
    lists = Bits()
    for size in range(4):
        for matrix in range(2 if size == 3 else 6):
            if matrix == 1:
                lists.u(1, 0).ue(1)
                continue
            lists.u(1, 1)
            for _ in range(min(64, 1 << (4 + 2 * size)) + (size > 1)):
                lists.se(-1)
    assert hevc.read_sps(written_sps(scaling=lists)).framerate == 30.0


def test_predicted_reference_sets_have_the_length_of_the_set_before() -> None:
    sets = Bits().ue(3)
    sets.ue(2).ue(1).ue(0).u(1, 1).ue(1).u(1, 1).ue(0).u(1, 1)  # -1, -3, +1
    sets.u(1, 1).u(1, 1).ue(0)  # predicted, moved by -1: of -1, -3, +1 and itself one becomes 0 and goes
    sets.u(1, 1).u(1, 1).u(1, 1).u(1, 1)
    sets.u(1, 1).u(1, 0).ue(1)  # predicted from -1, -2, -4, moved by +2
    sets.u(1, 1).u(1, 0).u(1, 1).u(2, 0).u(1, 1)
    assert hevc.read_sps(written_sps(references=sets)).framerate == 30.0


def config(*nals: bytes, average_rate: int = 0) -> bytes:
    head = bytes([1, 2]) + bytes(10) + bytes([120]) + bytes(4) + b"\xfa\xf8" + average_rate.to_bytes(2, "big") + b"\x0f"
    arrays = b"".join(b"\x21\x00\x01" + len(nal).to_bytes(2, "big") + nal for nal in nals)
    return head + b"\x00" * (22 - len(head)) + bytes([len(nals)]) + arrays


def test_a_configuration_without_sps_says_what_it_can() -> None:
    facts = hevc.read_config(config(average_rate=25 * 256))
    assert (facts.profile, facts.level, facts.framerate, facts.resolution) == ("main 10", "4.0", 25.0, None)


def test_the_sps_is_found_behind_other_parameter_sets() -> None:
    assert hevc.read_config(config(b"\x40\x01\x0c", b"", written_sps(rate=60))).framerate == 60.0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x01\x02", "truncated"),
        (b"\x07" + config()[1:], "version"),
        (config(written_sps())[:-2], "truncated"),
        (config(written_sps()[:9]), "truncated"),
        (config(written_sps(window=(40, 0, 0, 0))), "bad_value"),
        (config(written_sps(size=(0, 48))), "bad_value"),
    ],
)
def test_what_can_not_be_read_says_why(data: bytes, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        hevc.read_config(data)
    assert caught.value.code == code


def test_a_broken_end_costs_only_the_frame_rate() -> None:
    facts = hevc.read_sps(written_sps(references=Bits().ue(60)))
    assert (facts.resolution, facts.framerate) == ("64x48", None)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    good = config(written_sps(sub_layers=2))
    for data in (noise, config(b"\x42\x01" + noise), good[:at] + noise + good[at:]):
        try:
            facts = hevc.read_config(data)
        except MediaError as error:
            assert error.code in ("truncated", "bad_value", "version", "nal_type")
        else:
            assert facts.width is None or facts.width > 0
