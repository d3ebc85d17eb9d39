"""The header of an audio or video message: what codec, what kind of packet, where the bodies are.

Two generations share the first byte::

    video  0 FFF CCCC   legacy:   F frame type, C codec id             FLV 10.1, E.4.3.1
           1 FFF PPPP   enhanced: F frame type, P packet type          Enhanced RTMP v2, ExVideoTagHeader
    audio  SSSS RRZT    legacy:   S sound format, rate, size, type     FLV 10.1, E.4.2.1
           1001 PPPP    enhanced: P packet type                        Enhanced RTMP v2, ExAudioTagHeader

After the first byte of an enhanced header come, in this order: any number of ModEx blocks
(size, data, then a byte with the block's own type and the next packet type), the multitrack byte
(multitrack type, packet type of all tracks), the FourCC unless each track has its own, and the
tracks. A message that is not multitrack has one track with the id 0.

Legacy AVC has a packet type and a composition time of its own; HEVC, AV1 and VVC under the ids 12, 13
and 14 are laid out like it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple

from ..errors import MediaError
from .names import AUDIO_FOURCCS, SOUND_FORMATS, VIDEO_CODEC_IDS, VIDEO_FOURCCS

AUDIO_MESSAGE: Final = 8
VIDEO_MESSAGE: Final = 9

# Bounds on what one header may make us loop over. A track id is one byte; only one kind of ModEx
# is defined, so a longer chain than this carries nothing.
MAX_TRACKS: Final = 256
MAX_MODEX: Final = 16


class PacketType(enum.StrEnum):
    """What a message carries. Legacy packets are named by their enhanced counterparts; an AVC or
    AAC sequence header is a SEQUENCE_START."""

    SEQUENCE_START = "sequence_start"
    CODED_FRAMES = "coded_frames"
    SEQUENCE_END = "sequence_end"
    CODED_FRAMES_X = "coded_frames_x"
    METADATA = "metadata"
    MPEG2TS_SEQUENCE_START = "mpeg2ts_sequence_start"
    MULTICHANNEL_CONFIG = "multichannel_config"
    COMMAND = "command"


class FrameType(enum.IntEnum):
    """VideoFrameType of both generations; the other values are reserved."""

    KEY = 1
    INTER = 2
    DISPOSABLE_INTER = 3
    GENERATED_KEY = 4
    COMMAND = 5


class MultitrackType(enum.IntEnum):
    """AvMultitrackType of Enhanced RTMP v2."""

    ONE_TRACK = 0
    MANY_TRACKS = 1
    MANY_TRACKS_MANY_CODECS = 2


class Sound(NamedTuple):
    """What the legacy audio byte claims. AAC and Speex encoders write fixed values there, so for
    those two this says nothing about the sound."""

    rate_hz: int
    sample_bits: int
    channels: int


class Track(NamedTuple):
    """One track's body, ``payload[offset : offset + length]``. ``fourcc`` is None in a legacy message;
    ``composition_time_ms`` is None where the layout has no such field."""

    track_id: int
    fourcc: str | None
    offset: int
    length: int
    composition_time_ms: int | None


class TagHeader(NamedTuple):
    """The decoded header of one audio or video message.

    ``codec`` is the name that events use, of the main track, ``""`` if the id or FourCC is not known.
    ``frame_type`` is None for audio, for metadata (the standard ignores it there) and for reserved
    values. ``command`` is the VideoCommand of a command frame. ``timestamp_offset_ns`` adds to the
    message's timestamp. An empty audio message, which means silence, is a SEQUENCE_END without tracks.
    """

    kind: str
    packet_type: PacketType
    codec: str = ""
    frame_type: FrameType | None = None
    sound: Sound | None = None
    command: int | None = None
    timestamp_offset_ns: int | None = None
    multitrack: MultitrackType | None = None
    tracks: tuple[Track, ...] = ()

    @property
    def main_track(self) -> Track | None:
        """Track 0, the default track by recommendation of the standard, or else the first one."""
        return _main_track(self.tracks)

    @property
    def fourcc(self) -> str | None:
        """The main track's FourCC; None in a legacy message."""
        main = self.main_track
        return main.fourcc if main else None

    @property
    def composition_time_ms(self) -> int | None:
        """The main track's presentation minus decoding time; None where the layout has no such field."""
        main = self.main_track
        return main.composition_time_ms if main else None

    @property
    def keyframe(self) -> bool:
        """Whether coded frames are here that a decoder can start with."""
        return self.packet_type in CODED and self.frame_type in (FrameType.KEY, FrameType.GENERATED_KEY)


