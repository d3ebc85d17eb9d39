"""What the fan-out must know of a media message: one look at two bytes.

``classify`` runs once for every message that is published, so it is two table look-ups: the first
byte picks a row, the second byte the flags. Equal rows are one object, so the tables stay in the
processor's cache. What two bytes do not settle (sequence headers, which must have a body; ModEx and
multitrack; truncated messages) has no flags there and takes the slow path: through ``tag``, but for the
sequence headers of legacy messages, with which most publishes begin.

Every function here is total: a payload that makes no sense is an ordinary audio or video message,
which is forwarded like any other and never remembered as a header. None switches or raises.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final

from ..errors import MediaError
from . import tag
from .names import AUDIO_FOURCCS, SOUND_FORMATS, VIDEO_CODEC_IDS, VIDEO_FOURCCS
from .tag import AUDIO_MESSAGE, VIDEO_MESSAGE, FrameType, PacketType, TagHeader

AUDIO: Final = 1
VIDEO: Final = 2
DATA: Final = 4
KEYFRAME: Final = 8
HEADER: Final = 16
NOT_CACHED: Final = 32

_UNSETTLED: Final = 0
_SHORT_BYTES: Final = 512
_DATA_MESSAGES: Final = frozenset({15, 18})
_MEDIA: Final = {AUDIO_MESSAGE: AUDIO, VIDEO_MESSAGE: VIDEO}
_KINDS: Final = {AUDIO_MESSAGE: "audio", VIDEO_MESSAGE: "video"}
_KEY_FRAME_TYPES: Final = (FrameType.KEY, FrameType.GENERATED_KEY)
_EX_CODED: Final = (1, 3)

# The packet kinds that late joiners need, and the slot each is cached under. Both sequence starts
# share one: the standard makes them mutually exclusive.
_HEADER_SLOTS: Final = {
    PacketType.SEQUENCE_START: "sequence",
    PacketType.MPEG2TS_SEQUENCE_START: "sequence",
    PacketType.MULTICHANNEL_CONFIG: "multichannel",
    PacketType.METADATA: "metadata",
}

# first two bytes of a legacy sequence header -> where its body begins
_LEGACY_HEADERS: Final = {
    VIDEO_MESSAGE: {
        bytes([first, 0]): 5
        for first in range(0x80)
        if first & 15 in tag.PACKETED_VIDEO_CODEC_IDS and first >> 4 != FrameType.COMMAND
    },
    AUDIO_MESSAGE: {bytes([tag.AAC_FORMAT << 4 | low, 0]): 2 for low in range(16)},
}
_LEGACY_SLOTS: Final = {
    type_id: (kind, _HEADER_SLOTS[PacketType.SEQUENCE_START], (0,)) for type_id, kind in _KINDS.items()
}

_UNSETTLED_ROW: Final = bytes(256)


@cache
def _uniform_row(flags: int) -> bytes:
    return bytes([flags]) * 256


@cache
def _packeted_row(flags: int) -> bytes:
    """For legacy AVC, HEVC and AAC: ``flags`` where the second byte says coded frames."""
    row = bytearray(256)
    row[1] = flags
    return bytes(row)


def _video_row(first: int) -> bytes:
    frame_type, low = first >> 4 & 7, first & 15
    if frame_type == FrameType.COMMAND:
        return _UNSETTLED_ROW
    flags = VIDEO | KEYFRAME if frame_type in _KEY_FRAME_TYPES else VIDEO
    if first & 0x80:
        return _uniform_row(flags) if low in _EX_CODED else _UNSETTLED_ROW
    return _packeted_row(flags) if low in tag.PACKETED_VIDEO_CODEC_IDS else _uniform_row(flags)


def _audio_row(first: int) -> bytes:
    sound_format, low = first >> 4, first & 15
    if sound_format == tag.EX_AUDIO_FORMAT:
        return _uniform_row(AUDIO) if low == 1 else _UNSETTLED_ROW
    return _packeted_row(AUDIO) if sound_format == tag.AAC_FORMAT else _uniform_row(AUDIO)


_VIDEO_ROWS: Final = tuple(_video_row(first) for first in range(256))
_AUDIO_ROWS: Final = tuple(_audio_row(first) for first in range(256))

# first byte -> codec name, for legacy messages; first five bytes -> codec name, for enhanced messages
# whose FourCC follows the first byte
_LEGACY_NAMES: Final = {
    VIDEO_MESSAGE: {first: VIDEO_CODEC_IDS.get(first & 15, "") for first in range(0x80)},
    AUDIO_MESSAGE: {
        first: SOUND_FORMATS.get(first >> 4, "") for first in range(256) if first >> 4 != tag.EX_AUDIO_FORMAT
    },
}
_PLAIN_NAMES: Final = {
    VIDEO_MESSAGE: {
        bytes([0x80 | frame_type << 4 | packet]) + fourcc.encode(): name
        for fourcc, name in VIDEO_FOURCCS.items()
        for frame_type in (FrameType.KEY, FrameType.INTER)
        for packet in _EX_CODED
    },
    AUDIO_MESSAGE: {b"\x91" + fourcc.encode(): name for fourcc, name in AUDIO_FOURCCS.items()},
}


def classify(type_id: int, payload: bytes) -> int:
    """The flags of a message: AUDIO, VIDEO or DATA, or 0 for other message types; with

    KEYFRAME   coded frames at which playback can start. A multitrack message counts only if track 0
               is in it: players show track 0, so a GOP that began at another track's keyframe would
               not be decodable for them.
    HEADER     must be remembered for late joiners: sequence starts of every codec, MultichannelConfig
               and video Metadata (HDR), of any track. A header is never a KEYFRAME as well.
    NOT_CACHED must not enter a GOP cache: command frames, sequence ends, empty messages, and legacy
               sequence headers without a body (remembering one would replace a usable header).

    Never raises.
    """
    try:
        if type_id == VIDEO_MESSAGE:
            flags = _VIDEO_ROWS[payload[0]][payload[1]]
        elif type_id == AUDIO_MESSAGE:
            flags = _AUDIO_ROWS[payload[0]][payload[1]]
        else:
            return DATA if type_id in _DATA_MESSAGES else 0
    except IndexError:
        flags = _UNSETTLED
    if flags:
        return flags
    if len(payload) > _LEGACY_HEADERS[type_id].get(payload[:2], len(payload)):
        return _MEDIA[type_id] | HEADER
    return _classify_slowly(type_id, payload)


def _classify_slowly(type_id: int, payload: bytes) -> int:
    media = _MEDIA[type_id]
    if not payload:
        return media | NOT_CACHED
    header = _decode(type_id, payload)
    if header is None:
        return media
    if header.packet_type in (PacketType.COMMAND, PacketType.SEQUENCE_END):
        return media | NOT_CACHED
    if header.packet_type in _HEADER_SLOTS:
        main = header.tracks[0]
        bodiless = main.fourcc is None and not main.length
        return media | NOT_CACHED if bodiless else media | HEADER
    if header.keyframe and any(track.track_id == 0 for track in header.tracks):
        return media | KEYFRAME
    return media


def header_slot(type_id: int, payload: bytes) -> tuple[str, str, tuple[int, ...]]:
    """The identity under which a HEADER message is remembered: kind, packet kind, track ids in order.

    A new header replaces the one in its slot, headers of other tracks or kinds stay. A message with
    several tracks has a slot of its own, so after a replacement the newest must be sent last. There
    are more combinations of tracks than memory: the caller bounds their number.
    Other messages have the packet kind ``""``. Never raises.
    """
    kind = _KINDS.get(type_id, "")
    if kind and len(payload) > _LEGACY_HEADERS[type_id].get(payload[:2], len(payload)):
        return _LEGACY_SLOTS[type_id]
    header = _decode(type_id, payload) if kind else None
    if header is None or header.packet_type not in _HEADER_SLOTS:
        return (kind, "", ())
    return (kind, _HEADER_SLOTS[header.packet_type], tuple(track.track_id for track in header.tracks))


def codec_name(type_id: int, payload: bytes) -> str:
    """The name of the main track's codec as events use it, ``""`` if the message does not say.

    Never raises.
    """
    if not payload or type_id not in _KINDS:
        return ""
    name = _LEGACY_NAMES[type_id].get(payload[0])
    if name is None:
        name = _PLAIN_NAMES[type_id].get(payload[:5])
    if name is None:
        header = _decode(type_id, payload)
        name = header.codec if header else ""
    return name


def _decode(type_id: int, payload: bytes) -> TagHeader | None:
    """What is not settled by a table is mostly headers, short and asked about three times over."""
    return _decode_again(type_id, payload) if len(payload) <= _SHORT_BYTES else _decode_once(type_id, payload)


def _decode_once(type_id: int, payload: bytes) -> TagHeader | None:
    try:
        return tag.decode(type_id, payload)
    except MediaError:
        return None


_decode_again = lru_cache(maxsize=64)(_decode_once)
