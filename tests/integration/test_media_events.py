"""What is told of the media: real encodes through the whole server, and what hostile ones make of it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import gevent
import pytest

from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.protocol import amf0
from rtmpd.protocol.amf0 import DEFAULT_LIMITS, encode
from rtmpd.protocol.amf0_types import EcmaArray
from rtmpd.protocol.constants import CSID_AUDIO, CSID_DATA, CSID_VIDEO, DATA_AMF0
from rtmpd.protocol.message import Message
from rtmpd.server import media
from tests.integration.conftest import Start
from tests.support.client import AAC_HEADER, AVC_HEADER, audio, interframe, keyframe
from tests.support.encodes import Audio, Video, flv_file, messages_of
from tests.support.house import Running

H264 = Video("libx264", 66, 38, options=(("profile", "high"), ("preset", "veryfast")), frames=10)
SMALLER = Video("libx264", 32, 32)
AAC = Audio("aac", 48000, "stereo", 96_000)
CSIDS = {AUDIO_MESSAGE: CSID_AUDIO, VIDEO_MESSAGE: CSID_VIDEO, DATA_AMF0: CSID_DATA}


class Studio:
    """A publisher, and a player who sees what has passed."""

    def __init__(self, house: Running) -> None:
        self.publisher, self.player = house.client(), house.client()
        self.msid = self.publisher.publish()
        self.player.play()
        self._marks = 0

    def video(self, payload: bytes) -> None:
        self.publisher.video(self.msid, payload)

    def audio(self, payload: bytes) -> None:
        self.publisher.audio(self.msid, payload)

    def metadata(self, **values: Any) -> None:
        self.publisher.metadata(self.msid, **values)

    def file(self, file: bytes, wanted: tuple[int, ...] = (8, 9, 18)) -> None:
        """Send a file as an encoder would."""
        for message in messages_of(file):
            if message.type_id in wanted and message.payload:
                payload = message.payload
                if message.type_id == DATA_AMF0:
                    payload = amf0.encode("@setDataFrame") + payload
                sent = Message(message.type_id, payload, message.timestamp, self.msid)
                self.publisher.send(sent, CSIDS[message.type_id])

    def passed(self) -> None:
        """Wait until the player has what was sent."""
        self._marks += 1
        mark = amf0.encode("onTextData", {"mark": float(self._marks)})
        self.publisher.send(Message(DATA_AMF0, mark, 0, self.msid), CSID_DATA)
        self.player.read_until(lambda: mark in [message.payload for message in self.player.messages], "the mark")


def data_of(house: Running, type_: str) -> list[dict[str, Any]]:
    return [dict(event.data) for event in house.of(type_)]


def test_a_real_stream_tells_its_codecs_and_its_metadata_once(start: Start) -> None:
    house = start()
    studio = Studio(house)
    file = flv_file(H264, AAC)
    studio.file(file)
    studio.passed()
    studio.file(file)
    studio.passed()
    video, sound = data_of(house, "codec_detected")
    assert video == {
        "media_type": "video", "codec_name": "H264", "codec_profile": "high", "level": "1.0", "resolution": "66x38",
        "framerate": 25.0, "packet_type": "sequence_header", "frame_type": "keyframe", "change": False,
    }  # fmt: skip
    assert sound == {
        "media_type": "audio", "codec_name": "AAC", "codec_profile": "lc", "bitrate": sound["bitrate"],
        "sample_rate": 48000, "channels": 2, "packet_type": "sequence_header", "change": False,
    }  # fmt: skip
    (metadata,) = data_of(house, "stream_metadata")
    assert (metadata["width"], metadata["height"], metadata["framerate"]) == (66, 38, 25.0)
    assert metadata["audio_bitrate"] == sound["bitrate"] == 96_000  # FFmpeg counts 1024 bits per kilobit
    assert metadata["encoder"].startswith("Lavf")
    assert metadata["extra"]["audiosamplerate"] == 48000
    assert [event.stream_key for event in house.of("codec_detected")] == ["live/a", "live/a"]
    for event in house.of("codec_detected") + house.of("stream_metadata"):
        assert list(event.data) == [f.name for f in EVENT_TYPES[event.type].fields if f.name in event.data]
    (jump,) = house.errors()
    assert jump.data["error_type"] == "timestamp_jump", "the file begins again at 0"
    assert not house.of("resolution_change")


def test_a_clock_that_jumps_is_reported_once_for_each_publish(start: Start) -> None:
    house = start()
    studio = Studio(house)
    for at in (0, 40, 86_400_000, 40, 86_400_000):
        studio.publisher.video(studio.msid, keyframe(50), at)
        studio.publisher.audio(studio.msid, audio(10), at)
    studio.passed()
    (jump,) = house.errors()
    assert jump.data == {
        "error_type": "timestamp_jump",
        "error_message": "the timestamps of the video jumped ahead by 86400 s; the stream goes on without the jump",
        "app": "live",
        "stream_name": "a",
    }
    assert len(house.logged("media is not as it should be", stream_key="live/a")) == 1


def test_another_size_and_another_codec_in_mid_stream_are_told(start: Start) -> None:
    house = start()
    studio = Studio(house)
    studio.file(flv_file(H264, AAC))
    studio.file(flv_file(SMALLER), (9,))
    studio.passed()
    assert data_of(house, "resolution_change") == [{"previous": "66x38", "current": "32x32"}]
    studio.file(flv_file(Video("libx265", 64, 36)), (9,))
    studio.passed()
    studio.file(flv_file(Audio("libmp3lame")), (8,))
    studio.passed()
    told = [(d["codec_name"], d.get("resolution"), d["change"]) for d in data_of(house, "codec_detected")]
    assert told == [
        ("H264", "66x38", False), ("AAC", None, False), ("H264", "32x32", True), ("H265", "64x36", True),
        ("MP3", None, True),
    ]  # fmt: skip
    assert data_of(house, "resolution_change")[1:] == [{"previous": "32x32", "current": "64x36"}]
    assert {event.data["error_type"] for event in house.errors()} <= {"timestamp_jump"}, "each file begins at 0"


@pytest.mark.parametrize(
    ("video", "sound", "names"),
    [
        (Video("libx265", 66, 38), Audio("libopus", 48000), {"H265", "OPUS"}),
        (Video("libsvtav1", 66, 70), Audio("flac"), {"AV1", "FLAC"}),
        (Video("libvpx-vp9", 66, 38), Audio("eac3"), {"VP9", "EAC3"}),
        (Video("flv1", 66, 38), Audio("ac3"), {"SORENSON", "AC3"}),
    ],
    ids=lambda value: value.encoder if hasattr(value, "encoder") else "",
)
def test_enhanced_and_old_codecs_are_told_once_each(start: Start, video: Video, sound: Audio, names: set[str]) -> None:
    house = start()
    studio = Studio(house)
    studio.file(flv_file(video, sound))
    studio.passed()
    told = data_of(house, "codec_detected")
    assert {d["codec_name"] for d in told} == names and len(told) == 2
    assert {d.get("resolution") for d in told} == {video.resolution, None}
    assert len(data_of(house, "stream_metadata")) == 1
    assert not house.errors()


def test_metadata_is_told_again_when_it_says_something_else(start: Start) -> None:
    house = start()
    studio = Studio(house)
    for rate in (30.0, 30.0, 25.0):
        studio.metadata(width=64.0, framerate=rate, videodatarate=500.0)
        studio.metadata(framerate=rate, width=64.0, videodatarate=500.0)
    studio.publisher.headers(studio.msid)
    studio.video(keyframe())
    studio.passed()
    assert data_of(house, "stream_metadata") == [
        {"width": 64, "framerate": 30.0, "video_bitrate": 500_000},
        {"width": 64, "framerate": 25.0, "video_bitrate": 500_000},
    ]
    video = house.of("codec_detected", media_type="video")[0].data
    assert (video["bitrate"], video["framerate"]) == (500_000, 25.0)


def test_a_header_that_can_not_be_read_is_told_and_passed_on(start: Start) -> None:
    house = start()
    studio = Studio(house)
    broken = b"\x17\0\0\0\0\x01\x64\0\x1f\xff\xe1\0\x05\x67\x64"
    studio.video(broken)
    studio.video(broken)
    studio.audio(b"\xaf\0\x16\x90")
    studio.video(keyframe())
    studio.passed()
    assert studio.player.payloads() == [broken, broken, b"\xaf\0\x16\x90", keyframe()]
    errors = house.of("stream_error")
    assert [event.data["error_type"] for event in errors] == ["media_error", "media_error"]
    assert "H264 sequence header cannot be read" in str(errors[0].data["error_message"])
    assert (errors[0].data["app"], errors[0].data["stream_name"], errors[0].stream_key) == ("live", "a", "live/a")
    assert [d["codec_name"] for d in data_of(house, "codec_detected")] == ["H264", "AAC"]
    assert not house.of("connection_error")


def test_metadata_that_names_another_codec_is_a_mismatch(start: Start) -> None:
    house = start()
    studio = Studio(house)
    studio.metadata(videocodecid=12.0, audiocodecid=10.0)
    studio.publisher.headers(studio.msid)
    studio.video(keyframe())
    studio.passed()
    (error,) = house.of("stream_error")
    assert error.data["error_type"] == "codec_mismatch"
    assert error.data["error_message"] == "onMetaData says that the video is H265, it is H264"


def test_metadata_that_can_not_be_read_is_told_and_passed_on(start: Start) -> None:
    house = start()
    studio = Studio(house)
    body = amf0.encode("@setDataFrame", "onMetaData") + b"\x08\x00\x00\x00\x01\x00\x05wid"
    studio.publisher.send(Message(DATA_AMF0, body, 0, studio.msid), CSID_DATA)
    studio.video(keyframe())
    studio.passed()
    assert [event.data["error_type"] for event in house.of("stream_error")] == ["media_error"]
    assert any(b"onMetaData" in message.payload for message in studio.player.messages if message.type_id == DATA_AMF0)


def test_metadata_with_an_index_of_keyframes_is_reported_without_it(start: Start) -> None:
    house = start()
    studio = Studio(house)
    index = {"times": [i * 2.0 for i in range(5400)], "filepositions": [i * 1e5 for i in range(5400)]}
    studio.publisher.chunk_size(65536)
    studio.metadata(width=1280.0, keyframes=index, height=720.0, hasKeyframes=True)
    studio.video(keyframe())
    studio.passed()
    assert data_of(house, "stream_metadata") == [{"width": 1280, "height": 720, "extra": {"hasKeyframes": True}}]
    assert not house.errors()


def test_metadata_that_breaks_off_is_reported_as_far_as_it_goes(start: Start) -> None:
    house = start()
    studio = Studio(house)
    whole = amf0.encode("@setDataFrame", "onMetaData", {"width": 64.0})
    body = whole.removesuffix(b"\x00\x00\x09") + b"\x00\x03odd\x11"
    studio.publisher.send(Message(DATA_AMF0, body, 0, studio.msid), CSID_DATA)
    studio.video(keyframe())
    studio.passed()
    assert data_of(house, "stream_metadata") == [{"width": 64}]
    assert [event.data["error_type"] for event in house.of("stream_error")] == ["media_error"]


@pytest.mark.parametrize(
    "body",
    [
        amf0.encode("setDataFrame", "onMetaData", {"width": 64.0}),
        amf0.encode("@setDataFrame", amf0.EcmaArray(width=64.0)),
        amf0.encode(amf0.EcmaArray(width=64.0)),
    ],
    ids=["without @", "without a name", "an object alone"],
)
def test_metadata_as_odd_encoders_write_it_is_reported_and_reaches_who_comes_later(start: Start, body: bytes) -> None:
    house = start()
    studio = Studio(house)
    studio.publisher.send(Message(DATA_AMF0, body, 0, studio.msid), CSID_DATA)
    studio.video(keyframe())
    studio.passed()
    assert data_of(house, "stream_metadata") == [{"width": 64}]
    late = house.client()
    late.play()
    late.wait_payload(keyframe())
    (metadata,) = [m for m in late.messages if m.type_id == DATA_AMF0 and b"width" in m.payload]
    assert amf0.decode_all(metadata.payload) == ["onMetaData", {"width": 64.0}]


def test_large_metadata_that_differs_in_what_is_not_told_is_read_so_often_and_no_more(start: Start) -> None:
    house = start()
    studio = Studio(house)
    studio.publisher.chunk_size(65536)
    for number in range(60):
        studio.metadata(width=64.0, index=[float(number)] * 5000)
    report = house.connection(studio.publisher).activity.publishers[studio.msid].report
    studio.video(keyframe())
    studio.passed()
    assert len(house.of("stream_metadata")) == 1
    assert report._taken_until - house.house.context.clock.monotonic() > 15


def test_a_publisher_that_changes_over_and_over_is_told_of_so_often_and_no_more(start: Start) -> None:
    house = start()
    studio = Studio(house)
    for index in range(300):
        studio.audio((b"\x72" if index % 2 else b"\x82") + bytes([index & 255]) * 8)
        studio.metadata(width=float(index + 1))
    studio.video(keyframe())
    studio.passed()
    assert len(studio.player.payloads()) == 301
    reports = len(house.of("codec_detected")) + len(house.of("stream_metadata"))
    assert 20 <= reports <= 40


def test_headers_that_differ_in_what_is_not_told_are_read_so_often_and_no_more(start: Start) -> None:
    house = start()
    studio = Studio(house)
    for index in range(300):
        studio.video(AVC_HEADER + index.to_bytes(2, "big"))
    studio.video(keyframe())
    studio.passed()
    track = house.connection(studio.publisher).activity.publishers[studio.msid].report.video
    assert 20 <= track.headers_read <= 40
    assert len(house.of("codec_detected")) == 1


def test_noise_is_told_as_nothing_and_passed_on(start: Start) -> None:
    house = start()
    studio = Studio(house)
    noise = [b"\x17", b"\x90hv", b"\xff" * 50, b"\x97" + b"\xff" * 9, b"\x0f\x00", b"\x96\xff" + bytes(40)]
    for payload in noise:
        studio.video(payload)
        studio.audio(payload)
    studio.publisher.headers(studio.msid)
    studio.video(keyframe())
    studio.passed()
    assert [d["codec_name"] for d in data_of(house, "codec_detected")][-2:] == ["H264", "AAC"]
    assert not house.of("connection_error")


def test_the_codecs_of_publish_stop_are_the_first_named(start: Start) -> None:
    house = start()
    studio = Studio(house)
    for payload in (AVC_HEADER, keyframe(), interframe(), b"\x90hvc1xyz", b"\x91vp09abc"):
        studio.video(payload)
    for payload in (AAC_HEADER, audio(), b"\x2fxyz"):
        studio.audio(payload)
    studio.passed()
    studio.publisher.call("deleteStream", None, float(studio.msid))
    stop = house.wait_event("publish_stop").data
    assert (stop["video_codec"], stop["audio_codec"]) == ("H264", "AAC")
    assert (stop["video_packets"], stop["audio_packets"]) == (5, 3)


def test_metadata_that_cannot_be_read_keeps_nothing_of_its_connection() -> None:
    broken = encode("onMetaData", EcmaArray({"width": 64.0}))[:-3] + b"\x00\x01x\x00\x40"

    class Held:
        """What the frames of a connection hold."""

    def session() -> None:
        held = Held()
        seen.append(weakref.ref(held))
        assert media._known_metadata(broken, DEFAULT_LIMITS)[2] is not None

    seen: list[weakref.ref[Held]] = []
    gevent.spawn(session).join()
    gc.collect()
    assert seen[0]() is None
