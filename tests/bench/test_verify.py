"""The checker is a witness: each fault planted in front of it has to be reported, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict

import pytest

from bench import wire
from bench.media import (
    AUDIO_SEQUENCE_HEADER,
    CHUNK_SIZE,
    MARKER_AT,
    MARKER_BYTES,
    VIDEO_SEQUENCE_HEADER,
    MediaBytes,
    payload,
    stream_headers,
)
from bench.verify import Verifier
from bench.wire import AUDIO, CSID_OF_MEDIA, VIDEO

SENT_NS = 1_000_000
ARRIVED_NS = 3_500_000
GOP = 10
COUNT = 40
Sent = tuple[int, int, bytes]
"""Type, timestamp and payload of a message on its way."""


def stream(count: int = COUNT) -> list[Sent]:
    """Sequence headers, then video and audio in turn, a key frame every GOP messages."""
    messages: list[Sent] = [(VIDEO, 0, VIDEO_SEQUENCE_HEADER), (AUDIO, 0, AUDIO_SEQUENCE_HEADER)]
    for sequence in range(count):
        type_id, size = (VIDEO, 9000) if sequence % 2 == 0 else (AUDIO, 371)
        timestamp = sequence * 20
        messages.append((type_id, timestamp, payload(type_id, sequence, timestamp, SENT_NS, size, sequence % GOP == 0)))
    return messages


def on_the_wire(messages: list[Sent]) -> bytes:
    """The messages as a server would send them, chunk size announced first."""
    chunks = [wire.set_chunk_size(CHUNK_SIZE)]
    for type_id, timestamp, body in messages:
        chunks.append(wire.chunked(CSID_OF_MEDIA[type_id], type_id, body, 1, timestamp, CHUNK_SIZE))
    return b"".join(chunks)


def verified(data: bytes, piece_bytes: int = 1000) -> Verifier:
    """A verifier that has seen these bytes arrive in pieces."""
    walker, verifier = wire.ChunkWalker(), Verifier()
    for start in range(0, len(data), piece_bytes):
        for message in walker.feed(data[start : start + piece_bytes]):
            verifier.check(message, ARRIVED_NS)
    verifier.expect_up_to(COUNT)
    return verifier


def faults(data: bytes) -> dict[str, int]:
    """The faults reported, without those that are 0."""
    return {name: count for name, count in asdict(verified(data).faults).items() if count}


def drop(messages: list[Sent]) -> None:
    del messages[12]


def drop_the_last(messages: list[Sent]) -> None:
    del messages[-1]


def duplicate(messages: list[Sent]) -> None:
    messages.insert(12, messages[11])


def swap(messages: list[Sent]) -> None:
    messages[12], messages[13] = messages[13], messages[12]


def shift_the_clock(messages: list[Sent]) -> None:
    type_id, timestamp, body = messages[12]
    messages[12] = (type_id, timestamp + 1, body)


def cut_short(messages: list[Sent]) -> None:
    type_id, timestamp, body = messages[12]
    messages[12] = (type_id, timestamp, body[:-1])


def spoil_the_sequence_header(messages: list[Sent]) -> None:
    messages[0] = (VIDEO, 0, VIDEO_SEQUENCE_HEADER[:-1] + b"\x00")


def leave_the_audio_header_out(messages: list[Sent]) -> None:
    del messages[1]


def flip(at: int) -> Callable[[list[Sent]], None]:
    """Plants one wrong bit at a position of a video payload."""

    def plant(messages: list[Sent]) -> None:
        type_id, timestamp, body = messages[12]
        spoiled = bytearray(body)
        spoiled[at] ^= 0x10
        messages[12] = (type_id, timestamp, bytes(spoiled))

    return plant


IN_THE_MARKER = MARKER_AT[VIDEO] + 7

PLANTED = [
    (drop, {"lost": 1}),
    (drop_the_last, {"lost": 1}),
    (duplicate, {"duplicated": 1}),
    (swap, {"reordered": 1}),
    (shift_the_clock, {"wrong_timestamp": 1}),
    (cut_short, {"corrupt": 1}),
    (spoil_the_sequence_header, {"corrupt": 1, "without_header": COUNT // 2}),
    (leave_the_audio_header_out, {"without_header": COUNT // 2}),
    (flip(0), {"corrupt": 1}),
    (flip(MARKER_AT[VIDEO] - 1), {"corrupt": 1}),
    (flip(MARKER_AT[VIDEO]), {"corrupt": 1, "lost": 1}),
    (flip(IN_THE_MARKER), {"corrupt": 1, "lost": 1}),
    (flip(MARKER_AT[VIDEO] + MARKER_BYTES - 1), {"corrupt": 1, "lost": 1}),
    (flip(MARKER_AT[VIDEO] + MARKER_BYTES), {"corrupt": 1}),
    (flip(8999), {"corrupt": 1}),
]


@pytest.mark.parametrize(("plant", "expected"), PLANTED)
def test_a_planted_fault_is_reported(plant: Callable[[list[Sent]], None], expected: dict[str, int]) -> None:
    messages = stream()
    plant(messages)
    assert faults(on_the_wire(messages)) == expected


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000, 65536])
def test_a_clean_stream_has_no_fault_however_it_is_cut(piece_bytes: int) -> None:
    verifier = verified(on_the_wire(stream()), piece_bytes)
    assert verifier.faults.total() == 0
    assert verifier.messages == COUNT
    assert verifier.latencies_ns[VIDEO] == [ARRIVED_NS - SENT_NS] * (COUNT // 2)


def test_every_single_flipped_byte_of_a_stream_is_noticed() -> None:
    """Of the payloads; a flipped chunk header breaks the stream or one of the other rules."""
    chooser = random.Random(5)
    for _ in range(300):
        messages = stream()
        index = chooser.randrange(2, len(messages))
        type_id, timestamp, body = messages[index]
        spoiled = bytearray(body)
        spoiled[chooser.randrange(len(body))] ^= 1 << chooser.randrange(8)
        messages[index] = (type_id, timestamp, bytes(spoiled))
        verifier = Verifier()
        for each in messages:
            verifier.check(wire.Received(each[0], each[1], 1, each[2]), ARRIVED_NS)
        assert verifier.faults.corrupt == 1


def test_order_is_judged_from_the_first_key_frame_on() -> None:
    messages = stream()
    del messages[2], messages[4], messages[4]
    assert faults(on_the_wire(messages)) == {}


def test_a_number_from_nowhere_is_corrupt_and_not_a_loss() -> None:
    messages = stream()
    messages[12] = (VIDEO, 200, payload(VIDEO, 1 << 50, 200, SENT_NS, 9000))
    assert faults(on_the_wire(messages)) == {"corrupt": 1, "lost": 1}


def test_the_padding_of_another_message_is_noticed() -> None:
    messages = stream()
    marked = MARKER_AT[VIDEO] + MARKER_BYTES
    messages[12] = (VIDEO, 200, messages[12][2][:marked] + messages[14][2][marked:])
    assert faults(on_the_wire(messages)) == {"corrupt": 1}


def test_a_restart_keeps_the_place_in_the_stream() -> None:
    verifier = Verifier()
    for type_id, timestamp, body in stream():
        verifier.check(wire.Received(type_id, timestamp, 1, body), ARRIVED_NS)
    verifier.restart()
    verifier.check(wire.Received(AUDIO, 0, 1, payload(AUDIO, COUNT + 1, 0, SENT_NS, 371)), ARRIVED_NS)
    assert (verifier.messages, verifier.faults.lost) == (1, 1)


def test_the_publisher_bytes_pass_the_checker() -> None:
    """Templates are used again: PHASES messages later the same bytes carry another marker."""
    media = MediaBytes(1)
    data = [wire.set_chunk_size(CHUNK_SIZE), stream_headers(1)]
    for sequence in range(COUNT):
        type_id, size = (VIDEO, 9000) if sequence % 2 == 0 else (AUDIO, 371)
        data.append(bytes(media.message(type_id, sequence, sequence * 20, SENT_NS, size, sequence == 0)))
    data += [bytes(media.message(VIDEO, COUNT + each, 900, SENT_NS, 9000)) for each in range(200)]
    verifier = verified(b"".join(data))
    assert verifier.faults.total() == 0
    assert verifier.messages == COUNT + 200
