"""The quality of real encodes, published as fast as it goes: what changes mid-way is told, what is steady is not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional import peers
from tests.functional.harness import Daemon
from tests.support import flv
from tests.support.child import Child, rtmpd
from tests.support.proof import proves

MINE = ("bitrate_change", "framerate_change", "quality_alert", "publish_stalled", "stream_idle")
SOUND = "sine=frequency=440:sample_rate=44100"
NOISY = "testsrc2=size={size}:rate={rate},noise=alls=10:allf=t"
X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -threads 1".split()
AAC = "-c:a aac -b:a 64k -ar 44100".split()
SCENES = """mandelbrot=size=160x90:rate=25,trim=duration=8,setpts=PTS-STARTPTS[a];
    testsrc2=size=160x90:rate=25:duration=7[b];
    testsrc2=size=160x90:rate=25:duration=8,noise=alls=12:allf=t[c];smptebars=size=160x90:rate=25:duration=5[d];
    [a][b][c][d]concat=n=4"""
HEADER = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"


class Studio:
    """Encodes, each made once, and joins of them."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def encode(
        self, name: str, picture: str, options: str, seconds: float = 45, sound: bool = True, codecs: str = ""
    ) -> Path:
        path = self.home / f"{name}.flv"
        if not path.exists():
            inputs = ["-f", "lavfi", "-i", picture, *(["-f", "lavfi", "-i", SOUND] if sound else [])]
            command = [peers.ffmpeg().program, *peers.FFMPEG_QUIET, *inputs, "-t", str(seconds)]
            command += codecs.split() or [*X264, *AAC]
            subprocess.run([*command, *options.split(), "-f", "flv", str(path)], check=True, timeout=120)
        return path

    def noisy(self, bitrate: str, rate: int = 25, size: str = "160x90", options: str = "", **others: Any) -> Path:
        wanted = f"-b:v {bitrate} -maxrate {bitrate} -bufsize {bitrate} -g 50 {options}"
        name = re.sub(r"\W+", "-", f"{rate}-{size}{wanted}{others}")
        return self.encode(name, NOISY.format(size=size, rate=rate), wanted, **others)

    def join(self, name: str, *parts: Path, gap_ms: int = 40) -> Path:
        """One after another, ``gap_ms`` between the last timestamp of a part and the first of the next."""
        path, began_ms = self.home / f"{name}.flv", 0
        with path.open("wb") as out:
            out.write(HEADER)
            for part in parts:
                last_ms = 0
                for tag in flv.tags(part.read_bytes()):
                    last_ms = max(last_ms, tag.timestamp_ms)
                    if tag.kind != flv.SCRIPT:
                        out.write(written(tag, began_ms + tag.timestamp_ms))
                began_ms += last_ms + gap_ms
        return path


def written(tag: flv.Tag, timestamp_ms: int) -> bytes:
    low, high = (timestamp_ms & 0xFFFFFF).to_bytes(3, "big"), bytes([timestamp_ms >> 24 & 0xFF])
    head = bytes([tag.kind]) + len(tag.body).to_bytes(3, "big") + low + high + bytes(3)
    return head + tag.body + (len(tag.body) + 11).to_bytes(4, "big")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    peers.need(peers.ffmpeg())
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("quality"), ini="[quality]\nforbid_b_frames = yes\n") as running:
        yield running


def told(daemon: Daemon, clip: Path, key: str) -> list[dict[str, Any]]:
    """The events about the quality of ``clip``."""
    peers.ffmpeg().publish_at_once(clip, daemon.url(key), daemon.home / f"{key.replace('/', '-')}.log")
    return findings(daemon, clip, key)


def findings(daemon: Daemon, clip: Path, key: str) -> list[dict[str, Any]]:
    stop = daemon.wait_event("publish_stop", stream_key=key)
    sent = flv.read(clip)
    assert stop["data"]["video_packets"] >= len(sent.video) * 0.99, "not all of it was published"
    found = [one for one in daemon.events if one["stream_key"] == key and one["type"] in MINE]
    assert all(one["conn_id"] == stop["conn_id"] for one in found)
    return found


def alerts(found: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["type"], one["data"].get("metric", ""), one["data"].get("state", "")) for one in found]


