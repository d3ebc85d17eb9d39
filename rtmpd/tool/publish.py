"""``rtmpd publish``: send an FLV file to a server as an encoder would.

Payloads and timestamps are those of the file. The file is read, and the socket waited for, before
more is read: memory stays at one tag and what one write takes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

import gevent
from gevent.os import tp_read

from ..clock import Clock
from ..codec.classify import AUDIO, HEADER, NOT_CACHED, VIDEO, classify
from ..codec.metadata import ON_METADATA, SET_DATA_FRAME, data_name
from ..errors import MediaError, RtmpdError, UrlError
from ..net.link import Link
from ..net.outgoing import Outgoing
from ..protocol.amf0 import encode
from ..protocol.chunk import append_chunks
from ..protocol.constants import AUDIO as AUDIO_MESSAGE
from ..protocol.constants import CSID_AUDIO, CSID_DATA, CSID_VIDEO, DATA_AMF0
from ..protocol.constants import VIDEO as VIDEO_MESSAGE
from ..protocol.flv import FlvReader
from ..protocol.message import Message
from ..protocol.source import Buffer
from ..protocol.url import RtmpUrl, parse_url
from .link import report_every_second, run, seconds
from .timeline import Pacer, Timeline

_WRITE_BYTES: Final = 65536
_READ_BYTES: Final = 65536
_CSIDS: Final = {AUDIO_MESSAGE: CSID_AUDIO, VIDEO_MESSAGE: CSID_VIDEO, DATA_AMF0: CSID_DATA}


def main(argv: list[str]) -> int:
    """The command; ``argv`` without the program's name. Returns the exit status."""
    parser = argparse.ArgumentParser("rtmpd publish", description="Send an FLV file to an RTMP server.")
    parser.add_argument("file", metavar="FILE", help="the FLV file, or - for standard input")
    parser.add_argument("url", metavar="URL", help="rtmp://host/app/name or rtmps://host/app/name")
    parser.add_argument("--loop", action="store_true", help="begin again at the end of the file")
    parser.add_argument("--fast", action="store_true", help="as fast as the server takes it, not in real time")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate of an rtmps server")
    parser.add_argument("--duration", metavar="S", type=seconds, help="stop after so many seconds")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless it fails")
    try:
        options = parser.parse_args(argv)
        if options.loop and options.file == "-":
            parser.error("standard input cannot be repeated: --loop needs a file")
        url = parse_url(options.url)
    except UrlError as error:
        parser.print_usage(sys.stderr)
        print(f"rtmpd publish: {error}", file=sys.stderr)
        return 2
    except SystemExit as ended:  # argparse has said why
        return ended.code if isinstance(ended.code, int) else 2
    return run("publish", lambda: publish(options, url, Clock()))


def publish(options: argparse.Namespace, url: RtmpUrl, clock: Clock) -> None:
    """Do what the command line asks. May switch greenlets.

    Returns at the end of the file or of ``--duration``, and when GreenletExit is raised in it while
    media flows. Raises PeerError, MediaError, OSError.
    """
    clip = Clip(options.file)
    try:
        clip.begin()
        link = Link(url, Outgoing(clock, 1), clock, verify=not options.insecure)
        try:
            link.publish()
            sender = Sender(link)
            clip.before_wait = sender.flush
            if not options.quiet:
                print(f"publishing {options.file} to {url}", flush=True)
            _send_while_allowed(options, clip, sender, clock)
            link.finish()
        finally:
            link.close()
    finally:
        clip.close()


def _send_while_allowed(options: argparse.Namespace, clip: Clip, sender: Sender, clock: Clock) -> None:
    """Send until the end, the deadline, a signal, or what the server says."""
    greenlets: list[gevent.Greenlet[..., None]]
    greenlets = [gevent.spawn(_watch, sender.link, partial(gevent.kill, gevent.getcurrent()))]
    if not options.quiet:
        greenlets.append(report_every_second(Progress(sender, clock).line))
    try:
        with gevent.Timeout(options.duration):
            send_clip(clip, sender, None if options.fast else Pacer(clock), options.loop)
    except (gevent.GreenletExit, gevent.Timeout):
        pass  # a signal, or --duration: what was sent is finished in order
    finally:
        gevent.killall(greenlets)


def _watch(link: Link, interrupt: Callable[[BaseException], None]) -> None:
    """Listen to the server, and interrupt the greenlet that sends when it ends the stream."""
    try:
        while True:
            link.read()
    except RtmpdError as error:
        interrupt(error)


