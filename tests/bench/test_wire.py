"""The generator's chunk reader, on chunk streams written out by hand from RTMP 1.0, 5.3.1."""

from __future__ import annotations

import pytest

from bench.wire import ChunkWalker, Received, WireError, amf0, chunked, command, command_answer, set_chunk_size

FMT0 = bytes.fromhex("06 00000a 000004 08 01000000") + b"abcd"


def received(data: bytes) -> list[Received]:
    return ChunkWalker().feed(data)


def test_every_format_inherits_what_it_leaves_out() -> None:
    fmt1 = bytes.fromhex("46 000005 000002 09") + b"xy"
    fmt2 = bytes.fromhex("86 000007") + b"zw"
    fmt3 = bytes.fromhex("c6") + b"uv"
    assert received(FMT0 + fmt1 + fmt2 + fmt3 + fmt3) == [
        Received(8, 10, 1, b"abcd"),
        Received(9, 15, 1, b"xy"),
        Received(9, 22, 1, b"zw"),
        Received(9, 29, 1, b"uv"),
        Received(9, 36, 1, b"uv"),
    ]


@pytest.mark.parametrize("basic", ["00 00", "01 0000", "00 ff", "01 ff00", "01 ffff"])
def test_basic_headers_of_two_and_three_bytes_are_read(basic: str) -> None:
    assert received(bytes.fromhex(basic) + FMT0[1:]) == [Received(8, 10, 1, b"abcd")]


def test_fmt3_repeats_the_extended_timestamp() -> None:
    first = bytes.fromhex("06 ffffff 000082 08 01000000 01000000") + bytes(128)
    again = bytes.fromhex("c6 01000000") + b"ab"
    assert received(first + again) == [Received(8, 0x01000000, 1, bytes(128) + b"ab")]


def test_interleaved_messages_are_put_together_by_chunk_stream() -> None:
    one = chunked(6, 8, b"a" * 300, 1, 5)
    other = chunked(7, 9, b"b" * 200, 1, 6)
    mixed = one[:140] + other[:140] + one[140:269] + other[140:] + one[269:]
    assert received(mixed) == [Received(9, 6, 1, b"b" * 200), Received(8, 5, 1, b"a" * 300)]


def test_a_new_chunk_size_holds_from_the_next_chunk_on() -> None:
    messages = received(set_chunk_size(1000) + chunked(6, 8, b"a" * 2500, 1, 0, 1000))
    assert messages[1].payload == b"a" * 2500


def test_any_cut_of_the_bytes_gives_the_same_messages() -> None:
    data = set_chunk_size(64) + FMT0 + chunked(7, 9, bytes(range(200)), 1, 9, 64)
    whole = received(data)
    for cut in range(len(data)):
        walker = ChunkWalker()
        assert walker.feed(data[:cut]) + walker.feed(data[cut:]) == whole


@pytest.mark.parametrize(
    "data", ["46 000005 000002 09 78", "06 00000a 000100 08 01000000" + "00" * 128 + "06" + "00" * 139]
)
def test_a_broken_chunk_stream_is_an_error(data: str) -> None:
    with pytest.raises(WireError):
        received(bytes.fromhex(data))


def test_a_command_is_read_as_far_as_it_matters() -> None:
    (answer,) = received(command("_result", 2, None, 3))
    assert command_answer(answer.payload) == ("_result", 2, "", 3)
    (status,) = received(command("onStatus", 0, None, {"level": "status", "code": "NetStream.Play.Start"}))
    assert command_answer(status.payload).code == "NetStream.Play.Start"


def test_amf0_refuses_what_it_can_not_write() -> None:
    with pytest.raises(TypeError):
        amf0([1])
