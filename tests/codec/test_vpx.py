"""VP8 and VP9 headers: held against FFmpeg's decoder on real encodes, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import vpx
from rtmpd.codec.facts import Facts
from rtmpd.errors import MediaError
from tests.codec.written import Bits
from tests.support.encodes import Video, packets_of, payloads, probed

VP9 = [
    Video("libvpx-vp9", 64, 64),
    Video("libvpx-vp9", 65, 37),
    Video("libvpx-vp9", 1920, 1080, frames=1),
    Video("libvpx-vp9", 65, 37, pix_fmt="yuv444p"),
    Video("libvpx-vp9", 65, 37, pix_fmt="gbrp"),
]


@pytest.mark.parametrize("video", VP9, ids=lambda v: f"{v.pix_fmt}-{v.resolution}")
def test_vp9_keyframes_and_configuration_say_what_ffmpeg_decodes(video: Video) -> None:
    sent = payloads(video)
    context = probed(video).codec_context
    frame = vpx.read_vp9_frame(next(payload for payload in sent if payload[0] == 0x91)[5:])
    config = vpx.read_config(sent[0][5:])
    assert frame.resolution == video.resolution == f"{context.width}x{context.height}"
    assert frame.profile == config.profile == context.profile.lower()
    assert (frame.bit_depth, config.bit_depth) == (8, 8)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 37), (1280, 720)])
def test_vp8_keyframes_say_the_size(width: int, height: int) -> None:
    packets = packets_of(Video("libvpx", width, height))
    for keyframe, data in packets:
        if keyframe:
            assert vpx.read_vp8_frame(data).resolution == f"{width}x{height}"
        else:
            with pytest.raises(MediaError):
                vpx.read_vp8_frame(data)
    assert packets[0][0] and not packets[-1][0]


def test_vp9_interframes_are_no_keyframes() -> None:
    packets = packets_of(Video("libvpx-vp9", 64, 64))
    for keyframe, data in packets[1:]:
        assert not keyframe
        with pytest.raises(MediaError) as caught:
            vpx.read_vp9_frame(data)
        assert caught.value.code == "not_a_keyframe"


# --- by hand --------------------------------------------------------------------------------------


def test_the_scaling_hint_of_vp8_is_no_part_of_the_size() -> None:
    data = b"\x50\x00\x00\x9d\x01\x2a" + (640 | 1 << 14).to_bytes(2, "little") + (360 | 3 << 14).to_bytes(2, "little")
    assert vpx.read_vp8_frame(data) == Facts(profile="profile 0", width=640, height=360)


def test_the_configuration_may_have_the_head_of_its_box_or_not() -> None:
    record = bytes([2, 31, 0xA0, 1, 1, 1, 0, 0])
    for data in (record, b"\x01\x00\x00\x00" + record):
        assert vpx.read_config(data) == Facts(profile="profile 2", level="3.1", bit_depth=10)
    assert vpx.read_config(bytes([1, 0, 0, 0, 0, 0, 0, 0])) == Facts(profile="profile 1")


def test_a_vp9_frame_of_profile_3_has_one_more_bit() -> None:
    bits = Bits().u(2, 2).u(1, 1).u(1, 1).u(1, 0).u(1, 0).u(1, 0).u(2, 2).u(24, 0x498342)
    bits.u(1, 1).u(3, 2).u(4, 0).u(16, 319).u(16, 239)
    facts = vpx.read_vp9_frame(bits.bytes())
    assert (facts.profile, facts.resolution, facts.bit_depth) == ("profile 3", "320x240", 12)


def test_a_vp9_frame_of_profile_2_says_ten_or_twelve_bits() -> None:
    for flag, depth in ((0, 10), (1, 12)):
        bits = Bits().u(2, 2).u(1, 0).u(1, 1).u(1, 0).u(1, 0).u(2, 2).u(24, 0x498342)
        bits.u(1, flag).u(3, 2).u(1, 0).u(16, 1919).u(16, 1079)
        facts = vpx.read_vp9_frame(bits.bytes())
        assert (facts.profile, facts.resolution, facts.bit_depth) == ("profile 2", "1920x1080", depth)


@given(st.binary(max_size=40), st.integers(0, 20))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    seeds = (b"\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00", bytes.fromhex("824983420003f003f0"), bytes(12), b"")
    for seed in seeds:
        for read in (vpx.read_config, vpx.read_vp8_frame, vpx.read_vp9_frame):
            try:
                facts = read(seed[:at] + noise + seed[at:])
            except MediaError as error:
                assert error.code in ("truncated", "not_a_keyframe")
            else:
                assert facts.width is None or facts.width > 0
