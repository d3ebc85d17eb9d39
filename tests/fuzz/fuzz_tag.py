"""Media and data payloads: any bytes are classified, decode to tracks inside them or raise MediaError."""

from __future__ import annotations

from rtmpd.codec import tag
from rtmpd.codec.classify import HEADER, classify, codec_name, header_slot
from rtmpd.codec.metadata import clears_metadata, data_name, is_metadata, strip_set_data_frame
from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE
from rtmpd.errors import MediaError
from tests.fuzz import fuzz

SEEDS = [
    b"\x17\x00\x00\x00\x00\x01\x42\xc0\x1e",
    b"\x27\x01\x00\x00\x28\x00\x00\x00\x01\x41",
    b"\x57\x00",
    b"\xaf\x00\x12\x10",
    b"\x2f\xff\xfb\x90",
    b"\x90hvc1\x01\x02",
    b"\xa1hvc1\x00\x00\x21\x00\x00\x00\x01",
    b"\xd4hvc1\x02\x00\x09colorInfo\x06",
    b"\xa7\x02\x0f\x42\x3f\x01hvc1\x00\x00\x00ab",
    b"\x97\xff\x00\xff" + bytes(256) + b"\x51av01ab",
    b"\x96\x01avc1\x02\x00\x00\x0aab",
    b"\x96\x11hvc1\x01\x00\x00\x05\x00\x00\x01ab\x00\x00\x00\x04\x00\x00\x02c",
    b"\x95\x21Opus\x00\x00\x00\x02abmp4a\x07\x00\x00\x01c",
    b"\x94Opus\x01\x02\x00\x00\x00\x03",
    b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05",
    b"\x02\x00\x0f@clearDataFrame\x02\x00\x0aonMetaData",
]


def one_input(data: bytes) -> None:
    """Everything the codec floor asks of a payload; only MediaError of the full decoder is allowed."""
    for type_id in (AUDIO_MESSAGE, VIDEO_MESSAGE):
        flags = classify(type_id, data)
        name = codec_name(type_id, data)
        slot = header_slot(type_id, data)
        assert bool(slot[1]) >= bool(flags & HEADER)
        try:
            header = tag.decode(type_id, data)
        except MediaError:
            continue
        assert name == header.codec
        assert len(header.tracks) <= tag.MAX_TRACKS
        for track in header.tracks:
            assert 0 < track.offset <= track.offset + track.length <= len(data)
    stripped = strip_set_data_frame(data)
    assert data.endswith(stripped.removeprefix(b"\x02\x00\x0aonMetaData"))
    assert is_metadata(stripped) or not is_metadata(data)
    assert not (is_metadata(data) and clears_metadata(data))
    data_name(data)


if __name__ == "__main__":
    fuzz(one_input, SEEDS)
