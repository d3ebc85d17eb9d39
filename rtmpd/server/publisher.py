"""A publish: from the accepted request to its one publish_stop."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from ..codec.frame import codec_name
from ..log import logger
from ..protocol.constants import AUDIO, VIDEO
from ..protocol.message import Message
from ..protocol.notice import PublishAsked
from ..stream.stream import Stream
from .client import Client
from .context import Context

_log = logger("server")

_TEXT_CHARS: Final = 512  # of what a client says about itself


def _discard(message: Message) -> None:
    """Where the media of a replaced publisher goes."""


class Publishing:
    """Media of one message stream on its way into the stream. ``media`` is the ingest hot path.

    Counters are of this publish: messages, and payload bytes. No method switches greenlets.
    """

    __slots__ = (
        "_connection",
        "_context",
        "_ended",
        "_last_media_at",
        "_publish",
        "_seen_bytes",
        "_started_at",
        "address",
        "audio_codec",
        "audio_packets",
        "conn_id",
        "session_id",
        "stream",
        "total_bytes",
        "video_codec",
        "video_packets",
    )

    def __init__(self, connection: Client, context: Context, asked: PublishAsked) -> None:
        self._connection = connection
        self._context = context
        self.conn_id = connection.conn_id
        self.address = connection.address
        self.session_id = context.next_session_id()
        self.audio_packets = 0
        self.video_packets = 0
        self.total_bytes = 0
        self.audio_codec = ""
        self.video_codec = ""
        self._started_at = context.clock.monotonic()
        self._last_media_at = self._started_at
        self._seen_bytes = 0
        self._ended = False
        self.stream: Stream = context.registry.claim(connection.app, asked.name, self)
        self._publish = self.stream.publish

    def started(self, asked: PublishAsked) -> None:
        """The client has been told that it publishes."""
        connection = self._connection
        names = parse_qsl(asked.query[:_TEXT_CHARS], keep_blank_values=True) if asked.query else []
        query = {name: "***" for name, _ in names}
        self._context.emit(
            "publish_start",
            conn_id=self.conn_id,
            stream_key=self.stream.key,
            app=self.stream.app,
            publishing_name=self.stream.name,
            publish_type=asked.publish_type,
            session_id=self.session_id,
            client_ip=self.address,
            encoder=connection.flash_ver[:_TEXT_CHARS],
            identity="",
            query=query,
        )
        _log.info("publish started", conn_id=self.conn_id, stream_key=self.stream.key, session_id=self.session_id)
        self._context.registry.started(self.stream)

    def media(self, message: Message) -> None:
        """One audio, video or data message."""
        payload = message.payload
        if message.type_id == VIDEO:
            self.video_packets += 1
            if not self.video_codec:
                self.video_codec = codec_name(VIDEO, payload)
        elif message.type_id == AUDIO:
            self.audio_packets += 1
            if not self.audio_codec:
                self.audio_codec = codec_name(AUDIO, payload)
        self.total_bytes += len(payload)
        self._publish(message)

    def watch(self, now: float) -> None:
        """Called about once a second: note whether media came since the last time."""
        if self.total_bytes != self._seen_bytes:
            self._seen_bytes = self.total_bytes
            self._last_media_at = now

    def stalled_s(self) -> float:
        """Seconds since the last media message, to about a second."""
        self.watch(self._context.clock.monotonic())
        return self._context.clock.monotonic() - self._last_media_at

    @property
    def has_media(self) -> bool:
        """Whether anything was published yet."""
        return self.total_bytes > 0

    def replaced(self, by_conn_id: str, policy: str) -> None:
        """Another publisher has the key. The stream goes on with it, so nothing is released here."""
        stream = self.stream
        self._publish = _discard  # what the server has received from us and not read yet
        self._context.emit(
            "publish_replaced",
            conn_id=self.conn_id,
            stream_key=stream.key,
            session_id=self.session_id,
            by_conn_id=by_conn_id,
            policy=policy,
        )
        self.ended("replaced")
        self._connection.end("replaced")

    def stop(self, reason: str, clean: bool) -> None:
        """The publish is over; ``clean`` if by the publisher's own word."""
        self.ended(reason)
        self._context.registry.release(self.stream, self, clean)

    def ended(self, reason: str) -> None:
        """Report the end, once."""
        if self._ended:
            return
        self._ended = True
        duration = round(self._context.clock.monotonic() - self._started_at, 3)
        key = self.stream.key
        self._context.emit(
            "publish_stop",
            conn_id=self.conn_id,
            stream_key=key,
            audio_packets=self.audio_packets,
            video_packets=self.video_packets,
            total_bytes=self.total_bytes,
            audio_codec=self.audio_codec,
            video_codec=self.video_codec,
            duration_sec=duration,
            session_id=self.session_id,
            reason=reason,
        )
        _log.info("publish stopped", conn_id=self.conn_id, stream_key=key, reason=reason, duration_sec=duration)
