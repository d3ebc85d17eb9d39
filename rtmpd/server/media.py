"""What the media of a publish is: the events that tell of codecs, sizes and metadata.

A publisher decides how often something changes, so what it can cause is bounded: twenty changes at once
and one more per second. What comes beyond is passed on like all media, and not looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from ..codec.facts import Facts, merged
from ..codec.metadata import declared_codec, is_metadata, metadata_properties, stream_fields
from ..codec.track import Detection, MediaTrack
from ..errors import AmfError
from ..log import logger
from ..protocol.amf0 import decode_all
from ..protocol.constants import AUDIO, DATA_AMF3, VIDEO
from ..protocol.message import Message
from ..stream.stream import Stream
from .context import Context

_log = logger("server")

_CHANGES_AT_ONCE: Final = 20.0
_CHANGES_PER_S: Final = 1.0


class _Declared(NamedTuple):
    """What onMetaData says of the audio or the video, until a payload says it itself."""

    codec: str
    facts: Facts


class MediaReport:
    """``audio`` and ``video`` know the codec and the facts of the payload; whoever has a message that
    ``track.ordinary`` does not know has it looked at. No method switches greenlets or raises."""

    __slots__ = ("_at", "_conn_id", "_context", "_declared", "_left", "_metadata", "_seen", "_stream", "audio", "video")

    def __init__(self, context: Context, conn_id: str, stream: Stream) -> None:
        self.audio = MediaTrack(AUDIO)
        self.video = MediaTrack(VIDEO)
        self._context = context
        self._conn_id = conn_id
        self._stream = stream
        self._declared: dict[str, _Declared] = {}
        self._metadata: dict[str, object] = {}
        self._seen = b""
        self._left = _CHANGES_AT_ONCE
        self._at = context.clock.monotonic()

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
        """An audio or video message that is not ordinary."""
        if not self._may_tell():
            return
        headers_read = track.headers_read
        detection = track.look(payload)
        if detection is not None or track.headers_read != headers_read:
            self._left -= 1
        if detection is not None:
            self._detected(detection)

    def data(self, message: Message) -> None:
        """A data message: of interest if it is onMetaData, and says something else than the last."""
        payload = message.payload
        if message.type_id == DATA_AMF3:
            if payload[:1] != b"\x00":
                return  # AMF3, in which no encoder sends metadata
            payload = payload[1:]
        if not is_metadata(payload) or payload == self._seen or not self._may_tell():
            return
        self._seen = payload
        try:
            properties = metadata_properties(decode_all(payload, self._context.amf_limits))
        except AmfError as error:
            self._left -= 1
            self._failed("media_error", f"onMetaData can not be read: {error}")
            return
        fields = stream_fields(properties or {})
        if properties is None or not fields or fields == self._metadata:
            return
        self._left -= 1
        self._metadata = fields
        for kind in ("audio", "video"):
            facts = stream_facts(fields, kind)
            self._declared[kind] = _Declared(declared_codec(properties, kind), facts)
        self._context.emit("stream_metadata", conn_id=self._conn_id, stream_key=self._stream.key, **fields)

    def _may_tell(self) -> bool:
        now = self._context.clock.monotonic()
        self._left = min(_CHANGES_AT_ONCE, self._left + (now - self._at) * _CHANGES_PER_S)
        self._at = now
        return self._left >= 1

    def _detected(self, detection: Detection) -> None:
        key = self._stream.key
        if detection.error is not None:
            text = f"the {detection.codec} sequence header can not be read: {detection.error}"
            self._failed("media_error", text)
        declared = self._declared.pop(detection.kind, None)
        if declared is not None:
            detection = replace(detection, facts=merged(declared.facts, detection.facts))
        self._context.emit("codec_detected", conn_id=self._conn_id, stream_key=key, **detection.fields())
        _log.info(
            "codec detected",
            conn_id=self._conn_id,
            stream_key=key,
            media_type=detection.kind,
            codec=detection.codec,
            profile=detection.facts.profile,
            resolution=detection.facts.resolution,
        )
        if declared is not None and declared.codec not in ("", detection.codec):
            text = f"onMetaData says that the {detection.kind} is {declared.codec}, it is {detection.codec}"
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


def stream_facts(fields: dict[str, object], kind: str) -> Facts:
    """What onMetaData adds to what a payload says: the bit rate, and of video the frame rate."""
    bitrate, rate = fields.get(f"{kind}_bitrate"), fields.get("framerate") if kind == "video" else None
    return Facts(
        bitrate_bps=bitrate if isinstance(bitrate, int) else None, framerate=rate if isinstance(rate, float) else None
    )
