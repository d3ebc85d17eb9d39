"""The handshake: against itself, against an independent computation of the digests, and against
packets recorded from other implementations (``data/``: Debian's ffmpeg 5.1, librtmp 2.4 and the
nginx-rtmp module 1.2.2)."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import queue
import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.errors import ConnectionLost, HandshakeError
from rtmpd.protocol.handshake import DIGEST, SIMPLE, HandshakeResult, client_handshake, server_handshake
from rtmpd.protocol.source import Buffer, MemorySource

DATA = Path(__file__).parent / "data"
TIME_MS = 0x1_2345_6789
C0 = b"\x03"

# --- the digests, computed a second time and differently ----------------------------------------

SHARED_KEY = bytes.fromhex("F0EEC24A8068BEE82E00D0D1029E7E576EEC5D2D29806FAB93B8E636CFEB31AE")
SERVER_NAME = b"Genuine Adobe Flash Media Server 001"
CLIENT_NAME = b"Genuine Adobe Flash Player 001"


def sha256(key: bytes, *parts: bytes) -> bytes:
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        mac.update(part)
    return mac.digest()


def split(packet: bytes, schema: int) -> tuple[bytes, bytes, bytes]:
    """A packet before, inside and after its digest."""
    base = 764 * schema + 8
    place = (packet[base] + packet[base + 1] + packet[base + 2] + packet[base + 3]) % 728 + base + 4
    return packet[:place], packet[place : place + 32], packet[place + 32 :]


def is_signed(packet: bytes, schema: int, name: bytes) -> bool:
    before, digest, after = split(packet, schema)
    return digest == sha256(name, before, after)


def sign(packet: bytes, schema: int, name: bytes) -> bytes:
    before, _, after = split(packet, schema)
    return before + sha256(name, before, after) + after


def proof(body: bytes, digest: bytes, name: bytes) -> bytes:
    return body + sha256(sha256(name + SHARED_KEY, digest), body)


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


# --- two ends -----------------------------------------------------------------------------------


class QueueSource:
    """What the other thread sends, cut into pieces of ``piece`` bytes."""

    def __init__(self, piece: int) -> None:
        self.piece = piece
        self.pieces: queue.Queue[bytes] = queue.Queue()
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        for start in range(0, len(data), self.piece):
            self.pieces.put(data[start : start + self.piece])

    def recv(self) -> bytes:
        return self.pieces.get(timeout=10)


class Dialogue:
    """A server and a client of ours, each in its thread."""

    def __init__(self, digest: bool, piece: int = 65536) -> None:
        self.to_server, self.to_client = QueueSource(piece), QueueSource(piece)
        self.results: dict[str, Any] = {}
        self.buffers = {"server": Buffer(self.to_server), "client": Buffer(self.to_client)}
        server = threading.Thread(target=self._run, args=("server", self._serve))
        client = threading.Thread(target=self._run, args=("client", lambda: self._connect(digest)))
        for thread in (server, client):
            thread.start()
        for thread in (server, client):
            thread.join()

    def _run(self, name: str, side: Callable[[], HandshakeResult]) -> None:
        self.results[name] = side()

    def _serve(self) -> HandshakeResult:
        rng = random.Random(1)
        return server_handshake(
            self.buffers["server"], self.to_client.send, uptime_ms=TIME_MS, random=rng.randbytes
        )

    def _connect(self, digest: bool) -> HandshakeResult:
        rng = random.Random(2)
        result = client_handshake(
            self.buffers["client"], self.to_server.send, uptime_ms=TIME_MS, random=rng.randbytes, digest=digest
        )
        self.to_server.send(b"the first chunk")
        return result


def serve(pieces: Iterable[bytes], rng_seed: int = 7) -> tuple[HandshakeResult, list[bytes]]:
    """The server's side over bytes that are all there; its result and what it sent."""
    sent: list[bytes] = []
    rng = random.Random(rng_seed)
    result = server_handshake(
        Buffer(MemorySource(pieces)), sent.append, uptime_ms=TIME_MS, random=rng.randbytes
    )
    return result, sent


