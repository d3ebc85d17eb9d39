"""Viewers over HTTP with the players that people have: what they show is what an RTMP player shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional import peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.support.child import Child, free_port, is_listening
from tests.support.waiting import wait_until

KEY = "live/camera"


@pytest.fixture
def port() -> int:
    return free_port()


def daemon_of(home: Path, port: int, more: str = "") -> Daemon:
    ini = f"[playback]\nlisten = 127.0.0.1:{port}\n{more}[apps]\npublisher_grace = 0\ngop_cache_frames = 100000\n"
    return Daemon(home, ini=ini)


def framemd5(program: str, url: str, log: Path, more: tuple[str, ...] = ()) -> Child:
    """What a player decodes, as a hash of each frame."""
    out = log.with_suffix(".md5")
    command = [program, "-hide_banner", "-loglevel", "warning", "-nostdin", "-y", *more, "-i", url]
    return Child([*command, "-f", "framemd5", str(out)], log)


def hashes(path: Path) -> list[str]:
    """The streams and the hashes of the frames of a framemd5 file, in order, without the times."""
    rows = [row.split(",") for row in path.read_text().splitlines() if not row.startswith("#")]
    return sorted(f"{row[0].strip()} {row[-1].strip()}" for row in rows)


@pytest.mark.parametrize("name", ["bframes", "video_only", "hevc", "av1", "opus"])
def test_ffmpeg_shows_over_http_what_it_shows_over_rtmp(tmp_path: Path, clip: Maker, port: int, name: str) -> None:
    peers.need(peers.FFMPEG_CURRENT)
    program = peers.FFMPEG_CURRENT.program
    file = clip(name, 1.6, gop_frames=1000)  # one GOP: whoever joins gets all of it
    with daemon_of(tmp_path, port) as server:
        wait_until(lambda: is_listening(port), "playback listens")
        with peers.FFMPEG_CURRENT.publish(file, server.url(KEY), tmp_path / "publish.log") as publisher:
            server.wait_event("codec_detected")
            http = f"http://127.0.0.1:{port}/live/{KEY}.flv"
            with (
                framemd5(program, server.url(KEY), tmp_path / "rtmp.log") as rtmp,
                framemd5(program, http + "?raw=1", tmp_path / "raw.log") as raw,
                framemd5(program, http.replace(".flv", ".mp4"), tmp_path / "mp4.log") as mp4,
            ):
                assert publisher.wait() == 0, publisher.describe()
                assert (rtmp.wait(), raw.wait(), mp4.wait()) == (0, 0, 0), f"{rtmp.describe()} {mp4.describe()}"
        for protocol in ("http-flv", "http-fmp4", "rtmp"):
            server.wait_event("play_stop", protocol=protocol)
    shown = hashes(tmp_path / "rtmp.md5")
    assert len(shown) > 30
    assert hashes(tmp_path / "raw.md5") == shown
    assert hashes(tmp_path / "mp4.md5") == shown


def test_ffmpeg_plays_hls_from_the_first_frame_to_the_last(tmp_path: Path, clip: Maker, port: int) -> None:
    peers.need(peers.FFMPEG_CURRENT, peers.FFMPEG_DEBIAN)
    file = clip("bframes", 5.6)
    with framemd5(peers.FFMPEG_CURRENT.program, str(file), tmp_path / "file.log") as decoder:
        assert decoder.wait() == 0
    with daemon_of(tmp_path, port) as server:
        wait_until(lambda: is_listening(port), "playback listens")
        url = f"http://127.0.0.1:{port}/hls/{KEY}/index.m3u8"
        with peers.FFMPEG_CURRENT.publish(file, server.url(KEY), tmp_path / "publish.log") as publisher:
            server.wait_event("codec_detected")
            first = ("-live_start_index", "0")
            with (
                framemd5(peers.FFMPEG_CURRENT.program, url, tmp_path / "current.log", first) as current,
                framemd5(peers.FFMPEG_DEBIAN.program, url, tmp_path / "debian.log", first) as debian,
            ):
                assert publisher.wait() == 0, publisher.describe()
                assert (current.wait(30), debian.wait(30)) == (0, 0), f"{current.describe()} {debian.describe()}"
        stops = server.wait_count("play_stop", KEY, 2)
    assert {stop["data"]["protocol"] for stop in stops} == {"hls"}
    video = [one for one in hashes(tmp_path / "file.md5") if one.startswith("0")]
    for name in ("current", "debian"):
        shown = [one for one in hashes(tmp_path / f"{name}.md5") if one.startswith("0")]
        assert shown == video, name
        assert "rror" not in (tmp_path / f"{name}.log").read_text()
