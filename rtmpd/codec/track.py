"""The audio or the video of one publish: what it is, and when that changes.

``MediaTrack.look`` is for the few messages that can say something new: sequence headers, keyframes of codecs
that write their size there, and messages that begin unlike those before. All others are known by
their first bytes: the caller asks ``payload.startswith(track.ordinary)`` first, which is all
that an ordinary frame costs.

Codecs with a sequence header are reported when it comes; those without one by their first message; VP8
and VP9, whose header does not say the size, by their first keyframe. A header that does not come is
waited for so long and no longer. Of several tracks of a kind the one with the lowest id is followed.

Nothing here raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Final, NamedTuple

from ..errors import MediaError
from . import aac, ac3, av1, avc, flac, flash, hevc, mp3, opus, tag, vpx, vvc
from .facts import NOTHING, Facts, merged
from .names import AUDIO_FOURCCS, VIDEO_FOURCCS
from .tag import CODED, FrameType, MultitrackType, PacketType, TagHeader

PATIENCE_MESSAGES: Final = 50
"""Coded frames that may come before the sequence header that their codec has."""

_LOOKED_AT_BYTES: Final = 1 << 16
_MAX_BEGINNINGS: Final = 8
_SHORT_BYTES: Final = 512
_NOT_DECLARED: Final[Mapping[str, object]] = {}

_FOURCCS: Final = {**VIDEO_FOURCCS, **AUDIO_FOURCCS}
_FRAMES: Final = {
    FrameType.KEY: "keyframe",
    FrameType.GENERATED_KEY: "keyframe",
    FrameType.INTER: "interframe",
    FrameType.DISPOSABLE_INTER: "interframe",
}
_LEGACY_OPUS: Final = flash.sound_facts(13, 0, 0, 0)
_track_id: Final = attrgetter("track_id")
_HEADERS: Final = (PacketType.SEQUENCE_START, PacketType.MPEG2TS_SEQUENCE_START)

_Reader = Callable[[bytes], Facts]
_CONFIG_READERS: Final[Mapping[str, _Reader]] = {
    "H264": avc.read_config,
    "H265": hevc.read_config,
    "VVC": vvc.read_config,
    "AV1": av1.read_config,
    "VP8": vpx.read_config,
    "VP9": vpx.read_config,
    "AAC": aac.read_config,
    "OPUS": opus.read_config,
    "FLAC": flac.read_config,
}
# Keyframes of these say the size, so each is looked at; an AV1 keyframe usually repeats the sequence header.
_KEYFRAME_READERS: Final[Mapping[str, _Reader]] = {
    "AV1": av1.read_units,
    "VP8": vpx.read_vp8_frame,
    "VP9": vpx.read_vp9_frame,
    "SORENSON": flash.read_sorenson,
    "SCREEN": flash.read_screen,
    "SCREEN2": flash.read_screen,
    "VP6": flash.read_vp6,
    "VP6A": flash.read_vp6_alpha,
}
# The first frame of these says what there is to know.
_SOUND_READERS: Final[Mapping[str, _Reader]] = {
    "MP3": mp3.read_frame,
    "AC3": ac3.read_frame,
    "EAC3": ac3.read_frame,
    "OPUS": opus.read_packet,
}


class Detection(NamedTuple):
    """Something new about a track. ``change`` is false for the first of a track. ``resolution`` is that of the facts;
    ``resolution_change`` is the last size that was known and this one, if they differ. ``error`` is why the sequence
    header could not be read; nothing but the codec is known then."""

    kind: str
    codec: str
    facts: Facts
    packet: str
    frame: str | None
    change: bool
    resolution: str | None
    resolution_change: tuple[str, str] | None
    error: MediaError | None

    def fields(self, declared: Mapping[str, object] = _NOT_DECLARED) -> dict[str, object]:
        """The data of ``codec_detected``: what is known, in the order of the catalogue. The bit rate and the frame
        rate are as ``declared``, which has the names of ``stream_metadata``, where the payload does not say them."""
        facts = self.facts
        bitrate: object = facts.bitrate_bps
        if bitrate is None:
            bitrate = declared.get(f"{self.kind}_bitrate")
        framerate: object = facts.framerate
        if framerate is None and self.kind == "video":
            framerate = declared.get("framerate")
        data: dict[str, object] = {"media_type": self.kind, "codec_name": self.codec}
        for name, value in (
            ("codec_profile", facts.profile),
            ("level", facts.level),
            ("bitrate", bitrate),
            ("resolution", self.resolution),
            ("framerate", framerate),
            ("sample_rate", facts.sample_rate_hz),
            ("channels", facts.channels),
            ("packet_type", self.packet),
            ("frame_type", self.frame),
        ):
            if value is not None:
                data[name] = value
        data["change"] = self.change
        return data


class MediaTrack:
    """``codec`` and ``facts`` are what was last reported; ``""`` and no facts before. ``ordinary`` holds the
    beginnings of messages that say nothing new. ``type_id`` is that of the messages; ``headers_read`` counts the
    sequence headers that were unlike the one before and so had to be read, which is the work a publisher can cause."""

    __slots__ = (
        "_awaited",
        "_config",
        "_config_codec",
        "_config_facts",
        "_decode",
        "_followed",
        "_resolution",
        "_unsettled",
        "codec",
        "facts",
        "headers_read",
        "ordinary",
        "type_id",
    )

    def __init__(self, type_id: int) -> None:
        self.type_id = type_id
        self.codec = ""
        self.facts = NOTHING
        self.headers_read = 0
        self._decode = tag.decode_video if type_id == tag.VIDEO_MESSAGE else tag.decode_audio
        self.ordinary: tuple[bytes, ...] = ()
        self._awaited = 0
        self._config = b""
        self._config_codec = ""
        self._config_facts = NOTHING
        self._followed: int | None = None
        self._resolution: str | None = None
        self._unsettled = False

    def look(self, payload: bytes) -> Detection | None:
        """What a message says that was not known; None if nothing, or if no sense can be made of it."""
        try:
            header = self._decode(payload)
        except MediaError:
            return None
        track = min(header.tracks, key=_track_id, default=None)
        if track is None or (self._followed is not None and track.track_id > self._followed):
            self._remember(header, payload)
            return None
        self._followed = track.track_id
        codec = header.codec if track.fourcc is None else _FOURCCS.get(track.fourcc, "")
        body = payload[track.offset : track.offset + min(track.length, _LOOKED_AT_BYTES)]
        if header.packet_type in _HEADERS:
            return self._hear_config(header, codec, body)
        if header.packet_type in CODED:
            return self._hear_frame(header, codec, body, payload)
        return None

    def _hear_config(self, header: TagHeader, codec: str, body: bytes) -> Detection | None:
        if codec not in _CONFIG_READERS or not body or (codec == self._config_codec and body == self._config):
            return None
        self._config_codec, self._config, self._config_facts = codec, body, NOTHING
        self.headers_read += 1
        error = None
        try:
            # an encoder that comes back says the same again, and many say the same
            read = _read_config_again if len(body) <= _SHORT_BYTES else _read_config
            self._config_facts = read(codec, body)
        except MediaError as unreadable:
            error = unreadable
        if not error and codec in _KEYFRAME_READERS and not self._config_facts.resolution:
            self._unsettled = True
            return None
        return self._detection(header, codec, self._config_facts, error)

    def _hear_frame(self, header: TagHeader, codec: str, body: bytes, payload: bytes) -> Detection | None:
        settled = codec == self.codec and not self._unsettled
        at_keyframe = codec in _KEYFRAME_READERS and header.keyframe
        may_differ = at_keyframe or (header.sound is not None and codec not in _CONFIG_READERS)
        if not codec or (settled and not may_differ):
            self._remember(header, payload)
            return None
        known = self.facts if settled else self._config_facts if codec == self._config_codec else NOTHING
        facts = merged(known, self._facts_of_frame(header, codec, body, payload[0]))
        if settled:
            # frames of MP3 may each have a bit rate of their own
            is_news = facts._replace(bitrate_bps=self.facts.bitrate_bps) != self.facts
        else:
            self._awaited += 1
            is_news = self._is_complete(codec, facts) or self._awaited > PATIENCE_MESSAGES
        detection = self._detection(header, codec, facts, None) if is_news else None
        if (settled or is_news) and not at_keyframe:
            self._remember(header, payload)
        return detection

    def _facts_of_frame(self, header: TagHeader, codec: str, body: bytes, first: int) -> Facts:
        own = flash.sound_facts(first >> 4, *header.sound) if header.sound is not None else NOTHING
        reader = _KEYFRAME_READERS.get(codec) if header.keyframe else _SOUND_READERS.get(codec)
        if own is _LEGACY_OPUS or reader is None or (codec == self._config_codec and codec in _SOUND_READERS):
            return own
        try:
            return merged(own, reader(body))
        except MediaError:
            return own  # a frame that cannot be read is passed on like any other

    def _is_complete(self, codec: str, facts: Facts) -> bool:
        """Whether no more can be expected to become known of the codec."""
        if codec in _KEYFRAME_READERS:
            return facts.resolution is not None
        return codec not in _CONFIG_READERS or codec == self._config_codec or facts != NOTHING

    def _detection(self, header: TagHeader, codec: str, facts: Facts, error: MediaError | None) -> Detection | None:
        if error is None and codec == self.codec and facts == self.facts:
            self._unsettled = False  # another header that says the same, as FLAC encoders send one at the end
            return None
        before, now = self._resolution, facts.resolution
        detection = Detection(
            kind=header.kind,
            codec=codec,
            facts=facts,
            packet="raw" if header.packet_type in CODED else "sequence_header",
            frame=_FRAMES.get(header.frame_type) if header.frame_type is not None else None,
            change=bool(self.codec),
            resolution=now,
            resolution_change=(before, now) if before and now and before != now else None,
            error=error,
        )
        self.codec, self.facts, self._resolution = codec, facts, now or before
        self._awaited, self._unsettled, self.ordinary = 0, False, ()
        return detection

    def _remember(self, header: TagHeader, payload: bytes) -> None:
        """Messages that begin like this one need no look."""
        if header.packet_type not in CODED:
            return
        beginning = payload[: _beginning_bytes(header, payload)]
        if beginning and beginning not in self.ordinary:
            kept = self.ordinary if len(self.ordinary) < _MAX_BEGINNINGS else ()
            self.ordinary = (*kept, beginning)


def _read_config(codec: str, body: bytes) -> Facts:
    """The facts of a sequence header; raises MediaError."""
    return _CONFIG_READERS[codec](body)


_read_config_again = lru_cache(maxsize=64)(_read_config)


def _beginning_bytes(header: TagHeader, payload: bytes) -> int:
    """How far the beginning goes that settles codec, packet type and track; 0 if no beginning does."""
    first = payload[0]
    is_video = header.kind == "video"
    if not (first & 0x80 if is_video else first >> 4 == tag.EX_AUDIO_FORMAT):
        if is_video:
            return 2 if first & 15 in tag.PACKETED_VIDEO_CODEC_IDS else 1
        return 2 if first >> 4 == tag.AAC_FORMAT else 1
    if first & 15 == tag.MODEX:
        return 0
    if header.multitrack is None:
        return 5
    return 7 if header.multitrack is MultitrackType.ONE_TRACK else 0