CODED: Final = frozenset({PacketType.CODED_FRAMES, PacketType.CODED_FRAMES_X})

PACKETED_VIDEO_CODEC_IDS: Final = frozenset({7, 12, 13, 14})
AAC_FORMAT: Final = 10
EX_AUDIO_FORMAT: Final = 9
MODEX: Final = 7

_REORDERING_FOURCCS: Final = frozenset({"avc1", "hvc1", "vvc1"})
# the lower four bits of the legacy audio byte -> what they say
_SOUNDS: Final = tuple(
    Sound(rate_hz, sample_bits, channels)
    for rate_hz in (5512, 11025, 22050, 44100)
    for sample_bits in (8, 16)
    for channels in (1, 2)
)
_TIMESTAMP_OFFSET_NANO: Final = 0
# second byte of a legacy AVC or AAC message -> what it carries
_LEGACY_PACKETS: Final = {
    b"\x00": PacketType.SEQUENCE_START,
    b"\x01": PacketType.CODED_FRAMES,
    b"\x02": PacketType.SEQUENCE_END,
}
_FRAME_TYPES: Final = {int(member): member for member in FrameType}
_MULTITRACK_TYPES: Final = {int(member): member for member in MultitrackType}


class _Side(NamedTuple):
    """What differs between the two enhanced headers."""

    kind: str
    packets: Mapping[int, PacketType]
    multitrack: int
    codecs: Mapping[str, str]


_VIDEO: Final = _Side(
    "video",
    {
        0: PacketType.SEQUENCE_START,
        1: PacketType.CODED_FRAMES,
        2: PacketType.SEQUENCE_END,
        3: PacketType.CODED_FRAMES_X,
        4: PacketType.METADATA,
        5: PacketType.MPEG2TS_SEQUENCE_START,
    },
    6,
    VIDEO_FOURCCS,
)
_AUDIO: Final = _Side(
    "audio",
    {
        0: PacketType.SEQUENCE_START,
        1: PacketType.CODED_FRAMES,
        2: PacketType.SEQUENCE_END,
        4: PacketType.MULTICHANNEL_CONFIG,
    },
    5,
    AUDIO_FOURCCS,
)


def decode(type_id: int, payload: bytes) -> TagHeader:
    """The header of an audio (8) or video (9) message.

    Looks at the header only, never into a body; loops over at most MAX_MODEX blocks and MAX_TRACKS
    tracks. Raises MediaError with the code ``truncated``, ``packet_type``, ``multitrack_type``,
    ``too_many_tracks``, ``too_many_modex``, ``timestamp_offset`` or ``not_media``.
    """
    if type_id == VIDEO_MESSAGE:
        return decode_video(payload)
    if type_id == AUDIO_MESSAGE:
        return decode_audio(payload)
    raise MediaError(f"message type {type_id} is neither audio nor video", "not_media")


