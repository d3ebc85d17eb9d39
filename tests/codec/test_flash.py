"""The sizes in frames of the codecs of Flash Player."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import flash
from rtmpd.codec.facts import Facts
from rtmpd.errors import MediaError
from tests.codec.written import Bits
from tests.support.encodes import Video, payloads, probed


@pytest.mark.parametrize(
    ("read", "video"),
    [
        (flash.read_sorenson, Video("flv1", 352, 288)),
        (flash.read_sorenson, Video("flv1", 176, 144)),
        (flash.read_sorenson, Video("flv1", 320, 240)),
        (flash.read_sorenson, Video("flv1", 200, 100)),
        (flash.read_sorenson, Video("flv1", 640, 360)),
        (flash.read_screen, Video("flashsv", 66, 38, pix_fmt="bgr24")),
        (flash.read_screen, Video("flashsv2", 800, 601, pix_fmt="bgr24")),
    ],
    ids=lambda v: v.resolution if isinstance(v, Video) else v.__name__,
)
def test_frames_say_the_size_that_ffmpeg_decodes(read: Callable[[bytes], Facts], video: Video) -> None:
    context = probed(video).codec_context
    assert read(payloads(video)[0][1:]).resolution == video.resolution == f"{context.width}x{context.height}"


def vp6(*, alpha: bool, interframe: int = 0, separate: int = 0, profile: int = 3) -> bytes:
    """The start of a picture of 45 by 80 macroblocks, less 5 and 3 pixels."""
    bits = Bits().u(4, 5).u(4, 3)
    if alpha:
        bits.u(24, 1000)
    bits.u(1, interframe).u(6, 20).u(1, separate).u(5, 8).u(2, profile).u(1, 0)
    if separate or not profile:
        bits.u(16, 40)
    return bits.u(8, 45).u(8, 80).u(16, 0).bytes()


@pytest.mark.parametrize(("separate", "profile"), [(0, 3), (1, 3), (0, 0)])
def test_vp6_counts_macroblocks_and_takes_pixels_off(separate: int, profile: int) -> None:
    for alpha, read in ((False, flash.read_vp6), (True, flash.read_vp6_alpha)):
        assert read(vp6(alpha=alpha, separate=separate, profile=profile)).resolution == "1275x717"
        with pytest.raises(MediaError):
            read(vp6(alpha=alpha, interframe=1))


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(noise: bytes) -> None:
    for read in (flash.read_sorenson, flash.read_screen, flash.read_vp6, flash.read_vp6_alpha):
        for data in (noise, b"\x00\x00\x84" + noise):
            try:
                facts = read(data)
            except MediaError as error:
                assert error.code in ("truncated", "bad_value", "not_a_keyframe")
            else:
                assert facts.width is None or facts.width > 0


@given(st.integers(0, 15), st.sampled_from([5512, 11025, 22050, 44100]), st.sampled_from([8, 16]), st.integers(1, 2))
def test_a_sound_is_never_of_nothing(sound_format: int, rate_hz: int, sample_bits: int, channels: int) -> None:
    facts = flash.sound_facts(sound_format, rate_hz, sample_bits, channels)
    assert sound_format == 10 or (facts.sample_rate_hz and (facts.channels or sound_format == 13))
