"""Input that no honest client sends: one clear event and log line for each, and nothing else hurt."""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator

import gevent
import pytest

from rtmpd.protocol import amf0, constants
from rtmpd.protocol.chunk import encode
from rtmpd.protocol.command import command_message
from rtmpd.protocol.control import acknowledgement, set_chunk_size, user_control
from rtmpd.protocol.message import Message
from tests.integration.conftest import Start
from tests.support.client import (
    Client,
    chunked,
    connect_chunks,
    handshake_bytes,
    keyframe,
    publish_session,
)
from tests.support.house import Running, resident_bytes
from tests.support.proof import proves
from tests.support.waiting import wait_until

HANDSHAKE = handshake_bytes()
CONNECTED = HANDSHAKE + connect_chunks()
LONG_CONNECT = chunked((3, command_message("connect", 1.0, {"app": "live", "flashVer": "x" * 1000})))


def begun(csid: int, length: int, type_id: int = 20) -> bytes:
    """A type 0 header that announces ``length`` bytes."""
    return bytes((csid,)) + bytes(3) + length.to_bytes(3, "big") + bytes((type_id,)) + bytes(4)


def command(body: bytes) -> bytes:
    """A command message with this AMF0 body."""
    return chunked((3, Message(constants.COMMAND_AMF0, body)))


def nested(depth: int) -> bytes:
    """An object in an object in an object."""
    return b"\x03\x00\x01a" * depth + b"\x05" + b"\x00\x00\x09" * depth


CALL = amf0.encode("connect", 1.0)
CHUNKING = "protocol_error", "chunking"
COMMAND = "protocol_error", "command_processing"
FAILED_HANDSHAKE = "handshake_failure", "handshake"

# what is sent; the error_code of the one event; its error_type and phase
GARBAGE: dict[str, tuple[bytes, str, tuple[str, str]]] = {
    "http": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "unsupported_version", FAILED_HANDSHAKE),
    "tls on a plain port": (b"\x16\x03\x01\x02\x00" + bytes(512), "unsupported_version", FAILED_HANDSHAKE),
    "noise": (b"\xa5" * 5000, "unsupported_version", FAILED_HANDSHAKE),
    "noise behind the handshake": (HANDSHAKE + b"\xff" * 500, "no_header_to_repeat", CHUNKING),
    "noise in place of C2": (HANDSHAKE[:1537] + b"\xa5" * 1536 + b"\xff", "no_header_to_repeat", CHUNKING),
    "noise inside a message": (HANDSHAKE + LONG_CONNECT[:140] + b"\xff" * 500, "no_header_to_repeat", CHUNKING),
    "noise behind connect": (CONNECTED + b"\xff" * 500, "no_header_to_repeat", CHUNKING),
    "the longest message": (CONNECTED + begun(3, 0xFFFFFF), "message_too_large", CHUNKING),
    "a chunk size of 0": (HANDSHAKE + chunked((2, set_chunk_size(0))), "bad_chunk_size", CHUNKING),
    "a chunk size of 2**31": (HANDSHAKE + chunked((2, set_chunk_size(0x80000000))), "bad_chunk_size", CHUNKING),
    "a long message in tiny chunks": (
        HANDSHAKE + chunked((2, set_chunk_size(1))) + begun(3, 70_000),
        "too_many_chunks",
        CHUNKING,
    ),
    "a flood of chunk streams": (
        CONNECTED + b"".join(encode(csid, acknowledgement(1), 128) for csid in range(3, 1000)),
        "too_many_chunk_streams",
        CHUNKING,
    ),
    "messages begun and never finished": (
        CONNECTED + chunked((2, set_chunk_size(60_000))) + b"".join(begun(c, 90_000) + bytes(60_000) for c in (4, 5)),
        "reassembly_too_large",
        CHUNKING,
    ),
    "a message inside a message": (
        CONNECTED + begun(4, 500) + bytes(128) + begun(4, 5),
        "interrupted_message",
        CHUNKING,
    ),
    "a control message without its value": (
        CONNECTED + chunked((2, Message(constants.SET_CHUNK_SIZE, b"\x00"))),
        "short_control",
        CHUNKING,
    ),
    "an aggregate that lies": (
        CONNECTED + chunked((4, Message(constants.AGGREGATE, b"\x09\xff\xff\xff" + bytes(30)))),
        "bad_aggregate",
        CHUNKING,
    ),
    "deep AMF": (HANDSHAKE + command(CALL + nested(1000)), "amf_too_deep", COMMAND),
    "a huge AMF count": (HANDSHAKE + command(CALL + b"\x0a\xff\xff\xff\xff"), "amf_truncated", COMMAND),
    "many AMF items": (HANDSHAKE + command(CALL + b"\x05" * 5000), "amf_too_many_items", COMMAND),
    "an AMF string that lies": (HANDSHAKE + command(CALL + b"\x0c\xff\xff\xff\xff"), "amf_truncated", COMMAND),
    "an AMF object in itself": (HANDSHAKE + command(CALL + b"\x03\x00\x01a\x07\x00\x00"), "amf_bad_reference", COMMAND),
    "an unknown AMF marker": (HANDSHAKE + command(CALL + b"\xf0"), "amf_bad_marker", COMMAND),
    "a command without a name": (HANDSHAKE + command(b"\x05"), "no_command_name", COMMAND),
    "an empty command": (HANDSHAKE + command(b""), "no_command_name", COMMAND),
    "commands before connect": (
        HANDSHAKE + chunked(*[(3, command_message("createStream", 1.0, None))] * 1000),
        "not_connected",
        COMMAND,
    ),
}


