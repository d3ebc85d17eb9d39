"""What the fan-out asks of a message, and that no bytes can upset it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtmpd.codec import tag
from rtmpd.codec.classify import AUDIO, DATA, HEADER, KEYFRAME, NOT_CACHED, VIDEO, classify, codec_name, header_slot
from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE, PacketType
from rtmpd.errors import MediaError

BODY = b"\x01\x02\x03\x04"
CTS = b"\x00\x00\x00"

VIDEO_CASES = [
    ("avc sequence header", b"\x17\x00" + CTS + BODY, VIDEO | HEADER, "H264"),
    ("avc sequence header marked as inter frame", b"\x27\x00" + CTS + BODY, VIDEO | HEADER, "H264"),
    ("avc sequence header without a body", b"\x17\x00" + CTS, VIDEO | NOT_CACHED, "H264"),
    ("avc key", b"\x17\x01" + CTS + BODY, VIDEO | KEYFRAME, "H264"),
    ("avc inter", b"\x27\x01" + CTS + BODY, VIDEO, "H264"),
    ("avc end of sequence", b"\x17\x02" + CTS, VIDEO | NOT_CACHED, "H264"),
    ("hevc legacy sequence header", b"\x1c\x00" + CTS + BODY, VIDEO | HEADER, "H265"),
    ("hevc legacy key", b"\x1c\x01" + CTS + BODY, VIDEO | KEYFRAME, "H265"),
    ("hevc legacy inter", b"\x2c\x01" + CTS + BODY, VIDEO, "H265"),
    ("sorenson key", b"\x12" + BODY, VIDEO | KEYFRAME, "SORENSON"),
    ("sorenson disposable", b"\x32" + BODY, VIDEO, "SORENSON"),
    ("vp6 generated key", b"\x44" + BODY, VIDEO | KEYFRAME, "VP6"),
    ("legacy command", b"\x57\x00", VIDEO | NOT_CACHED, "H264"),
    ("enhanced command", b"\xd1\x00", VIDEO | NOT_CACHED, ""),
    ("hvc1 start", b"\x90hvc1" + BODY, VIDEO | HEADER, "H265"),
    ("av01 start", b"\x90av01" + BODY, VIDEO | HEADER, "AV1"),
    ("vp09 start", b"\x90vp09" + BODY, VIDEO | HEADER, "VP9"),
    ("start of an unknown codec", b"\x90zzzz" + BODY, VIDEO | HEADER, ""),
    ("hvc1 key", b"\x91hvc1" + CTS + BODY, VIDEO | KEYFRAME, "H265"),
    ("hvc1 inter x", b"\xa3hvc1" + BODY, VIDEO, "H265"),
    ("vvc1 key x", b"\x93vvc1" + BODY, VIDEO | KEYFRAME, "VVC"),
    ("vp08 disposable", b"\xb1vp08" + BODY, VIDEO, "VP8"),
    ("avc1 end", b"\x92avc1", VIDEO | NOT_CACHED, "H264"),
    ("hdr metadata", b"\xd4hvc1" + BODY, VIDEO | HEADER, "H265"),
    ("mpeg2-ts start", b"\x95av01" + BODY, VIDEO | HEADER, "AV1"),
    ("modex key", b"\x97\x02\x00\x00\x01\x01av01" + BODY, VIDEO | KEYFRAME, "AV1"),
    ("modex inter", b"\xa7\x02\x00\x00\x01\x01av01" + BODY, VIDEO, "AV1"),
    ("modex start", b"\x97\x02\x00\x00\x01\x00av01" + BODY, VIDEO | HEADER, "AV1"),
    ("track 0 key", b"\x96\x01av01\x00" + BODY, VIDEO | KEYFRAME, "AV1"),
    ("track 1 key", b"\x96\x01av01\x01" + BODY, VIDEO, "AV1"),
    ("track 1 start", b"\x96\x00av01\x01" + BODY, VIDEO | HEADER, "AV1"),
    ("tracks 1 and 0 key", b"\x96\x13vp09\x01\x00\x00\x01a\x00\x00\x00\x01b", VIDEO | KEYFRAME, "VP9"),
    ("tracks 1 and 2 key", b"\x96\x13vp09\x01\x00\x00\x01a\x02\x00\x00\x01b", VIDEO, "VP9"),
    ("empty", b"", VIDEO | NOT_CACHED, ""),
    ("reserved avc packet type", b"\x17\x09" + CTS + BODY, VIDEO, "H264"),
    ("cut off avc sequence header", b"\x17\x00\x00", VIDEO, "H264"),
    ("cut off enhanced start", b"\x90hv", VIDEO, ""),
]

AUDIO_CASES = [
    ("aac sequence header", b"\xaf\x00\x12\x10", AUDIO | HEADER, "AAC"),
    ("aac sequence header without a body", b"\xaf\x00", AUDIO | NOT_CACHED, "AAC"),
    ("aac raw", b"\xaf\x01" + BODY, AUDIO, "AAC"),
    ("mp3", b"\x2f" + BODY, AUDIO, "MP3"),
    ("g711 one sample", b"\x72\x55", AUDIO, "G711A"),
    ("opus start", b"\x90Opus" + BODY, AUDIO | HEADER, "OPUS"),
    ("opus start, which may be empty", b"\x90Opus", AUDIO | HEADER, "OPUS"),
    ("opus frame", b"\x91Opus" + BODY, AUDIO, "OPUS"),
    ("opus end", b"\x92Opus", AUDIO | NOT_CACHED, "OPUS"),
    ("opus channels", b"\x94Opus\x01\x02\x00\x00\x00\x03", AUDIO | HEADER, "OPUS"),
    ("flac start", b"\x90fLaC" + BODY, AUDIO | HEADER, "FLAC"),
    ("ac3 frame", b"\x91ac-3" + BODY, AUDIO, "AC3"),
    ("eac3 frame of track 1", b"\x95\x01ec-3\x01" + BODY, AUDIO, "EAC3"),
    ("modex aac start", b"\x97\x02\x00\x00\x01\x00mp4a" + BODY, AUDIO | HEADER, "AAC"),
    ("silence", b"", AUDIO | NOT_CACHED, ""),
    ("one byte of aac", b"\xaf", AUDIO, "AAC"),
]


@pytest.mark.parametrize(("payload", "flags", "codec"), [pytest.param(*case[1:], id=case[0]) for case in VIDEO_CASES])
def test_video(payload: bytes, flags: int, codec: str) -> None:
    assert classify(VIDEO_MESSAGE, payload) == flags
    assert codec_name(VIDEO_MESSAGE, payload) == codec


@pytest.mark.parametrize(("payload", "flags", "codec"), [pytest.param(*case[1:], id=case[0]) for case in AUDIO_CASES])
def test_audio(payload: bytes, flags: int, codec: str) -> None:
    assert classify(AUDIO_MESSAGE, payload) == flags
    assert codec_name(AUDIO_MESSAGE, payload) == codec


@pytest.mark.parametrize(("type_id", "flags"), [(15, DATA), (18, DATA), (20, 0), (1, 0), (22, 0)])
def test_other_messages(type_id: int, flags: int) -> None:
    for payload in (b"", b"\x17\x00", b"\x02\x00\x0aonMetaData"):
        assert classify(type_id, payload) == flags
        assert codec_name(type_id, payload) == ""


# --- slots --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_id", "payload", "slot"),
    [
        (VIDEO_MESSAGE, b"\x17\x00" + CTS + BODY, ("video", "sequence", (0,))),
        (VIDEO_MESSAGE, b"\x90hvc1" + BODY, ("video", "sequence", (0,))),
        (VIDEO_MESSAGE, b"\x95av01" + BODY, ("video", "sequence", (0,))),
        (VIDEO_MESSAGE, b"\x94hvc1" + BODY, ("video", "metadata", (0,))),
        (VIDEO_MESSAGE, b"\x96\x00av01\x02" + BODY, ("video", "sequence", (2,))),
        (VIDEO_MESSAGE, b"\x96\x10av01\x01\x00\x00\x01a\x02\x00\x00\x01b", ("video", "sequence", (1, 2))),
        (AUDIO_MESSAGE, b"\xaf\x00\x12\x10", ("audio", "sequence", (0,))),
        (AUDIO_MESSAGE, b"\x90Opus", ("audio", "sequence", (0,))),
        (AUDIO_MESSAGE, b"\x94Opus\x00\x02", ("audio", "multichannel", (0,))),
        (AUDIO_MESSAGE, b"\x95\x04Opus\x01\x00\x02", ("audio", "multichannel", (1,))),
        (VIDEO_MESSAGE, b"\x17\x01" + CTS + BODY, ("video", "", ())),
        (VIDEO_MESSAGE, b"\x90hv", ("video", "", ())),
        (18, b"\x02\x00\x0aonMetaData", ("", "", ())),
    ],
)
def test_the_slot_of_a_header(type_id: int, payload: bytes, slot: tuple[str, str, tuple[int, ...]]) -> None:
    assert header_slot(type_id, payload) == slot


def test_a_new_header_of_a_track_replaces_the_old_one_whatever_its_codec_or_generation() -> None:
    headers = {
        header_slot(VIDEO_MESSAGE, payload): payload
        for payload in (b"\x17\x00" + CTS + b"old", b"\x96\x00avc1\x01other", b"\x96\x00av01\x00new")
    }
    assert sorted(headers.values()) == [b"\x96\x00av01\x00new", b"\x96\x00avc1\x01other"]


# --- totality -----------------------------------------------------------------------------------

PAYLOADS = st.one_of(
    st.binary(max_size=48),
    st.builds(
        lambda first, rest: bytes([first]) + rest,
        st.sampled_from([0x17, 0x90, 0x91, 0x95, 0x96, 0x97, 0xA7, 0xAF, 0xD6]),
        st.binary(max_size=48),
    ),
)


@given(type_id=st.integers(0, 255), payload=PAYLOADS)
@example(VIDEO_MESSAGE, b"\x96\x13av01" + b"\x00\x00\x00\x00" * 300)
@example(AUDIO_MESSAGE, b"\x97" + b"\x00\x00\x17" * 300)
def test_no_bytes_make_them_raise(type_id: int, payload: bytes) -> None:
    flags = classify(type_id, payload)
    assert bool(flags & VIDEO) == (type_id == VIDEO_MESSAGE)
    assert bool(flags & AUDIO) == (type_id == AUDIO_MESSAGE)
    assert not (flags & HEADER and flags & (KEYFRAME | NOT_CACHED))
    assert isinstance(codec_name(type_id, payload), str)
    assert bool(header_slot(type_id, payload)[1]) >= bool(flags & HEADER)


@given(type_id=st.sampled_from([AUDIO_MESSAGE, VIDEO_MESSAGE]), payload=PAYLOADS.filter(bool))
def test_the_tables_say_what_the_full_decoder_says(type_id: int, payload: bytes) -> None:
    flags = classify(type_id, payload)
    try:
        header = tag.decode(type_id, payload)
    except MediaError:
        assert not flags & (HEADER | NOT_CACHED)
        return
    assert codec_name(type_id, payload) == header.codec
    assert bool(flags & KEYFRAME) == (header.keyframe and 0 in [track.track_id for track in header.tracks])
    assert header.packet_type in tag.CODED or flags & (HEADER | NOT_CACHED)
    if flags & HEADER:
        assert header.packet_type not in tag.CODED | {PacketType.COMMAND, PacketType.SEQUENCE_END}


def test_all_two_byte_beginnings_agree_with_the_full_decoder() -> None:
    tail = b"\x00\x00\x00av01" + bytes(16)
    for type_id in (AUDIO_MESSAGE, VIDEO_MESSAGE):
        for start in range(0x10000):
            payload = start.to_bytes(2, "big") + tail
            try:
                keyframe = tag.decode(type_id, payload).keyframe
            except MediaError:
                continue
            if (payload[0] & 0x8F) in (0x86, 0x87):
                continue  # multitrack and ModEx have a rule of their own for track 0
            assert bool(classify(type_id, payload) & KEYFRAME) == keyframe, payload.hex()


def test_the_short_way_of_legacy_headers_says_what_the_full_decoder_says() -> None:
    """Whatever their length: they must have a body to be a header."""
    found = 0
    for type_id in (AUDIO_MESSAGE, VIDEO_MESSAGE):
        for first in range(256):
            for payload in (bytes([first, second]) + bytes(size) for second in range(3) for size in range(6)):
                try:
                    header = tag.decode(type_id, payload)
                except MediaError:
                    continue
                if header.fourcc is None:
                    starts = header.packet_type is PacketType.SEQUENCE_START
                    has_body = starts and header.tracks[0].length > 0
                    assert bool(classify(type_id, payload) & HEADER) == has_body, payload.hex()
                    assert header_slot(type_id, payload)[1:] == (("sequence", (0,)) if starts else ("", ()))
                    found += has_body
    assert found == 16 * 5 + 7 * 4 * 2  # sixteen beginnings of AAC, seven frame types of four codecs