def decode_video(payload: bytes) -> TagHeader:
    """The header of a video message; raises as ``decode``."""
    if not payload:
        raise MediaError("an empty video message", "truncated")
    first = payload[0]
    frame_bits = first >> 4 & 7
    if first & 0x80:
        return _decode_enhanced(_VIDEO, payload, frame_bits)
    codec_id = first & 15
    codec = VIDEO_CODEC_IDS.get(codec_id, "")
    frame_type = _FRAME_TYPES.get(frame_bits)
    if frame_type is FrameType.COMMAND:
        return TagHeader("video", PacketType.COMMAND, codec, frame_type, command=_byte(payload, 1))
    if codec_id not in PACKETED_VIDEO_CODEC_IDS:
        track = Track(0, None, 1, len(payload) - 1, None)
        return TagHeader("video", PacketType.CODED_FRAMES, codec, frame_type, tracks=(track,))
    packet_type = _LEGACY_PACKETS.get(payload[1:2])
    if packet_type is None:
        raise _no_legacy_packet(payload)
    if packet_type is PacketType.SEQUENCE_END:
        # nothing follows that matters, and some encoders leave the composition time out
        return TagHeader("video", packet_type, codec, frame_type)
    if len(payload) < 5:
        raise _no_composition_time()
    track = Track(0, None, 5, len(payload) - 5, int.from_bytes(payload[2:5], "big", signed=True))
    return TagHeader("video", packet_type, codec, frame_type, tracks=(track,))


def decode_audio(payload: bytes) -> TagHeader:
    """The header of an audio message; raises as ``decode``."""
    if not payload:
        return TagHeader("audio", PacketType.SEQUENCE_END)
    first = payload[0]
    sound_format = first >> 4
    if sound_format == EX_AUDIO_FORMAT:
        return _decode_enhanced(_AUDIO, payload, 0)
    codec = SOUND_FORMATS.get(sound_format, "")
    sound = _SOUNDS[first & 15]
    if sound_format != AAC_FORMAT:
        track = Track(0, None, 1, len(payload) - 1, None)
        return TagHeader("audio", PacketType.CODED_FRAMES, codec, sound=sound, tracks=(track,))
    packet_type = _LEGACY_PACKETS.get(payload[1:2])
    if packet_type is None or packet_type is PacketType.SEQUENCE_END:
        raise _no_legacy_packet(payload)
    track = Track(0, None, 2, len(payload) - 2, None)
    return TagHeader("audio", packet_type, codec, sound=sound, tracks=(track,))


def _decode_enhanced(side: _Side, payload: bytes, frame_bits: int) -> TagHeader:
    packet, pos, timestamp_offset_ns = _skip_modex(payload)
    frame_type = _FRAME_TYPES.get(frame_bits)
    if frame_type is FrameType.COMMAND and side.packets.get(packet) is not PacketType.METADATA:
        command = _byte(payload, pos)
        return TagHeader(
            side.kind,
            PacketType.COMMAND,
            frame_type=frame_type,
            command=command,
            timestamp_offset_ns=timestamp_offset_ns,
        )
    multitrack = None
    if packet == side.multitrack:
        byte = _byte(payload, pos)
        multitrack = _MULTITRACK_TYPES.get(byte >> 4)
        if multitrack is None:
            raise MediaError(f"multitrack type {byte >> 4} is reserved", "multitrack_type")
        packet, pos = byte & 15, pos + 1
    packet_type = _packet_type(side.packets, packet)
    if packet_type is PacketType.METADATA:
        frame_type = None
    tracks = _tracks(payload, pos, packet_type, multitrack)
    main = _main_track(tracks)
    codec = side.codecs.get(main.fourcc or "", "") if main else ""
    return TagHeader(
        side.kind,
        packet_type,
        codec,
        frame_type,
        timestamp_offset_ns=timestamp_offset_ns,
        multitrack=multitrack,
        tracks=tracks,
    )


