"""The clips that are published: small, the same on every run of one encoder, one codec question each."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.functional import peers

SECONDS = 3.2
GOP_FRAMES = 25
VIDEO_INPUT = "testsrc2=size=160x90:rate=25"
AUDIO_INPUT = "sine=frequency=440:sample_rate=48000"

H264 = "-c:v libx264 -preset veryfast -threads 1 -g {gop} -sc_threshold 0 -pix_fmt yuv420p".split()
HEVC = """-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params
    keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:pools=1:frame-threads=1:log-level=none""".split()
AV1 = "-c:v libsvtav1 -preset 11 -g {gop} -pix_fmt yuv420p -svtav1-params lp=1".split()
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g {gop} -b:v 150k -threads 1".split()
AAC = "-c:a aac -b:a 64k".split()
OPUS = "-c:a libopus -b:a 48k".split()

CLIPS: dict[str, tuple[list[str], list[str]]] = {
    "h264_aac": ([*H264, "-bf", "0"], AAC),
    "audio_only": ([], AAC),
    "video_only": ([*H264, "-bf", "0"], []),
    "bframes": ([*H264, "-bf", "2"], AAC),
    "hevc": (HEVC, AAC),
    "av1": (AV1, AAC),
    "vp9": (VP9, AAC),
    "opus": ([*H264, "-bf", "0"], OPUS),
}
CLASSIC = ("h264_aac", "audio_only", "video_only", "bframes")
ENHANCED = ("hevc", "av1", "vp9", "opus")


class Maker:
    """Clips on demand, each encoded once per test session into ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, name: str, seconds: float = SECONDS, gop_frames: int = GOP_FRAMES) -> Path:
        """The path of one of ``CLIPS`` as FLV. Skips the test if no encoder is there."""
        path = self.home / f"{name}-{seconds:g}s-{gop_frames}.flv"
        if not path.exists():
            encoder = peers.FFMPEG_CURRENT
            if name in CLASSIC and encoder.missing():
                encoder = peers.FFMPEG_DEBIAN
            peers.need(encoder)
            make(name, path, encoder.program, seconds, gop_frames)
        return path


def make(name: str, path: Path, ffmpeg: str, seconds: float = SECONDS, gop_frames: int = GOP_FRAMES) -> Path:
    """Encode one clip to ``path`` (FLV), a keyframe every ``gop_frames``."""
    video, audio = ([word.format(gop=gop_frames) for word in options] for options in CLIPS[name])
    command = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y"]
    for source, wanted in ((VIDEO_INPUT, video), (AUDIO_INPUT, audio)):
        if wanted:
            command += ["-f", "lavfi", "-t", str(seconds), "-i", source]
    # A live stream promises no duration in onMetaData; rtmpdump would compare it with what it got.
    command += [*video, *audio, "-flags", "+bitexact", "-fflags", "+bitexact"]
    command += ["-f", "flv", "-flvflags", "no_duration_filesize", str(path)]
    subprocess.run(command, check=True, timeout=120, stderr=subprocess.DEVNULL)
    return path
