"""``rtmpd publish`` and ``rtmpd play`` against a running server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gevent
import pytest

from rtmpd.protocol.constants import DATA_AMF0
from rtmpd.protocol.message import Message
from rtmpd.settings import Address, Settings, TlsSettings
from rtmpd.tool import play, publish
from tests.support.waiting import until

from .conftest import SAMPLE, RunningHouse, clip, ended, tags_of


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.flv"


def start(tool: Callable[[list[str]], int], *words: object) -> gevent.Greenlet[..., int]:
    return gevent.spawn(tool, [str(word) for word in words])


def play_into(out: Path, server: RunningHouse) -> gevent.Greenlet[..., int]:
    """A player that waits for its publisher already."""
    player = start(play.main, "--quiet", "-o", out, server.url)
    until(lambda: server.playing)
    return player


def published_and_played(source: Path, out: Path, server: RunningHouse) -> None:
    player = play_into(out, server)
    assert publish.main(["--fast", "--quiet", str(source), server.url]) == 0
    assert ended(player) == 0
    assert tags_of(out.read_bytes()) == [as_played(message) for message in tags_of(source.read_bytes())]


def as_played(message: Message) -> Message:
    """The message as players get it: metadata is of time 0, all else has its own time."""
    if message.type_id != DATA_AMF0:
        return message
    return Message(message.type_id, message.payload, 0, message.msid)


def test_what_is_published_is_what_is_played_tag_by_tag(server: RunningHouse, out: Path) -> None:
    published_and_played(SAMPLE, out, server)


@pytest.mark.parametrize("first_ms", [0xFFFFFF - 50, 0xFFFFFF, 2**31 - 50, 2**32 - 50])
def test_timestamps_pass_unchanged(server: RunningHouse, out: Path, tmp_path: Path, first_ms: int) -> None:
    published_and_played(clip(tmp_path / "clip.flv", first_ms), out, server)


def test_frames_of_many_chunks_pass_before_the_end_is_told(server: RunningHouse, out: Path, tmp_path: Path) -> None:
    published_and_played(clip(tmp_path / "clip.flv", audio=False, frames=2, frame_bytes=5_000_000), out, server)


def test_the_header_of_the_file_tells_what_came(server: RunningHouse, out: Path, tmp_path: Path) -> None:
    published_and_played(clip(tmp_path / "clip.flv", audio=False), out, server)
    assert out.read_bytes()[4] == 0x01


def test_a_looped_clip_goes_on_without_a_step_back_until_it_is_stopped(
    server: RunningHouse, out: Path, tmp_path: Path
) -> None:
    source = clip(tmp_path / "clip.flv", frames=2)
    player = play_into(out, server)
    assert publish.main(["--loop", "--quiet", "--duration", "0.4", str(source), server.url]) == 0
    assert ended(player) == 0
    sent, played = tags_of(source.read_bytes()), tags_of(out.read_bytes())
    assert len(played) > 2 * len(sent)
    for index, message in enumerate(played):
        first = sent[index % len(sent)]
        assert message.payload == first.payload
        later_ms = 0 if first.type_id == DATA_AMF0 else 80 * (index // len(sent))  # metadata is of time 0
        assert message.timestamp == first.timestamp + later_ms


def test_a_clip_without_frames_is_not_repeated_for_ever(
    server: RunningHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main(["--loop", str(clip(tmp_path / "clip.flv", frames=0)), server.url]) == 1
    assert "no frames to repeat" in capsys.readouterr().err


def test_a_signal_ends_a_publisher_in_order(server: RunningHouse, out: Path) -> None:
    player = play_into(out, server)

    def interrupt() -> None:
        until(lambda: server.publishing)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    gevent.spawn(interrupt)
    assert publish.main(["--loop", str(SAMPLE), server.url]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert ended(player) == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_player_and_its_file_is_whole(server: RunningHouse, out: Path, signum: int) -> None:
    publisher = start(publish.main, "--loop", "--quiet", SAMPLE, server.url)
    until(lambda: server.publishing)

    def interrupt() -> None:
        until(lambda: out.exists() and out.stat().st_size > 100_000)
        os.kill(os.getpid(), signum)  # the last tool that was started hears it

    gevent.spawn(interrupt)
    assert play.main(["--quiet", "-o", str(out), server.url]) == 0
    # Their times differ: the sample may have begun again before the player came.
    played, sample = ([(m.type_id, m.payload) for m in tags_of(file.read_bytes())] for file in (out, SAMPLE))
    assert len(played) > 10
    assert [message for message in played if message not in sample] == []
    publisher.kill()


def test_a_second_publisher_is_told_why_it_is_refused(
    server: RunningHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    first = start(publish.main, "--loop", "--quiet", SAMPLE, server.url)
    until(lambda: server.publishing)
    assert publish.main(["--quiet", str(SAMPLE), server.url]) == 1
    assert "NetStream.Publish.BadName" in capsys.readouterr().err
    first.kill()


def test_a_publisher_whose_server_ends_fails(server: RunningHouse, capsys: pytest.CaptureFixture[str]) -> None:
    publisher = start(publish.main, "--loop", "--quiet", SAMPLE, server.url)
    until(lambda: server.publishing)
    server.house.stop(0.0)
    assert ended(publisher) == 1
    assert "rtmpd publish: the server " in capsys.readouterr().err


def test_a_full_disk_ends_the_player(server: RunningHouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["-o", "/dev/full", server.url]) == 1
    assert "No space left" in capsys.readouterr().err


def test_a_player_stops_when_its_time_is_up(server: RunningHouse) -> None:
    assert play.main(["--quiet", "--duration", "0.1", server.url]) == 0


def test_what_is_printed_names_no_secret(
    server: RunningHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main(["--fast", str(clip(tmp_path / "clip.flv")), server.url]) == 0
    captured = capsys.readouterr()
    assert f"to rtmp://localhost:{server.address.port}/live/demo" in captured.out
    assert "token" not in captured.out + captured.err


# --- rtmps ----------------------------------------------------------------------------------------


@pytest.fixture
def tls_settings(settings: Settings, certificate: tuple[str, str]) -> Settings:
    tls = TlsSettings(*certificate)
    return replace(settings, server=replace(settings.server, listen=(Address("localhost", 0, True),), tls=tls))


def test_an_unknown_certificate_is_accepted_only_when_told(
    tls_settings: Settings, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = RunningHouse(tls_settings)
    source = clip(tmp_path / "clip.flv", frame_bytes=500_000)
    try:
        assert publish.main(["--quiet", str(source), server.url]) == 1
        assert "certificate" in capsys.readouterr().err
        player = start(play.main, "--insecure", "--quiet", "-o", out, server.url)
        until(lambda: server.playing)
        assert publish.main(["--insecure", "--fast", "--quiet", str(source), server.url]) == 0
        assert ended(player) == 0
    finally:
        server.house.stop(0.0)
    assert tags_of(out.read_bytes()) == tags_of(source.read_bytes())