def connect(pieces: Iterable[bytes], digest: bool) -> tuple[HandshakeResult, list[bytes]]:
    sent: list[bytes] = []
    rng = random.Random(8)
    result = client_handshake(
        Buffer(MemorySource(pieces)), sent.append, uptime_ms=TIME_MS, random=rng.randbytes, digest=digest
    )
    return result, sent


@pytest.mark.parametrize(("digest", "piece"), list(itertools.product((False, True), (1, 1000, 65536))))
def test_our_two_sides_understand_each_other(digest: bool, piece: int) -> None:
    dialogue = Dialogue(digest, piece)
    expected = HandshakeResult(DIGEST, 0, True) if digest else HandshakeResult(SIMPLE, None, True)
    assert dialogue.results == {"server": expected, "client": expected}


def test_what_follows_the_handshake_stays_in_the_buffer() -> None:
    for piece in (65536, 1):
        dialogue = Dialogue(False, piece)
        assert dialogue.buffers["server"].read(15) == b"the first chunk"
        assert len(dialogue.buffers["client"]) == 0


def test_a_client_may_send_c2_and_more_at_once() -> None:
    c1 = bytes(8) + noise(1528)
    buffer = Buffer(MemorySource([C0 + c1 + noise(1536) + b"connect"]))
    server_handshake(buffer, lambda data: None, uptime_ms=0, random=noise)
    assert buffer.read(7) == b"connect"


# --- the simple form ----------------------------------------------------------------------------


@pytest.mark.parametrize("c1", [bytes(1536), bytes(8) + noise(1528), (DATA / "librtmp_c1.bin").read_bytes()])
def test_a_simple_client_gets_its_packet_back_in_one_send(c1: bytes) -> None:
    result, sent = serve([C0 + c1 + bytes(1536)])
    (answer,) = sent
    assert len(answer) == 1 + 1536 + 1536
    assert answer[0] == 3
    assert answer[1:5] == bytes.fromhex("23456789") and answer[5:9] == bytes(4)
    # librtmp compares every byte, those of the time of reading too
    assert answer[1537:] == c1
    assert (result.scheme, result.schema) == (SIMPLE, None)


def test_the_random_part_is_random() -> None:
    (first,), (second,) = serve([C0 + bytes(3072)], 1)[1], serve([C0 + bytes(3072)], 2)[1]
    assert first[9:1537] != second[9:1537]


def test_a_version_without_a_valid_digest_is_a_simple_client() -> None:
    c1 = bytes(4) + bytes((9, 0, 124, 2)) + noise(1528)
    result, (answer,) = serve([C0 + c1 + bytes(1536)])
    assert result.scheme == SIMPLE and answer[1537:] == c1


def test_a_digest_without_a_version_is_a_simple_client() -> None:
    c1 = sign(bytes(8) + noise(1528), 0, CLIENT_NAME)
    assert serve([C0 + c1 + bytes(1536)])[0].scheme == SIMPLE


def reply_to_s1(c1: bytes, reply: Callable[[bytes], bytes]) -> HandshakeResult:
    """The server's result for a client that answers S1 so; S1 is the same for the same seed."""
    (answer,) = serve([C0 + c1 + bytes(1536)])[1]
    return serve([C0 + c1 + reply(answer[1:1537])])[0]


def test_the_echo_is_compared_but_for_the_time_of_reading() -> None:
    c1 = bytes(1536)
    assert reply_to_s1(c1, lambda s1: s1).echo_ok
    assert reply_to_s1(c1, lambda s1: s1[:4] + b"time" + s1[8:]).echo_ok
    assert not reply_to_s1(c1, lambda s1: b"else" + s1[4:]).echo_ok
    assert not reply_to_s1(c1, lambda s1: s1[:-1] + bytes((s1[-1] ^ 1,))).echo_ok


