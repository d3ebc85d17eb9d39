"""Joining late, and a publisher that goes away, with real players."""

from __future__ import annotations

import signal
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import av
import pytest

from tests.functional import clips, pairing, peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.support import flv
from tests.support.child import Child
from tests.support.waiting import wait_until

LATE_MS = 5000
LONG_S = 20.0
ONE_GOP_FRAMES = 1000
LATE_CONTENTS = [content for content in clips.CLIPS if content != "audio_only"]
LATE_PAIRS = [
    (player, content)
    for content in LATE_CONTENTS
    for player in peers.PLAYERS
    if content in clips.CLASSIC or player.plays_enhanced
]
LATE_IDS = [f"{player.name}-{content}" for player, content in LATE_PAIRS]
KEY = "live/camera"


def last_video_ms(path: Path) -> int:
    """The timestamp of the last video frame of a capture that is being written; -1 if there is none yet."""
    frames = flv.read(path).video
    return frames[-1].dts_ms if frames else -1


def first_picture(path: Path) -> tuple[int, bytes]:
    """Presentation time (ms) and luma of the first frame that a decoder gives for the file."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert not frame.is_corrupt
        assert frame.time is not None
        plane = frame.planes[0]
        rows = memoryview(plane)
        width, step = plane.width, plane.line_size
        luma = b"".join(rows[start : start + width] for start in range(0, plane.height * step, step))
        return round(frame.time * 1000), luma


# --- joining late -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def late(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of captures of players that joined five seconds late. The clips have one keyframe, at
    their start: a player gets a picture from the GOP cache or none at all."""
    publisher = peers.FFMPEG_CURRENT
    peers.need(publisher)
    home = tmp_path_factory.mktemp("late")
    sources = {content: clip(content, LONG_S, ONE_GOP_FRAMES) for content in LATE_CONTENTS}
    pairs = [(player, content) for player, content in LATE_PAIRS if not player.missing()]
    with Daemon(home) as daemon, ExitStack() as running:
        running.enter_context(publisher.play(daemon.url("live/h264_aac"), home / "early.flv"))
        daemon.wait_count("play_start", None, 1)
        publishers = [
            running.enter_context(publisher.publish(source, daemon.url(f"live/{name}"), home / f"{name}.log"))
            for name, source in sources.items()
        ]
        wait_until(lambda: last_video_ms(home / "early.flv") >= LATE_MS, "five seconds of the stream", 20.0)
        players = {
            (player, content): running.enter_context(
                player.play(daemon.url(f"live/{content}"), home / f"{player.name}-{content}.flv")
            )
            for player, content in pairs
        }
        daemon.wait_count("play_start", None, len(players) + 1)
        for child in publishers:
            child.signal(signal.SIGINT)
        for (player, content), status in pairing.statuses(players).items():
            (home / f"{player.name}-{content}.status").write_text(str(status))
        yield home


@pytest.mark.parametrize(("player", "content"), LATE_PAIRS, ids=LATE_IDS)
def test_a_player_five_seconds_late_decodes_its_first_frame_at_once(
    late: Path, clip: Maker, player: peers.Peer, content: str
) -> None:
    peers.need(player)
    name = f"{player.name}-{content}"
    source = clip(content, LONG_S, ONE_GOP_FRAMES)
    sent, captured = flv.read(source), flv.read(late / f"{name}.flv")
    assert (late / f"{name}.status").read_text() in map(str, player.good_ends), (late / f"{name}.log").read_text()
    assert captured.video, "no video at all"
    assert captured.video[0] == sent.video[0], "the first frame is not the keyframe of the GOP that is under way"
    assert captured.video == sent.video[: len(captured.video)]
    assert captured.video[-1].dts_ms > LATE_MS - 200, "the GOP cache came, but not what followed"
    if content != "vp9":
        assert captured.video_header == sent.video_header
    if player is not peers.FFMPEG_DEBIAN:
        assert first_picture(late / f"{name}.flv") == first_picture(source)


@pytest.mark.parametrize("player", peers.PLAYERS, ids=lambda peer: peer.name)
def test_a_late_player_hears_what_belongs_to_its_pictures(late: Path, clip: Maker, player: peers.Peer) -> None:
    peers.need(player)
    sent = flv.read(clip("h264_aac", LONG_S, ONE_GOP_FRAMES))
    captured = flv.read(late / f"{player.name}-h264_aac.flv")
    assert captured.audio_header == sent.audio_header
    assert captured.audio, "no audio at all"
    start = sent.audio.index(captured.audio[0])
    assert captured.audio[0].dts_ms <= sent.video[0].dts_ms + 40
    assert captured.audio == sent.audio[start : start + len(captured.audio)]
    assert abs(captured.audio[-1].dts_ms - captured.video[-1].dts_ms) < 1000


