"""Held against FFmpeg: its muxer writes the files, its demuxer says what is in them.

FFmpeg writes enhanced messages for HEVC, AV1, VP9, Opus, FLAC, AC-3 and E-AC-3, and multitrack
messages for the second stream of a kind.
"""

from __future__ import annotations

import io
from collections import Counter
from fractions import Fraction
from functools import cache

import av
import pytest

from rtmpd.codec import tag
from rtmpd.codec.classify import HEADER, KEYFRAME, NOT_CACHED, classify, codec_name, header_slot
from rtmpd.codec.metadata import is_metadata
from rtmpd.codec.tag import AUDIO_MESSAGE, CODED, VIDEO_MESSAGE
from rtmpd.protocol import flv
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource

FRAMES = 24
FRAMES_PER_SECOND = 25
SIDE_PIXELS = 64

ENCODER_OPTIONS = {
    "libx264": {"bf": "2", "threads": "1"},
    "libx265": {"x265-params": "log-level=none:pools=1:frame-threads=1"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}
CODEC_NAMES = {
    "libx264": "H264",
    "libx265": "H265",
    "libsvtav1": "AV1",
    "libvpx-vp9": "VP9",
    "flv1": "SORENSON",
    "aac": "AAC",
    "libmp3lame": "MP3",
    "libopus": "OPUS",
    "flac": "FLAC",
    "ac3": "AC3",
    "eac3": "EAC3",
    "pcm_alaw": "G711A",
}
WITHOUT_HEADER = {"flv1", "libmp3lame", "pcm_alaw"}
SAMPLE_RATES = {"libopus": 48000, "pcm_alaw": 8000}

ONE_OF_EACH = [
    (("libx264",), ("aac",)),
    (("libx265",), ("libmp3lame",)),
    (("libsvtav1",), ("libopus",)),
    (("libvpx-vp9",), ("flac",)),
    (("flv1",), ("ac3",)),
    (("libx264",), ("eac3",)),
    ((), ("pcm_alaw",)),
]
SEVERAL_TRACKS = [(("libx264", "libx264"), ("aac", "aac")), (("libx265", "libvpx-vp9"), ("libopus", "aac"))]
ALL = ONE_OF_EACH + SEVERAL_TRACKS

Encoders = tuple[str, ...]
Packet = tuple[str, int, int, bool, bytes]


@cache
def encoded(videos: Encoders, audios: Encoders) -> bytes:
    """A second of moving stripes and silence as an FLV file."""
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as output:
        pictures = [output.add_stream(name, FRAMES_PER_SECOND, ENCODER_OPTIONS.get(name, {})) for name in videos]
        for stream in pictures:
            stream.width = stream.height = SIDE_PIXELS
            stream.pix_fmt, stream.gop_size = "yuv420p", 10
        sounds = [output.add_stream(name, SAMPLE_RATES.get(name, 44100)) for name in audios]
        for stream, name in zip(sounds, audios, strict=True):
            stream.layout = "mono" if name == "pcm_alaw" else "stereo"
        for index in range(FRAMES):
            for stream in pictures:
                output.mux(stream.encode(picture(index)))
            for stream in sounds:
                output.mux(stream.encode(silence(index, stream.codec_context.rate)))
        for stream in pictures + sounds:
            output.mux(stream.encode(None))
    return file.getvalue()


def picture(index: int) -> av.VideoFrame:
    frame = av.VideoFrame(SIDE_PIXELS, SIDE_PIXELS, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes((index * 9 + at) % 256 for at in range(plane.buffer_size)))
    frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
    return frame


def silence(index: int, rate_hz: int) -> av.AudioFrame:
    samples = rate_hz // FRAMES_PER_SECOND
    frame = av.AudioFrame("s16", "stereo", samples)
    frame.planes[0].update(bytes(samples * 4))
    frame.rate, frame.pts, frame.time_base = rate_hz, index * samples, Fraction(1, rate_hz)
    return frame


def messages_of(file: bytes) -> list[Message]:
    reader = flv.FlvReader(Buffer(MemorySource([file])))
    reader.read_header()
    return list(iter(reader.read_tag, None))


def packets_by_us(file: bytes) -> Counter[Packet]:
    packets: Counter[Packet] = Counter()
    for message in messages_of(file):
        if message.type_id not in (AUDIO_MESSAGE, VIDEO_MESSAGE):
            continue
        header = tag.decode(message.type_id, message.payload)
        if header.packet_type not in CODED:
            continue
        assert classify(message.type_id, message.payload) & (HEADER | NOT_CACHED) == 0
        for track in header.tracks:
            body = message.payload[track.offset : track.offset + track.length]
            pts = message.timestamp + (track.composition_time_ms or 0)
            keyframe = header.keyframe or header.kind == "audio"
            if body:  # FFmpeg's FLAC encoder ends with an empty packet, which its demuxer hides
                packets[header.kind, message.timestamp, pts, keyframe, body] += 1
    return packets


def packets_by_ffmpeg(file: bytes) -> Counter[Packet]:
    with av.open(io.BytesIO(file), format="flv") as container:
        return Counter(
            (packet.stream.type, packet.dts, packet.pts, packet.is_keyframe, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.dts is not None and packet.stream.type in ("audio", "video")
        )


@pytest.mark.parametrize(("videos", "audios"), ALL)
def test_packets_times_and_keyframes_are_those_ffmpeg_demuxes(videos: Encoders, audios: Encoders) -> None:
    ours, theirs = packets_by_us(encoded(videos, audios)), packets_by_ffmpeg(encoded(videos, audios))
    assert ours.total() >= FRAMES * len(videos) + len(audios)
    assert sorted(ours.elements()) == sorted(theirs.elements())


@pytest.mark.parametrize(("videos", "audios"), ALL)
def test_a_file_written_again_is_the_same_file(videos: Encoders, audios: Encoders) -> None:
    file = encoded(videos, audios)
    assert flv.file_header(bool(audios), bool(videos)) + b"".join(map(flv.tag, messages_of(file))) == file


@pytest.mark.parametrize(("videos", "audios"), ONE_OF_EACH)
def test_the_first_message_of_each_kind_names_the_codec_and_is_its_header(videos: Encoders, audios: Encoders) -> None:
    messages = messages_of(encoded(videos, audios))
    assert is_metadata(messages[0].payload)
    for type_id, encoders in ((VIDEO_MESSAGE, videos), (AUDIO_MESSAGE, audios)):
        for encoder in encoders:
            of_kind = [message.payload for message in messages if message.type_id == type_id]
            flags = [classify(type_id, payload) for payload in of_kind]
            assert {codec_name(type_id, payload) for payload in of_kind} == {CODEC_NAMES[encoder]}
            assert bool(flags[0] & HEADER) == (encoder not in WITHOUT_HEADER)


@pytest.mark.parametrize(("videos", "audios"), ONE_OF_EACH[:5])
def test_keyframes_are_flagged_where_ffmpeg_finds_them(videos: Encoders, audios: Encoders) -> None:
    file = encoded(videos, audios)
    ours = [
        message.timestamp
        for message in messages_of(file)
        if classify(message.type_id, message.payload) & KEYFRAME
    ]
    theirs = sorted(packet[1] for packet in packets_by_ffmpeg(file) if packet[0] == "video" and packet[3])
    assert ours == theirs
    assert len(ours) > 1


@pytest.mark.parametrize(("videos", "audios"), SEVERAL_TRACKS)
def test_every_track_keeps_a_header_of_its_own(videos: Encoders, audios: Encoders) -> None:
    headers = {
        header_slot(message.type_id, message.payload): codec_name(message.type_id, message.payload)
        for message in messages_of(encoded(videos, audios))
        if classify(message.type_id, message.payload) & HEADER
    }
    sequences = {slot: codec for slot, codec in headers.items() if slot[1] == "sequence"}
    assert sequences == {
        (kind, "sequence", (track_id,)): CODEC_NAMES[encoder]
        for kind, encoders in (("video", videos), ("audio", audios))
        for track_id, encoder in enumerate(encoders)
    }


@pytest.mark.parametrize(("videos", "audios"), SEVERAL_TRACKS)
def test_only_keyframes_of_track_0_start_a_gop(videos: Encoders, audios: Encoders) -> None:
    for message in messages_of(encoded(videos, audios)):
        if message.type_id == VIDEO_MESSAGE and classify(message.type_id, message.payload) & KEYFRAME:
            assert [track.track_id for track in tag.decode_video(message.payload).tracks] == [0]
