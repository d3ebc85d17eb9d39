"""Clips of every codec as FLV files, and what the muxer makes of a stream of messages."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import imageio_ffmpeg

from rtmpd.cmaf.muxer import Fragment, Muxer
from rtmpd.protocol.message import Message
from tests.support.encodes import messages_of

FFMPEG: str = imageio_ffmpeg.get_ffmpeg_exe()
SECONDS = 1.2
VIDEOS = {
    "h264": "libx264 -preset ultrafast -threads 1 -g 10 -bf 2 -pix_fmt yuv420p",
    "hevc": "libx265 -preset ultrafast -pix_fmt yuv420p -x265-params "
    "keyint=10:bframes=2:pools=1:frame-threads=1:log-level=none",
    "av1": "libsvtav1 -preset 12 -g 10 -pix_fmt yuv420p -svtav1-params lp=1",
    "vp9": "libvpx-vp9 -deadline realtime -cpu-used 8 -g 10 -threads 1",
}
AUDIOS = {
    "aac": "aac -ac 2 -ar 44100",
    "opus": "libopus -ac 2",
    "flac": "flac -ac 2 -ar 48000",
    "ac3": "ac3 -ac 2",
    "eac3": "eac3 -ac 2",
}
_PICTURE = "testsrc2=size=96x64:rate=25"
_SOUND = "sine=frequency=440:sample_rate=48000"


def run_ffmpeg(program: str, *words: str) -> str:
    """What it writes to the standard output; fails with what it complains of."""
    done = subprocess.run(
        [program, "-nostdin", "-v", "warning", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.returncode and not done.stderr, done.stderr
    return done.stdout


class Clips:
    """FLV files of one video and one audio track, each track encoded once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._encoded = cache(self._encode)

    def __call__(self, video: str, audio: str) -> Path:
        """``video`` or ``audio`` may be empty."""
        path = self._home / f"{video}-{audio}.flv"
        if not path.exists():
            inputs = [word for one in (video, audio) if one for word in ("-i", str(self._encoded(one)))]
            run_ffmpeg(FFMPEG, *inputs, "-c", "copy", "-f", "flv", str(path))
        return path

    def _encode(self, name: str) -> Path:
        path = self._home / f"{name}.mkv"
        source, kind, options = (_PICTURE, "v", VIDEOS[name]) if name in VIDEOS else (_SOUND, "a", AUDIOS[name])
        source += f":duration={SECONDS}"
        words = ["-f", "lavfi", "-i", source, f"-c:{kind}", *options.split(), "-strict", "-2", str(path)]
        subprocess.run([FFMPEG, "-nostdin", "-v", "error", *words], check=True, timeout=60, stderr=subprocess.DEVNULL)
        return path


def mux(messages: Iterable[Message], part_ms: int = 200, muxer: Muxer | None = None) -> list[Fragment]:
    """The fragments of a stream, cut at keyframes and after ``part_ms``."""
    muxer = muxer or Muxer()
    found: list[Fragment] = []
    for message in messages:
        found += muxer.feed(message.type_id, message.timestamp, message.payload)
        if muxer.at_keyframe or muxer.pending_ms >= part_ms:
            found += muxer.cut()
    return [*found, *muxer.finish()]


def mux_file(path: Path) -> list[Fragment]:
    return mux(messages_of(path.read_bytes()))


def joined(fragments: list[Fragment]) -> bytes:
    """The first init segment and all fragments."""
    return fragments[0].init.data + b"".join(b"".join(fragment.pieces) for fragment in fragments)
