"""Real RTMP clients behind one interface.

What each one changes by itself, measured with nginx-rtmp between them (see ``control.py``): nothing,
neither payloads nor timestamps nor sequence headers, with the options used here, but for

- GStreamer publishing B-frames: flvdemux starts its segment at the presentation time of the first
  frame and flvmux counts from there, see ``Gstreamer.sends``;
- GStreamer playing: rtmp2src holds one message back and loses it when the stream ends while that
  message waits (about one run in three), hence ``may_miss_at_the_end``;
- ffmpeg writing VP9 builds the configuration record anew, so it differs from the clip's.

rtmpdump and rtmp2src write what arrives and know no codec, so they carry the Enhanced RTMP clips too.
"""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import flv
from tests.support.child import Child, rtmpd

LIBRTMP = "librtmp.so.1"
LIBRTMP_SCRIPT = Path(__file__).with_name("librtmp_publish.py")
NODE_SCRIPT = Path(__file__).with_name("node_publish.js")
NODE_PACKAGE = Path(__file__).parents[2] / ".venv" / "node" / "node_modules" / "node-media-server"
TRUST_ALL = "tls-validation-flags=0"
FLV_AT_ONCE = ["-f", "flv", "-flush_packets", "1"]
FFMPEG_QUIET = ["-hide_banner", "-loglevel", "warning", "-nostdin", "-y"]


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def current_ffmpeg() -> str:
    """The path of the ffmpeg that PyPI carries; "" if it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError:
        return ""
    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


def need(*wanted: Peer) -> None:
    """Skip, naming what to install, if a peer is not there."""
    for peer in wanted:
        if peer.missing():
            pytest.skip(f"{peer.name} is not installed: {peer.needs}")


class Peer:
    """One program. ``needs`` is what to install if ``missing()``."""

    name = ""
    needs = ""
    publishes = True
    plays = True
    publishes_enhanced = False
    plays_enhanced = False
    may_miss_at_the_end = 0
    good_ends: tuple[int, ...] = (0,)

    def missing(self) -> bool:
        raise NotImplementedError

    def publish_command(self, clip: Path, url: str) -> list[str]:
        raise NotImplementedError

    def play_command(self, url: str, out: Path) -> list[str]:
        raise NotImplementedError

    def sends(self, clip: Path) -> flv.Media:
        """What it sends when it publishes ``clip``: the clip, unless the class says otherwise."""
        return flv.read(clip)

    def publish(self, clip: Path, url: str, log: Path) -> Child:
        """Start publishing ``clip`` (FLV) in real time."""
        return Child(self.publish_command(clip, url), log)

    def play(self, url: str, out: Path) -> Child:
        """Start playing into ``out`` (FLV)."""
        return Child(self.play_command(url, out), out.with_suffix(".log"))


class Ffmpeg(Peer):
    def __init__(self, name: str, program: str, needs: str, current: bool = False) -> None:
        self.name = name
        self.program = program
        self.needs = needs
        self.publishes_enhanced = self.plays_enhanced = self.verifies = current

    def missing(self) -> bool:
        return not _has(self.program)

    def publish_command(self, clip: Path, url: str) -> list[str]:
        return self._publish(clip, url, "-re")

    def publish_at_once(self, clip: Path, url: str, log: Path) -> None:
        """Publish ``clip`` as fast as possible and wait for the end."""
        with Child(self._publish(clip, url), log) as child:
            assert child.wait() == 0, child.describe()

    def _publish(self, clip: Path, url: str, *pace: str) -> list[str]:
        command = [self.program, *FFMPEG_QUIET, *pace, "-copyts", "-i", str(clip), "-c", "copy"]
        return [*command, "-f", "flv", "-flvflags", "no_duration_filesize", *self._trust(url), url]

    def _trust(self, url: str) -> list[str]:
        return ["-tls_verify", "0"] if self.verifies and url.startswith("rtmps:") else []

    def play_command(self, url: str, out: Path) -> list[str]:
        streams = ["-map", "0:v?", "-map", "0:a?"]
        source = [*self._trust(url), "-i", url]
        return [self.program, *FFMPEG_QUIET, "-copyts", *source, *streams, "-c", "copy", *FLV_AT_ONCE, str(out)]


class Librtmp(Peer):
    """rtmpdump's library as the publisher: rtmpdump itself can only play. One tag is one call."""

    name = "librtmp"
    needs = "librtmp1 (Debian)"
    plays = False
    publishes_enhanced = True

    def missing(self) -> bool:
        return ctypes.util.find_library("rtmp") is None

    def publish_command(self, clip: Path, url: str) -> list[str]:
        return [sys.executable, "-I", str(LIBRTMP_SCRIPT), str(clip), url]