@pytest.mark.parametrize("what", list(GARBAGE))
def test_garbage_ends_its_connection_with_one_clear_error(start: Start, what: str) -> None:
    data, code, (error_type, phase) = GARBAGE[what]
    house = start(limits={"reassembly_bytes": 100_000})
    raw = house.raw()
    raw.send(data)
    event = house.the_error("connection_error", error_type, code, phase)
    raw.read_to_end()
    assert len(event.json()) < 1500
    house.check_service()


def test_hostile_clients_leave_no_memory_behind(start: Start) -> None:
    house = start(limits={"reassembly_bytes": 100_000})

    def round_of_all() -> int:
        for data, _, _ in GARBAGE.values():
            raw = house.raw()
            raw.send(data).read_to_end()
            raw.close()
        wait_until(house.empty, "everybody is gone")
        house._recorder.events.clear()
        house._log.records.clear()
        gc.collect()
        return resident_bytes()

    before = max(round_of_all() for _ in range(3))
    after = min(round_of_all() for _ in range(5))
    assert after - before < 2 * 1024 * 1024
    house.check_service()


# --- truncation -------------------------------------------------------------------------------------


def boundaries() -> Iterator[int]:
    """Where a message of ``publish_session`` ends, counted from its beginning."""
    yield 0
    data, position, size = publish_session(), 0, 128
    while position < len(data):
        csid, length = data[position], int.from_bytes(data[position + 4 : position + 7], "big")
        assert csid < 64
        if data[position + 7] == constants.SET_CHUNK_SIZE:
            end = position + 12 + length
            size = int.from_bytes(data[position + 12 : end], "big")
        else:
            end = position + 12 + length + (max(length, 1) - 1) // size
        position = end
        yield position


ENDS = frozenset(boundaries())


def test_the_boundaries_are_those_of_the_recorded_session() -> None:
    assert max(ENDS) == len(publish_session())
    assert len(ENDS) == 13


def truncate(house: Running, data: bytes) -> None:
    raw = house.raw()
    raw.send(data)
    raw.end()
    raw.read_to_end()
    raw.close()
    wait_until(house.empty, "the server has noticed")


@pytest.mark.parametrize("end", [1, 2, 700, 1536, 1537, 1538, 2500, 3072])
def test_an_end_inside_the_handshake_is_a_network_error_there(start: Start, end: int) -> None:
    house = start()
    truncate(house, HANDSHAKE[:end])
    house.the_error("connection_error", "network_error", "EOF", "handshake")
    assert not house.of("connection_accept")
    assert not house.of("connection_close")


