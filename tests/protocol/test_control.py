"""Protocol control and user control messages: their bytes, and what is too short to be one."""

from __future__ import annotations

import pytest

from rtmpd.errors import ChunkError
from rtmpd.protocol import control
from rtmpd.protocol.constants import (
    BANDWIDTH_DYNAMIC,
    PING_REQUEST,
    PING_RESPONSE,
    SET_BUFFER_LENGTH,
    STREAM_BEGIN,
    USER_CONTROL,
)
from rtmpd.protocol.message import Message

VECTORS = [
    (control.set_chunk_size(4096), 1, "00001000"),
    (control.acknowledgement(1_000_000), 3, "000f4240"),
    (control.window_ack_size(2_500_000), 5, "002625a0"),
    (control.set_peer_bandwidth(2_500_000, BANDWIDTH_DYNAMIC), 6, "002625a002"),
    (control.user_control(STREAM_BEGIN, 1), 4, "000000000001"),
    (control.user_control(PING_REQUEST, 0xFFFFFFFF), 4, "0006ffffffff"),
]


@pytest.mark.parametrize("message, type_id, payload", VECTORS)
def test_golden_vectors(message: Message, type_id: int, payload: str) -> None:
    assert message == Message(type_id, bytes.fromhex(payload), 0, 0)


@pytest.mark.parametrize("received, sent", [(2**32 - 1, "ffffffff"), (2**32, "00000000"), (5 * 2**32 + 7, "00000007")])
def test_an_acknowledgement_counts_modulo_32_bits(received: int, sent: str) -> None:
    assert control.acknowledgement(received).payload.hex() == sent


def test_a_ping_may_carry_a_clock_that_has_wrapped() -> None:
    assert control.read_user_control(control.user_control(PING_RESPONSE, 2**32 + 5)) == (PING_RESPONSE, 5)


@pytest.mark.parametrize("message, type_id, payload", VECTORS[:4])
def test_the_value_is_read_back(message: Message, type_id: int, payload: str) -> None:
    assert control.read_value(message) == int(payload[:8], 16)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\x10"])
def test_a_control_message_without_its_value_is_an_error(payload: bytes) -> None:
    with pytest.raises(ChunkError) as caught:
        control.read_value(Message(1, payload))
    assert caught.value.code == "short_control"


def test_only_the_first_value_of_a_user_control_message_is_read() -> None:
    message = Message(USER_CONTROL, bytes.fromhex("0003 00000001 00000bb8"))
    assert control.read_user_control(message) == (SET_BUFFER_LENGTH, 1)


def test_a_user_control_event_may_have_no_value() -> None:
    assert control.read_user_control(Message(USER_CONTROL, b"\0\x1a")) == (26, 0)


@pytest.mark.parametrize("payload", [b"", b"\0"])
def test_a_user_control_message_without_an_event_is_an_error(payload: bytes) -> None:
    with pytest.raises(ChunkError) as caught:
        control.read_user_control(Message(USER_CONTROL, payload))
    assert caught.value.code == "short_control"