def test_a_wrong_c2_is_noted_and_tolerated() -> None:
    assert serve([C0 + bytes(1536) + noise(1536)])[0] == HandshakeResult(SIMPLE, None, False)


# --- the digest form ----------------------------------------------------------------------------

DIGEST_CLIENTS = [
    ("ffmpeg_c1.bin", 0),
    ("librtmp_swf_c1.bin", 0),
    ("nginx_rtmp_c1.bin", 0),
    # librtmp's C1 for RTMPE; over plain RTMP only the first byte, which is not in the file, differs
    ("librtmp_rtmpe_c1.bin", 1),
]


@pytest.mark.parametrize(("name", "schema"), DIGEST_CLIENTS)
def test_recorded_clients_are_answered_in_their_schema(name: str, schema: int) -> None:
    c1 = (DATA / name).read_bytes()
    result, (answer,) = serve([C0 + c1 + bytes(1536)])
    s1, s2 = answer[1:1537], answer[1537:]
    assert result == HandshakeResult(DIGEST, schema, False)
    assert s1[:4] == bytes.fromhex("23456789") and s1[4] >= 3, "ffmpeg takes a lower version for the simple form"
    assert is_signed(s1, schema, SERVER_NAME) and not is_signed(s1, 1 - schema, SERVER_NAME)
    assert s2 == proof(s2[:1504], split(c1, schema)[1], SERVER_NAME)


@pytest.mark.parametrize("schema", [0, 1])
@pytest.mark.parametrize("pointer", ["00000000", "ffffffff", "ffffd900", "ffffda00"])
def test_the_digest_may_stand_anywhere_in_its_block(schema: int, pointer: str) -> None:
    base = 764 * schema + 8
    plain = bytes(4) + b"\x80\0\x07\x02" + noise(1528)
    c1 = sign(plain[:base] + bytes.fromhex(pointer) + plain[base + 4 :], schema, CLIENT_NAME)
    assert serve([C0 + c1 + bytes(1536)])[0].schema == schema


@pytest.mark.parametrize("schema", [0, 1])
def test_the_proof_of_the_client_is_verified(schema: int) -> None:
    c1 = sign(bytes(4) + bytes((9, 0, 124, 2)) + noise(1528), schema, CLIENT_NAME)
    body = noise(1504, seed=3)

    def proven(s1: bytes) -> bytes:
        return proof(body, split(s1, schema)[1], CLIENT_NAME)

    assert reply_to_s1(c1, proven) == HandshakeResult(DIGEST, schema, True)
    assert reply_to_s1(c1, lambda s1: s1).echo_ok, "an echo answers too"
    assert not reply_to_s1(c1, lambda s1: proof(body, split(s1, schema)[1], SERVER_NAME)).echo_ok
    assert not reply_to_s1(c1, lambda s1: bytes(1) + proven(s1)[1:]).echo_ok


def test_one_changed_byte_makes_a_digest_invalid() -> None:
    c1 = bytearray((DATA / "ffmpeg_c1.bin").read_bytes())
    c1[0] ^= 1
    assert serve([C0 + bytes(c1) + bytes(1536)])[0].scheme == SIMPLE


def test_our_digest_client_signs_c1_and_proves_itself_to_a_recorded_server() -> None:
    s1 = (DATA / "nginx_rtmp_s1.bin").read_bytes()
    result, (c0c1, c2) = connect([C0 + s1 + bytes(1536)], digest=True)
    assert len(c0c1) == 1537 and c0c1[0] == 3 and is_signed(c0c1[1:], 0, CLIENT_NAME)
    assert c2 == proof(c2[:1504], split(s1, 0)[1], CLIENT_NAME)
    assert result == HandshakeResult(DIGEST, 0, False)