def test_who_leaves_without_a_byte_only_wanted_to_see_that_we_are_here(start: Start) -> None:
    house = start()
    for _ in range(50):
        house.raw().close()
    wait_until(lambda: len(house.logged("connection closed")) == 50, "all have come and gone")
    assert [event.type for event in house.events] == ["server_start"]


def test_an_end_inside_a_message_is_an_error_and_one_between_two_messages_is_none(start: Start) -> None:
    house = start()
    session = publish_session()
    near = {end + offset for end in ENDS for offset in (-2, -1, 0, 1, 2, 5, 11, 12, 13, 14, 30)}
    for end in sorted(near | set(range(0, len(session), 97))):
        if not 0 <= end <= len(session):
            continue
        house._recorder.events.clear()
        house._log.records.clear()
        truncate(house, HANDSHAKE + session[:end])
        conn_id = house.wait_event("connection_close").conn_id
        if end in ENDS:
            assert not house.errors(), f"cut at {end}"
            assert house.of("connection_close")[0].data["reason"] == "client_closed"
        else:
            assert len(house.errors()) == 1, f"cut at {end}"
            house.the_error("connection_error", "network_error", "EOF", "chunking")
            assert house.types(conn_id)[-2:] in (
                ["connection_error", "connection_close"], ["publish_stop", "connection_close"],
            ), f"cut at {end}"  # fmt: skip
    house._recorder.events.clear()
    house.check_service()


# --- allowed, but odd -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "type_id, payload",
    [
        (constants.USER_CONTROL, b""),
        (constants.USER_CONTROL, b"\x07"),
        (constants.ABORT, b"\x00\x00"),
        (constants.WINDOW_ACK_SIZE, b"\x00"),
        (constants.SET_PEER_BANDWIDTH, b""),
    ],
)
def test_protocol_control_that_is_too_short_and_changes_nothing_is_only_reported(
    start: Start, type_id: int, payload: bytes
) -> None:
    house = start()
    publisher = house.client()
    msid = publisher.publish()
    publisher.raw(encode(2, Message(type_id, payload), 128))
    publisher.video(msid, keyframe())
    house.the_error("protocol_error", "protocol_error", "short_control", "chunking")
    publisher.answer(publisher.call("createStream", None))


def test_a_client_that_asks_over_and_over_is_ended(start: Start) -> None:
    """Each play makes events for everybody's hooks: forty at once, the connect among them, and no more."""
    house = start()
    player = house.client()
    player.connect()
    msid = player.create_stream()
    for number in range(60):
        player.call("play", None, f"a{number}", msid=msid)
        player.call("closeStream", None, msid=msid)
    player.wait_end()
    (error,) = house.errors()
    assert error.data["error_code"] == "too_many_requests"
    assert len(house.of("play_start")) <= 40


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x03\x01"])
def test_acknowledgements_and_short_user_controls_are_no_news(start: Start, payload: bytes) -> None:
    house = start()
    publisher = house.client()
    publisher.publish()
    publisher.send(Message(constants.ACKNOWLEDGEMENT, payload), 2)
    publisher.send(Message(constants.USER_CONTROL, b"\x00\x03" + payload), 2)
    publisher.answer(publisher.call("createStream", None))
    assert not house.errors()


def test_an_unreadable_argument_that_is_needed_costs_the_command_and_not_the_connection(start: Start) -> None:
    house = start()
    publisher = house.client()
    publisher.connect()
    msid = publisher.create_stream()
    body = amf0.encode("publish", 9.0, None) + b"\x0d"
    publisher.send(Message(constants.COMMAND_AMF0, body, 0, msid))
    publisher.wait_code("NetStream.Publish.BadName")
    house.the_error("protocol_error", "protocol_error", "amf_bad_marker", "command_processing")
    publisher.publish()