def send_clip(clip: Clip, sender: Sender, pacer: Pacer | None, loop: bool) -> None:
    """Send the clip, over and over with ``loop``, at the pace of its timestamps with a ``pacer``.
    May switch greenlets. Raises MediaError, OSError."""
    timeline = Timeline()
    while True:
        while (message := clip.read_tag()) is not None:
            flags = classify(message.type_id, message.payload)
            coded = bool(flags & (AUDIO | VIDEO)) and not flags & (HEADER | NOT_CACHED)
            timestamp = timeline.stamp(message.type_id, message.timestamp, coded)
            if pacer is not None and coded:
                wait_s = pacer.wait_s(timestamp)
                if wait_s:
                    sender.flush()
                    gevent.sleep(wait_s)
            sender.put(message.type_id, timestamp, _payload_to_send(message))
        sender.flush()
        if not loop:
            return
        if timeline.empty:
            raise MediaError("the file has no frames to repeat", "no_frames")
        timeline.next_pass()
        clip.begin()


def _payload_to_send(message: Message) -> bytes:
    """Servers keep metadata for late joiners if it is wrapped."""
    if message.type_id == DATA_AMF0 and data_name(message.payload) == ON_METADATA:
        return encode(SET_DATA_FRAME) + message.payload
    return message.payload


class Clip:
    """An FLV file that is read without stopping the hub, tag by tag, as often as wanted.

    ``before_wait`` is called before more bytes are read, which may take its time on a pipe.
    """

    def __init__(self, path: str) -> None:
        self._fd = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._begun = False
        self._reader = FlvReader(Buffer(self))
        self.before_wait: Callable[[], None] | None = None

    def begin(self) -> None:
        """Go to the first tag. May switch greenlets. Raises MediaError, OSError."""
        if self._begun:
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._reader = FlvReader(Buffer(self))
        self._begun = True
        self._reader.read_header()

    def read_tag(self) -> Message | None:
        """The next tag, None at the end. May switch greenlets. Raises MediaError, OSError."""
        return self._reader.read_tag()

    def recv(self) -> bytes:
        """The next bytes of the file, read in a thread: the source of the FLV reader."""
        if self.before_wait is not None:
            self.before_wait()
        data: bytes = tp_read(self._fd, _READ_BYTES)
        return data

    def close(self) -> None:
        """Free the descriptor, unless it is standard input."""
        if self._fd:
            os.close(self._fd)


class Sender:
    """Media on its way to the socket: gathered for a few large writes, cut where chunks end, so that
    the answers of the greenlet that reads may stand between them.

    ``payload_bytes`` counts what was put; ``timestamp`` is the last one.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.payload_bytes = 0
        self.timestamp = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def put(self, type_id: int, timestamp: int, payload: bytes) -> None:
        """Send a message now or with the next. May switch greenlets."""
        self.payload_bytes += len(payload)
        self.timestamp = timestamp
        msid, chunk_size = self.link.session.msid, self.link.peer.out_chunk_size
        chunks: list[bytes] = []
        append_chunks(chunks, _CSIDS[type_id], type_id, msid, timestamp, payload, chunk_size)
        for header, data in zip(chunks[::2], chunks[1::2], strict=True):
            self._pending += (header, data)
            self._pending_bytes += len(header) + len(data)
            if self._pending_bytes >= _WRITE_BYTES:
                self.flush()

    def flush(self) -> None:
        """Write what was gathered, and wait until the socket has taken it. May switch greenlets."""
        if self._pending:
            data = b"".join(self._pending)
            self._pending.clear()
            self._pending_bytes = 0
            self.link.peer.writer.write(data)
            self.link.drain()


class Progress:
    """What was sent so far and how fast."""

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock
        self._began_s = self._last_s = clock.monotonic()
        self._last_bytes = 0

    def line(self) -> str:
        """One line about the time since the last one."""
        now_s, total = self._clock.monotonic(), self._sender.payload_bytes
        kbps = (total - self._last_bytes) * 8 / 1000 / max(now_s - self._last_s, 0.001)
        self._last_s, self._last_bytes = now_s, total
        passed_s = now_s - self._began_s
        return f"publish: {passed_s:.0f} s, timestamp {self._sender.timestamp} ms, {total} bytes, {kbps:.0f} kbit/s"
