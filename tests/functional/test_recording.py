"""Recordings and relays of the real daemon, judged by ffmpeg's own tools and by a reader of our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.functional import pairing, peers
from tests.functional.clips import CLASSIC, SECONDS, Maker
from tests.functional.control import NginxRtmp
from tests.functional.harness import Daemon, Event
from tests.support import flv
from tests.support.proof import proves
from tests.support.waiting import wait_until

KEY = "live/camera"
NGINX = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
INI = "[apps]\nrecord = all\nrecord_dir = {home}/rec\nrecord_min_free = 0\nrecord_path = {{name}}_{{segment}}.flv\n"


def recorder(home: Path, more: str = "") -> Daemon:
    """A daemon that records below ``home/rec``."""
    (home / "rec").mkdir()
    return Daemon(home, ini=INI.format(home=home) + more)


def publish(daemon: Daemon, clip: Path, publisher: peers.Ffmpeg, at_once: bool = True) -> None:
    if at_once:
        publisher.publish_at_once(clip, daemon.url(KEY), daemon.home / "publish.log")
    else:
        with publisher.publish(clip, daemon.url(KEY), daemon.home / "publish.log") as child:
            assert child.wait() == 0, child.describe()


def files(events: list[Event]) -> list[Path]:
    return [Path(event["data"]["path"]) for event in events]


def ffprobe(path: Path) -> dict[str, object]:
    peers.need(peers.FFMPEG_DEBIAN)  # ffprobe comes with it
    command = ["ffprobe", "-v", "error", "-of", "json", "-count_frames", "-show_entries"]
    command += ["format=duration,format_name:stream=codec_name,nb_read_frames", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert not done.stderr, done.stderr
    found = json.loads(done.stdout)
    streams = {one["codec_name"]: int(one["nb_read_frames"]) for one in found["streams"]}
    return {"duration": float(found["format"]["duration"]), **streams}


def same_payloads(sent: flv.Media, kept: flv.Media, name: str) -> None:
    """Every frame, bit by bit, with the time between one and the next."""
    expected, found = sent.stream(name), kept.stream(name)
    assert [frame.digest for frame in found] == [frame.digest for frame in expected]
    by_ms = expected[0].dts_ms - found[0].dts_ms
    assert [replace(frame, dts_ms=frame.dts_ms + by_ms) for frame in found] == list(expected)


@pytest.mark.parametrize("name", ["audio_only", "bframes", "hevc"])
def test_what_was_published_is_in_the_file_bit_by_bit(tmp_path: Path, clip: Maker, name: str) -> None:
    publisher = peers.ffmpeg()
    sent = flv.read(clip(name))
    with recorder(tmp_path) as daemon:
        publish(daemon, clip(name), publisher)
        (stopped,) = daemon.wait_count("recording_stop", KEY, 1)
        (started,) = daemon.of("recording_start", KEY)
    path = tmp_path / "rec" / "camera_1.flv"
    assert files([started, stopped]) == [path, path] and os.listdir(path.parent) == [path.name]
    assert stopped["data"]["size"] == path.stat().st_size and stopped["data"]["reason"] == "unpublished"
    kept = flv.read(path)
    for stream in ("video", "audio"):
        if sent.stream(stream):
            same_payloads(sent, kept, stream)
    assert (kept.video_header, kept.audio_header) == (sent.video_header, sent.audio_header)
    if name in CLASSIC:  # Debian's ffprobe knows no Enhanced RTMP
        found = ffprobe(path)
        counts = [count for count in (len(sent.video), len(sent.audio)) if count]
        assert list(found.values())[1:] == counts and abs(float(str(found["duration"])) - SECONDS) < 0.1


@proves("apps.segment_duration")
def test_segments_together_are_the_stream(tmp_path: Path, clip: Maker) -> None:
    publisher = peers.ffmpeg()
    sent = flv.read(clip("h264_aac"))
    with recorder(tmp_path, "segment_duration = 1s\n") as daemon:
        publish(daemon, clip("h264_aac"), publisher)
        daemon.wait_count("recording_stop", KEY, 1)
        done = daemon.of("segment_complete", KEY)
    assert [event["data"]["segment_index"] for event in done] == [1, 2, 3, 4]
    parts = [flv.read(path) for path in files(done)]
    for stream in ("video", "audio"):
        kept = [frame.digest for part in parts for frame in part.stream(stream)]
        assert kept == [frame.digest for frame in sent.stream(stream)]
    assert all(part.video[0].key for part in parts) and all(part.video[0].dts_ms == 0 for part in parts[1:])
    for event, path in zip(done, files(done), strict=True):
        found = ffprobe(path)
        assert abs(float(str(found["duration"])) * 1000 - event["data"]["duration_ms"]) <= 2
        assert event["data"]["size"] == path.stat().st_size
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"file '{path}'\n" for path in files(done)))
    peers.need(peers.FFMPEG_DEBIAN)
    command = ["ffmpeg", "-v", "error", "-f", "concat", "-safe", "0", "-i", str(listing), "-f", "null", "-"]
    joined = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert not joined.stderr, joined.stderr


def test_a_killed_daemon_leaves_a_file_that_plays(tmp_path: Path, clip: Maker) -> None:
    publisher = peers.ffmpeg()
    with recorder(tmp_path) as daemon:
        with publisher.publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "publish.log"):
            daemon.wait_count("recording_start", KEY, 1)
            part = tmp_path / "rec" / "camera_1.flv.part"
            wait_until(lambda: len(flv.read(part).video) > 30, "more than a second is on the disk")
            daemon.child.signal(signal.SIGKILL)
            daemon.child.wait(10.0)
        daemon.stdout.write_bytes(b"")  # its events end in the middle: there is nothing to balance
    sent, kept = flv.read(clip("h264_aac")), flv.read(part)
    digests = [frame.digest for frame in kept.video]
    assert digests == [frame.digest for frame in sent.video][: len(digests)]
    command = ["ffmpeg", "-v", "error", "-i", str(part), "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize(("existing", "publishes"), [("replace", 1), ("append", 2)])
def test_after_a_kill_recordings_go_on_under_their_name(
    tmp_path: Path, clip: Maker, existing: str, publishes: int
) -> None:
    sent = flv.read(clip("h264_aac"))
    with recorder(tmp_path, f"record_existing = {existing}\n") as daemon:
        with peers.ffmpeg().publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "publish.log"):
            part = tmp_path / "rec" / "camera_1.flv.part"
            wait_until(lambda: part.exists() and len(flv.read(part).video) > 30, "more than a second is on the disk")
            daemon.child.signal(signal.SIGKILL)
            daemon.child.wait(10.0)
        daemon.stdout.write_bytes(b"")
    left = len(flv.read(part).video)
    ini = INI.format(home=tmp_path) + f"record_existing = {existing}\n"
    with Daemon(tmp_path, ini=ini) as daemon:
        for number in range(publishes):
            publish(daemon, clip("h264_aac"), peers.ffmpeg())
            daemon.wait_count("recording_stop", KEY, number + 1)
    assert os.listdir(tmp_path / "rec") == ["camera_1.flv"]
    pictures = len(flv.read(tmp_path / "rec" / "camera_1.flv").video)
    assert pictures == len(sent.video) * publishes + (left if existing == "append" else 0)


def test_a_full_disk_is_told_and_the_publish_goes_on(tmp_path: Path, clip: Maker) -> None:
    """The kernel lets no file of the daemon grow beyond 40 kB."""
    publisher = peers.ffmpeg()
    with recorder(tmp_path) as daemon:
        limits = f"prlimit --fsize=40000:40000 --pid {daemon.child.pid}"
        subprocess.run(limits.split(), check=True, timeout=10)
        publish(daemon, clip("h264_aac"), publisher)
        (stopped,) = daemon.wait_count("recording_stop", KEY, 1)
        (ended,) = daemon.wait_count("publish_stop", KEY, 1)
        assert daemon.stdout.stat().st_size < 40000, "its events are in a file too"
    path = files([stopped])[0]
    assert stopped["data"]["reason"] == "disk_full"
    assert stopped["data"]["size"] == path.stat().st_size <= 40000
    assert ended["data"]["video_packets"] > len(flv.read(path).video) > 0


# --- relays ---------------------------------------------------------------------------------------


def test_players_of_other_servers_get_the_stream(tmp_path: Path, clip: Maker) -> None:
    """A second rtmpd, and nginx-rtmp if it is installed (libnginx-mod-rtmp), both at once."""
    player, sent = peers.ffmpeg(), flv.read(clip("h264_aac"))
    with ExitStack() as stack:
        targets: dict[str, Daemon | NginxRtmp] = {"rtmpd": stack.enter_context(Daemon(home(tmp_path, "rtmpd")))}
        if NGINX.exists():
            targets["nginx"] = stack.enter_context(NginxRtmp(home(tmp_path, "nginx")))
        push = ", ".join(target.url("live") for target in targets.values())
        daemon = stack.enter_context(Daemon(tmp_path, ini=f"[apps]\npush = {push}\n"))
        outs = {name: tmp_path / f"{name}.flv" for name in targets}
        for name, target in targets.items():
            stack.enter_context(player.play(target.url(KEY), outs[name]))
            target.wait_count("play_start", KEY, 1)
        publish(daemon, clip("h264_aac"), player, at_once=False)
        stopped = daemon.wait_count("relay_stop", KEY, len(targets))
        for name, target in targets.items():
            target.wait_count("publish_stop", KEY, 1)
            wait_until(partial(same_end, sent, outs[name]), f"the last frames have come to {name}")
        assert not daemon.of("relay_error")
        started = daemon.of("relay_start", KEY)
    assert {event["data"]["destination"] for event in started} == {target.url(KEY) for target in targets.values()}
    assert {event["data"]["reason"] for event in stopped} == {"unpublished"}
    for name in targets:
        captured = flv.read(outs[name])
        assert captured.video[0].key and len(captured.video) > len(sent.video) / 2
        for stream in ("video", "audio"):  # it begins with the keyframe that was the last one when the relay was there
            kept = captured.stream(stream)
            expected = sent.stream(stream)[-len(kept) :]
            assert kept == expected, f"{name}: {pairing.first_difference(expected, kept)}"


def home(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir()
    return path


def same_end(sent: flv.Media, out: Path) -> bool:
    found = flv.read(out)
    return found.video[-1:] == sent.video[-1:] and found.audio[-1:] == sent.audio[-1:]