def test_media_of_a_message_stream_that_was_never_made_reaches_players_and_is_reported_once(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    publisher.publish()
    player.play()
    publisher.headers(0)
    publisher.metadata(0, width=640.0)
    for i in range(20):
        publisher.video(0, keyframe(100 + i), 40 * i)
    player.wait_payload(keyframe(119))
    house.the_error("protocol_error", "protocol_error", "unknown_message_stream", "media_processing")
    assert house.wait_event("stream_metadata").data["width"] == 640
    publisher.close()
    assert house.wait_event("publish_stop").data["video_packets"] == 21


def test_stray_media_is_of_nobody_as_soon_as_a_second_message_stream_publishes(start: Start) -> None:
    house = start()
    publisher = house.client()
    first = publisher.publish("a")
    publisher.video(0, keyframe(), 0)
    house.wait_event("protocol_error", error_code="unknown_message_stream")
    second = publisher.publish("b")
    publisher.video(0, keyframe(), 40)
    house.wait_event("protocol_error", error_code="media_without_publish")
    publisher.call("deleteStream", None, float(second))
    publisher.video(0, keyframe(), 80)
    publisher.call("deleteStream", None, float(first))
    publisher.video(0, keyframe(), 120)
    publisher.answer(publisher.call("createStream", None))
    stops = {e.stream_key: e.data["video_packets"] for e in house.of("publish_stop")}
    assert stops == {"live/a": 2, "live/b": 0}
    codes = [e.data["error_code"] for e in house.of("protocol_error")]
    assert codes == ["unknown_message_stream", "media_without_publish", "media_without_publish"]


@pytest.mark.parametrize("size", [1, 2, 0xFFFFFF, 0x1000000, 0x7FFFFFFF])
def test_every_chunk_size_of_the_standard_works(start: Start, size: int) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    publisher.chunk_size(size)
    msid = publisher.publish()
    player.play()
    publisher.video(msid, keyframe(50_000))
    player.wait_payload(keyframe(50_000))
    assert not house.errors()


def test_numbers_that_are_none_do_no_harm(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect()
    for number in (float("nan"), float("inf"), -float("inf"), -1.0, 1e300, 0.5):
        client.call("deleteStream", None, number)
        client.answer(client.call("getStreamLength", None, number))
        client.call("play", None, "a", number, msid=9)
        client.call("pause", None, True, number, msid=9)
    msid = client.create_stream()
    client.call("play", None, "a", float("nan"), float("nan"), msid=msid)
    client.wait_code("NetStream.Play.Start", msid)
    assert {e.data["error_code"] for e in house.errors()} == {"no_such_stream"}


BROKEN_URLS = ["//[", "//[://x/live", "rtmp://[::1/live", "\x00", "rtmp://h:99999999/live", "x" * 5000]


@pytest.mark.parametrize("url", BROKEN_URLS, ids=[url[:20] for url in BROKEN_URLS])
def test_a_broken_tc_url_is_no_more_than_an_application_that_is_not_there(start: Start, url: str) -> None:
    house = start()
    client = house.client()
    nan = float("nan")
    answer = client.answer(client.call("connect", {"tcUrl": url, "objectEncoding": nan, "capsEx": nan}))
    assert answer.name in ("_result", "_error")
    assert not house.of("connection_error")


NAMES = ["a\x07b", "a\nb", "\x00", "x" * 513, "y" * 60_000, "\u202e", "\x7f"]


@pytest.mark.parametrize("call", ["publish", "play"])
@pytest.mark.parametrize("name", NAMES, ids=[repr(name[:5]) for name in NAMES])
def test_a_name_that_can_be_no_key_is_refused_in_few_words(start: Start, call: str, name: str) -> None:
    house = start()
    client = house.client()
    client.connect()
    msid = client.create_stream()
    client.call(call, None, name, msid=msid)
    client.wait_end()
    assert client.codes(msid) == ["NetStream.Publish.BadName" if call == "publish" else "NetStream.Play.Failed"]
    event = house.wait_event("stream_error")
    assert event.data["error_type"] == "invalid_stream_key"
    assert len(event.json()) < 4000
    assert len(house.errors()) == 1
    assert len(house.logged("request refused")) == 1
    assert not house.of("stream_create")
    house.check_service()


def test_what_a_client_says_of_itself_is_cut_in_events(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect(flashVer="f" * 60_000)
    msid = client.create_stream()
    client.call("publish", None, "a?" + "q" * 50_000 + "=1", "live", msid=msid)
    client.wait_code("NetStream.Publish.Start")
    assert len(house.wait_event("publish_start").json()) < 4000
    other = house.client()
    other.call("x" * 60_000, None)
    other.wait_end()
    assert len(house.wait_event("connection_error").json()) < 4000


# --- floods -----------------------------------------------------------------------------------------


def test_a_flood_of_aborts_and_acknowledgements_is_let_pass(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect()
    abort = chunked((2, Message(constants.ABORT, struct.pack(">I", 3))), (2, acknowledgement(7)))
    client.raw(abort * 5000)
    msid = client.publish()
    client.video(msid, keyframe())
    house.check_service()
    assert not house.errors()


def test_an_aborted_message_is_forgotten(start: Start) -> None:
    house = start(limits={"reassembly_bytes": 100_000})
    client = house.client()
    client.connect()
    client.chunk_size(50_000)
    for _ in range(10):
        client.raw(begun(9, 90_000) + bytes(50_000) + encode(2, Message(constants.ABORT, struct.pack(">I", 9)), 50_000))
    client.publish()
    assert not house.errors()


def unread(house: Running) -> Client:
    """A connected client that will read no more, with small buffers on the way to it."""
    client = house.client(receive_bytes=4096)
    client.connect()
    shrink(house, client)
    return client


def shrink(house: Running, client: Client) -> None:
    """Have the kernel hold little of what is sent to ``client``."""
    house.connection(client).peer.transport._sock.setsockopt(1, 7, 4096)  # SOL_SOCKET, SO_SNDBUF


FLOODS = {
    "ping": chunked((2, user_control(constants.PING_REQUEST, 1))),
    "createStream": chunked((3, command_message("createStream", 1.0, None))),
    "unknown command": chunked((3, command_message("nothing", 1.0, None))),
    "play of nothing": chunked((3, command_message("play", 1.0, None, "a", msid=7))),
}


@pytest.mark.parametrize("what", list(FLOODS))
def test_who_asks_and_never_reads_is_cut_when_too_many_answers_wait(start: Start, what: str) -> None:
    house = start()
    client = unread(house)
    connection = house.connection(client)
    waiting = []
    piece = FLOODS[what] * 2000

    def flood() -> None:
        client.transport._sock.settimeout(0)
        left = piece
        while house.alive(connection.conn_id):
            try:  # what the kernel took is not sent again, or it would be noise from there on
                left = left[client.transport._sock.send(left) :] or piece
            except BlockingIOError:
                pass
            except OSError:
                return
            gevent.sleep(0.001)
            waiting.append(connection.peer.writer.queued_bytes)

    with gevent.Timeout(20):
        flood()
    event = house.wait_event("connection_error")
    assert (event.data["error_type"], event.data["error_code"]) == ("network_error", "send_queue_full")
    assert len(house.of("connection_error")) == 1
    assert len(house.logged("connection failed")) == 1
    assert max(waiting) < 3 * 1024 * 1024
    house.check_service()


@proves("limits.message_streams")
def test_more_message_streams_than_allowed_are_refused_and_the_rest_go_on(start: Start) -> None:
    house = start(limits={"message_streams": 3})
    client = house.client()
    client.connect()
    answers = [client.answer(client.call("createStream", None)).name for _ in range(200)]
    assert answers == ["_result"] * 3 + ["_error"] * 197
    client.call("deleteStream", None, 2.0)
    assert client.create_stream() == 4
    assert not house.errors()


def test_violations_are_told_ten_times_and_then_no_more(start: Start) -> None:
    house = start()
    client = house.client()
    client.connect()
    client.raw(chunked((7, Message(constants.VIDEO, b"x", 0, 1))) * 500)
    client.create_stream()
    assert [e.data["error_code"] for e in house.errors()] == ["media_without_publish"] * 10
    assert len(house.logged("protocol violation tolerated")) == 10
