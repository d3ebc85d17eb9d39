"""The events about the media of a publish: codecs, sizes and metadata.

A publisher decides how often something changes, so what it can cause is bounded: twenty changes at once
and one more per second. What comes beyond is passed on like all media, and not looked at.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..codec.metadata import declared_codec, is_metadata, metadata_properties, stream_fields, strip_set_data_frame
from ..codec.track import Detection, MediaTrack
from ..errors import AmfError
from ..log import logger
from ..protocol.amf0 import AmfLimits, decode_most
from ..protocol.constants import AUDIO, DATA_AMF3, VIDEO
from ..protocol.message import Message
from ..stream.stream import Stream
from .context import Context

_log = logger("server")

_CHANGES_AT_ONCE: Final = 20
_CHANGE_S: Final = 1.0  # each change takes up so much time, one after the other ...
_MAX_KNOWN: Final = 32  # onMetaData that are remembered ...
_MAX_KNOWN_BYTES: Final = 1024  # ... of at most so many bytes each
_LARGE_BYTES: Final = 16 * 1024  # of metadata
_MAX_AHEAD_S: Final = (_CHANGES_AT_ONCE - 1) * _CHANGE_S  # ... and the next may come if they are no further ahead


def _metadata_in(
    payload: bytes, limits: AmfLimits
) -> tuple[dict[str, object], tuple[tuple[str, str], ...], AmfError | None]:
    """Return what an onMetaData says as fields of ``stream_metadata``, empty without any, the codecs that it declares,
    and why it could not be read to its end. Nobody changes what is returned."""
    values, error = decode_most(strip_set_data_frame(payload), limits)
    if error is not None:
        error.__traceback__ = error.__context__ = error.__cause__ = None  # it is kept, and the connection is not to be
    properties = metadata_properties(values)
    if properties is None:
        return {}, (), error
    declared = tuple((kind, declared_codec(properties, kind)) for kind in ("audio", "video"))
    return stream_fields(properties), declared, error


_known_metadata: Final = lru_cache(maxsize=_MAX_KNOWN)(_metadata_in)  # an encoder that comes back says the same again


class MediaReport:
    """``audio`` and ``video`` know the codec and the facts of the payload; a message
    that ``track.ordinary`` does not know is passed to ``look``. No method raises."""

    __slots__ = ("_conn_id", "_context", "_declared", "_metadata", "_seen", "_stream", "_taken_until", "audio", "video")

    def __init__(self, context: Context, conn_id: str, stream: Stream) -> None:
        self.audio = MediaTrack(AUDIO)
        self.video = MediaTrack(VIDEO)
        self._context = context
        self._conn_id = conn_id
        self._stream = stream
        self._declared: dict[str, str] = {}  # codec of the audio and the video by onMetaData, until a payload says it
        self._metadata: dict[str, object] = {}
        self._seen = b""
        self._taken_until = 0.0

    @property
    def resolution(self) -> str | None:
        """``1920x1080``, as the video says; None if it is not known."""
        return self.video.facts.resolution

    @property
    def framerate(self) -> float | None:
        """The nominal pictures per second, as the video says or else onMetaData; None if neither does."""
        declared = self._metadata.get("framerate")
        return self.video.facts.framerate or (declared if isinstance(declared, float) else None)

    def look(self, track: MediaTrack, payload: bytes) -> None:
        """Examine an audio or video message that is not ordinary."""
        now = self._context.clock.monotonic()
        if self._taken_until - now > _MAX_AHEAD_S:
            return
        headers_read = track.headers_read
        detection = track.look(payload)
        if detection is not None or track.headers_read != headers_read:
            self._taken_until = max(self._taken_until, now) + _CHANGE_S
        if detection is not None:
            self._detected(detection)

    def data(self, message: Message) -> None:
        """Examine a data message: onMetaData that differs from the last one is reported."""
        payload = message.payload
        if message.type_id == DATA_AMF3:
            if payload[:1] != b"\x00":
                return  # AMF3, in which no encoder sends metadata
            payload = payload[1:]
        if not is_metadata(payload) or payload == self._seen:
            return
        now = self._context.clock.monotonic()
        if self._taken_until - now > _MAX_AHEAD_S:
            return
        self._seen = payload
        read = _metadata_in if len(payload) > _MAX_KNOWN_BYTES else _known_metadata
        fields, declared, error = read(payload, self._context.amf_limits)
        if error is not None or len(payload) > _LARGE_BYTES:  # much to read is as much work as a change
            self._taken_until = max(self._taken_until, now) + _CHANGE_S
        if error is not None:
            self._failed("media_error", f"onMetaData cannot be read to its end: {error}")
        if not fields or fields == self._metadata:
            return
        self._taken_until = max(self._taken_until, now) + _CHANGE_S
        self._metadata = fields
        self._declared.update(declared)
        self._context.emit("stream_metadata", conn_id=self._conn_id, stream_key=self._stream.key, **fields)

    def clock_jumped(self, kind: str, by_ms: int) -> None:
        """The publisher's timestamps of one kind of media have jumped."""
        way = "back" if by_ms < 0 else "ahead"
        jump = f"the timestamps of the {kind} jumped {way} by {abs(by_ms) / 1000:g} s"
        self._failed("timestamp_jump", f"{jump}; the stream goes on without the jump")

    def _detected(self, detection: Detection) -> None:
        key = self._stream.key
        if detection.error is not None:
            text = f"the {detection.codec} sequence header cannot be read: {detection.error}"
            self._failed("media_error", text)
        declared = self._declared.pop(detection.kind, None)
        fields = detection.fields() if declared is None else detection.fields(self._metadata)
        self._context.emit("codec_detected", conn_id=self._conn_id, stream_key=key, **fields)
        _log.info(
            "codec detected",
            conn_id=self._conn_id,
            stream_key=key,
            media_type=detection.kind,
            codec=detection.codec,
            profile=detection.facts.profile,
            resolution=detection.resolution,
        )
        if declared and declared != detection.codec:
            text = f"onMetaData says that the {detection.kind} is {declared}, it is {detection.codec}"
            self._failed("codec_mismatch", text)
        if detection.resolution_change is not None:
            previous, current = detection.resolution_change
            self._context.emit(
                "resolution_change", conn_id=self._conn_id, stream_key=key, previous=previous, current=current
            )

    def _failed(self, error_type: str, text: str) -> None:
        stream = self._stream
        self._context.emit(
            "stream_error",
            conn_id=self._conn_id,
            stream_key=stream.key,
            error_type=error_type,
            error_message=text,
            app=stream.app,
            stream_name=stream.name,
        )
        _log.warning("media is not as it should be", conn_id=self._conn_id, stream_key=stream.key, error=text)
