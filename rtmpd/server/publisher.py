"""A publish: from the accepted request to its one publish_stop."""

from __future__ import annotations

from typing import Final, Protocol
from urllib.parse import parse_qsl

from ..codec.classify import codec_name
from ..identity import StreamId
from ..log import logger
from ..protocol.constants import AUDIO, VIDEO
from ..protocol.message import Message
from ..protocol.notice import PublishAsked
from ..quality.meter import KEY_BITS, TYPE_BITS, Track
from ..stream.stream import Stream
from .context import Context
from .media import MediaReport
from .periodic import PublisherCheck
from .quality import Quality

_log = logger("server")

_TEXT_CHARS: Final = 512  # of what a client says about itself


class Source(Protocol):
    """Where the media of a publish comes from: a connection, or a pull. ``protocol`` is "" for a connection."""

    address: str
    flash_ver: str

    @property
    def conn_id(self) -> str:
        """The id of the connection."""

    @property
    def protocol(self) -> str:
        """How it comes."""

    def end(self, reason: str) -> None:
        """End it; may be called from anywhere."""


def _discard(message: Message) -> None:
    """Take the media of a publisher that was replaced, and drop it."""


class Publishing:
    """Media of one message stream on its way into the stream. ``media`` is the ingest hot path.

    Counters are of this publish: messages, and payload bytes. ``app`` is the application under which it began; a
    reload can give its stream to another one, and ``counted_for`` is the one whose limits count it. ``identity`` is who
    publishes, by the access rules.
    """

    __slots__ = (
        "_audio",
        "_audio_track",
        "_check",
        "_connection",
        "_context",
        "_data_bytes",
        "_ended",
        "_identity",
        "_last_media_at",
        "_publish",
        "_quality",
        "_seen_bytes",
        "_started_at",
        "_video",
        "_video_track",
        "address",
        "app",
        "audio_codec",
        "conn_id",
        "counted_for",
        "report",
        "session_id",
        "stream",
        "video_codec",
    )

    def __init__(self, connection: Source, context: Context, stream: StreamId, identity: str) -> None:
        self._connection = connection
        self._context = context
        self.conn_id = connection.conn_id
        self.address = connection.address
        self.app = self.counted_for = stream.app
        self._identity = identity
        self.session_id = context.next_session_id()
        self._audio_track = Track(AUDIO)
        self._video_track = Track(VIDEO)
        self._data_bytes = 0
        self.audio_codec = ""
        self.video_codec = ""
        self._started_at = context.clock.monotonic()
        self._last_media_at = self._started_at
        self._seen_bytes = 0
        self._ended = False
        self.stream: Stream = context.registry.claim(*stream, self)
        self._publish = self.stream.publish
        self.report = MediaReport(context, self.conn_id, self.stream)
        self._audio = self.report.audio
        self._video = self.report.video
        self._check: PublisherCheck | None = None
        self._quality: Quality | None = None
        self._watch_quality()

    def started(self, asked: PublishAsked) -> None:
        """Report the beginning: the client has been sent that it publishes."""
        connection = self._connection
        query = {}
        if asked.query:
            query = dict.fromkeys((n for n, _ in parse_qsl(asked.query[:_TEXT_CHARS], keep_blank_values=True)), "***")
        self._context.emit(
            "publish_start",
            conn_id=self.conn_id,
            stream_key=self.stream.key,
            app=self.app,
            publishing_name=self.stream.name,
            publish_type=asked.publish_type,
            session_id=self.session_id,
            client_ip=self.address,
            encoder=connection.flash_ver[:_TEXT_CHARS],
            identity=self._identity,
            query=query,
            **({"protocol": connection.protocol} if connection.protocol else {}),
        )
        _log.info("publish started", conn_id=self.conn_id, stream_key=self.stream.key, session_id=self.session_id)
        self._context.registry.started(self.stream)

    def media(self, message: Message) -> None:
        """Take one audio, video or data message."""
        payload = message.payload
        timestamp = message.timestamp
        if message.type_id == VIDEO:
            track = self._video_track
            track.packets += 1
            track.bytes += len(payload)
            if track.last <= timestamp < track.due and payload and payload[0] & TYPE_BITS != KEY_BITS:
                track.last = timestamp
            elif (quality := self._quality) is not None:
                sample = quality.meter.turn(track, timestamp, payload)
                if sample is not None:
                    quality.note(sample)
            if not payload.startswith(self._video.ordinary):
                self._look_at_video(payload)
        elif message.type_id == AUDIO:
            track = self._audio_track
            track.packets += 1
            track.bytes += len(payload)
            if track.last <= timestamp < track.due:
                track.last = timestamp
            elif (quality := self._quality) is not None:
                sample = quality.meter.turn(track, timestamp, payload)
                if sample is not None:
                    quality.note(sample)
            if not payload.startswith(self._audio.ordinary):
                self._look_at_audio(payload)
        else:
            self._data_bytes += len(payload)
            if not self._ended:
                self.report.data(message)
        self._publish(message)

    def _look_at_video(self, payload: bytes) -> None:
        if not self.video_codec:
            self.video_codec = codec_name(VIDEO, payload)
        if not self._ended:
            self.report.look(self._video, payload)

    def _look_at_audio(self, payload: bytes) -> None:
        if not self.audio_codec:
            self.audio_codec = codec_name(AUDIO, payload)
        if not self._ended:
            self.report.look(self._audio, payload)

    def watch(self, now: float) -> None:
        """Note whether media came since the last call, and report stalls and quality. Called about once a second."""
        self._note_media(now)
        if self._ended or not self.has_media:
            return
        self._watch_quality()
        if self._quality is not None:
            self._quality.judge()
            self._quality.silent(int((now - self._last_media_at) * 1000))
        if self._check is None:
            self._check = PublisherCheck(self._context, self.conn_id, self.session_id, self.stream, self._started_at)
        self._check.check(now, self._last_media_at, self.total_bytes, self.audio_packets + self.video_packets)

    def _watch_quality(self) -> None:
        """Start or stop the quality monitor if the settings changed."""
        if not self._context.quality.enabled:
            self._leave_quality()
        elif self._quality is None:
            self._quality = Quality(self._context, self.conn_id, self.stream.key, self._audio_track, self._video_track)

    def _leave_quality(self) -> None:
        if self._quality is not None:
            self._quality.stop()
            self._quality = None

    def _note_media(self, now: float) -> None:
        if self.total_bytes != self._seen_bytes:
            self._seen_bytes = self.total_bytes
            self._last_media_at = now

    def stalled_s(self) -> float:
        """Return the seconds since the last media message, exact to about a second."""
        now = self._context.clock.monotonic()
        self._note_media(now)
        return now - self._last_media_at

    @property
    def audio_packets(self) -> int:
        """The number of audio messages so far."""
        return self._audio_track.packets

    @property
    def video_packets(self) -> int:
        """The number of video messages so far."""
        return self._video_track.packets

    @property
    def total_bytes(self) -> int:
        """The payload bytes so far of audio, video and data."""
        return self._audio_track.bytes + self._video_track.bytes + self._data_bytes

    @property
    def has_media(self) -> bool:
        """Whether any media has come yet."""
        return self.total_bytes > 0

    def facts(self, now: float) -> dict[str, object]:
        """Return the state of this publish at the monotonic time ``now``, for status pages."""
        return {
            "conn_id": self.conn_id,
            "session_id": self.session_id,
            "address": self.address,
            "age_s": round(now - self._started_at, 3),
            "video_codec": self.video_codec,
            "audio_codec": self.audio_codec,
            "video_packets": self.video_packets,
            "audio_packets": self.audio_packets,
            "total_bytes": self.total_bytes,
            "stalled_s": round(self.stalled_s(), 3),
        }

    def replaced(self, by_conn_id: str, policy: str) -> None:
        """End this publish because another publisher took the key. The stream goes on with that one, so nothing is
        released."""
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

    def clock_jumped(self, kind: str, by_ms: int) -> None:
        """The timestamps of its audio or video are not those of one clock; the stream's time goes on."""
        self.report.clock_jumped(kind, by_ms)

    def stop(self, reason: str, clean: bool) -> None:
        """End the publish; ``clean`` if the publisher itself ended it."""
        self.ended(reason)
        self.stream.stop_publish(self, clean)

    def ended(self, reason: str) -> None:
        """Report the end with ``reason``; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        self._leave_quality()
        duration = round(self._context.clock.monotonic() - self._started_at, 3)
        key = self.stream.key
        self._context.emit(
            "publish_stop",
            conn_id=self.conn_id,
            stream_key=key,
            audio_packets=self._audio_track.packets,
            video_packets=self._video_track.packets,
            total_bytes=self.total_bytes,
            audio_codec=self.audio_codec,
            video_codec=self.video_codec,
            duration_sec=duration,
            app=self.app,
            session_id=self.session_id,
            client_ip=self.address,
            identity=self._identity,
            reason=reason,
        )
        _log.info("publish stopped", conn_id=self.conn_id, stream_key=key, reason=reason, duration_sec=duration)
