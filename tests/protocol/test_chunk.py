"""The chunk stream, against bytes written out by hand, against a reference writer, and against noise."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.errors import ChunkError, ConnectionLost
from rtmpd.protocol.chunk import ChunkLimits, ChunkReader, append_chunks, basic_header, encode
from rtmpd.protocol.constants import ABORT, AUDIO, MAX_CHUNK_SIZE, SET_CHUNK_SIZE, VIDEO
from rtmpd.protocol.message import Message
from rtmpd.protocol.source import Buffer, MemorySource

MARKER = 0xFFFFFF
TAIL = bytes.fromhex("3f 00 00 4d 00 00 05 09") + b"\0\0"  # a message on csid 63 whose header is cut off


def reader_over(pieces: Any, limits: ChunkLimits | None = None, chunk_size: int = 128) -> ChunkReader:
    reader = ChunkReader(Buffer(MemorySource(pieces)), limits or ChunkLimits())
    reader.chunk_size = chunk_size
    return reader


def follow(reader: ChunkReader) -> Iterator[Message]:
    """Every message, with Set Chunk Size and Abort carried out as a connection does, until the end."""
    while True:
        try:
            message = reader.read_message()
        except ConnectionLost:
            return
        value = int.from_bytes(message.payload[:4], "big")
        if message.type_id == SET_CHUNK_SIZE:
            reader.set_chunk_size(value)
        elif message.type_id == ABORT:
            reader.abort(value)
        yield message


def in_three_ways(data: bytes, expected: list[Message], chunk_size: int = 128) -> None:
    """Whole, byte by byte, and with a tail that is not part of it."""
    whole = reader_over([data], chunk_size=chunk_size)
    assert list(follow(whole)) == expected
    assert whole.between_messages
    dripping = reader_over((data[i : i + 1] for i in range(len(data))), chunk_size=chunk_size)
    assert list(follow(dripping)) == expected
    assert dripping.between_messages
    followed = reader_over([data + TAIL], chunk_size=chunk_size)
    assert list(follow(followed)) == expected
    assert not followed.between_messages


def u24(value: int) -> bytes:
    return value.to_bytes(3, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def type0(csid: int, timestamp: int, length: int, type_id: int, msid: int) -> bytes:
    head = basic_header(0, csid) + u24(min(timestamp, MARKER)) + u24(length) + bytes((type_id,))
    return head + msid.to_bytes(4, "little") + (u32(timestamp) if timestamp >= MARKER else b"")


def type1(csid: int, delta: int, length: int, type_id: int) -> bytes:
    head = basic_header(1, csid) + u24(min(delta, MARKER)) + u24(length) + bytes((type_id,))
    return head + (u32(delta) if delta >= MARKER else b"")


def type2(csid: int, delta: int) -> bytes:
    return basic_header(2, csid) + u24(min(delta, MARKER)) + (u32(delta) if delta >= MARKER else b"")


def type3(csid: int, extended: int | None = None) -> bytes:
    return basic_header(3, csid) + (b"" if extended is None else u32(extended))


def counting(start: int, count: int) -> bytes:
    return bytes((start + i) & 0xFF for i in range(count))


# --- golden vectors -------------------------------------------------------------------------------

FIRST = type0(6, 1000, 80, VIDEO, 1) + counting(0, 80)
FIRST_MESSAGE = Message(VIDEO, counting(0, 80), 1000, 1)
FOUR = type0(4, 1000, 64, AUDIO, 1) + counting(0, 64)
FOUR_MESSAGE = Message(AUDIO, counting(0, 64), 1000, 1)
A256, V256 = counting(0, 256), counting(128, 256)

# name, bytes, what precedes them, the messages they make
VECTORS: list[tuple[str, int, bytes, bytes, list[Message]]] = [
    ("type 0 audio", 76, b"", FOUR, [FOUR_MESSAGE]),
    (
        "type 1 video", 88, FIRST,
        type1(6, 40, 80, VIDEO) + counting(0xA0, 80),
        [FIRST_MESSAGE, Message(VIDEO, counting(0xA0, 80), 1040, 1)],
    ),
    (
        "type 2 delta", 68, FOUR,
        type2(4, 33) + counting(0x40, 64),
        [FOUR_MESSAGE, Message(AUDIO, counting(0x40, 64), 1033, 1)],
    ),
    (
        "type 3 continuation", 129, type0(6, 9, 256, VIDEO, 1) + counting(0x40, 128),
        type3(6) + counting(0xC0, 128),
        [Message(VIDEO, counting(0x40, 256), 9, 1)],
    ),
    (
        "extended timestamp", 80, b"",
        type0(4, 0x01312D00, 64, AUDIO, 1) + counting(0x80, 64),
        [Message(AUDIO, counting(0x80, 64), 20_000_000, 1)],
    ),
    (
        "interleaved", 538, b"",
        type0(4, 2000, 256, AUDIO, 1) + A256[:128] + type0(6, 2000, 256, VIDEO, 1) + V256[:128]
        + type3(4) + A256[128:] + type3(6) + V256[128:],
        [Message(AUDIO, A256, 2000, 1), Message(VIDEO, V256, 2000, 1)],
    ),
]  # fmt: skip


@pytest.mark.parametrize("name, size, before, data, expected", VECTORS, ids=[vector[0] for vector in VECTORS])
def test_golden_vectors(name: str, size: int, before: bytes, data: bytes, expected: list[Message]) -> None:
    assert len(data) == size
    in_three_ways(before + data, expected)


def test_the_type_0_vector_is_these_bytes() -> None:
    assert FOUR[:12].hex(" ") == "04 00 03 e8 00 00 40 08 01 00 00 00"
    assert encode(4, FOUR_MESSAGE, 128) == FOUR


# --- basic header ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "csid, header",
    [
        (2, "02"), (3, "03"), (63, "3f"),
        (64, "00 00"), (65, "00 01"), (319, "00 ff"),
        (320, "01 00 01"), (321, "01 01 01"), (65599, "01 ff ff"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [0, 1, 2, 3])
def test_a_basic_header_has_the_shortest_form(csid: int, header: str, form: int) -> None:
    expected = bytearray.fromhex(header)
    expected[0] |= form << 6
    assert basic_header(form, csid) == expected


@pytest.mark.parametrize("csid", [2, 3, 63, 64, 65, 255, 256, 319, 320, 576, 65599])
def test_every_form_of_csid_is_followed(csid: int) -> None:
    data = (
        type0(csid, 10, 200, VIDEO, 3) + counting(0, 128) + type3(csid) + counting(128, 72)
        + type1(csid, 5, 3, AUDIO) + b"abc" + type2(csid, 6) + b"def" + type3(csid) + b"ghi"
    )  # fmt: skip
    expected = [
        Message(VIDEO, counting(0, 200), 10, 3),
        Message(AUDIO, b"abc", 15, 3),
        Message(AUDIO, b"def", 21, 3),
        Message(AUDIO, b"ghi", 27, 3),
    ]
    in_three_ways(data, expected)


def test_the_same_csid_in_two_and_three_bytes_is_one_chunk_stream() -> None:
    two, three = basic_header(0, 100), bytes((0xC1, 36, 0))
    data = two + type0(2, 1, 200, VIDEO, 1)[1:] + counting(0, 128) + three + counting(128, 72)
    in_three_ways(data, [Message(VIDEO, counting(0, 200), 1, 1)])


def test_every_csid_opens_a_chunk_stream_of_its_own() -> None:
    csids = range(2, 65600, 7)
    data = b"".join(type0(csid, csid, 1, AUDIO, 1) + b"x" for csid in csids)
    reader = reader_over([data], ChunkLimits(chunk_streams=len(csids)))
    assert [message.timestamp for message in follow(reader)] == list(csids)


@pytest.mark.parametrize("other", [64, 200, 319])
@pytest.mark.parametrize("interrupted", [100, 1000])
def test_a_long_csid_may_be_interrupted_by_a_new_two_byte_one(interrupted: int, other: int) -> None:
    # the basic header of type 0 and 64..319 begins with a zero byte
    other += other == interrupted
    data = (
        type0(interrupted, 1, 200, VIDEO, 1) + counting(0, 128)
        + type0(other, 2, 3, AUDIO, 1) + b"abc" + type3(interrupted) + counting(128, 72)
    )  # fmt: skip
    in_three_ways(data, [Message(AUDIO, b"abc", 2, 1), Message(VIDEO, counting(0, 200), 1, 1)])


def test_an_extended_timestamp_may_be_interrupted_by_a_new_two_byte_csid() -> None:
    data = (
        type0(6, 1 << 25, 200, VIDEO, 1) + counting(0, 128)
        + type0(64, 2, 3, AUDIO, 1) + b"abc" + type3(6, 1 << 25) + counting(128, 72)
    )  # fmt: skip
    in_three_ways(data, [Message(AUDIO, b"abc", 2, 1), Message(VIDEO, counting(0, 200), 1 << 25, 1)])


# --- the four types of header -----------------------------------------------------------------------


def test_type_3_as_a_new_message_repeats_the_delta() -> None:
    data = FOUR + type1(4, 20, 2, AUDIO) + b"aa" + type3(4) + b"bb" + type3(4) + b"cc"
    expected = [
        FOUR_MESSAGE,
        *(Message(AUDIO, body, at, 1) for body, at in ((b"aa", 1020), (b"bb", 1040), (b"cc", 1060))),
    ]
    in_three_ways(data, expected)


def test_type_3_behind_type_0_takes_its_timestamp_as_the_delta() -> None:
    in_three_ways(FOUR + type3(4) + counting(7, 64), [FOUR_MESSAGE, Message(AUDIO, counting(7, 64), 2000, 1)])


def test_type_1_keeps_the_message_stream_and_type_2_the_length_and_type_too() -> None:
    data = type0(5, 0, 1, AUDIO, 0x01020304) + b"a" + type1(5, 1, 2, VIDEO) + b"bb" + type2(5, 2) + b"cc"
    msid = 0x01020304
    in_three_ways(data, [Message(AUDIO, b"a", 0, msid), Message(VIDEO, b"bb", 1, msid), Message(VIDEO, b"cc", 3, msid)])


def test_a_chunk_stream_may_open_with_type_1_as_librtmp_does() -> None:
    in_three_ways(type1(3, 500, 2, VIDEO) + b"aa" + type2(3, 20) + b"bb", [
        Message(VIDEO, b"aa", 500, 0), Message(VIDEO, b"bb", 520, 0),
    ])  # fmt: skip


@pytest.mark.parametrize("header", [type2(3, 1), type3(3)], ids=["type 2", "type 3"])
def test_a_chunk_stream_that_opens_with_nothing_to_repeat_is_an_error(header: bytes) -> None:
    assert error_code(header + b"aaaa") == "no_header_to_repeat"


def test_a_zero_length_message_is_a_message() -> None:
    data = type0(4, 5, 0, AUDIO, 1) + type3(4) + type1(4, 1, 0, VIDEO) + type2(4, 2) + FOUR
    expected = [
        Message(AUDIO, b"", 5, 1), Message(AUDIO, b"", 10, 1), Message(VIDEO, b"", 11, 1), Message(VIDEO, b"", 13, 1),
    ]  # fmt: skip
    in_three_ways(data, [*expected, FOUR_MESSAGE])


def test_a_timestamp_wraps_at_32_bits() -> None:
    data = type0(4, 0xFFFFFFF0, 1, AUDIO, 1) + b"a" + type2(4, 0x20) + b"b" + type3(4) + b"c"
    in_three_ways(
        data, [Message(AUDIO, b"a", 0xFFFFFFF0, 1), Message(AUDIO, b"b", 0x10, 1), Message(AUDIO, b"c", 0x30, 1)]
    )


def test_a_timestamp_that_a_repeated_delta_carries_past_32_bits_wraps_too() -> None:
    data = type0(4, 0xFFFFFFD0, 1, AUDIO, 1) + b"a" + type2(4, 0x20) + b"b" + type3(4) + b"c"
    in_three_ways(
        data, [Message(AUDIO, b"a", 0xFFFFFFD0, 1), Message(AUDIO, b"b", 0xFFFFFFF0, 1), Message(AUDIO, b"c", 0x10, 1)]
    )


def test_type_0_may_go_back_in_time() -> None:
    data = FOUR + type0(4, 10, 1, AUDIO, 1) + b"a"
    in_three_ways(data, [FOUR_MESSAGE, Message(AUDIO, b"a", 10, 1)])


# --- extended timestamps ------------------------------------------------------------------------------


@pytest.mark.parametrize("timestamp", [MARKER - 1, MARKER, MARKER + 1, 1 << 31, 0xFFFFFFFF])
def test_a_timestamp_is_extended_from_the_marker_on(timestamp: int) -> None:
    data = type0(4, timestamp, 300, VIDEO, 1) + counting(0, 128)
    again = timestamp if timestamp >= MARKER else None
    data += type3(4, again) + counting(128, 128) + type3(4, again) + counting(256, 44)
    in_three_ways(data, [Message(VIDEO, counting(0, 300), timestamp, 1)])
    assert encode(4, Message(VIDEO, counting(0, 300), timestamp, 1), 128) == data


def test_a_continuation_without_the_extended_timestamp_is_understood() -> None:
    data = (
        type0(4, 1 << 24, 300, VIDEO, 1) + counting(1, 128) + type3(4) + counting(129, 128) + type3(4) + counting(1, 44)
    )
    in_three_ways(data, [Message(VIDEO, counting(1, 128) + counting(129, 128) + counting(1, 44), 1 << 24, 1)])


def test_the_last_bytes_of_a_message_are_not_held_back_for_an_extended_timestamp_that_was_left_out() -> None:
    data = type0(4, 1 << 24, 130, VIDEO, 1) + counting(1, 128) + type3(4) + b"yz"
    in_three_ways(data, [Message(VIDEO, counting(1, 128) + b"yz", 1 << 24, 1)])


def test_an_extended_delta_is_repeated_in_continuations() -> None:
    delta = 1 << 24
    data = FIRST + type1(6, delta, 200, VIDEO) + counting(1, 128) + type3(6, delta) + counting(129, 72)
    in_three_ways(data, [FIRST_MESSAGE, Message(VIDEO, counting(1, 200), 1000 + delta, 1)])


def test_a_continuation_may_repeat_the_absolute_timestamp_instead_of_the_delta() -> None:
    delta = 1 << 24
    data = FIRST + type1(6, delta, 200, VIDEO) + counting(1, 128) + type3(6, 1000 + delta) + counting(129, 72)
    in_three_ways(data, [FIRST_MESSAGE, Message(VIDEO, counting(1, 200), 1000 + delta, 1)])


def test_a_new_message_of_type_3_repeats_an_extended_delta() -> None:
    delta = 1 << 24
    data = FIRST + type1(6, delta, 4, VIDEO) + b"aaaa" + type3(6, delta) + b"bbbb" + type3(6) + b"cccc"
    at = [1000 + delta, 1000 + 2 * delta, 1000 + 3 * delta]
    in_three_ways(
        data,
        [FIRST_MESSAGE, *(Message(VIDEO, body, t, 1) for body, t in zip((b"aaaa", b"bbbb", b"cccc"), at, strict=True))],
    )


def test_a_short_delta_ends_the_extension() -> None:
    data = (
        type0(6, 1 << 24, 4, VIDEO, 1) + b"aaaa" + type1(6, 40, 200, VIDEO) + counting(0, 128)
        + type3(6) + counting(128, 72) + type3(6) + counting(0, 128) + type3(6) + counting(128, 72)
    )  # fmt: skip
    at = 1 << 24
    in_three_ways(data, [
        Message(VIDEO, b"aaaa", at, 1),
        Message(VIDEO, counting(0, 200), at + 40, 1),
        Message(VIDEO, counting(0, 200), at + 80, 1),
    ])  # fmt: skip


# --- chunk sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 127, 128, 129, 4096, 65536, MAX_CHUNK_SIZE])
@pytest.mark.parametrize("length", [0, 1, 2, 127, 128, 129, 256, 1000])
@pytest.mark.parametrize("csid, timestamp", [(6, 5), (6, 1 << 26), (64, 5), (700, 1 << 26)])
def test_what_is_encoded_is_read_back(size: int, length: int, csid: int, timestamp: int) -> None:
    message = Message(VIDEO, counting(3, length), timestamp, 0xA0B0C0D0)
    data = encode(csid, message, size)
    out: list[bytes] = [b"before"]
    assert append_chunks(out, csid, VIDEO, message.msid, timestamp, message.payload, size) == len(data)
    assert b"".join(out[1:]) == data
    in_three_ways(data, [message], size)
    chunks = max(1, -(-length // size))
    extension = 4 if timestamp >= MARKER else 0
    assert len(data) == length + 11 + chunks * (len(basic_header(0, csid)) + extension)


def test_a_payload_that_fits_one_chunk_is_not_copied() -> None:
    payload = bytes(1000)
    out: list[bytes] = []
    append_chunks(out, 6, VIDEO, 1, 0, payload, 1000)
    assert out[-1] is payload


def test_the_largest_chunk_takes_the_largest_message() -> None:
    payload = bytes(MAX_CHUNK_SIZE)
    data = encode(6, Message(VIDEO, payload, 1, 1), MAX_CHUNK_SIZE)
    assert len(data) == 12 + MAX_CHUNK_SIZE
    pieces = (data[i : i + 65536] for i in range(0, len(data), 65536))
    reader = reader_over(pieces, ChunkLimits(message_bytes=MAX_CHUNK_SIZE), MAX_CHUNK_SIZE)
    assert reader.read_message().payload == payload


def test_a_new_chunk_size_counts_from_the_next_chunk_on() -> None:
    body = counting(0, 400)
    data = (
        type0(6, 1, 400, VIDEO, 1) + body[:128] + encode(2, Message(SET_CHUNK_SIZE, u32(200)), 128)
        + type3(6) + body[128:328] + encode(2, Message(SET_CHUNK_SIZE, u32(50)), 200)
        + type3(6) + body[328:378] + type3(6) + body[378:]
    )  # fmt: skip
    expected = [Message(SET_CHUNK_SIZE, u32(200)), Message(SET_CHUNK_SIZE, u32(50)), Message(VIDEO, body, 1, 1)]
    in_three_ways(data, expected)


@pytest.mark.parametrize(
    "size, taken",
    [
        (1, 1),
        (65536, 65536),
        (MAX_CHUNK_SIZE, MAX_CHUNK_SIZE),
        (MAX_CHUNK_SIZE + 1, MAX_CHUNK_SIZE),
        (0x7FFFFFFF, MAX_CHUNK_SIZE),
    ],
)
def test_set_chunk_size_takes_what_the_standard_allows(size: int, taken: int) -> None:
    reader = reader_over([])
    reader.set_chunk_size(size)
    assert reader.chunk_size == taken


@pytest.mark.parametrize("size", [0, 0x80000000, 0xFFFFFFFF])
def test_set_chunk_size_refuses_zero_and_the_reserved_bit(size: int) -> None:
    reader = reader_over([])
    with pytest.raises(ChunkError) as caught:
        reader.set_chunk_size(size)
    assert caught.value.code == "bad_chunk_size"
    assert reader.chunk_size == 128


# --- abort, interruption --------------------------------------------------------------------------------


def test_abort_forgets_the_incomplete_message_of_its_chunk_stream_only() -> None:
    data = (
        type0(6, 1, 300, VIDEO, 1) + counting(0, 128) + type0(4, 2, 200, AUDIO, 1) + counting(0, 128)
        + encode(2, Message(ABORT, u32(6)), 128) + type3(4) + counting(128, 72) + type0(6, 9, 2, VIDEO, 1) + b"ab"
    )  # fmt: skip
    expected = [Message(ABORT, u32(6)), Message(AUDIO, counting(0, 200), 2, 1), Message(VIDEO, b"ab", 9, 1)]
    in_three_ways(data, expected)


def test_after_an_abort_type_3_begins_a_new_message() -> None:
    data = (
        FIRST + type1(6, 5, 130, VIDEO) + counting(0, 128) + encode(2, Message(ABORT, u32(6)), 128)
        + type3(6) + counting(9, 128) + type3(6) + b"yz"
    )  # fmt: skip
    expected = [FIRST_MESSAGE, Message(ABORT, u32(6)), Message(VIDEO, counting(9, 128) + b"yz", 1010, 1)]
    in_three_ways(data, expected)


@pytest.mark.parametrize("csid", [6, 9, 0, 1 << 31])
def test_abort_of_what_is_not_there_changes_nothing(csid: int) -> None:
    reader = reader_over([FIRST, FOUR])
    assert reader.read_message() == FIRST_MESSAGE
    reader.abort(csid)
    assert reader.read_message() == FOUR_MESSAGE


def test_an_abort_frees_what_was_held() -> None:
    limits = ChunkLimits(reassembly_bytes=200)
    reader = reader_over(
        [(type0(6, 1, 300, VIDEO, 1) + counting(0, 128) + encode(2, Message(ABORT, u32(6)), 128)) * 20], limits
    )
    assert len(list(follow(reader))) == 20
    assert reader.between_messages


def test_a_header_repeated_with_every_chunk_of_a_message_is_a_continuation() -> None:
    data = type0(6, 7, 200, VIDEO, 1) + counting(0, 128) + type0(6, 7, 200, VIDEO, 1) + counting(128, 72)
    in_three_ways(data, [Message(VIDEO, counting(0, 200), 7, 1)])


@pytest.mark.parametrize("header", [type0(6, 7, 100, VIDEO, 1), type1(6, 7, 100, VIDEO)], ids=["type 0", "type 1"])
def test_another_header_inside_an_unfinished_message_is_an_error(header: bytes) -> None:
    data = type0(6, 7, 200, VIDEO, 1) + counting(0, 128) + header + counting(0, 100)
    assert error_code(data) == "interrupted_message"


# --- limits ---------------------------------------------------------------------------------------------


def error_code(data: bytes, limits: ChunkLimits | None = None, chunk_size: int = 128) -> str:
    with pytest.raises(ChunkError) as caught:
        reader = reader_over([data], limits, chunk_size)
        while True:
            reader.read_message()
    return caught.value.code


def test_a_message_over_the_limit_is_refused_by_its_header() -> None:
    limits = ChunkLimits(message_bytes=1000)
    assert error_code(type0(6, 0, 1001, VIDEO, 1), limits) == "message_too_large"
    assert error_code(type0(6, 0, 1, VIDEO, 1) + b"x" + type1(6, 0, 1001, VIDEO), limits) == "message_too_large"
    in_limits = encode(6, Message(VIDEO, bytes(1000), 0, 1), 128)
    assert len(reader_over([in_limits], limits).read_message().payload) == 1000


def test_incomplete_messages_may_not_hold_more_than_the_limit_together() -> None:
    limits = ChunkLimits(reassembly_bytes=300)
    two = type0(6, 0, 1000, VIDEO, 1) + bytes(128) + type0(7, 0, 1000, VIDEO, 1) + bytes(128)
    three = two + type0(8, 0, 1000, VIDEO, 1) + bytes(128)
    assert error_code(three, limits) == "reassembly_too_large"
    reader = reader_over([two], limits)
    with pytest.raises(ConnectionLost):
        reader.read_message()


def test_complete_messages_do_not_count_towards_reassembly() -> None:
    limits = ChunkLimits(reassembly_bytes=1000)
    data = encode(6, Message(VIDEO, bytes(900), 0, 1), 128) * 50
    pieces = (data[i : i + 77] for i in range(0, len(data), 77))
    reader = reader_over(pieces, limits)
    assert len(list(follow(reader))) == 50
    assert reader.between_messages


def test_chunk_streams_are_limited() -> None:
    limits = ChunkLimits(chunk_streams=5)
    data = b"".join(type0(csid, 0, 1, AUDIO, 1) + b"x" for csid in (2, 70, 400, 5, 6))
    assert error_code(data + type0(7, 0, 1, AUDIO, 1), limits) == "too_many_chunk_streams"
    assert len(list(follow(reader_over([data * 3], limits)))) == 15


def test_a_message_in_too_many_chunks_is_refused_by_its_header() -> None:
    limits = ChunkLimits(chunks_per_message=10)
    assert error_code(type0(6, 0, 1281, VIDEO, 1), limits) == "too_many_chunks"
    assert len(reader_over([encode(6, Message(VIDEO, bytes(1280), 0, 1), 128)], limits).read_message().payload) == 1280


@pytest.mark.parametrize("again", [type2(6, 1), type3(6)], ids=["type 2", "type 3"])
@pytest.mark.parametrize("size, code", [(64, "too_many_chunks"), (128, "")])
def test_a_header_that_is_repeated_is_held_against_the_chunk_size_of_now(again: bytes, size: int, code: str) -> None:
    limits = ChunkLimits(chunks_per_message=10)
    message = Message(VIDEO, bytes(1280), 0, 1)
    reader = reader_over([encode(6, message, 128), again, bytes(128) + (type3(6) + bytes(128)) * 9], limits)
    assert reader.read_message() == message
    reader.set_chunk_size(size)
    if code:
        with pytest.raises(ChunkError) as caught:
            reader.read_message()
        assert caught.value.code == code
    else:
        assert reader.read_message().payload == message.payload


def test_tiny_chunks_can_not_blow_up_what_a_message_holds() -> None:
    # the chunk size shrinks inside a message, past the check of its header
    length = 1 << 18
    limits = ChunkLimits(message_bytes=length, reassembly_bytes=length)
    begin = type0(6, 0, length, VIDEO, 1) + bytes(128) + encode(2, Message(SET_CHUNK_SIZE, u32(2)), 128)
    chunks = (type3(6) + b"ab") * 10_000

    def pieces() -> Iterator[bytes]:
        yield begin
        for _ in range(12):
            yield chunks

    reader = reader_over(pieces(), limits)
    tracemalloc.start()
    try:
        with pytest.raises((ConnectionLost, ChunkError)):
            while True:
                message = reader.read_message()
                reader.set_chunk_size(int.from_bytes(message.payload, "big"))
        assert tracemalloc.get_traced_memory()[0] < 4 * length
    finally:
        tracemalloc.stop()


# --- ends -----------------------------------------------------------------------------------------------


def test_an_end_between_messages_is_clean() -> None:
    for data in (b"", FIRST, FIRST + FOUR):
        reader = reader_over([data])
        list(follow(reader))
        with pytest.raises(ConnectionLost) as caught:
            reader.read_message()
        assert caught.value.clean and caught.value.code == "EOF"
        assert reader.between_messages


CUT = type0(6, 1 << 24, 200, VIDEO, 1) + counting(0, 128) + type3(6, 1 << 24) + counting(128, 72)


@pytest.mark.parametrize("cut", range(1, len(CUT)))
@pytest.mark.parametrize("drip", [False, True], ids=["whole", "byte by byte"])
def test_an_end_inside_a_message_is_not_clean(cut: int, drip: bool) -> None:
    data = CUT[:cut]
    reader = reader_over((data[i : i + 1] for i in range(cut)) if drip else [data])
    with pytest.raises(ConnectionLost) as caught:
        reader.read_message()
    assert not (caught.value.clean and reader.between_messages)


def test_between_messages_tells_a_half_received_message() -> None:
    reader = reader_over([FIRST + type0(4, 0, 200, AUDIO, 1) + bytes(128), FOUR])
    assert reader.between_messages
    assert reader.read_message() == FIRST_MESSAGE
    assert not reader.between_messages


# --- against a reference writer ---------------------------------------------------------------------------


class ReferenceWriter:
    """Cuts messages into chunks as RTMP 1.0, 5.3 allows; ``choose`` picks among what is allowed."""

    def __init__(self, choose: Callable[[list[Any]], Any]) -> None:
        self.choose = choose
        self.chunk_size = 128
        self.last: dict[int, tuple[int, int, int, int, int]] = {}  # timestamp, field, length, type, msid

    def chunks(self, csid: int, message: Message) -> Iterator[tuple[bytes, bool]]:
        """One chunk at a time, and whether it is the last; the chunk size is the one of the moment."""
        length = len(message.payload)
        form, field = self.choose(self.forms(csid, message, length))
        self.last[csid] = (message.timestamp, field, length, message.type_id, message.msid)
        header = {
            0: lambda: type0(csid, field, length, message.type_id, message.msid),
            1: lambda: type1(csid, field, length, message.type_id),
            2: lambda: type2(csid, field),
            3: lambda: type3(csid, field if field >= MARKER else None),
        }[form]()
        again = type3(csid, self.choose([field, message.timestamp]) if field >= MARKER else None)
        start = 0
        while True:
            end = start + self.chunk_size
            yield header + message.payload[start:end], end >= length
            start = end
            header = again

    def forms(self, csid: int, message: Message, length: int) -> list[tuple[int, int]]:
        forms = [(0, message.timestamp)]
        if csid not in self.last:
            return [*forms, (1, message.timestamp)] if message.msid == 0 else forms
        timestamp, field, last_length, type_id, msid = self.last[csid]
        delta = (message.timestamp - timestamp) & 0xFFFFFFFF
        if message.msid == msid:
            forms.append((1, delta))
            if (last_length, type_id) == (length, message.type_id):
                forms.append((2, delta))
                if field == delta:
                    forms.append((3, delta))
        return forms


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], list[Message]]:
    """Chunks on the wire, and the messages in the order in which they become complete."""
    writer = ReferenceWriter(lambda options: draw(st.sampled_from(options)) if len(options) > 1 else options[0])
    csids = draw(
        st.lists(st.sampled_from([3, 4, 6, 63, 64, 70, 319, 320, 5000, 65599]), min_size=1, max_size=4, unique=True)
    )
    steps = st.sampled_from([0, 0, 20, 20, 40, MARKER - 1, MARKER, 1 << 24, 0xFFFFFFFF])
    clock = dict.fromkeys(csids, draw(st.sampled_from([0, 5, MARKER - 10, 1 << 24, 0xFFFFFFE0])))
    under_way: dict[int, tuple[Iterator[tuple[bytes, bool]], Message]] = {}
    wire: list[bytes] = []
    expected: list[Message] = []
    for _ in range(draw(st.integers(1, 25))):
        if draw(st.integers(0, 9)) == 0:
            size = draw(st.sampled_from([1, 2, 7, 128, 300, 70000]))
            message = Message(SET_CHUNK_SIZE, u32(size))
            under_way[2] = (writer.chunks(2, message), message)
            while 2 in under_way:
                advance(under_way, 2, wire, expected)
            writer.chunk_size = size
            continue
        csid = draw(st.sampled_from(csids))
        if csid not in under_way:
            clock[csid] = (clock[csid] + draw(steps)) & 0xFFFFFFFF
            length = draw(st.sampled_from([0, 1, 3, 3, 60, 127, 128, 129, 300]))
            payload = counting(draw(st.integers(0, 255)), length)
            message = Message(
                draw(st.sampled_from([8, 9, 9, 18, 20])),
                payload,
                clock[csid],
                draw(st.sampled_from([0, 1, 1, 1 << 31])),
            )
            under_way[csid] = (writer.chunks(csid, message), message)
        advance(under_way, csid, wire, expected)
    for csid in list(under_way):
        while csid in under_way:
            advance(under_way, csid, wire, expected)
    return wire, expected


def advance(
    under_way: dict[int, tuple[Iterator[tuple[bytes, bool]], Message]],
    csid: int,
    wire: list[bytes],
    expected: list[Message],
) -> None:
    """Write the next chunk of a message; it is expected as soon as the last one is written."""
    chunks, message = under_way[csid]
    chunk, done = next(chunks)
    wire.append(chunk)
    if done:
        del under_way[csid]
        expected.append(message)


@settings(max_examples=150)
@given(conversations(), st.sampled_from([1, 2, 5, 100, 1 << 16]))
def test_messages_cut_in_any_allowed_way_come_out_equal(
    conversation: tuple[list[bytes], list[Message]], piece: int
) -> None:
    wire, expected = conversation
    data = b"".join(wire)
    reader = reader_over(data[i : i + piece] for i in range(0, len(data), piece))
    assert list(follow(reader)) == expected
    assert reader.between_messages


# --- against noise ----------------------------------------------------------------------------------------


def held(reader: ChunkReader) -> int:
    return sum(len(part) for stream in reader._streams.values() for part in stream.parts or ())


@settings(max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=600),
        conversations()
        .map(lambda pair: b"".join(pair[0]))
        .flatmap(
            lambda data: st.tuples(st.integers(0, max(len(data) - 1, 0)), st.binary(min_size=1, max_size=6)).map(
                lambda cut: data[: cut[0]] + cut[1] + data[cut[0] + len(cut[1]) :]
            )
        ),
    ),
    st.sampled_from([1, 50, 1 << 16]),
)
def test_noise_raises_only_what_the_contract_allows_and_stays_in_its_limits(data: bytes, piece: int) -> None:
    limits = ChunkLimits(message_bytes=400, reassembly_bytes=500, chunk_streams=4, chunks_per_message=50)
    reader = reader_over((data[i : i + piece] for i in range(0, len(data), piece)), limits)
    try:
        for message in follow(reader):
            assert len(message.payload) <= limits.message_bytes
            assert held(reader) <= limits.reassembly_bytes
    except ChunkError as error:
        assert error.code and str(error)
    assert held(reader) <= limits.reassembly_bytes + reader.chunk_size
