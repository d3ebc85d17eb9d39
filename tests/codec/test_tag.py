"""Tag headers: byte tables from the standards, every cut, and what hostile counts may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec import tag
from rtmpd.codec.names import AUDIO_FOURCCS, VIDEO_FOURCCS
from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE, FrameType, MultitrackType, PacketType, Sound, Track
from rtmpd.errors import MediaError

BODY = b"\x01\x02\x03\x04"


def code_of(type_id: int, payload: bytes) -> str:
    with pytest.raises(MediaError) as caught:
        tag.decode(type_id, payload)
    return caught.value.code


# --- legacy video -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "packet_type", "frame_type", "keyframe"),
    [
        (b"\x17\x00\x00\x00\x00" + BODY, PacketType.SEQUENCE_START, FrameType.KEY, False),
        (b"\x17\x01\x00\x00\x00" + BODY, PacketType.CODED_FRAMES, FrameType.KEY, True),
        (b"\x27\x01\x00\x00\x00" + BODY, PacketType.CODED_FRAMES, FrameType.INTER, False),
        (b"\x37\x01\x00\x00\x00" + BODY, PacketType.CODED_FRAMES, FrameType.DISPOSABLE_INTER, False),
        (b"\x47\x01\x00\x00\x00" + BODY, PacketType.CODED_FRAMES, FrameType.GENERATED_KEY, True),
        (b"\x07\x01\x00\x00\x00" + BODY, PacketType.CODED_FRAMES, None, False),
    ],
)
def test_legacy_avc(payload: bytes, packet_type: PacketType, frame_type: FrameType | None, keyframe: bool) -> None:
    header = tag.decode_video(payload)
    assert (header.kind, header.codec, header.packet_type) == ("video", "H264", packet_type)
    assert (header.frame_type, header.keyframe) == (frame_type, keyframe)
    assert header.tracks == (Track(0, None, 5, 4, 0),)
    assert header.fourcc is None


@pytest.mark.parametrize(
    ("wire", "milliseconds"),
    [(b"\x00\x00\x28", 40), (b"\xff\xff\xd8", -40), (b"\x7f\xff\xff", 0x7FFFFF), (b"\x80\x00\x00", -0x800000)],
)
def test_the_composition_time_is_signed(wire: bytes, milliseconds: int) -> None:
    assert tag.decode_video(b"\x27\x01" + wire + BODY).composition_time_ms == milliseconds
    assert tag.decode_video(b"\xa1hvc1" + wire + BODY).composition_time_ms == milliseconds


def test_an_avc_end_of_sequence_may_leave_the_composition_time_out() -> None:
    for payload in (b"\x17\x02", b"\x17\x02\x00\x00\x00"):
        header = tag.decode_video(payload)
        assert (header.packet_type, header.tracks) == (PacketType.SEQUENCE_END, ())


@pytest.mark.parametrize(("codec_id", "codec"), [(7, "H264"), (12, "H265"), (13, "AV1"), (14, "VVC")])
def test_codecs_with_a_packet_type_of_their_own(codec_id: int, codec: str) -> None:
    header = tag.decode_video(bytes([0x10 | codec_id, 0, 0, 0, 0]) + BODY)
    assert (header.codec, header.packet_type, header.tracks[0].offset) == (codec, PacketType.SEQUENCE_START, 5)


@pytest.mark.parametrize(
    ("codec_id", "codec"),
    [(2, "SORENSON"), (3, "SCREEN"), (4, "VP6"), (5, "VP6A"), (6, "SCREEN2"), (0, ""), (8, ""), (15, "")],
)
def test_codecs_without_one_are_all_coded_frames(codec_id: int, codec: str) -> None:
    header = tag.decode_video(bytes([0x10 | codec_id]) + BODY)
    assert (header.codec, header.packet_type, header.keyframe) == (codec, PacketType.CODED_FRAMES, True)
    assert header.tracks == (Track(0, None, 1, 4, None),)


def test_a_legacy_command_frame_carries_its_command_right_behind_the_first_byte() -> None:
    header = tag.decode_video(b"\x57\x01")
    assert (header.packet_type, header.command, header.tracks) == (PacketType.COMMAND, 1, ())


# --- legacy audio -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "codec"),
    [
        (0x0E, "PCM"),
        (0x1E, "ADPCM"),
        (0x2E, "MP3"),
        (0x3E, "PCM"),
        (0x4E, "NELLYMOSER"),
        (0x5E, "NELLYMOSER"),
        (0x6E, "NELLYMOSER"),
        (0x7E, "G711A"),
        (0x8E, "G711U"),
        (0xBE, "SPEEX"),
        (0xCE, ""),
        (0xDE, "OPUS"),
        (0xEE, "MP3"),
        (0xFE, "NATIVE"),
    ],
)
def test_legacy_sound_formats(first: int, codec: str) -> None:
    header = tag.decode_audio(bytes([first]) + BODY)
    assert (header.kind, header.codec, header.packet_type) == ("audio", codec, PacketType.CODED_FRAMES)
    assert header.tracks == (Track(0, None, 1, 4, None),)
    assert (header.frame_type, header.keyframe) == (None, False)


@pytest.mark.parametrize(
    ("first", "sound"),
    [
        (0x20, Sound(5512, 8, 1)),
        (0x25, Sound(11025, 8, 2)),
        (0x2A, Sound(22050, 16, 1)),
        (0x2F, Sound(44100, 16, 2)),
    ],
)
def test_the_legacy_audio_byte_describes_the_sound(first: int, sound: Sound) -> None:
    assert tag.decode_audio(bytes([first]) + BODY).sound == sound


@pytest.mark.parametrize(("packet", "packet_type"), [(0, PacketType.SEQUENCE_START), (1, PacketType.CODED_FRAMES)])
def test_legacy_aac(packet: int, packet_type: PacketType) -> None:
    header = tag.decode_audio(bytes([0xAF, packet]) + BODY)
    assert (header.codec, header.packet_type, header.tracks) == ("AAC", packet_type, (Track(0, None, 2, 4, None),))


def test_an_empty_audio_message_is_silence_and_an_empty_video_message_is_truncated() -> None:
    assert tag.decode_audio(b"").packet_type is PacketType.SEQUENCE_END
    assert code_of(VIDEO_MESSAGE, b"") == "truncated"


# --- enhanced -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fourcc", "codec"), VIDEO_FOURCCS.items())
def test_enhanced_video_codecs(fourcc: str, codec: str) -> None:
    header = tag.decode_video(b"\x90" + fourcc.encode() + BODY)
    assert (header.codec, header.fourcc, header.packet_type) == (codec, fourcc, PacketType.SEQUENCE_START)
    assert header.tracks == (Track(0, fourcc, 5, 4, None),)


@pytest.mark.parametrize(("fourcc", "codec"), AUDIO_FOURCCS.items())
def test_enhanced_audio_codecs(fourcc: str, codec: str) -> None:
    header = tag.decode_audio(b"\x91" + fourcc.encode() + BODY)
    assert (header.kind, header.codec, header.packet_type) == ("audio", codec, PacketType.CODED_FRAMES)
    assert header.tracks == (Track(0, fourcc, 5, 4, None),)


def test_an_unknown_fourcc_is_no_error_but_has_no_codec_name() -> None:
    header = tag.decode_video(b"\x91zzzz" + BODY)
    assert (header.codec, header.fourcc, header.keyframe) == ("", "zzzz", True)


@pytest.mark.parametrize(
    ("packet", "packet_type"),
    [
        (0, PacketType.SEQUENCE_START),
        (1, PacketType.CODED_FRAMES),
        (2, PacketType.SEQUENCE_END),
        (3, PacketType.CODED_FRAMES_X),
        (4, PacketType.METADATA),
        (5, PacketType.MPEG2TS_SEQUENCE_START),
    ],
)
def test_enhanced_video_packet_types(packet: int, packet_type: PacketType) -> None:
    header = tag.decode_video(bytes([0x90 | packet]) + b"av01" + BODY)
    assert header.packet_type is packet_type
    assert header.keyframe == (packet_type in tag.CODED)


@pytest.mark.parametrize(
    ("packet", "packet_type"),
    [
        (0, PacketType.SEQUENCE_START),
        (1, PacketType.CODED_FRAMES),
        (2, PacketType.SEQUENCE_END),
        (4, PacketType.MULTICHANNEL_CONFIG),
    ],
)
def test_enhanced_audio_packet_types(packet: int, packet_type: PacketType) -> None:
    assert tag.decode_audio(bytes([0x90 | packet]) + b"Opus" + BODY).packet_type is packet_type


@pytest.mark.parametrize("fourcc", ["avc1", "hvc1", "vvc1"])
def test_only_coded_frames_of_reordering_codecs_have_a_composition_time(fourcc: str) -> None:
    coded = tag.decode_video(b"\xa1" + fourcc.encode() + b"\x00\x00\x21" + BODY)
    assert coded.tracks == (Track(0, fourcc, 8, 4, 33),)
    coded_x = tag.decode_video(b"\xa3" + fourcc.encode() + BODY)
    assert coded_x.tracks == (Track(0, fourcc, 5, 4, None),)
    assert tag.decode_video(b"\xa1av01" + BODY).tracks == (Track(0, "av01", 5, 4, None),)


def test_the_frame_type_is_ignored_for_metadata() -> None:
    for frame_bits in range(8):
        header = tag.decode_video(bytes([0x84 | frame_bits << 4]) + b"hvc1" + BODY)
        assert (header.packet_type, header.frame_type) == (PacketType.METADATA, None)


def test_an_enhanced_command_frame_has_a_command_in_place_of_the_fourcc() -> None:
    for packet in (0, 1, 2, 3, 5, 6):
        header = tag.decode_video(bytes([0xD0 | packet, 1]))
        assert (header.packet_type, header.command, header.tracks) == (PacketType.COMMAND, 1, ())


# --- ModEx --------------------------------------------------------------------------------------


def test_modex_comes_before_the_fourcc() -> None:
    header = tag.decode_video(b"\xa7\x02\x0f\x42\x3f\x01hvc1\x00\x00\x00" + BODY)
    assert header.timestamp_offset_ns == 999_999
    assert (header.packet_type, header.tracks) == (PacketType.CODED_FRAMES, (Track(0, "hvc1", 13, 4, 0),))
    assert tag.decode_audio(b"\x97\x02\x00\x00\x05\x01Opus" + BODY).timestamp_offset_ns == 5


def test_modex_blocks_may_follow_each_other_and_unknown_ones_are_skipped() -> None:
    payload = b"\xa7\x00\xee\x57" + b"\x02\x00\x01\x00\x03" + b"av01" + BODY
    header = tag.decode_video(payload)
    assert (header.timestamp_offset_ns, header.packet_type) == (256, PacketType.CODED_FRAMES_X)
    assert header.tracks == (Track(0, "av01", 13, 4, None),)


@pytest.mark.parametrize(
    ("size", "wire"),
    [(1, b"\x00"), (255, b"\xfe"), (256, b"\xff\x00\xff"), (257, b"\xff\x01\x00"), (65536, b"\xff\xff\xff")],
)
def test_a_modex_size_of_256_is_followed_by_one_of_16_bits(size: int, wire: bytes) -> None:
    payload = b"\xa7" + wire + bytes(size) + b"\x51" + b"av01" + BODY
    header = tag.decode_video(payload)
    assert header.tracks == (Track(0, "av01", len(payload) - 4, 4, None),)


def test_a_nanosecond_offset_needs_three_bytes() -> None:
    assert code_of(VIDEO_MESSAGE, b"\xa7\x01\x00\x01\x01av01" + BODY) == "timestamp_offset"


def test_modex_before_multitrack_and_before_a_command() -> None:
    header = tag.decode_video(b"\x97\x02\x00\x00\x07\x06" + b"\x01av01\x03" + BODY)
    assert (header.timestamp_offset_ns, header.tracks) == (7, (Track(3, "av01", 12, 4, None),))
    command = tag.decode_video(b"\xd7\x02\x00\x00\x07\x01\x00")
    assert (command.packet_type, command.command, command.timestamp_offset_ns) == (PacketType.COMMAND, 0, 7)


def test_a_chain_of_modex_is_bounded() -> None:
    block = b"\x00\x00\x17"
    assert code_of(VIDEO_MESSAGE, b"\xa7" + block * (tag.MAX_MODEX + 1)) == "too_many_modex"
    allowed = b"\xa7" + block * (tag.MAX_MODEX - 1) + b"\x00\x00\x11" + b"av01" + BODY
    assert tag.decode_video(allowed).codec == "AV1"


# --- multitrack ---------------------------------------------------------------------------------


def test_one_track_has_its_fourcc_before_its_id_and_no_size() -> None:
    header = tag.decode_video(b"\x96\x01avc1\x02\x00\x00\x0a" + BODY)
    assert header.multitrack is MultitrackType.ONE_TRACK
    assert header.tracks == (Track(2, "avc1", 10, 4, 10),)
    assert tag.decode_audio(b"\x95\x00Opus\x05" + BODY).tracks == (Track(5, "Opus", 7, 4, None),)


def test_many_tracks_share_one_fourcc_and_have_sizes() -> None:
    payload = b"\x96\x11hvc1" + b"\x01\x00\x00\x05\x00\x00\x01ab" + b"\x00\x00\x00\x04\x00\x00\x02c"
    header = tag.decode_video(payload)
    assert header.multitrack is MultitrackType.MANY_TRACKS
    assert header.tracks == (Track(1, "hvc1", 13, 2, 1), Track(0, "hvc1", 22, 1, 2))
    assert header.composition_time_ms == 2, "track 0 is the main track, wherever it stands"


def test_many_codecs_have_a_fourcc_before_each_track_id() -> None:
    payload = b"\x95\x21" + b"Opus\x00\x00\x00\x02ab" + b"mp4a\x07\x00\x00\x01c"
    header = tag.decode_audio(payload)
    assert header.multitrack is MultitrackType.MANY_TRACKS_MANY_CODECS
    assert header.tracks == (Track(0, "Opus", 10, 2, None), Track(7, "mp4a", 20, 1, None))
    assert (header.codec, header.fourcc) == ("OPUS", "Opus")


def test_without_a_track_0_the_first_track_is_the_main_one() -> None:
    payload = b"\x96\x23" + b"av01\x04\x00\x00\x01a" + b"vp09\x03\x00\x00\x01b"
    assert tag.decode_video(payload).codec == "AV1"


def test_the_number_of_tracks_is_bounded() -> None:
    track = b"\x00\x00\x00\x00"
    assert len(tag.decode_video(b"\x96\x13av01" + track * tag.MAX_TRACKS).tracks) == tag.MAX_TRACKS
    assert code_of(VIDEO_MESSAGE, b"\x96\x13av01" + track * (tag.MAX_TRACKS + 1)) == "too_many_tracks"


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_id", "payload", "code"),
    [
        (VIDEO_MESSAGE, b"\x17\x03\x00\x00\x00", "packet_type"),
        (AUDIO_MESSAGE, b"\xaf\x02", "packet_type"),
        (AUDIO_MESSAGE, b"\xaf\x07", "packet_type"),
        (VIDEO_MESSAGE, b"\x98av01", "packet_type"),
        (AUDIO_MESSAGE, b"\x93Opus", "packet_type"),
        (AUDIO_MESSAGE, b"\x96Opus", "packet_type"),
        (VIDEO_MESSAGE, b"\x96\x06av01\x00", "packet_type"),
        (VIDEO_MESSAGE, b"\x96\x07av01\x00", "packet_type"),
        (AUDIO_MESSAGE, b"\x95\x05Opus\x00", "packet_type"),
        (VIDEO_MESSAGE, b"\x96\x31av01\x00", "multitrack_type"),
        (VIDEO_MESSAGE, b"\x96\x13av01\x00\x00\x00\x05abcd", "truncated"),
        (VIDEO_MESSAGE, b"\x96\x11hvc1\x00\x00\x00\x02abcd", "truncated"),
        (18, b"\x17\x00", "not_media"),
    ],
)
def test_contradictions_are_media_errors_with_a_code(type_id: int, payload: bytes, code: str) -> None:
    assert code_of(type_id, payload) == code


@pytest.mark.parametrize(
    ("type_id", "header"),
    [
        (VIDEO_MESSAGE, b"\x17\x01\x00\x00\x00"),
        (VIDEO_MESSAGE, b"\x57\x00"),
        (VIDEO_MESSAGE, b"\xd1\x00"),
        (VIDEO_MESSAGE, b"\x91av01"),
        (VIDEO_MESSAGE, b"\x91hvc1\x00\x00\x00"),
        (VIDEO_MESSAGE, b"\x97\x02\x00\x00\x01\x01av01"),
        (VIDEO_MESSAGE, b"\x97\xff\x00\xff" + bytes(256) + b"\x51av01"),
        (VIDEO_MESSAGE, b"\x96\x01avc1\x02\x00\x00\x00"),
        (VIDEO_MESSAGE, b"\x96\x13avc1\x02\x00\x00\x00"),
        (VIDEO_MESSAGE, b"\x96\x23avc1\x02\x00\x00\x00"),
        (AUDIO_MESSAGE, b"\x95\x21Opus\x02\x00\x00\x00"),
        (AUDIO_MESSAGE, b"\x91Opus"),
        (AUDIO_MESSAGE, b"\xaf\x01"),
    ],
)
def test_every_cut_of_a_header_is_truncated_and_the_whole_is_not(type_id: int, header: bytes) -> None:
    for end in range(1, len(header)):
        assert code_of(type_id, header[:end]) == "truncated", f"cut to {end} bytes"
    tag.decode(type_id, header)


@given(type_id=st.sampled_from([AUDIO_MESSAGE, VIDEO_MESSAGE]), payload=st.binary(max_size=64))
def test_any_bytes_decode_to_tracks_inside_the_payload_or_raise_a_media_error(type_id: int, payload: bytes) -> None:
    try:
        header = tag.decode(type_id, payload)
    except MediaError as error:
        assert error.code
        return
    for track in header.tracks:
        assert 0 < track.offset <= track.offset + track.length <= len(payload)