@pytest.mark.parametrize("schema", [0, 1])
def test_our_digest_client_verifies_the_proof_of_the_server(schema: int) -> None:
    s1 = sign(bytes(4) + b"\x03\x05\x01\x01" + noise(1528), schema, SERVER_NAME)
    _, (c0c1, _) = connect([C0 + s1 + bytes(1536)], digest=True)
    s2 = proof(noise(1504), split(c0c1[1:], 0)[1], SERVER_NAME)
    assert connect([C0 + s1 + s2], digest=True)[0] == HandshakeResult(DIGEST, schema, True)


@pytest.mark.parametrize("s1", [bytes(8) + noise(1528), bytes(4) + b"\x03\x05\x01\x01" + noise(1528)])
def test_our_digest_client_falls_back_to_the_simple_form(s1: bytes) -> None:
    _, (c0c1, c2) = connect([C0 + s1 + bytes(1536)], digest=True)
    assert c2 == s1
    assert connect([C0 + s1 + c0c1[1:]], digest=True)[0] == HandshakeResult(SIMPLE, None, True)


def test_our_simple_client_takes_a_signed_s1_for_random_bytes() -> None:
    s1 = (DATA / "nginx_rtmp_s1.bin").read_bytes()
    result, (c0c1, c2) = connect([C0 + s1 + bytes(1536)], digest=False)
    assert c0c1[5:9] == bytes(4) and c2 == s1 and result.scheme == SIMPLE


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (b"\x06", "version 6 .*RTMPE"),
        (b"\x16\x03\x01", "version 22 .*a TLS client on a plain port"),
        (b"GET / HTTP/1.1", "version 71 .*an HTTP client"),
        (b"POST /open/1", "version 80 .*an HTTP client"),
        (b"PROXY TCP4", "PROXY protocol"),
        (b"\r\n\r\n\0\r\nQUIT\n", "PROXY protocol"),
        (b"\x00", "version 0 .*RTMP has 3$"),
        (b"\xff", "version 255 .*RTMP has 3$"),
    ],
)
def test_another_version_is_refused_at_its_first_byte_without_an_answer(first: bytes, message: str) -> None:
    sent: list[bytes] = []
    with pytest.raises(HandshakeError, match=message) as caught:
        server_handshake(Buffer(MemorySource([first])), sent.append, uptime_ms=0, random=noise)
    assert caught.value.code == "unsupported_version"
    assert sent == []


@pytest.mark.parametrize(
    ("first", "message"),
    [(b"HTTP/1.1 400", "an HTTP server"), (b"\x15\x03", "a TLS server"), (b"\x06", "RTMPE"), (b"\x04", "version 4")],
)
def test_our_client_refuses_another_version(first: bytes, message: str) -> None:
    with pytest.raises(HandshakeError, match=message):
        connect([first], digest=False)


def test_an_end_is_clean_only_before_the_first_byte() -> None:
    c1 = bytes(1536)
    for data in (b"", C0, C0 + c1[:-1], C0 + c1, C0 + c1 + c1[:-1]):
        for pieces in ([data], [data[i : i + 1] for i in range(len(data))], [data[:1], data[1:]]):
            with pytest.raises(ConnectionLost) as caught:
                serve(piece for piece in pieces if piece)
            assert caught.value.clean == (not data)


@settings(max_examples=200)
@given(
    st.booleans(),
    st.sampled_from([b"", C0, C0 + bytes(4), C0 + (DATA / "ffmpeg_c1.bin").read_bytes()]),
    st.lists(st.binary(min_size=1, max_size=64).map(lambda piece: piece * 16), max_size=12),
)
def test_any_bytes_succeed_or_raise_an_error_of_the_handshake(client: bool, start: bytes, pieces: list[bytes]) -> None:
    stream = [piece for piece in (start, *pieces) if piece]
    try:
        result, sent = connect(stream, digest=True) if client else serve(stream)
    except (HandshakeError, ConnectionLost):
        return
    assert result.scheme in (SIMPLE, DIGEST)
    assert sum(map(len, sent)) == 3073
