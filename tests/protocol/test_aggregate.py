"""Aggregate messages: what is inside comes out, moved in time; what does not fit is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.errors import ChunkError
from rtmpd.protocol.aggregate import split
from rtmpd.protocol.constants import AGGREGATE, AUDIO, COMMAND_AMF0, DATA_AMF0, VIDEO
from rtmpd.protocol.message import Message


def tag(type_id: int, timestamp: int, body: bytes, msid: int = 0) -> bytes:
    """One FLV tag with its back pointer; the upper 8 bits of the timestamp stand behind the lower 24."""
    head = bytes((type_id,)) + len(body).to_bytes(3, "big") + (timestamp & 0xFFFFFF).to_bytes(3, "big")
    head += bytes((timestamp >> 24,)) + msid.to_bytes(3, "big")
    return head + body + (11 + len(body)).to_bytes(4, "big")


def aggregate(payload: bytes, timestamp: int = 0, msid: int = 1) -> Message:
    return Message(AGGREGATE, payload, timestamp, msid)


def test_the_tags_come_out_in_order_with_the_message_stream_of_the_aggregate() -> None:
    payload = tag(VIDEO, 10, b"v", 9) + tag(AUDIO, 12, b"aa", 9) + tag(DATA_AMF0, 15, b"d", 9)
    assert list(split(aggregate(payload, 10, 7))) == [
        Message(VIDEO, b"v", 10, 7),
        Message(AUDIO, b"aa", 12, 7),
        Message(DATA_AMF0, b"d", 15, 7),
    ]


@pytest.mark.parametrize(
    "message_timestamp, tags, expected",
    [
        (1000, [0, 20, 40], [1000, 1020, 1040]),
        (1000, [5000, 5020], [1000, 1020]),
        (0, [50, 40], [0, 0xFFFFFFF6]),
        (0xFFFFFFFE, [1 << 24, (1 << 24) + 5], [0xFFFFFFFE, 3]),
        (5, [0xFFFFFFFF, 1], [5, 7]),
    ],
)
def test_the_first_timestamp_stands_for_the_message_and_moves_the_others(
    message_timestamp: int, tags: list[int], expected: list[int]
) -> None:
    payload = b"".join(tag(AUDIO, timestamp, b"x") for timestamp in tags)
    assert [message.timestamp for message in split(aggregate(payload, message_timestamp))] == expected


def test_an_empty_aggregate_holds_nothing() -> None:
    assert list(split(aggregate(b""))) == []


def test_a_missing_last_back_pointer_is_tolerated() -> None:
    payload = (tag(AUDIO, 0, b"a") + tag(VIDEO, 1, b"v"))[:-4]
    assert [message.payload for message in split(aggregate(payload))] == [b"a", b"v"]


def test_other_types_are_skipped_and_still_set_the_time() -> None:
    payload = tag(COMMAND_AMF0, 100, b"c") + tag(AUDIO, 110, b"a") + tag(AGGREGATE, 1, tag(AUDIO, 0, b"inner"))
    assert list(split(aggregate(payload, 50))) == [Message(AUDIO, b"a", 60, 1)]


def test_the_filter_bit_of_the_type_is_no_part_of_it() -> None:
    assert [message.type_id for message in split(aggregate(tag(0x20 | VIDEO, 0, b"v")))] == [VIDEO]


@pytest.mark.parametrize("cut", range(1, 11))
def test_an_end_inside_a_tag_header_is_an_error_behind_the_good_tags(cut: int) -> None:
    parts = split(aggregate(tag(AUDIO, 0, b"a") + tag(AUDIO, 1, b"b")[:cut]))
    assert next(parts).payload == b"a"
    with pytest.raises(ChunkError) as caught:
        next(parts)
    assert caught.value.code == "bad_aggregate"


def test_a_tag_longer_than_the_rest_is_an_error() -> None:
    with pytest.raises(ChunkError) as caught:
        list(split(aggregate(tag(AUDIO, 0, b"abcdef")[:-5])))
    assert caught.value.code == "bad_aggregate"


@given(
    st.lists(st.tuples(st.sampled_from([AUDIO, VIDEO, DATA_AMF0]), st.integers(0, 2**32 - 1), st.binary(max_size=40)))
)
def test_what_was_packed_comes_out(tags: list[tuple[int, int, bytes]]) -> None:
    first = tags[0][1] if tags else 0
    got = list(split(aggregate(b"".join(tag(*each) for each in tags), first)))
    assert [(message.type_id, message.timestamp, message.payload) for message in got] == tags


@given(st.binary(max_size=200))
def test_noise_comes_apart_or_is_a_chunk_error(payload: bytes) -> None:
    try:
        parts = list(split(aggregate(payload)))
    except ChunkError:
        return
    assert sum(len(part.payload) for part in parts) <= len(payload)
