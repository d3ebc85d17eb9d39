"""Real clients split one URL in their own ways; none of them gets past the rules of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.functional.peers import (
    FFMPEG_CURRENT,
    FFMPEG_DEBIAN,
    FFMPEG_QUIET,
    FLV_AT_ONCE,
    GSTREAMER,
    LIBRTMP_PEER,
    RTMPDUMP,
    Ffmpeg,
    ffmpeg,
    need,
)
from tests.support.child import Child

TOKEN = "viewer-s3cret-012"
INI = f"""
[apps]
  [[live]]
  play_access = token
  play_tokens = viewer:{TOKEN}
  [[vip/cam]]
  publish_access = token
  publish_tokens = studio:{TOKEN}
[access]
failure_delay = 0
"""

Command = Callable[[Daemon, Path], list[str]]


def ffmpeg_plays(peer: Ffmpeg, path: str, *options: str) -> tuple[str, Ffmpeg, Command]:
    def command(daemon: Daemon, out: Path) -> list[str]:
        source = [*options, "-i", daemon.url(path)]
        return [peer.program, *FFMPEG_QUIET, *source, "-c", "copy", *FLV_AT_ONCE, str(out)]

    return f"{peer.name} {path} {' '.join(options)}", peer, command


def rtmpdump_plays(path: str, *options: str) -> tuple[str, object, Command]:
    def command(daemon: Daemon, out: Path) -> list[str]:
        return ["rtmpdump", "-r", daemon.url(path), *options, "--live", "-o", str(out)]

    return f"rtmpdump {path} {' '.join(options)}", RTMPDUMP, command


def gstreamer_plays(*options: str) -> tuple[str, object, Command]:
    def command(daemon: Daemon, out: Path) -> list[str]:
        place = [option.replace("PORT", str(daemon.port)) for option in options]
        return ["gst-launch-1.0", "-q", "-e", "rtmp2src", *place, "!", "filesink", f"location={out}"]

    return f"gstreamer {' '.join(options)}", GSTREAMER, command


PLAYERS = [
    *(ffmpeg_plays(peer, path) for peer in (FFMPEG_DEBIAN, FFMPEG_CURRENT)
      for path in ("live/room/cam2", "live//room/cam2", "live/_definst_/room/cam2", "live/room/cam2/")),
    ffmpeg_plays(FFMPEG_CURRENT, "", "-rtmp_app", "live", "-rtmp_playpath", "room/cam2"),
    ffmpeg_plays(FFMPEG_CURRENT, "", "-rtmp_app", "live/room/cam2", "-rtmp_playpath", "?x=y"),
    rtmpdump_plays("live/room/cam2"),
    rtmpdump_plays("", "--app", "live", "--playpath", "room/cam2"),
    rtmpdump_plays("", "--app", "live/room", "--playpath", "cam2"),
    rtmpdump_plays("", "--app", "live/_definst_", "--playpath", "/room//cam2"),
    gstreamer_plays("location=rtmp://127.0.0.1:PORT/live/room/cam2"),
    gstreamer_plays("host=127.0.0.1", "port=PORT", "application=live", "stream=room/cam2"),
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, clip: Maker) -> Iterator[Daemon]:
    """A daemon with an encoder at rtmp://HOST/live that sends the key room/cam2."""
    home, source = tmp_path_factory.mktemp("guarded"), ffmpeg()
    media = clip("h264_aac", 1.2)
    with Daemon(home, ini=INI) as daemon:
        split = ["-rtmp_app", "live", "-rtmp_playpath", "room/cam2"]
        command = [source.program, *FFMPEG_QUIET, "-re", "-stream_loop", "-1", "-i", str(media), "-c", "copy"]
        with Child([*command, "-f", "flv", *split, daemon.url("")], home / "encoder") as encoder:
            started = daemon.wait_event("publish_start")
            assert (started["stream_key"], started["data"]["app"]) == ("live/room/cam2", "live")
            yield daemon
            assert encoder.running(), encoder.describe()


@pytest.mark.parametrize(("peer", "command"), [one[1:] for one in PLAYERS], ids=[one[0] for one in PLAYERS])
def test_no_client_plays_a_protected_stream_without_a_token(
    guarded: Daemon, tmp_path: Path, peer: Ffmpeg, command: Command
) -> None:
    need(peer)
    before = len(guarded.of("auth_failed"))
    with Child(command(guarded, tmp_path / "out.flv"), tmp_path / "log"):
        failed = guarded.wait_count("auth_failed", None, before + 1)[-1]
    assert (failed["stream_key"], failed["data"]["app"], failed["data"]["action"]) == ("live/room/cam2", "live", "play")
    assert not [one for one in guarded.of("play_start") if one["conn_id"] == failed["conn_id"]]


@pytest.mark.parametrize(("path", "key"), [
    (f"live/room/cam2?token={TOKEN}", "live/room/cam2"), (f"live?token={TOKEN}/cam3", "live/cam3"),
])
def test_a_client_with_the_token_plays_whichever_part_of_the_url_has_it(
    guarded: Daemon, tmp_path: Path, path: str, key: str
) -> None:
    _, _, command = ffmpeg_plays(ffmpeg(), path)
    with Child(command(guarded, tmp_path / "out.flv"), tmp_path / "log"):
        assert guarded.wait_event("play_start", stream_key=key)["data"]["app"] == "live"


def publishers(media: Path, daemon: Daemon) -> list[tuple[str, object, list[str]]]:
    """Whatever publishes vip/cam/1, by every split."""
    found: list[tuple[str, object, list[str]]] = []
    for peer in (FFMPEG_DEBIAN, FFMPEG_CURRENT):
        plain = [peer.program, *FFMPEG_QUIET, "-re", "-i", str(media), "-c", "copy", "-f", "flv"]
        found += [
            (f"{peer.name} url", peer, [*plain, daemon.url("vip/cam/1")]),
            (f"{peer.name} vip", peer, [*plain, "-rtmp_app", "vip", "-rtmp_playpath", "cam/1", daemon.url("")]),
        ]
    location = daemon.url("vip/cam/1")
    found.append(("librtmp url", LIBRTMP_PEER, LIBRTMP_PEER.publish_command(media, location)))
    options = f"{daemon.url('')} app=vip playpath=cam/1"
    found.append(("librtmp vip", LIBRTMP_PEER, LIBRTMP_PEER.publish_command(media, options)))
    sink = GSTREAMER.publish_command(media, location)
    found.append(("gstreamer url", GSTREAMER, sink))
    parts = ["host=127.0.0.1", f"port={daemon.port}", "application=vip", "stream=cam/1"]
    at = sink.index(f"location={location}")
    found.append(("gstreamer vip", GSTREAMER, [*sink[:at], *parts, *sink[at + 1 :]]))
    return found


@pytest.mark.parametrize("number", range(8))
def test_no_client_publishes_a_protected_key_without_a_token(
    guarded: Daemon, clip: Maker, tmp_path: Path, number: int
) -> None:
    name, peer, command = publishers(clip("h264_aac", 1.2), guarded)[number]
    need(peer)  # type: ignore[arg-type]
    before = len(guarded.of("auth_failed"))
    with Child(command, tmp_path / "log") as child:
        failed = guarded.wait_count("auth_failed", None, before + 1)[-1]
        assert child.wait() != 0 or peer is GSTREAMER, f"{name}: {child.describe()}"
    data = failed["data"]
    assert (failed["stream_key"], data["app"], data["action"]) == ("vip/cam/1", "vip/cam", "publish")
    assert not guarded.of("publish_start", "vip/cam/1")