def _skip_modex(payload: bytes) -> tuple[int, int, int | None]:
    """The packet type after the ModEx blocks, the position after it, and the nanosecond offset."""
    packet, pos = payload[0] & 15, 1
    timestamp_offset_ns = None
    for _ in range(MAX_MODEX + 1):
        if packet != MODEX:
            return packet, pos, timestamp_offset_ns
        size, pos = _byte(payload, pos) + 1, pos + 1
        if size == 256:
            size, pos = _unsigned(payload, pos, 2) + 1, pos + 2
        data, pos = pos, pos + size
        types, pos = _byte(payload, pos), pos + 1
        packet = types & 15
        if types >> 4 == _TIMESTAMP_OFFSET_NANO:
            if size < 3:
                raise MediaError(f"a nanosecond offset of {size} bytes", "timestamp_offset")
            timestamp_offset_ns = _unsigned(payload, data, 3)
    raise MediaError(f"more than {MAX_MODEX} ModEx blocks", "too_many_modex")


def _tracks(
    payload: bytes, pos: int, packet_type: PacketType, multitrack: MultitrackType | None
) -> tuple[Track, ...]:
    fourcc = ""
    if multitrack is not MultitrackType.MANY_TRACKS_MANY_CODECS:
        fourcc, pos = _fourcc(payload, pos), pos + 4
    end = len(payload)
    if multitrack is None:
        return (_track(payload, 0, fourcc, pos, end, packet_type),)
    if multitrack is MultitrackType.ONE_TRACK:
        return (_track(payload, _byte(payload, pos), fourcc, pos + 1, end, packet_type),)
    tracks: list[Track] = []
    while pos < end or not tracks:
        if len(tracks) == MAX_TRACKS:
            raise MediaError(f"more than {MAX_TRACKS} tracks in one message", "too_many_tracks")
        if multitrack is MultitrackType.MANY_TRACKS_MANY_CODECS:
            fourcc, pos = _fourcc(payload, pos), pos + 4
        track_id = _byte(payload, pos)
        size, pos = _unsigned(payload, pos + 1, 3), pos + 4
        if pos + size > end:
            raise MediaError(f"track {track_id} ends {pos + size - end} bytes after its message", "truncated")
        tracks.append(_track(payload, track_id, fourcc, pos, pos + size, packet_type))
        pos += size
    return tuple(tracks)


def _track(payload: bytes, track_id: int, fourcc: str, start: int, end: int, packet_type: PacketType) -> Track:
    if packet_type is PacketType.CODED_FRAMES and fourcc in _REORDERING_FOURCCS:
        composition_time_ms = _signed24(payload, start, end)
        return Track(track_id, fourcc, start + 3, end - start - 3, composition_time_ms)
    return Track(track_id, fourcc, start, end - start, None)


def _main_track(tracks: tuple[Track, ...]) -> Track | None:
    for track in tracks:
        if track.track_id == 0:
            return track
    return tracks[0] if tracks else None


def _packet_type(packets: Mapping[int, PacketType], packet: int) -> PacketType:
    packet_type = packets.get(packet)
    if packet_type is None:
        raise MediaError(f"packet type {packet} is not defined here", "packet_type")
    return packet_type


def _no_legacy_packet(payload: bytes) -> MediaError:
    if len(payload) < 2:
        return MediaError("the header ends after 1 byte", "truncated")
    return MediaError(f"packet type {payload[1]} is not defined here", "packet_type")


def _byte(payload: bytes, pos: int) -> int:
    if pos >= len(payload):
        raise MediaError(f"the header ends after {len(payload)} bytes", "truncated")
    return payload[pos]


def _unsigned(payload: bytes, pos: int, size: int) -> int:
    if pos + size > len(payload):
        raise MediaError(f"the header ends after {len(payload)} bytes", "truncated")
    return int.from_bytes(payload[pos : pos + size], "big")


def _no_composition_time() -> MediaError:
    return MediaError("the composition time is cut off", "truncated")


def _signed24(payload: bytes, pos: int, end: int) -> int:
    if pos + 3 > end:
        raise _no_composition_time()
    return int.from_bytes(payload[pos : pos + 3], "big", signed=True)


def _fourcc(payload: bytes, pos: int) -> str:
    if pos + 4 > len(payload):
        raise MediaError("the FourCC is cut off", "truncated")
    return payload[pos : pos + 4].decode("latin-1")
