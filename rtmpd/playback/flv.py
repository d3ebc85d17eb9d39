"""HTTP-FLV: a stream as an FLV file without an end, over HTTP or in the binary messages of a WebSocket.

The file header says which tracks there are, and players believe it: one that waits for a sound which never comes shows
nothing. So it is taken from the tracks that the stream has.

mpegts.js and flv.js reject what Enhanced RTMP adds to FLV: the FourCCs ``avc1`` and ``mp4a``, ModEx, several tracks,
the packet types of metadata. For them ``for_browsers`` writes the same frames in the old form, track 0 alone. ffmpeg
and its relatives can ask for everything as it came.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from ..codec.classify import AUDIO, DATA, HEADER, VIDEO, codec_name
from ..codec.metadata import ON_METADATA, is_metadata, metadata_properties
from ..codec.tag import AAC_FORMAT, EX_AUDIO_FORMAT, MODEX, PacketType, TagHeader, Track, decode
from ..errors import AmfError, MediaError
from ..protocol.amf0 import decode_all
from ..protocol.amf0_encoder import encode
from ..protocol.amf0_types import EcmaArray
from ..protocol.constants import AUDIO as AUDIO_MESSAGE
from ..protocol.constants import DATA_AMF0
from ..protocol.constants import VIDEO as VIDEO_MESSAGE
from ..protocol.flv import file_header, tag
from ..protocol.message import Message
from ..stream.frame import Frame
from ..stream.stream import Stream
from ..stream.timeline import step_ms
from . import websocket
from .feed import Feed, LiveViewer, TapFeed

CONTENT_TYPE: Final = "video/x-flv"
TRACKS_WAIT_S: Final = 1.0
#: What FLV players in browsers can decode.
BROWSER_CODECS: Final = frozenset(("H264", "H265", "AAC", "MP3"))

_ENHANCED: Final = 0x80
_AVC_ID: Final = 7
_AAC_FIRST: Final = AAC_FORMAT << 4 | 0x0F  # 44 kHz, 16 bit, stereo: what FLV 10.1, E.4.2.1 wants of every AAC
_LEGACY_PACKETS: Final = {
    PacketType.SEQUENCE_START: 0,
    PacketType.CODED_FRAMES: 1,
    PacketType.CODED_FRAMES_X: 1,
    PacketType.SEQUENCE_END: 2,
}
_SETTLED_MS: Final = 1000


class Form(enum.Enum):
    """How the frames are written: for browsers or as they came, over HTTP or WebSocket."""

    BROWSER = "http-flv"
    RAW = "http-flv raw"
    BROWSER_WS = "ws-flv"
    RAW_WS = "ws-flv raw"

    @property
    def is_raw(self) -> bool:
        """Whether the frames are as the publisher sent them."""
        return self in (Form.RAW, Form.RAW_WS)

    @property
    def is_ws(self) -> bool:
        """Whether they are messages of a WebSocket."""
        return self in (Form.BROWSER_WS, Form.RAW_WS)

    @property
    def protocol(self) -> str:
        """What events call it."""
        return "ws-flv" if self.is_ws else "http-flv"


class FlvFrame(Frame):
    """A frame whose wire is a tag of FLV, made when it is sent first and kept for the others."""

    __slots__ = ()

    def wire(self, chunk_size: int, msid: int) -> bytes:
        """The tag, with its size after it."""
        if not self._wire:
            self._wire = tag(Message(self.type_id, self.payload, self.timestamp))
        return self._wire


class WebSocketFrame(Frame):
    """The same as one message of a WebSocket."""

    __slots__ = ()

    def wire(self, chunk_size: int, msid: int) -> bytes:
        """The tag in its envelope."""
        if not self._wire:
            self._wire = websocket.binary(tag(Message(self.type_id, self.payload, self.timestamp)))
        return self._wire


class Tracks:
    """Which tracks a stream has, with what codecs, as far as it was given their frames."""

    def __init__(self) -> None:
        self.audio = ""
        self.video = ""
        self._announced = 0
        self._first_ms: int | None = None
        self._span_ms = 0

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        """Called by the stream, of which it may be a tap for a moment: what a player that joins gets."""
        self.take(burst)

    def take(self, frames: list[Frame]) -> None:
        """Take note of frames."""
        for frame in frames:
            self._look(frame)

    def published(self) -> None:
        """Another publisher goes on with the stream."""

    def unpublished(self) -> None:
        """The stream is over, which whoever waits sees."""

    def _look(self, frame: Frame) -> None:
        flags = frame.flags
        if flags & DATA:
            if flags & HEADER:
                self._announced = _announced(frame.payload)
            return
        if flags & VIDEO:
            self.video = codec_name(frame.type_id, frame.payload) or self.video
        elif flags & AUDIO:
            self.audio = codec_name(frame.type_id, frame.payload) or self.audio
        if not flags & HEADER:
            if self._first_ms is None:
                self._first_ms = frame.timestamp
            self._span_ms = max(self._span_ms, step_ms(self._first_ms, frame.timestamp))

    @property
    def known(self) -> int:
        """AUDIO and VIDEO, those that there are."""
        return (AUDIO if self.audio else 0) | (VIDEO if self.video else 0)

    @property
    def are_settled(self) -> bool:
        """Whether no other track can be expected: all that were announced are here, or media has come for a while."""
        known = self.known
        return known == AUDIO | VIDEO or bool(known and (known == self._announced or self._span_ms >= _SETTLED_MS))

    def undecodable(self) -> str:
        """The codecs that FLV players in browsers cannot decode, "" if there are none."""
        return " and ".join(codec for codec in (self.video, self.audio) if codec and codec not in BROWSER_CODECS)


def _announced(payload: bytes) -> int:
    properties = properties_of(payload)
    if properties is None:
        return 0
    kinds = ((AUDIO, "audiocodecid"), (VIDEO, "videocodecid"))
    return sum(kind for kind, name in kinds if properties.get(name) not in (None, 0, 0.0, ""))


def properties_of(payload: bytes) -> dict[str, object] | None:
    """The properties of an onMetaData; None if it is not one."""
    try:
        found = metadata_properties(decode_all(payload))
    except AmfError:
        return None
    return dict(found) if found is not None else None


class FlvFeed(TapFeed):
    """FLV in one of its forms. ``tracks`` are those of the stream when the last viewer came."""

    def __init__(self, stream: Stream, form: Form, on_empty: Callable[[Feed], None]) -> None:
        self.tracks = Tracks()
        self._rewrite = unchanged if form.is_raw else for_browsers
        self._is_ws = form.is_ws
        self._frame = WebSocketFrame if form.is_ws else FlvFrame
        super().__init__(stream, on_empty)

    def add(self, viewer: LiveViewer) -> None:
        """Send the file header to ``viewer``, then the stream."""
        viewer.writer.write(self._header())
        super().add(viewer)

    def _header(self) -> bytes:
        known = self.tracks.known or AUDIO | VIDEO
        header = file_header(audio=bool(known & AUDIO), video=bool(known & VIDEO))
        return websocket.binary(header) if self._is_ws else header

    def convert(self, frames: list[Frame]) -> list[Frame]:
        """The frames as tags."""
        out: list[Frame] = []
        for frame in frames:
            if frame.flags & DATA:
                payload: bytes | None = self._metadata(frame) if is_metadata(frame.payload) else frame.payload
            else:
                payload = self._rewrite(frame)
            if payload is not None:
                out.append(self._frame(frame.type_id, payload, frame.timestamp, frame.flags))
        return out

    def _metadata(self, frame: Frame) -> bytes:
        """onMetaData that says which tracks there are, as players read it there too."""
        properties = properties_of(frame.payload)
        known = self.tracks.known
        if properties is None or frame.type_id != DATA_AMF0 or not known:
            return frame.payload
        properties["hasAudio"], properties["hasVideo"] = bool(known & AUDIO), bool(known & VIDEO)
        return encode(ON_METADATA, EcmaArray(properties))  # type: ignore[arg-type]


def unchanged(frame: Frame) -> bytes:
    """The payload as it came."""
    return frame.payload


def for_browsers(frame: Frame) -> bytes | None:
    """The payload in the form that players in browsers read: that of FLV 10.1 for H.264 and AAC, of track 0 alone and
    without ModEx; None if there is none."""
    payload = frame.payload
    if not payload or not _is_enhanced(frame.type_id, payload[0]):
        return payload
    try:
        header = decode(frame.type_id, payload)
    except MediaError:
        return None
    track = header.main_track
    if track is None or track.track_id or header.packet_type not in _LEGACY_PACKETS:
        return None
    body = payload[track.offset : track.offset + track.length]
    packet = _LEGACY_PACKETS[header.packet_type]
    if track.fourcc == "avc1":
        time_ms = (track.composition_time_ms or 0).to_bytes(3, "big", signed=True)
        return bytes(((payload[0] >> 4 & 7) << 4 | _AVC_ID, packet)) + time_ms + body
    if track.fourcc == "mp4a":
        return bytes((_AAC_FIRST, packet)) + body if packet < 2 else None
    return _plain(header, track, payload, body)


def _is_enhanced(type_id: int, first: int) -> bool:
    if type_id == VIDEO_MESSAGE:
        return bool(first & _ENHANCED)
    return type_id == AUDIO_MESSAGE and first >> 4 == EX_AUDIO_FORMAT


def _plain(header: TagHeader, track: Track, payload: bytes, body: bytes) -> bytes:
    """An enhanced message of another codec, without ModEx and with one track."""
    if payload[0] & 0x0F != MODEX and header.multitrack is None:
        return payload
    packets = {PacketType.SEQUENCE_START: 0, PacketType.CODED_FRAMES: 1, PacketType.SEQUENCE_END: 2}
    packet = packets.get(header.packet_type, 3)
    time_ms = b"" if track.composition_time_ms is None else track.composition_time_ms.to_bytes(3, "big", signed=True)
    return bytes((payload[0] & 0xF0 | packet,)) + (track.fourcc or "").encode("latin-1") + time_ms + body


class WebSocketViewer(LiveViewer):
    """A viewer that speaks WebSocket: its pings are answered, and its close ends it."""

    _said_goodbye = False

    def reader(self) -> Callable[[bytes], None]:
        """What takes the bytes of the client."""
        reading = websocket.Reader()

        def read(data: bytes) -> None:
            answer = reading.feed(data)
            if answer:
                self.writer.write(answer)
            if reading.is_over:
                self._said_goodbye = True
                self.end("client_closed")

        return read

    def last_words(self) -> None:
        """The server ends it with a close frame."""
        if not self._said_goodbye:
            self._said_goodbye = True
            self.writer.write(websocket.close())
