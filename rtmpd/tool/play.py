"""``rtmpd play``: watch a stream as a player would, print what comes, and keep it as FLV if wanted."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable
from typing import Final

import gevent
from gevent.threadpool import ThreadPool

from ..clock import Clock
from ..codec.classify import AUDIO, HEADER, NOT_CACHED, VIDEO, classify, codec_name
from ..codec.metadata import strip_set_data_frame
from ..errors import EndedByServer, UrlError
from ..net.link import Link
from ..net.outgoing import Outgoing
from ..protocol.command import amf0_body
from ..protocol.constants import AUDIO as AUDIO_MESSAGE
from ..protocol.constants import DATA_AMF0, DATA_AMF3
from ..protocol.constants import VIDEO as VIDEO_MESSAGE
from ..protocol.flv import file_header, tag
from ..protocol.message import Message
from ..protocol.url import RtmpUrl, parse_url
from .link import report_every_second, run, seconds

_FLAGS_OFFSET: Final = 4


def main(argv: list[str]) -> int:
    """The command; ``argv`` without the program's name. Returns the exit status."""
    parser = argparse.ArgumentParser("rtmpd play", description="Watch a stream of an RTMP server.")
    parser.add_argument("url", metavar="URL", help="rtmp://host/app/name or rtmps://host/app/name")
    parser.add_argument("-o", dest="file", metavar="FILE", help="write the stream as FLV; - for standard output")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate of an rtmps server")
    parser.add_argument("--duration", metavar="S", type=seconds, help="stop after so many seconds")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless it fails")
    try:
        options = parser.parse_args(argv)
        url = parse_url(options.url)
    except UrlError as error:
        parser.print_usage(sys.stderr)
        print(f"rtmpd play: {error}", file=sys.stderr)
        return 2
    except SystemExit as ended:  # argparse has said why
        return ended.code if isinstance(ended.code, int) else 2
    return run("play", lambda: play(options, url, Clock()))


def play(options: argparse.Namespace, url: RtmpUrl, clock: Clock) -> None:
    """Do what the command line asks. May switch greenlets.

    Returns at the end of the stream or of ``--duration``, and when GreenletExit is raised in it
    while it plays. Raises PeerError, OSError.
    """
    sink = FlvSink(options.file) if options.file else None
    try:
        link = Link(url, Outgoing(clock, 1), clock, verify=not options.insecure)
        try:
            tally = Tally(clock)
            link.play()
            if sink is not None:
                link.peer.before_wait = sink.flush
            reason = _receive_while_allowed(options, link, sink, tally)
            if not options.quiet:
                print(f"play: {reason}", file=sys.stderr, flush=True)
            link.peer.before_wait = None
            link.finish()
        finally:
            link.close()
    finally:
        if sink is not None:
            sink.close()


def _receive_while_allowed(options: argparse.Namespace, link: Link, sink: FlvSink | None, tally: Tally) -> str:
    """Receive until the end of the stream, the deadline or a signal; which of them it was."""
    reporter = None if options.quiet else report_every_second(tally.line)
    try:
        with gevent.Timeout(options.duration):
            while True:
                for message in link.read():
                    tally.count(message)
                    if sink is not None:
                        sink.put(message)
    except EndedByServer as ended:
        return str(ended)
    except gevent.GreenletExit:
        return "stopped"
    except gevent.Timeout:
        return f"{options.duration:g} s have passed"
    finally:
        if reporter is not None:
            reporter.kill()


class FlvSink:
    """An FLV file that is written without stopping the hub.

    Tags are gathered until ``flush``. All writing happens on one thread, in order, also when the
    greenlet that waits for it is interrupted.
    """

    def __init__(self, path: str) -> None:
        self._fd = 1 if path == "-" else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._thread = ThreadPool(1)
        self._pending = [file_header(audio=True, video=True)]
        self._kinds: set[int] = set()

    def put(self, message: Message) -> None:
        """Add a message as a tag."""
        if message.type_id in (DATA_AMF0, DATA_AMF3):
            message = Message(DATA_AMF0, strip_set_data_frame(amf0_body(message)), message.timestamp)
        self._kinds.add(message.type_id)
        self._pending.append(tag(message))

    def flush(self) -> None:
        """Write what was gathered. May switch greenlets. Raises OSError."""
        if self._pending:
            pending, self._pending = self._pending, []
            self._in_thread(lambda: _write_all(self._fd, b"".join(pending)))

    def close(self) -> None:
        """Write the rest, say in the file's header what kinds are there, and close it. May switch
        greenlets. Raises OSError."""
        try:
            self.flush()
            self._in_thread(self._finish)
        finally:
            self._thread.kill()

    def _in_thread(self, work: Callable[[], None]) -> None:
        """An error is carried over by hand, since gevent would print what is raised over there."""

        def attempt() -> OSError | None:
            try:
                work()
            except OSError as error:
                return error
            return None

        error = self._thread.apply(attempt)
        if error is not None:
            raise error

    def _finish(self) -> None:
        if stat.S_ISREG(os.fstat(self._fd).st_mode) and self._fd != 1:
            header = file_header(audio=AUDIO_MESSAGE in self._kinds, video=VIDEO_MESSAGE in self._kinds)
            os.pwrite(self._fd, header[_FLAGS_OFFSET : _FLAGS_OFFSET + 1], _FLAGS_OFFSET)
        if self._fd != 1:
            os.close(self._fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Kind:
    """What came of audio or of video since the last line."""

    def __init__(self) -> None:
        self.codec = ""
        self.frames = 0
        self.bytes = 0


class Tally:
    """What came, counted for one line per second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = self._last_s = clock.monotonic()
        self._first_frame_s: float | None = None
        self._kinds = {"video": _Kind(), "audio": _Kind()}

    def count(self, message: Message) -> None:
        """Count one message."""
        flags = classify(message.type_id, message.payload)
        if not flags & (AUDIO | VIDEO):
            return
        kind = self._kinds["video" if flags & VIDEO else "audio"]
        kind.codec = codec_name(message.type_id, message.payload) or kind.codec
        kind.bytes += len(message.payload)
        if not flags & (HEADER | NOT_CACHED):
            kind.frames += 1
            if self._first_frame_s is None:
                self._first_frame_s = self._clock.monotonic() - self._began_s

    def line(self) -> str:
        """One line about the time since the last one."""
        now_s = self._clock.monotonic()
        passed_s = max(now_s - self._last_s, 0.001)
        self._last_s = now_s
        parts = [f"play: {now_s - self._began_s:.0f} s"]
        for name, kind in self._kinds.items():
            if kind.codec:
                fps, kbps = kind.frames / passed_s, kind.bytes * 8 / 1000 / passed_s
                parts.append(f"{name} {kind.codec} {fps:.1f} fps {kbps:.0f} kbit/s")
            kind.frames = kind.bytes = 0
        if self._first_frame_s is None:
            parts.append("waiting for media")
        else:
            parts.append(f"first frame after {self._first_frame_s * 1000:.0f} ms")
        return ", ".join(parts)
