"""One RTMP peer: protocol control is dealt with, replies leave together, chunk sizes hold from where they stand."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest

from rtmpd.errors import ChunkError, ConnectionLost
from rtmpd.net.peer import Peer
from rtmpd.net.transport import RawSocket, Transport
from rtmpd.protocol.chunk import ChunkLimits, encode
from rtmpd.protocol.constants import (
    ABORT,
    ACKNOWLEDGEMENT,
    COMMAND_AMF0,
    CSID_COMMAND,
    PING_REQUEST,
    PING_RESPONSE,
    SET_CHUNK_SIZE,
    SET_PEER_BANDWIDTH,
    STREAM_BEGIN,
    USER_CONTROL,
    VIDEO,
    WINDOW_ACK_SIZE,
)
from rtmpd.protocol.control import (
    acknowledgement,
    set_chunk_size,
    set_peer_bandwidth,
    user_control,
    window_ack_size,
)
from rtmpd.protocol.message import Message
from tests.net.pairs import PeerPair, messages_of


@pytest.fixture
def pair() -> Iterator[PeerPair]:
    made = PeerPair()
    yield made
    made.close()


LAST = Message(VIDEO, b"last", 0, 1)


def read_to_last(pair: PeerPair) -> list[Message | None]:
    """Everything up to the message ``LAST``, and nothing is waited for after it."""
    found: list[Message | None] = []
    with gevent.Timeout(5):
        while LAST not in found:
            found.append(pair.peer.read_message())
    pair.peer.flush()
    return found


# --- protocol control -----------------------------------------------------------------------------


def test_protocol_control_is_dealt_with_and_everything_else_comes_out(pair: PeerPair) -> None:
    command = Message(COMMAND_AMF0, b"x" * 300, 5, 1)
    pair.say(window_ack_size(1 << 20), acknowledgement(77), user_control(3, 1), command, LAST)
    assert read_to_last(pair) == [None, None, None, command, LAST]


def test_a_ping_is_answered_with_its_own_time(pair: PeerPair) -> None:
    pair.say(user_control(PING_REQUEST, 0xFEDCBA98), LAST)
    read_to_last(pair)
    assert pair.heard() == [user_control(PING_RESPONSE, 0xFEDCBA98)]


def test_other_user_control_events_are_passed_on(pair: PeerPair) -> None:
    seen: list[tuple[int, int]] = []
    pair.peer.on_user_control = lambda event, value: seen.append((event, value))
    pair.say(user_control(STREAM_BEGIN, 7), user_control(PING_REQUEST, 1), user_control(31, 2), LAST)
    read_to_last(pair)
    assert seen == [(STREAM_BEGIN, 7), (31, 2)]


def test_our_own_ping_asks_for_an_answer(pair: PeerPair) -> None:
    pair.peer.ping(123)
    assert pair.heard() == [user_control(PING_REQUEST, 123)]


def test_a_chunk_size_holds_from_the_next_message_on(pair: PeerPair) -> None:
    long = Message(VIDEO, bytes(range(250)), 0, 1)
    pair.say(set_chunk_size(200))
    pair.say(long, LAST, chunk_size=200)
    assert read_to_last(pair) == [None, long, LAST]


def test_an_abort_forgets_the_message_of_its_chunk_stream_alone(pair: PeerPair) -> None:
    begun, other = encode(3, Message(VIDEO, bytes(200), 0, 1), 128), encode(9, Message(VIDEO, bytes(200), 0, 1), 128)
    abort = encode(2, Message(ABORT, (3).to_bytes(4, "big")), 128)
    pair.theirs.sendall(begun[:140] + other[:140] + abort + other[140:])
    pair.say(LAST)
    assert read_to_last(pair) == [None, Message(VIDEO, bytes(200), 0, 1), LAST]


def test_a_bandwidth_is_answered_with_a_window_unless_the_peer_knows_it(pair: PeerPair) -> None:
    pair.say(set_peer_bandwidth(5000, 2), set_peer_bandwidth(5000, 2), set_peer_bandwidth(6000, 2), LAST)
    read_to_last(pair)
    assert pair.heard() == [window_ack_size(5000), window_ack_size(6000)]
    pair.peer.send(2, window_ack_size(7000))
    pair.say(set_peer_bandwidth(7000, 2), LAST)
    read_to_last(pair)
    assert pair.heard() == [window_ack_size(7000)]


def test_received_bytes_are_acknowledged_by_the_window_and_not_more_often(pair: PeerPair) -> None:
    pair.say(window_ack_size(5000), LAST)
    read_to_last(pair)
    for count in range(3):
        pair.say(Message(VIDEO, bytes(3000), 0, 1), LAST)
        read_to_last(pair)
        acknowledged = [m for m in pair.heard() if m.type_id == ACKNOWLEDGEMENT]
        assert acknowledged == ([acknowledgement(pair.peer.bytes_received)] if count == 1 else [])


def test_a_window_of_a_few_bytes_does_not_make_us_answer_every_few(pair: PeerPair) -> None:
    pair.say(window_ack_size(1), Message(VIDEO, bytes(1000), 0, 1), LAST)
    read_to_last(pair)
    assert pair.peer.peer_window == 4096
    pair.say(LAST)
    read_to_last(pair)
    assert pair.heard() == []


@pytest.mark.parametrize(
    "message",
    [
        Message(USER_CONTROL, b"\x00"),
        Message(USER_CONTROL, b""),
        Message(ABORT, b"\x00\x00\x00"),
        Message(WINDOW_ACK_SIZE, b""),
        Message(SET_PEER_BANDWIDTH, b"\x01"),
    ],
)
def test_control_that_is_too_short_is_reported_and_changes_nothing(pair: PeerPair, message: Message) -> None:
    codes: list[str] = []
    pair.peer.on_violation = lambda code, detail: codes.append(code)
    pair.say(message, LAST)
    assert read_to_last(pair) == [None, LAST]
    assert codes == ["short_control"]
    assert pair.heard() == [] and pair.peer.peer_window == 0


def test_control_that_is_too_short_does_no_harm_where_nobody_listens(pair: PeerPair) -> None:
    pair.say(Message(USER_CONTROL, b"\x00"), LAST)
    assert read_to_last(pair) == [None, LAST]


@pytest.mark.parametrize("payload", [b"\x00\x01", bytes(4)])
def test_a_chunk_size_that_cannot_be_followed_is_an_error(pair: PeerPair, payload: bytes) -> None:
    pair.say(Message(SET_CHUNK_SIZE, payload))
    with pytest.raises(ChunkError):
        pair.peer.read_message()


# --- what leaves ----------------------------------------------------------------------------------


def test_replies_to_one_read_leave_together_before_more_is_waited_for(pair: PeerPair) -> None:
    pair.say(user_control(PING_REQUEST, 1), user_control(PING_REQUEST, 2))
    assert [pair.peer.read_message(), pair.peer.read_message()] == [None, None]
    assert pair.heard() == [], "they are held"
    with gevent.Timeout(0.2, False):
        pair.peer.read_message()
    assert pair.heard() == [user_control(PING_RESPONSE, 1), user_control(PING_RESPONSE, 2)]


def test_a_chunk_size_among_messages_holds_for_those_after_it(pair: PeerPair) -> None:
    long = Message(VIDEO, bytes(300), 0, 1)
    pair.peer.send_all([(CSID_COMMAND, long), (2, set_chunk_size(1000)), (CSID_COMMAND, long)])
    data = pair.theirs.recv(65536)
    assert messages_of(data) == [long, set_chunk_size(1000), long]
    assert data.count(b"\xc3") == 2, "the first was cut, the last was not"
    assert pair.peer.out_chunk_size == 1000
    pair.peer.announce_chunk_size(2000)
    assert pair.peer.out_chunk_size == 2000


def test_a_message_that_recurs_is_cut_by_the_chunk_size_of_the_moment(pair: PeerPair) -> None:
    status = Message(COMMAND_AMF0, b"recurs" * 40, 0, 1)
    pair.peer.send_all([(CSID_COMMAND, status), (2, set_chunk_size(100)), (CSID_COMMAND, status)])
    pair.peer.send_all([(CSID_COMMAND, status), (CSID_COMMAND, Message(COMMAND_AMF0, status.payload, 0, 2))])
    pair.peer.flush()
    control = encode(2, set_chunk_size(100), 128)
    other = encode(CSID_COMMAND, Message(COMMAND_AMF0, status.payload, 0, 2), 100)
    cut = encode(CSID_COMMAND, status, 100)
    assert pair.theirs.recv(65536) == encode(CSID_COMMAND, status, 128) + control + cut + cut + other


def test_nothing_is_written_for_nothing(pair: PeerPair) -> None:
    pair.peer.send_all([])
    assert pair.heard() == [] and pair.peer.writer.bytes_sent == 0


def test_the_streams_are_told_before_more_is_waited_for_and_when_others_get_their_turn(pair: PeerPair) -> None:
    told: list[int] = []
    pair.peer.before_wait = lambda: told.append(pair.peer.bytes_received)
    pair.say(LAST)
    pair.peer.read_message()
    assert told == [0]
    pair.peer.send(2, user_control(PING_REQUEST, 1))
    assert pair.heard() == []
    pair.peer.give_way()
    assert len(told) == 2 and pair.heard() == [user_control(PING_REQUEST, 1)]
    pair.peer.send(2, user_control(PING_REQUEST, 2))
    assert pair.heard() == [], "replies are held again afterwards"


# --- reading --------------------------------------------------------------------------------------


def test_bytes_are_counted_and_idle_means_nothing_is_at_hand(pair: PeerPair) -> None:
    data = encode(3, LAST, 128)
    pair.theirs.sendall(data + data[:5])
    pair.peer.read_message()
    assert pair.peer.bytes_received == len(data) + 5
    assert not pair.peer.idle
    pair.theirs.sendall(data[5:])
    pair.peer.read_message()
    assert pair.peer.idle


@pytest.mark.parametrize(("sent", "clean"), [(b"", True), (encode(3, LAST, 128)[:7], False)])
def test_an_end_is_clean_only_between_messages(pair: PeerPair, sent: bytes, clean: bool) -> None:
    pair.say(LAST)
    pair.theirs.sendall(sent)
    pair.theirs.shutdown(1)
    assert pair.peer.read_message() == LAST
    with pytest.raises(ConnectionLost) as caught:
        pair.peer.read_message()
    assert (caught.value.code, caught.value.clean, pair.peer.reader.between_messages) == ("EOF", clean, clean)


@pytest.mark.parametrize("digest", [False, True])
def test_two_peers_shake_hands_in_the_clients_form(pair: PeerPair, digest: bool) -> None:
    transport = Transport(RawSocket(fileno=pair.theirs.detach()))
    client = Peer(transport, pair.clock, ChunkLimits(), lambda code, text: None)
    serving = gevent.spawn(pair.peer.accept_handshake, 1)
    with gevent.Timeout(5):
        scheme = client.offer_handshake(1, digest=digest).scheme
        client.flush()
        assert serving.get().scheme == scheme == ("digest" if digest else "simple")
    client.writer.close()
    transport.close()
