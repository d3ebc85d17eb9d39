"""What is told of a track, when, and that ordinary frames are never looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec.facts import NOTHING
from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE
from rtmpd.codec.track import PATIENCE_MESSAGES, Detection, MediaTrack
from tests.support.encodes import Audio, Video, flv_file, messages_of, packets_of, payloads

CTS = b"\x00\x00\x00"
H264 = Video("libx264", 66, 38, frames=20)
H264_SMALL = Video("libx264", 32, 32)
H265 = Video("libx265", 66, 38)


def hear(track: MediaTrack, sent: list[bytes]) -> list[Detection]:
    """What is told of these payloads if only those that are not ordinary are looked at."""
    unusual = (payload for payload in sent if not payload.startswith(track.ordinary))
    return [detection for payload in unusual if (detection := track.look(payload)) is not None]


def fields_of(track: MediaTrack, sent: list[bytes]) -> list[dict[str, object]]:
    return [detection.fields() for detection in hear(track, sent)]


# codec_detected as it is emitted for a stream of each encoder: exactly these fields, once
FIRST = [
    (H264, {"media_type": "video", "codec_name": "H264", "codec_profile": "constrained baseline", "level": "1.0",
            "resolution": "66x38", "framerate": 25.0, "packet_type": "sequence_header", "frame_type": "keyframe",
            "change": False}),
    (H265, {"media_type": "video", "codec_name": "H265", "codec_profile": "main", "level": "1.0",
            "resolution": "66x38", "framerate": 25.0, "packet_type": "sequence_header", "frame_type": "keyframe",
            "change": False}),
    (Video("libsvtav1", 66, 70), {"media_type": "video", "codec_name": "AV1", "codec_profile": "main", "level": "2.0",
            "resolution": "66x70", "packet_type": "sequence_header", "frame_type": "keyframe", "change": False}),
    (Video("libvpx-vp9", 66, 38), {"media_type": "video", "codec_name": "VP9", "codec_profile": "profile 0",
            "level": "1.0", "resolution": "66x38", "packet_type": "raw", "frame_type": "keyframe", "change": False}),
    (Video("flv1", 66, 38), {"media_type": "video", "codec_name": "SORENSON", "resolution": "66x38",
            "packet_type": "raw", "frame_type": "keyframe", "change": False}),
    (Audio("aac"), {"media_type": "audio", "codec_name": "AAC", "codec_profile": "lc", "sample_rate": 44100,
            "channels": 2, "packet_type": "sequence_header", "change": False}),
    (Audio("libmp3lame"), {"media_type": "audio", "codec_name": "MP3", "codec_profile": "layer 3", "bitrate": 64000,
            "sample_rate": 44100, "channels": 2, "packet_type": "raw", "change": False}),
    (Audio("libopus", 48000), {"media_type": "audio", "codec_name": "OPUS", "sample_rate": 48000, "channels": 2,
            "packet_type": "sequence_header", "change": False}),
    (Audio("flac"), {"media_type": "audio", "codec_name": "FLAC", "sample_rate": 44100, "channels": 2,
            "packet_type": "sequence_header", "change": False}),
    (Audio("ac3"), {"media_type": "audio", "codec_name": "AC3", "bitrate": 64000, "sample_rate": 44100, "channels": 2,
            "packet_type": "raw", "change": False}),
    (Audio("eac3"), {"media_type": "audio", "codec_name": "EAC3", "bitrate": 63853, "sample_rate": 44100,
            "channels": 2, "packet_type": "raw", "change": False}),
    (Audio("pcm_alaw", 8000, "mono"), {"media_type": "audio", "codec_name": "G711A", "bitrate": 64000,
            "sample_rate": 8000, "channels": 1, "packet_type": "raw", "change": False}),
    (Audio("nellymoser", 8000, "mono"), {"media_type": "audio", "codec_name": "NELLYMOSER", "sample_rate": 8000,
            "channels": 1, "packet_type": "raw", "change": False}),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "fields"), FIRST, ids=lambda v: v.encoder if hasattr(v, "encoder") else "")
def test_a_stream_is_told_once_with_everything_its_payload_says(
    wanted: Video | Audio, fields: dict[str, object]
) -> None:
    track = MediaTrack(VIDEO_MESSAGE if isinstance(wanted, Video) else AUDIO_MESSAGE)
    sent = payloads(wanted)
    told = fields_of(track, sent + sent)
    assert told == [fields]
    assert list(told[0]) == list(fields), "in the order of the catalogue"
    assert track.codec == fields["codec_name"]


def test_ordinary_frames_need_no_look() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    hear(track, payloads(H264))
    assert set(track.ordinary) == {b"\x17\x01", b"\x27\x01"}
    assert sum(not payload.startswith(track.ordinary) for payload in payloads(H264)) <= 2  # header, end
    sound = MediaTrack(AUDIO_MESSAGE)
    hear(sound, payloads(Audio("aac")))
    assert sound.ordinary == (b"\xaf\x01",)


def test_another_size_is_a_change_and_told_with_both() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    told = hear(track, payloads(H264) + payloads(H264_SMALL) + payloads(H264_SMALL))
    assert [(d.change, d.facts.resolution, d.resolution_change) for d in told] == [
        (False, "66x38", None),
        (True, "32x32", ("66x38", "32x32")),
    ]


def test_another_codec_is_a_change() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    told = hear(track, payloads(H264) + payloads(H265) + payloads(H264))
    assert [(d.codec, d.change, d.resolution_change) for d in told] == [
        ("H264", False, None), ("H265", True, None), ("H264", True, None),
    ]  # fmt: skip
    sound = MediaTrack(AUDIO_MESSAGE)
    heard = hear(sound, payloads(Audio("aac")) + payloads(Audio("libmp3lame")) + payloads(Audio("aac", 48000)))
    assert [(d.codec, d.facts.sample_rate_hz) for d in heard] == [("AAC", 44100), ("MP3", 44100), ("AAC", 48000)]


def test_a_header_that_says_the_same_in_other_words_is_no_change() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    header = payloads(H264)[0]
    assert len(hear(track, [header, header, header + b"\x00", header])) == 1
    assert track.headers_read == 3


@pytest.mark.parametrize(("encoder", "fourcc"), [("libvpx", b"vp08"), ("libvpx-vp9", b"vp09")])
def test_vp8_and_vp9_change_their_size_at_a_keyframe_without_a_header(encoder: str, fourcc: bytes) -> None:
    def sent(video: Video) -> list[bytes]:
        return [(b"\x91" if key else b"\xa1") + fourcc + data for key, data in packets_of(video)]

    track = MediaTrack(VIDEO_MESSAGE)
    told = hear(track, sent(Video(encoder, 64, 64)) * 3 + sent(Video(encoder, 98, 66)))
    assert [(d.packet, d.facts.resolution) for d in told] == [("raw", "64x64"), ("raw", "98x66")]
    assert told[1].resolution_change == ("64x64", "98x66")


def test_other_flags_of_a_sound_without_header_are_a_change() -> None:
    track = MediaTrack(AUDIO_MESSAGE)
    told = hear(track, [b"\x36abc", b"\x36abc", b"\x3fabc", b"\x3fabc", b"\x36abc"])
    assert [(d.facts.sample_rate_hz, d.facts.channels) for d in told] == [(11025, 1), (44100, 2), (11025, 1)]


def test_frames_of_mp3_may_differ_in_bit_rate() -> None:
    track = MediaTrack(AUDIO_MESSAGE)
    assert len(hear(track, [b"\x2f\xff\xfb\x90\x64", b"\x2f\xff\xfb\xa0\x64", b"\x2e\xff\xfb\xb0\x64"])) == 1


@pytest.mark.parametrize(
    ("type_id", "frame", "codec"),
    [
        (VIDEO_MESSAGE, b"\x27\x01" + CTS + b"x", "H264"),
        (VIDEO_MESSAGE, b"\x22" + b"x" * 20, "SORENSON"),
        (AUDIO_MESSAGE, b"\xaf\x01x", "AAC"),
    ],
)
def test_a_header_or_keyframe_is_waited_for_but_not_for_ever(type_id: int, frame: bytes, codec: str) -> None:
    track = MediaTrack(type_id)
    assert not hear(track, [frame] * PATIENCE_MESSAGES)
    (told,) = hear(track, [frame])
    assert (told.codec, told.facts, told.packet) == (codec, NOTHING, "raw")
    assert not hear(track, [frame] * 200)


def test_a_late_header_adds_what_was_not_known() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    sent = payloads(H264)
    told = hear(track, [sent[1]] * (PATIENCE_MESSAGES + 1) + sent)
    assert [(d.facts.resolution, d.change) for d in told] == [(None, False), ("66x38", True)]


def test_a_header_that_can_not_be_read_names_the_codec_and_the_error() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    broken = b"\x17\x00" + CTS + b"\x01\x64\x00\x1f\xff\xe1\x00\x05\x67\x64"
    told = hear(track, [broken, broken, *payloads(H264)])
    assert [(d.codec, d.facts.resolution, d.error and d.error.code) for d in told] == [
        ("H264", None, "truncated"), ("H264", "66x38", None),
    ]  # fmt: skip
    assert told[0].fields() == {
        "media_type": "video", "codec_name": "H264", "packet_type": "sequence_header", "frame_type": "keyframe",
        "change": False,
    }  # fmt: skip


def test_what_was_declared_is_told_where_the_payload_does_not_say_it() -> None:
    declared = {"framerate": 50.0, "video_bitrate": 800_000, "audio_bitrate": 96_000, "title": "T"}
    (video,) = hear(MediaTrack(VIDEO_MESSAGE), payloads(H264))
    assert video.fields(declared) == {**video.fields(), "bitrate": 800_000} and video.facts.framerate == 25.0
    (sound,) = hear(MediaTrack(AUDIO_MESSAGE), payloads(Audio("aac")))
    assert sound.fields(declared) == {**sound.fields(), "bitrate": 96_000}
    small = hear(MediaTrack(VIDEO_MESSAGE), payloads(Video("flv1", 66, 38)))[0]
    assert list(small.fields(declared))[2:5] == ["bitrate", "resolution", "framerate"]
    assert small.fields(declared)["framerate"] == 50.0


def test_an_empty_header_is_no_header() -> None:
    track = MediaTrack(AUDIO_MESSAGE)
    told = hear(track, [b"\x90Opus", b"\x91Opus\xfcab", b"\x91Opus\xfcab"])
    assert [(d.codec, d.facts.channels, d.packet) for d in told] == [("OPUS", 2, "raw")]


def test_the_frame_type_is_that_of_the_message() -> None:
    header = payloads(H264)[0]
    (told,) = hear(MediaTrack(VIDEO_MESSAGE), [b"\x27" + header[1:]])
    assert told.frame == "interframe"


# --- enhanced headers, several tracks -------------------------------------------------------------

CONFIG = payloads(H264)[0][5:]
OTHER_CONFIG = payloads(H264_SMALL)[0][5:]


def test_modex_before_a_header_and_frames() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    modex = b"\x02\x00\x00\x07"
    sent = [b"\x97" + modex + b"\x00avc1" + CONFIG, b"\x97" + modex + b"\x01avc1" + CTS + b"abc"] * 2
    assert [d.facts.resolution for d in hear(track, sent)] == ["66x38"]
    assert track.ordinary == (), "no beginning tells what comes behind ModEx"


def test_the_track_with_the_lowest_id_is_followed() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    sent = [
        b"\x96\x00avc1\x01" + OTHER_CONFIG,
        b"\x96\x00avc1\x02" + CONFIG,
        b"\x96\x01avc1\x02" + CTS + b"abc",
        b"\x96\x00avc1\x00" + CONFIG,
        b"\x96\x00avc1\x01" + OTHER_CONFIG + b"\x00",
        b"\x96\x01avc1\x00" + CTS + b"abc",
        b"\x96\x01avc1\x01" + CTS + b"abc",
    ]
    assert [d.facts.resolution for d in hear(track, sent)] == ["32x32", "66x38"]
    assert b"\x96\x01avc1\x00" in track.ordinary and b"\x96\x01avc1\x01" in track.ordinary


def test_each_of_many_tracks_has_its_own_codec() -> None:
    track = MediaTrack(VIDEO_MESSAGE)
    size = len(CONFIG).to_bytes(3, "big")
    sent = b"\x96\x20vp09\x01\x00\x00\x08" + bytes(8) + b"avc1\x00" + size + CONFIG
    assert [(d.codec, d.facts.resolution) for d in hear(track, [sent])] == [("H264", "66x38")]


def test_ffmpeg_sends_several_tracks_and_the_first_is_told() -> None:
    file = flv_file(Video("libx264", 66, 38), Video("libx264", 32, 32), Audio("aac"), Audio("aac", 48000))
    for type_id, told in ((VIDEO_MESSAGE, ["66x38"]), (AUDIO_MESSAGE, [None])):
        track = MediaTrack(type_id)
        sent = [message.payload for message in messages_of(file) if message.type_id == type_id]
        assert [d.facts.resolution for d in hear(track, sent)] == told
    assert track.facts.sample_rate_hz == 44100


# --- totality -------------------------------------------------------------------------------------

STARTS = [
    b"\x17\x00" + CTS, b"\x27\x01" + CTS, b"\x12", b"\x13", b"\x14", b"\x90hvc1", b"\x90av01", b"\x91av01", b"\x91vp08",
    b"\x91vp09", b"\x90vp09", b"\x95av01", b"\x90vvc1", b"\x96\x00avc1\x00", b"\x97\x02\x00\x00\x01\x00av01",
    b"\xaf\x00", b"\xaf\x01", b"\x2f", b"\x90Opus", b"\x91Opus", b"\x90fLaC", b"\x91ac-3", b"\x91.mp3", b"\x72", b"",
]  # fmt: skip


@given(
    type_id=st.sampled_from([AUDIO_MESSAGE, VIDEO_MESSAGE]),
    sent=st.lists(st.builds(lambda a, b: a + b, st.sampled_from(STARTS), st.binary(max_size=40)), max_size=12),
)
def test_no_messages_make_it_raise_and_memory_is_bounded(type_id: int, sent: list[bytes]) -> None:
    track = MediaTrack(type_id)
    for payload in sent:
        detection = track.look(payload)
        assert detection is None or None not in detection.fields().values()
        assert 0 not in [value for value in (detection.fields().values() if detection else ()) if value is not False]
        assert len(track.ordinary) <= 8


def test_a_message_that_is_ordinary_would_not_have_told_anything() -> None:
    """The short cut against the long way, for every encoder."""
    for wanted, _ in FIRST:
        short, long = (MediaTrack(VIDEO_MESSAGE if isinstance(wanted, Video) else AUDIO_MESSAGE) for _ in range(2))
        for payload in payloads(wanted):
            told = long.look(payload)
            if payload.startswith(short.ordinary):
                assert told is None
            else:
                assert short.look(payload) == told
