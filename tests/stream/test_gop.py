"""The GOP cache: what a late joiner is given, and what is given up for its bounds."""

from __future__ import annotations

import pytest

from rtmpd.codec.classify import DATA, HEADER, classify
from rtmpd.protocol.constants import AUDIO, DATA_AMF0, VIDEO
from rtmpd.stream.frame import FRAME_BYTES, Frame
from rtmpd.stream.gop import GopCache
from tests.support.streams import AAC_HEADER, AVC_HEADER, METADATA, audio, inter, key

HEVC_HEADER = b"\x90hvc1\x01\x02"


def frame(payload: bytes, timestamp: int = 0) -> Frame:
    type_id = VIDEO if payload[0] in (0x17, 0x27, 0x57, 0x90, 0x91) else AUDIO
    return Frame(type_id, payload, timestamp, classify(type_id, payload))


def cache(limit_bytes: int = 10_000, limit_frames: int = 100, enabled: bool = True) -> GopCache:
    return GopCache(enabled, limit_bytes, limit_frames)


def filled(gop: GopCache, *payloads: bytes) -> GopCache:
    for number, payload in enumerate(payloads):
        gop.add(frame(payload, number * 20))
    return gop


def given(gop: GopCache, now: int = 0) -> list[bytes]:
    return [each.payload for each in gop.joining(now)]


def test_a_joiner_gets_metadata_then_headers_then_the_pictures_since_the_keyframe() -> None:
    gop = filled(cache(), AVC_HEADER, AAC_HEADER, key(b"old"), inter(b"old"), key(b"1"), audio(b"2"), inter(b"3"))
    gop.set_metadata(Frame(DATA_AMF0, METADATA, 0, DATA | HEADER))
    assert given(gop) == [METADATA, AVC_HEADER, AAC_HEADER, key(b"1"), audio(b"2"), inter(b"3")]


def test_the_headers_carry_the_time_of_the_first_picture() -> None:
    gop = filled(cache(), AVC_HEADER, AAC_HEADER, audio(), key(), inter())
    assert [each.timestamp for each in gop.joining(5000)] == [60, 60, 60, 80]


def test_metadata_keeps_its_own_time_which_is_0() -> None:
    gop = filled(cache(), AVC_HEADER, audio(), key())
    gop.set_metadata(Frame(DATA_AMF0, METADATA, 0, DATA | HEADER))
    assert [each.timestamp for each in gop.joining(5000)] == [0, 40, 40]


def test_without_pictures_the_headers_carry_the_time_of_the_stream() -> None:
    gop = filled(cache(), AAC_HEADER, audio(), audio())
    assert [(each.payload, each.timestamp) for each in gop.joining(5000)] == [(AAC_HEADER, 5000)]


def test_a_header_is_replaced_by_its_successor_and_the_others_stay() -> None:
    gop = filled(cache(), AVC_HEADER, AAC_HEADER, AVC_HEADER + b"new")
    assert given(gop) == [AAC_HEADER, AVC_HEADER + b"new"]


def test_pictures_of_another_header_are_forgotten() -> None:
    gop = filled(cache(), AVC_HEADER, key(b"1"), inter(b"2"), AVC_HEADER + b"new")
    assert given(gop) == [AVC_HEADER + b"new"]
    assert gop.has_video


def test_pictures_stay_if_the_same_header_comes_again() -> None:
    gop = filled(cache(), AVC_HEADER, key(b"1"), AVC_HEADER, inter(b"2"))
    assert given(gop) == [AVC_HEADER, key(b"1"), inter(b"2")]


def test_a_keyframe_of_several_messages_is_kept_whole() -> None:
    gop = cache()
    for number in range(3):
        gop.add(frame(key(b"%d" % number), 500))
    gop.add(frame(inter(), 540))
    assert given(gop) == [key(b"0"), key(b"1"), key(b"2"), inter()]
    gop.add(frame(key(b"next"), 580))
    assert given(gop) == [key(b"next")]


def with_sound(gop: GopCache, *times: int) -> GopCache:
    for at in times:
        gop.add(frame(audio(), at))
    return gop


def test_a_gop_is_over_when_the_video_ends_and_the_sound_goes_on() -> None:
    gop = filled(cache(), AVC_HEADER, key(), inter())
    with_sound(gop, 60, 1000, 3060)
    assert len(given(gop)) == 6 and not gop.video_is_over
    with_sound(gop, 3061)
    assert given(gop) == [AVC_HEADER] and gop.video_is_over and gop.has_video
    gop.add(frame(inter(b"back"), 4000))
    assert given(gop) == [AVC_HEADER] and not gop.video_is_over, "it cannot be decoded"
    gop.add(frame(key(b"again"), 4040))
    assert given(gop) == [AVC_HEADER, key(b"again")]


