"""FLV for viewers: which tracks there are, and what players in browsers are given."""

from __future__ import annotations

import pytest

from rtmpd.codec.classify import AUDIO, HEADER, VIDEO, classify
from rtmpd.playback.flv import FlvFrame, Form, Tracks, WebSocketFrame, for_browsers
from rtmpd.protocol import amf0
from rtmpd.protocol.constants import AUDIO as AUDIO_MESSAGE
from rtmpd.protocol.constants import DATA_AMF0
from rtmpd.protocol.constants import VIDEO as VIDEO_MESSAGE
from rtmpd.stream.frame import Frame
from tests.support.client import AAC_HEADER, AVC_HEADER, audio, keyframe

AVC_RECORD = AVC_HEADER[5:]
HEVC = b"\x90hvc1" + b"\x01" * 30


def frame(type_id: int, payload: bytes, at_ms: int = 0) -> Frame:
    return Frame(type_id, payload, at_ms, classify(type_id, payload))


def video(payload: bytes, at_ms: int = 0) -> Frame:
    return frame(VIDEO_MESSAGE, payload, at_ms)


def sound(payload: bytes, at_ms: int = 0) -> Frame:
    return frame(AUDIO_MESSAGE, payload, at_ms)


def metadata(**values: object) -> Frame:
    payload = amf0.encode("onMetaData", dict(values))
    return Frame(DATA_AMF0, payload, 0, classify(DATA_AMF0, payload) | HEADER)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (video(b"\x90avc1" + AVC_RECORD), b"\x17\x00\x00\x00\x00" + AVC_RECORD),
        (video(b"\x91avc1\x00\x00\x28picture"), b"\x17\x01\x00\x00\x28picture"),
        (video(b"\x91avc1\xff\xff\xd8picture"), b"\x17\x01\xff\xff\xd8picture"),
        (video(b"\xa3avc1picture"), b"\x27\x01\x00\x00\x00picture"),
        (video(b"\x92avc1"), b"\x17\x02\x00\x00\x00"),
        (sound(b"\x90mp4a\x12\x10"), b"\xaf\x00\x12\x10"),
        (sound(b"\x91mp4asound"), b"\xaf\x01sound"),
        (video(HEVC), HEVC),
        (video(AVC_HEADER), AVC_HEADER),
        (sound(audio()), audio()),
        (video(b"\x97\x02\x00\x00\x01\x03hvc1picture"), b"\x93hvc1picture"),
        (video(b"\x97\x02\x00\x00\x01\x03avc1picture"), b"\x17\x01\x00\x00\x00picture"),
        (video(b"\x96\x03avc1\x00picture"), b"\x17\x01\x00\x00\x00picture"),
    ],
)
def test_browsers_get_the_form_that_they_read(sent: Frame, expected: bytes) -> None:
    assert for_browsers(sent) == expected


@pytest.mark.parametrize(
    "sent",
    [
        video(b"\x94avc1" + amf0.encode("colorInfo", {})),
        video(b"\x96\x03avc1\x01another track"),
        sound(b"\x94mp4a\x00\x02"),
        sound(b"\x92mp4a"),
        video(b"\x99????"),
        video(b"\x91av"),
    ],
)
def test_browsers_do_not_get_what_would_end_them(sent: Frame) -> None:
    assert for_browsers(sent) is None


def test_tracks_are_settled_when_all_that_were_announced_are_there() -> None:
    tracks = Tracks()
    tracks.take([metadata(videocodecid=7.0), video(AVC_HEADER)])
    assert tracks.are_settled and tracks.known == VIDEO

    tracks = Tracks()
    tracks.take([metadata(videocodecid=7.0, audiocodecid="mp4a"), video(AVC_HEADER), video(keyframe())])
    assert not tracks.are_settled
    tracks.take([sound(AAC_HEADER)])
    assert tracks.are_settled and tracks.known == AUDIO | VIDEO


def test_tracks_that_announce_nothing_are_settled_after_a_second_of_media() -> None:
    tracks = Tracks()
    tracks.take([sound(AAC_HEADER), sound(audio(), 10), sound(audio(), 1009)])
    assert not tracks.are_settled
    tracks.take([sound(audio(), 1010)])
    assert tracks.are_settled and tracks.known == AUDIO


@pytest.mark.parametrize(
    ("frames", "named"),
    [
        ([video(AVC_HEADER), sound(AAC_HEADER)], ""),
        ([video(b"\x90av01" + bytes(9)), sound(AAC_HEADER)], "AV1"),
        ([video(b"\x90vp09" + bytes(9)), sound(b"\x90OpusOpusHead")], "VP9 and OPUS"),
        ([video(HEVC)], ""),
        ([sound(b"\x2f\xff\xfb")], ""),
    ],
)
def test_codecs_that_browsers_cannot_play_as_flv_are_named(frames: list[Frame], named: str) -> None:
    tracks = Tracks()
    tracks.take(frames)
    assert tracks.undecodable() == named


def test_a_tag_is_made_once_and_is_one_message_of_a_web_socket() -> None:
    tag = FlvFrame(VIDEO_MESSAGE, b"\x17\x01", 0x01020304, VIDEO)
    wire = tag.wire(0, 0)
    assert wire == bytes.fromhex("09000002 020304 01 000000 1701 0000000d")
    assert tag.wire(0, 0) is wire
    assert WebSocketFrame(VIDEO_MESSAGE, b"\x17\x01", 0x01020304, VIDEO).wire(0, 0) == b"\x82\x11" + wire


def test_the_forms_are_what_events_call_them() -> None:
    assert {form: (form.protocol, form.is_raw) for form in Form} == {
        Form.BROWSER: ("http-flv", False),
        Form.RAW: ("http-flv", True),
        Form.BROWSER_WS: ("ws-flv", False),
        Form.RAW_WS: ("ws-flv", True),
    }