def test_a_bitrate_that_is_lowered_mid_way_is_told(daemon: Daemon, studio: Studio) -> None:
    clip = studio.join("bitrate", studio.noisy("400k"), studio.noisy("150k"))
    (event,) = told(daemon, clip, "live/bitrate")
    assert event["type"] == "bitrate_change"
    data = event["data"]
    assert (data["metric"], data["threshold_percent"]) == ("bitrate", 20)
    assert data["previous"] == pytest.approx(464_000, rel=0.15)
    assert data["current"] == pytest.approx(214_000, rel=0.15)
    assert data["change_percent"] == pytest.approx((data["current"] / data["previous"] - 1) * 100, abs=0.1)


def test_a_frame_rate_that_is_lowered_mid_way_is_told(daemon: Daemon, studio: Studio) -> None:
    clip = studio.join("framerate", studio.noisy("400k"), studio.noisy("400k", rate=15))
    (event,) = told(daemon, clip, "live/framerate")
    assert event["type"] == "framerate_change"
    assert event["data"] == {
        "metric": "framerate",
        "previous": pytest.approx(25, abs=0.2),
        "current": pytest.approx(15, abs=0.2),
        "change_percent": pytest.approx(-40, abs=1),
        "threshold_percent": 10,
    }


def test_another_size_or_codec_is_no_matter_of_rates(daemon: Daemon, studio: Studio) -> None:
    other_codec = studio.noisy("400k", codecs="-c:v flv1 -c:a mp3 -b:a 64k -ar 44100")
    clip = studio.join("codec", studio.noisy("400k"), studio.noisy("400k", size="320x180"), other_codec)
    with Child(rtmpd("publish", "--fast", str(clip), daemon.url("live/codec")), daemon.home / "codec.log") as child:
        assert child.wait() == 0, child.describe()
    assert findings(daemon, clip, "live/codec") == []


def test_a_picture_that_freezes_is_told_until_it_moves(daemon: Daemon, studio: Studio) -> None:
    grey = studio.encode("grey", "color=gray:size=160x90:rate=25", "-b:v 400k -g 50", seconds=20)
    clip = studio.join("frozen", studio.noisy("400k"), grey, studio.noisy("400k"))
    states = [("quality_alert", "frozen_video", "raised"), ("quality_alert", "frozen_video", "cleared")]
    assert alerts(told(daemon, clip, "live/frozen")) == states


def test_sound_that_is_missing_is_told_until_it_is_back(daemon: Daemon, studio: Studio) -> None:
    mute = studio.noisy("400k", seconds=15, sound=False)
    clip = studio.join("mute", studio.noisy("400k"), mute, studio.noisy("400k"))
    found = told(daemon, clip, "live/mute")
    states = [("quality_alert", "missing_audio", "raised"), ("quality_alert", "missing_audio", "cleared")]
    assert alerts(found) == states
    assert found[0]["data"]["severity"] == "critical"


def test_a_leap_of_timestamps_is_told(daemon: Daemon, studio: Studio) -> None:
    clip = studio.join("leap", studio.noisy("400k"), studio.noisy("400k"), gap_ms=20_000)
    found = told(daemon, clip, "live/leap")
    states = [("quality_alert", "timestamp_jump", "raised"), ("quality_alert", "timestamp_jump", "cleared")]
    assert alerts(found) == states
    assert found[0]["data"]["value"] == pytest.approx(20, abs=0.2)


@proves("quality.forbid_b_frames")
def test_b_frames_are_told_where_they_are_forbidden(daemon: Daemon, studio: Studio) -> None:
    clip = studio.noisy("400k", options="-preset veryfast -bf 2", seconds=8)
    assert alerts(told(daemon, clip, "live/b")) == [("quality_alert", "b_frames", "raised")]


@pytest.mark.parametrize(
    ("name", "options"),
    [("average", "-b:v 250k"), ("capped", "-crf 23 -maxrate 400k -bufsize 800k")],
)
def test_ten_minutes_of_varied_scenes_at_a_steady_setting_are_not_worth_a_word(
    daemon: Daemon, studio: Studio, name: str, options: str
) -> None:
    scenes = studio.encode(name, SCENES, options, seconds=28)
    assert told(daemon, studio.join(f"{name}-long", *[scenes] * 22), f"live/{name}") == []