def test_a_picture_ends_the_silence_of_the_video() -> None:
    gop = with_sound(filled(cache(), key()), 100, 3000)
    for at in (3050, 3090):
        gop.add(frame(inter(), at))
    assert len(given(with_sound(gop, 3100, 6100))) == 7 and not gop.video_is_over


def test_one_picture_has_no_spacing() -> None:
    gop = cache()
    gop.add(frame(key(), 1_000_000))
    assert given(with_sound(gop, 1_000_020, 1_003_021)) == []


def test_other_bounds_hold_at_once() -> None:
    gop = filled(cache(), AVC_HEADER, key(), inter())
    gop.configure(True, 10_000, 2)
    assert len(given(gop)) == 3
    gop.configure(True, 10_000, 1)
    assert given(gop) == [AVC_HEADER]
    filled(gop, key())
    gop.configure(False, 10_000, 100)
    assert given(gop) == [AVC_HEADER]


def test_a_slide_show_keeps_its_picture() -> None:
    gop = cache()
    for at in (0, 10_000):
        gop.add(frame(key(), at))
    assert len(given(with_sound(gop, *range(10_010, 30_011, 500)))) == 42
    assert given(with_sound(gop, 30_011)) == []


def test_sound_whose_clock_is_late_by_seconds_does_not_end_a_gop() -> None:
    gop = cache()
    gop.add(frame(key(), 0))
    for at in range(40, 4000, 40):
        gop.add(frame(audio(), (at - 8000) % 2**32))
        gop.add(frame(inter(), at))
    assert not gop.video_is_over


def test_video_of_which_only_the_header_came_is_over_too() -> None:
    gop = with_sound(filled(cache(), AVC_HEADER), 0, 3001)
    assert gop.has_video and gop.video_is_over
    gop.clear()
    assert not gop.has_video and not gop.video_is_over


def test_nothing_before_the_first_keyframe_is_kept() -> None:
    gop = filled(cache(), inter(b"1"), audio(b"2"), inter(b"3"))
    assert given(gop) == [] and gop.has_video


def test_audio_alone_is_not_kept() -> None:
    gop = filled(cache(), AAC_HEADER, audio(b"1"), audio(b"2"))
    assert given(gop) == [AAC_HEADER] and not gop.has_video


@pytest.mark.parametrize("payload", [b"\x57\x00", b"\x17\x02\0\0\0", b"\x17\x00\0\0\0", b"\xaf\x00"])
def test_commands_ends_and_empty_headers_are_not_kept(payload: bytes) -> None:
    assert given(filled(cache(), AVC_HEADER, key(), payload)) == [AVC_HEADER, key()]


def test_a_gop_over_its_bytes_is_given_up_whole_until_the_next_keyframe() -> None:
    gop = filled(cache(limit_bytes=50 + 2 * FRAME_BYTES), AVC_HEADER, key(b"x" * 20), inter(b"x" * 10))
    assert len(gop.frames) == 2
    filled(gop, inter(b"x" * 20), inter(b"y"), audio(b"z"))
    assert given(gop) == [AVC_HEADER]
    assert given(filled(gop, key(b"k"), inter(b"i"))) == [AVC_HEADER, key(b"k"), inter(b"i")]


def test_a_keyframe_over_the_limit_is_not_kept_either() -> None:
    assert given(filled(cache(limit_bytes=50), key(b"x" * 100))) == []


def test_a_gop_over_its_frames_is_given_up_whole() -> None:
    gop = filled(cache(limit_frames=3), key(), inter(), inter())
    assert len(gop.frames) == 3
    assert given(filled(gop, inter())) == []


def test_a_cache_that_is_off_keeps_headers_only() -> None:
    gop = filled(cache(enabled=False), AVC_HEADER, AAC_HEADER, key(), inter())
    assert given(gop) == [AVC_HEADER, AAC_HEADER] and gop.has_video


def test_a_hostile_number_of_headers_is_not_kept() -> None:
    # multitrack with one track, whose id is the slot: sequence start, av01, track n
    gop = cache()
    for track in range(200):
        payload = b"\x96\x00av01" + bytes((track, 1))
        gop.add(Frame(VIDEO, payload, 0, classify(VIDEO, payload)))
    assert len(gop.joining(0)) == 64


def test_a_hostile_header_is_not_kept() -> None:
    assert given(filled(cache(), AAC_HEADER, AVC_HEADER + bytes(70_000))) == [AAC_HEADER]


def test_clear_forgets_everything() -> None:
    gop = filled(cache(), AVC_HEADER, key())
    gop.set_metadata(Frame(DATA_AMF0, METADATA, 0, DATA | HEADER))
    gop.clear()
    assert given(gop) == [] and not gop.has_video


def test_headers_of_enhanced_codecs_are_kept() -> None:
    assert given(filled(cache(), HEVC_HEADER, b"\x91hvc1\0\0\0x")) == [HEVC_HEADER, b"\x91hvc1\0\0\0x"]
