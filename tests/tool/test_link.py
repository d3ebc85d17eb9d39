"""How the tools meet servers that are not there, say nothing, or do not read."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.net import link
from rtmpd.net.peer import Peer
from rtmpd.net.transport import RawSocket, Transport
from rtmpd.protocol.amf0 import DEFAULT_LIMITS, encode
from rtmpd.protocol.chunk import ChunkLimits
from rtmpd.protocol.message import Message
from rtmpd.protocol.notice import ConnectAsked, MediaArrived, PublishAsked, PublishEnded, Reply
from rtmpd.protocol.session import ServerSession
from rtmpd.protocol.url import parse_url
from rtmpd.tool import play, publish
from rtmpd.tool.play import Tally
from tests.support.waiting import until

from .conftest import AUDIO, VIDEO, clip, tags_of

TOOLS = [(publish, ["FILE"]), (play, [])]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def url_of(listener: socket.socket) -> str:
    return f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/demo"


def run(tool: Any, words: list[str], url: str, tmp_path: Path) -> int:
    source = str(clip(tmp_path / "clip.flv"))
    status: int = tool.main([word.replace("FILE", source) for word in words] + ["--quiet", url])
    return status


@pytest.mark.parametrize(("tool", "words"), TOOLS)
def test_a_port_without_a_server_is_named(
    tool: Any, words: list[str], listening: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = url_of(listening)
    listening.close()
    assert run(tool, words, url, tmp_path) == 1
    assert f"port {parse_url(url).port} cannot be reached: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(("tool", "words"), TOOLS)
def test_a_server_that_says_nothing_is_given_up(
    tool: Any,
    words: list[str],
    listening: socket.socket,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "_SETUP_TIMEOUT_S", 0.1)
    assert run(tool, words, url_of(listening), tmp_path) == 1
    assert "did not answer within 0.1 s" in capsys.readouterr().err


@pytest.mark.parametrize(("tool", "words"), TOOLS)
def test_another_protocol_is_recognised(
    tool: Any, words: list[str], listening: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer() -> None:
        with listening.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(4096)

    gevent.spawn(answer)
    assert run(tool, words, url_of(listening), tmp_path) == 1
    assert "an HTTP server" in capsys.readouterr().err


@pytest.mark.parametrize(("tool", "words"), TOOLS)
@pytest.mark.parametrize("url", ["http://h/live/demo", "rtmp://h/live", "--no-such-option"])
def test_a_wrong_command_line_is_status_2(
    tool: Any, words: list[str], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tool, words, url, tmp_path) == 2
    captured = capsys.readouterr()
    assert "usage:" in captured.err
    assert captured.out == ""


def test_standard_input_can_not_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(["--loop", "-", "rtmp://h/live/demo"]) == 2
    assert "--loop needs a file" in capsys.readouterr().err


def test_a_file_that_is_no_flv_is_found_out_before_anything_is_dialled(
    tmp_path: Path, listening: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "clip.flv"
    source.write_bytes(b"no FLV at all")
    assert publish.main([str(source), url_of(listening)]) == 1
    assert "not an FLV file" in capsys.readouterr().err
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.accept()


# --- a server that stops reading -------------------------------------------------------------------


class StallingServer:
    """Accepts one publisher, then reads on only when ``go_on`` is called."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._may_read = gevent.event.Event()
        self.accepted = gevent.event.Event()
        self.media: list[Message] = []
        self.greenlet = gevent.spawn(self._serve)

    def go_on(self) -> None:
        self._may_read.set()

    def _serve(self) -> None:
        sock = RawSocket(fileno=self._listener.accept()[0].detach())
        peer = Peer(Transport(sock), Clock(), ChunkLimits(), lambda code, message: None)
        session = ServerSession(DEFAULT_LIMITS, 1)
        peer.accept_handshake(0)
        while not any(isinstance(heard, PublishEnded) for heard in self._hear(peer, session)):
            if self.accepted.is_set():
                self._may_read.wait()
        peer.writer.close()
        peer.transport.close()

    def _hear(self, peer: Peer, session: ServerSession) -> list[object]:
        message = peer.read_message()
        notices = session.receive(message) if message is not None else []
        for notice in notices:
            if isinstance(notice, Reply):
                peer.send(notice.csid, notice.message)
            elif isinstance(notice, ConnectAsked | PublishAsked):
                peer.send_all((reply.csid, reply.message) for reply in session.accept(notice))
                if isinstance(notice, PublishAsked):
                    peer.flush()
                    self.accepted.set()
            elif isinstance(notice, MediaArrived):
                self.media.append(notice.message)
        return list(notices)


def test_a_server_that_does_not_read_holds_the_publisher_back_and_misses_nothing(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clip(tmp_path / "clip.flv", frames=200, frame_bytes=200_000)
    links: list[link.Link] = []

    class WatchedLink(link.Link):
        def publish(self, chunk_size_bytes: int = link.CHUNK_SIZE_BYTES) -> None:
            links.append(self)
            super().publish(chunk_size_bytes)

    monkeypatch.setattr(publish, "Link", WatchedLink)
    server = StallingServer(listening)
    options = argparse.Namespace(file=str(source), loop=False, fast=True, insecure=False, duration=None, quiet=True)
    publishing = gevent.spawn(publish.publish, options, parse_url(url_of(listening)), Clock())
    server.accepted.wait()
    until(lambda: links[0].peer.writer.busy)
    assert links[0].peer.writer.queued_bytes < 3 * link.CHUNK_SIZE_BYTES
    assert not publishing.ready()
    server.go_on()
    publishing.get(timeout=20)
    metadata, *rest = [message.payload for message in tags_of(source.read_bytes())]
    assert [message.payload for message in server.media] == [encode("@setDataFrame") + metadata, *rest]


# --- what is printed -------------------------------------------------------------------------------


def test_the_line_of_a_player_tells_codecs_rates_and_the_first_frame() -> None:
    clock = FakeClock()
    tally = Tally(clock)
    assert tally.line() == "play: 0 s, waiting for media"
    clock.advance(0.25)
    for _ in range(25):
        tally.count(Message(VIDEO, b"\x27\x01\0\0\0" + bytes(995)))
    tally.count(Message(AUDIO, b"\xaf\0header"))
    clock.advance(0.75)
    line = "play: 1 s, video H264 25.0 fps 200 kbit/s, audio AAC 0.0 fps 0 kbit/s, first frame after 250 ms"
    assert tally.line() == line
    clock.advance(1.0)
    assert "video H264 0.0 fps 0 kbit/s" in tally.line()
