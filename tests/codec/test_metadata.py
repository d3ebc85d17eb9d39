"""Data messages: the wrapper goes, everything else stays as it came."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.codec.metadata import (
    clears_metadata,
    data_name,
    declared_codec,
    is_metadata,
    metadata_properties,
    stream_fields,
    strip_set_data_frame,
)
from rtmpd.protocol.amf0 import EcmaArray, encode

VALUES = b"\x08\x00\x00\x00\x01\x00\x05width\x00\x40\x94\x00\x00\x00\x00\x00\x00\x00\x00\x09"


def amf0_string(text: str) -> bytes:
    return b"\x02" + len(text).to_bytes(2, "big") + text.encode()


def amf0_long_string(text: str) -> bytes:
    return b"\x0c" + len(text).to_bytes(4, "big") + text.encode()


BARE = amf0_string("onMetaData") + VALUES


@pytest.mark.parametrize("string", [amf0_string, amf0_long_string])
@pytest.mark.parametrize("wrapper", ["@setDataFrame", "setDataFrame"])
def test_set_data_frame_is_stripped_and_the_rest_is_untouched(string: Callable[[str], bytes], wrapper: str) -> None:
    assert strip_set_data_frame(string(wrapper) + BARE) == BARE
    assert strip_set_data_frame(string(wrapper) + amf0_string("onTextData")) == amf0_string("onTextData")


@pytest.mark.parametrize("wrapper", ["", "@setDataFrame", "setDataFrame"])
@pytest.mark.parametrize("values", [encode({"width": 64.0}), encode(EcmaArray(width=64.0))], ids=["object", "array"])
def test_an_object_without_a_name_is_metadata_and_players_get_the_name(wrapper: str, values: bytes) -> None:
    payload = (amf0_string(wrapper) if wrapper else b"") + values
    assert is_metadata(payload)
    assert strip_set_data_frame(payload) == amf0_string("onMetaData") + values


@pytest.mark.parametrize(
    "payload",
    [
        BARE,
        b"",
        b"\x02",
        b"\x02\x00",
        b"\x02\x00\x0d@setDataFram",
        b"\x00\x40\x00\x00\x00\x00\x00\x00\x00",
        amf0_string("@setDataFrames") + BARE,
        amf0_string("onTextData") + VALUES,
        amf0_string("|RtmpSampleAccess") + b"\x01\x01\x01\x01",
        BARE + amf0_string("@setDataFrame"),
    ],
)
def test_everything_else_passes_unchanged(payload: bytes) -> None:
    assert strip_set_data_frame(payload) is payload


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (BARE, "onMetaData"),
        (amf0_string("@setDataFrame") + BARE, "@setDataFrame"),
        (amf0_long_string("onCuePoint"), "onCuePoint"),
        (amf0_string(""), ""),
        (b"\x02\x00\x02\xff\xfe", "\ufffd\ufffd"),
        (b"\x02\x00\x05abcd", ""),
        (b"\x0c\x00\x00", ""),
        (b"\x05", ""),
        (b"", ""),
    ],
)
def test_the_name_is_the_first_string(payload: bytes, name: str) -> None:
    assert data_name(payload) == name


def test_metadata_is_recognised_wrapped_and_bare() -> None:
    assert is_metadata(BARE)
    assert is_metadata(amf0_string("@setDataFrame") + BARE)
    assert not is_metadata(amf0_string("@setDataFrame") + amf0_string("onTextData") + VALUES)
    assert not is_metadata(amf0_string("@setDataFrame"))
    assert not is_metadata(amf0_string("@clearDataFrame") + amf0_string("onMetaData"))
    assert not is_metadata(amf0_string("onCuePoint") + VALUES)


def test_clear_data_frame_clears_only_what_it_names() -> None:
    assert clears_metadata(amf0_string("@clearDataFrame") + amf0_string("onMetaData"))
    assert clears_metadata(amf0_string("clearDataFrame") + amf0_string("onMetaData"))
    assert not clears_metadata(amf0_string("@clearDataFrame") + amf0_string("onTextData"))
    assert not clears_metadata(amf0_string("@clearDataFrame"))
    assert not clears_metadata(BARE)


@pytest.mark.parametrize(
    ("values", "properties"),
    [
        (["@setDataFrame", "onMetaData", {"width": 1280.0}], {"width": 1280.0}),
        (["onMetaData", {"width": 1280.0}], {"width": 1280.0}),
        (["onMetaData", {}], {}),
        (["onMetaData"], None),
        (["onMetaData", None], None),
        (["onTextData", {"text": "x"}], None),
        (["@setDataFrame"], None),
        ([{"width": 1280.0}], None),
        ([], None),
    ],
)
def test_the_properties_of_decoded_metadata(values: list[object], properties: dict[str, object] | None) -> None:
    assert metadata_properties(values) == properties


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda tail: b"\x02\x00\x0d@setDataFrame" + tail)))
def test_no_bytes_make_them_raise_and_at_most_one_wrapper_goes(payload: bytes) -> None:
    stripped = strip_set_data_frame(payload)
    assert payload.endswith(stripped.removeprefix(amf0_string("onMetaData")))
    assert is_metadata(stripped) or not is_metadata(payload)
    assert isinstance(data_name(payload), str)
    assert not (is_metadata(payload) and clears_metadata(payload))


# --- what onMetaData says of the stream -----------------------------------------------------------

OBS = {
    "duration": 0.0, "fileSize": 0.0, "width": 1920.0, "height": 1080.0, "videocodecid": 7.0, "videodatarate": 2500.0,
    "framerate": 30.0, "audiocodecid": 10.0, "audiodatarate": 160.0, "audiosamplerate": 48000.0, "stereo": True,
    "2.1": False, "encoder": "obs-output module",
}  # fmt: skip


def test_the_fields_of_a_stream_as_an_encoder_describes_it() -> None:
    fields = stream_fields(OBS)
    assert fields == {
        "width": 1920,
        "height": 1080,
        "framerate": 30.0,
        "video_bitrate": 2_500_000,
        "audio_bitrate": 160_000,
        "encoder": "obs-output module",
        "duration": 0,
        "extra": {
            "fileSize": 0, "videocodecid": 7, "audiocodecid": 10, "audiosamplerate": 48000, "stereo": True,
            "2.1": False,
        },
    }  # fmt: skip
    assert list(fields)[:5] == ["width", "height", "framerate", "video_bitrate", "audio_bitrate"]


def test_other_spellings_and_numbers_as_text() -> None:
    said = {"fps": "29.97", "displayWidth": "1280", "displayHeight": 720, "creationdate": "now", "title": "T"}
    assert stream_fields({**said, "duration": 12.5}) == {
        "width": 1280, "height": 720, "framerate": 29.97, "creation_date": "now", "title": "T", "duration": 12.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "value", [0.0, -1.0, 1e-9, float("nan"), float("inf"), 1e300, True, None, "", "x", "nan", {}, [1.0]]
)
def test_a_number_that_is_not_known_is_not_there(value: object) -> None:
    assert stream_fields(dict.fromkeys(("width", "framerate", "videodatarate"), value)) == {}


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), True, False, None, "", "x", {}])
def test_a_duration_that_is_no_number_is_not_there(value: object) -> None:
    assert stream_fields({"duration": value}) == {}


def test_the_duration_of_a_live_stream_is_0_as_its_encoder_says() -> None:
    assert stream_fields({"duration": 0.0}) == {"duration": 0}


@pytest.mark.parametrize(
    ("encoder", "said", "bits"),
    [
        ("Lavf60.16.100", 2500_000 / 1024, 2500_000),
        ("Lavf58.29.100", 125.0, 128_000),
        ("obs-output module (libobs version 30.0.2)", 2500.0, 2500_000),
        (None, 2500.0, 2500_000),
        (5.0, 2500.0, 2500_000),
    ],
)
def test_a_kilobit_of_ffmpeg_has_1024_bits(encoder: object, said: float, bits: int) -> None:
    fields = stream_fields({"encoder": encoder, "videodatarate": said, "audiodatarate": said})
    assert (fields["video_bitrate"], fields["audio_bitrate"]) == (bits, bits)


def test_a_number_too_large_to_be_whole_is_told_as_it_is() -> None:
    assert stream_fields({"odd": 1e308, "even": 4.0}) == {"extra": {"odd": 1e308, "even": 4}}


def test_what_else_is_told_is_bounded() -> None:
    many = {f"key{index}": "x" * 10_000 for index in range(1000)}
    extra = stream_fields({"n" * 65: 1.0, "list": [1.0], "none": None, "inf": float("inf"), **many})["extra"]
    assert isinstance(extra, dict)
    assert len(extra) == 32 and set(map(len, extra.values())) == {256}
    assert len(str(stream_fields({"encoder": "e" * 10_000})["encoder"])) == 256


@pytest.mark.parametrize(
    ("kind", "properties", "codec"),
    [
        ("video", {"videocodecid": 7.0}, "H264"),
        ("video", {"videocodecid": float(0x68766331)}, "H265"),
        ("video", {"videocodecid": "av01"}, "AV1"),
        ("audio", {"audiocodecid": 10.0}, "AAC"),
        ("audio", {"audiocodecid": float(int.from_bytes(b"Opus", "big"))}, "OPUS"),
        ("audio", {"audiocodecid": "mp4a"}, "AAC"),
        ("audio", {"videocodecid": 7.0}, ""),
        ("video", {"videocodecid": 99.0}, ""),
        ("video", {"videocodecid": float("nan")}, ""),
        ("video", {"videocodecid": -1.0}, ""),
        ("video", {"videocodecid": True}, ""),
        ("video", {"videocodecid": "H.264"}, ""),
        ("video", {}, ""),
    ],
)
def test_the_codec_that_is_declared(kind: str, properties: dict[str, object], codec: str) -> None:
    assert declared_codec(properties, kind) == codec


KEYS = ["width", "framerate", "videodatarate", "encoder", "duration"]


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(KEYS), st.text(max_size=70)),
        st.one_of(st.floats(), st.text(max_size=300), st.booleans(), st.none(), st.integers(), st.lists(st.none())),
        max_size=40,
    )
)
def test_no_properties_make_them_raise(properties: dict[str, object]) -> None:
    fields = stream_fields(properties)
    assert 0 not in [value for name, value in fields.items() if isinstance(value, float) and name != "duration"]
    assert None not in fields.values()
    declared_codec(properties, "video")