class Rtmpdump(Peer):
    name = "rtmpdump"
    needs = "rtmpdump (Debian)"
    publishes = False
    plays_enhanced = True

    def missing(self) -> bool:
        return not _has("rtmpdump")

    def play_command(self, url: str, out: Path) -> list[str]:
        return ["rtmpdump", "-r", url, "--live", "-o", str(out)]


class Gstreamer(Peer):
    name = "gstreamer"
    needs = "gstreamer1.0-tools and gstreamer1.0-plugins-bad (Debian)"
    plays_enhanced = True
    may_miss_at_the_end = 1

    def missing(self) -> bool:
        if not _has("gst-launch-1.0"):
            return True
        found = subprocess.run(["gst-inspect-1.0", "rtmp2sink"], capture_output=True, timeout=60)
        return found.returncode != 0

    def publish_command(self, clip: Path, url: str) -> list[str]:
        media = flv.read(clip)
        pipeline = ["filesrc", f"location={clip}", "!", "flvdemux", "name=d"]
        pipeline += ["flvmux", "name=m", "streamable=true", "!", "rtmp2sink", f"location={url}", TRUST_ALL, "sync=true"]
        for name, frames in (("video", media.video), ("audio", media.audio)):
            if frames:
                pipeline += [f"d.{name}", "!", "queue", "!", f"m.{name}"]
        return ["gst-launch-1.0", "-q", "-e", *pipeline]

    def play_command(self, url: str, out: Path) -> list[str]:
        source = ["rtmp2src", f"location={url}", TRUST_ALL]
        return ["gst-launch-1.0", "-q", "-e", *source, "!", "filesink", f"location={out}"]

    def sends(self, clip: Path) -> flv.Media:
        """Presentation times counted from that of the first frame, decoding times likewise, but never below 0."""
        media = flv.read(clip)
        first = min(media.video[:1] + media.audio[:1], key=lambda frame: frame.dts_ms)
        base_ms = first.dts_ms + first.composition_ms

        def moved(frame: flv.Frame) -> flv.Frame:
            shown_ms = max(0, frame.dts_ms + frame.composition_ms - base_ms)
            decoded_ms = max(0, frame.dts_ms - base_ms)
            return replace(frame, dts_ms=decoded_ms, composition_ms=shown_ms - decoded_ms)

        return replace(media, video=tuple(map(moved, media.video)), audio=tuple(map(moved, media.audio)))


class NodeMediaServer(Peer):
    """The client that node-media-server relays with. It knows no TLS, so it is not among ``PUBLISHERS``."""

    name = "node-media-server"
    needs = "nodejs and npm (Debian), from which scripts/test installs node-media-server"
    plays = False

    def missing(self) -> bool:
        return not _has("node") or not NODE_PACKAGE.is_dir()

    def publish_command(self, clip: Path, url: str) -> list[str]:
        return ["node", str(NODE_SCRIPT), str(NODE_PACKAGE), str(clip), url]


class Rtmpd(Peer):
    """This project's own tools."""

    name = "rtmpd"
    needs = "nothing: it is part of the tree"
    publishes_enhanced = True
    plays_enhanced = True

    def missing(self) -> bool:
        return False

    def publish_command(self, clip: Path, url: str) -> list[str]:
        return rtmpd("publish", *self._trust(url), str(clip), url)

    def play_command(self, url: str, out: Path) -> list[str]:
        return rtmpd("play", *self._trust(url), url, "-o", str(out))

    def _trust(self, url: str) -> list[str]:
        """The others take any certificate, by themselves or as they are called here."""
        return ["--insecure"] if url.startswith("rtmps:") else []


FFMPEG_DEBIAN = Ffmpeg("ffmpeg5", "/usr/bin/ffmpeg", "ffmpeg (Debian)")
FFMPEG_CURRENT = Ffmpeg("ffmpeg", current_ffmpeg(), "imageio-ffmpeg (PyPI)", current=True)
LIBRTMP_PEER = Librtmp()
RTMPDUMP = Rtmpdump()
GSTREAMER = Gstreamer()
NODE = NodeMediaServer()
RTMPD = Rtmpd()
PEERS: tuple[Peer, ...] = (FFMPEG_DEBIAN, FFMPEG_CURRENT, LIBRTMP_PEER, RTMPDUMP, GSTREAMER, RTMPD)
PUBLISHERS = tuple(peer for peer in PEERS if peer.publishes)
PLAYERS = tuple(peer for peer in PEERS if peer.plays)


def ffmpeg() -> Ffmpeg:
    """Either ffmpeg, for the tests where it does not matter which. Skips the test if there is none."""
    if FFMPEG_CURRENT.missing():
        need(FFMPEG_DEBIAN)
        return FFMPEG_DEBIAN
    return FFMPEG_CURRENT