# --- joining with muxers ------------------------------------------------------------------------

# What a player's muxer makes of a track that is none (onMetaData or a status taken for subtitles) is to fail or to wait
# for it for ever. One process writes all of these at once, each with every choice of tracks.
CONTAINERS = {"hls": "m3u8", "matroska": "mkv", "mpegts": "ts", "mp4": "mp4"}
CHOICES = {
    "copied": ["-c", "copy"],
    "all-copied": ["-map", "0", "-c", "copy"],
    "transcoded": ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"],
}
MUXERS = [(container, choice) for container in CONTAINERS for choice in CHOICES]
JOINED_LATE_MS = 2000


def mux(player: peers.Ffmpeg, url: str, home: Path) -> Child:
    command = [player.program, *peers.FFMPEG_QUIET, "-i", url]
    for container, choice in MUXERS:
        more = ["-hls_time", "1", "-hls_list_size", "0"] if container == "hls" else []
        command += [*CHOICES[choice], "-f", container, *more, str(muxed_file(home, player, container, choice))]
    return Child(command, home / f"{player.name}.log")


def muxed_file(home: Path, player: peers.Ffmpeg, container: str, choice: str) -> Path:
    return home / f"{player.name}-{choice}.{CONTAINERS[container]}"


@pytest.fixture(scope="module")
def muxed(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Files that both ffmpegs wrote of one publish, having joined before it and two seconds late."""
    for player in (peers.FFMPEG_DEBIAN, peers.FFMPEG_CURRENT):
        peers.need(player)
    homes = {when: tmp_path_factory.mktemp(when) for when in ("early", "late")}
    with Daemon(homes["early"]) as daemon, ExitStack() as running:
        children: dict[Path, Child] = {}

        def join(when: str) -> None:
            for player in (peers.FFMPEG_DEBIAN, peers.FFMPEG_CURRENT):
                child = running.enter_context(mux(player, daemon.url(KEY), homes[when]))
                children[homes[when] / f"{player.name}.status"] = child

        join("early")
        capture = homes["early"] / "capture.flv"
        running.enter_context(peers.FFMPEG_CURRENT.play(daemon.url(KEY), capture))
        daemon.wait_count("play_start", KEY, 3)
        source = clip("h264_aac", LONG_S, ONE_GOP_FRAMES)
        publisher = running.enter_context(
            peers.FFMPEG_CURRENT.publish(source, daemon.url(KEY), homes["early"] / "publish.log")
        )
        wait_until(lambda: last_video_ms(capture) >= JOINED_LATE_MS, "two seconds of the stream", 20.0)
        join("late")
        daemon.wait_count("play_start", KEY, 5)
        wait_until(lambda: last_video_ms(capture) >= 2 * JOINED_LATE_MS, "four seconds of the stream", 20.0)
        publisher.signal(signal.SIGINT)
        for path, status in pairing.statuses(children).items():
            path.write_text(str(status))
        yield homes


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("player", [peers.FFMPEG_DEBIAN, peers.FFMPEG_CURRENT], ids=lambda peer: peer.name)
def test_every_muxer_finds_a_picture_and_a_sound_and_ends_well(
    muxed: dict[str, Path], player: peers.Ffmpeg, when: str
) -> None:
    home = muxed[when]
    log = (home / f"{player.name}.log").read_text()
    assert (home / f"{player.name}.status").read_text() == "0", log
    for container, choice in MUXERS:
        with av.open(str(muxed_file(home, player, container, choice))) as file:
            assert sorted(stream.type for stream in file.streams) == ["audio", "video"], (container, choice)
            frames = sum(1 for _ in file.decode(video=0))
        assert frames > 25 * JOINED_LATE_MS / 1000 * (1.8 if when == "early" else 1.6), (container, choice)


# --- the publisher goes away --------------------------------------------------------------------


class Audience:
    """One player of each program that is there, waiting at ``KEY``."""

    def __init__(self, daemon: Daemon, home: Path) -> None:
        self.there: Sequence[peers.Peer] = [player for player in peers.PLAYERS if not player.missing()]
        self.captures = {player: home / f"{player.name}.flv" for player in self.there}
        self.children = {player: player.play(daemon.url(KEY), self.captures[player]) for player in self.there}
        daemon.wait_count("play_start", KEY, len(self.there))

    def wait_for_video(self, at_least_ms: int) -> None:
        for player in (peers.FFMPEG_DEBIAN, peers.FFMPEG_CURRENT):
            if player in self.captures:
                has = partial(self.has_video, player, at_least_ms)
                wait_until(has, f"{player.name} has {at_least_ms} ms")

    def has_video(self, player: peers.Peer, at_least_ms: int) -> bool:
        return last_video_ms(self.captures[player]) >= at_least_ms

    def assert_all_end(self) -> None:
        """They end by themselves; rtmpdump may say that it has not got what onMetaData promised (status 2)."""
        for player, status in pairing.statuses(self.children).items():
            good = (*player.good_ends, 2) if player is peers.RTMPDUMP else player.good_ends
            assert status in good, f"{player.name} ended with {status}: {self.children[player].describe()}"

    def close(self) -> None:
        for child in self.children.values():
            child.close()


class Cable:
    """Carries one connection to the daemon until it is cut, which is a reset for the daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._target = "127.0.0.1", daemon.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.url = f"rtmp://127.0.0.1:{self._listener.getsockname()[1]}/{KEY}"
        threading.Thread(target=self._carry, daemon=True).start()

    def _carry(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(self._target)
        self._ends = [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass  # cut

    def cut(self) -> None:
        for end in self._ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)  # wakes the thread that reads, so that the close below is the last one
            end.close()
        self._listener.close()


def cut_off_in_the_middle(daemon: Daemon, audience: Audience, clip: Maker, home: Path) -> None:
    cable = Cable(daemon)
    child = peers.ffmpeg().publish(clip("h264_aac"), cable.url, home / "first.log")
    audience.wait_for_video(1000)
    cable.cut()
    stop = daemon.wait_count("publish_stop", KEY, 1)[0]
    assert stop["data"]["reason"] == "network_error"
    child.close()


def test_players_go_on_when_a_publisher_that_was_cut_off_is_back_within_the_grace_window(
    clip: Maker, tmp_path: Path
) -> None:
    with Daemon(tmp_path, ini="[apps]\npublisher_grace = 30s\n") as daemon:
        audience = Audience(daemon, tmp_path)
        try:
            cut_off_in_the_middle(daemon, audience, clip, tmp_path)
            with peers.ffmpeg().publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "second.log") as second:
                daemon.wait_count("publish_start", KEY, 2)
                assert not daemon.of("play_stop"), "a player was dropped in the grace window"
                assert second.wait() == 0
            audience.assert_all_end()
            assert len(daemon.of("play_start", KEY)) == len(audience.there)
            sent = flv.read(clip("h264_aac"))
            for player, capture in audience.captures.items():
                assert_went_on(sent.video, flv.read(capture).video, player)
        finally:
            audience.close()
    assert len({start["data"]["session_id"] for start in daemon.of("publish_start", KEY)}) == 2
    assert len(daemon.of("stream_create", KEY)) == 1, "the stream was forgotten in between"


def assert_went_on(sent: Sequence[flv.Frame], captured: Sequence[flv.Frame], player: peers.Peer) -> None:
    """The capture is the beginning of the first publish and then all of the second, whose timestamps go on
    where the first was cut off: moved, all by the same."""
    payloads = [frame.digest for frame in sent]
    got = [frame.digest for frame in captured]
    tail = player.may_miss_at_the_end
    cuts = range(max(1, len(got) - len(payloads)), len(got) - len(payloads) + tail + 1)
    cut = next((cut for cut in cuts if got == (payloads[:cut] + payloads)[: len(got)]), 0)
    assert cut, f"{player.name} got {len(got)} frames that are not a beginning and then the whole clip"
    moved = {new.dts_ms - old.dts_ms for old, new in zip(sent, captured[cut:], strict=False)}
    assert len(moved) == 1, f"{player.name} got the second publish with its timestamps moved by {sorted(moved)}"
    assert 0 < captured[cut].dts_ms - captured[cut - 1].dts_ms < 30_000, f"{player.name}: time jumped"


def test_players_end_when_a_publisher_that_was_cut_off_stays_away(clip: Maker, tmp_path: Path) -> None:
    with Daemon(tmp_path, ini="[apps]\npublisher_grace = 1s\n") as daemon:
        audience = Audience(daemon, tmp_path)
        try:
            cut_off_in_the_middle(daemon, audience, clip, tmp_path)
            audience.assert_all_end()
            assert len(daemon.wait_count("play_stop", KEY, len(audience.there))) == len(audience.there)
            daemon.wait_count("stream_delete", KEY, 1)
        finally:
            audience.close()


def test_players_end_at_once_when_the_publisher_unpublishes(clip: Maker, tmp_path: Path) -> None:
    with Daemon(tmp_path, ini="[apps]\npublisher_grace = 1h\n") as daemon:
        audience = Audience(daemon, tmp_path)
        try:
            with peers.ffmpeg().publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "first.log") as publisher:
                assert publisher.wait() == 0
            audience.assert_all_end()
            daemon.wait_count("stream_delete", KEY, 1)
        finally:
            audience.close()
