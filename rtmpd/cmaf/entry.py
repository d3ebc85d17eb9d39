"""The sample entry of each codec that MP4 carries, from the sequence header or the first frame of a stream.

Sources: ISO/IEC 14496-15, 5.4 and 8.4 (AVC, HEVC) and annex E (codecs); AV1 Codec ISO Media File Format Binding, 2 and
5; VP Codec ISO Media File Format Binding; ISO/IEC 14496-14, 5.6 and 14496-1, 7.2.6 (esds); Encapsulation of Opus in
ISOBMFF, 4.3; Encapsulation of FLAC in ISOBMFF, 3.3; ETSI TS 102 366, annex F (AC-3, E-AC-3); RFC 6381, 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import pack
from typing import Final, NamedTuple

from ..codec import aac, ac3, av1, avc, flac, hevc, opus, vpx
from ..codec.facts import Facts, merged
from ..errors import MediaError
from .boxes import audio_entry, box, full_box, video_entry

VIDEO_TIMESCALE: Final = 90_000
_OPUS_RATE_HZ: Final = 48_000
_MAX_SIDE: Final = 0xFFFF
_TEMPORAL_DELIMITER: Final = b"\x12\x00"
_AV1_DESCRIPTOR: Final = b"\x80\x04"
_VP_FULL_BOX: Final = b"\x01\x00\x00\x00"
_STREAMINFO_BYTES: Final = 34

FrameSamples = Callable[[bytes], int]
"""The samples of sound that a coded frame, or its beginning, stands for."""


class Entry(NamedTuple):
    """A track as MP4 describes it. ``codecs`` is its part of the codecs parameter; ``timescale`` are the ticks of a
    second; ``identity`` is equal for headers between which nothing changes. ``frame_samples`` is None for video."""

    codec: str
    codecs: str
    timescale: int
    box: bytes
    identity: bytes
    width: int = 0
    height: int = 0
    frame_samples: FrameSamples | None = None


def video(codec: str, config: bytes, keyframe: bytes) -> Entry | None:
    """The entry of a video track; None while its size is not known, which VP9 says in keyframes only. ``keyframe`` is
    empty before the first one. Raises MediaError, ``codec_unsupported`` for what MP4 does not carry."""
    make = _VIDEO.get(codec)
    if make is None:
        raise unsupported(codec)
    kind, children, codecs, facts = make(config, keyframe)
    width, height = facts.width or 0, facts.height or 0
    if not 0 < width <= _MAX_SIDE or not 0 < height <= _MAX_SIDE:
        return None
    shown = width
    if facts.sample_aspect_ratio is not None and facts.sample_aspect_ratio[0] != facts.sample_aspect_ratio[1]:
        across, down = facts.sample_aspect_ratio
        children += box(b"pasp", pack(">II", across, down))
        shown = min(max(width * across // down, 1), _MAX_SIDE)
    entry = video_entry(kind, width, height, children)
    return Entry(codec, codecs, VIDEO_TIMESCALE, entry, entry, shown, height)


def audio(codec: str, config: bytes, frame: bytes) -> Entry | None:
    """The entry of an audio track; None while a frame is missing that AC-3 and E-AC-3 are described by. Raises as
    ``video``."""
    make = _AUDIO.get(codec)
    if make is None:
        raise unsupported(codec)
    return make(config, frame)


def unsupported(codec: str) -> MediaError:
    """The error of a codec that is refused."""
    return MediaError(f"MP4 does not carry {codec or 'a codec that is not known'} here", "codec_unsupported")


def needs_config(codec: str) -> bool:
    """Whether the codec is described by a sequence header, not by its frames alone."""
    return codec not in ("AC3", "EAC3")


def without_delimiter(codec: str, body: memoryview) -> memoryview:
    """``body`` without the temporal delimiter that samples of AV1 do not have (binding, 2.4)."""
    if codec == "AV1" and bytes(body[:2]) == _TEMPORAL_DELIMITER:
        return body[2:]
    return body


# --- video ------------------------------------------------------------------------------------------

_Picture = tuple[bytes, bytes, str, Facts]


def _avc(config: bytes, _: bytes) -> _Picture:
    return b"avc1", box(b"avcC", config), f"avc1.{config[1:4].hex()}", avc.read_config(config)


def _hevc(config: bytes, _: bytes) -> _Picture:
    facts = hevc.read_config(config)
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(config[2:6], 'big'):032b}"[::-1], 2)
    constraints = "".join(f".{byte:X}" for byte in config[6:12].rstrip(b"\0"))
    codecs = f"hvc1.{space}{config[1] & 0x1F}.{compatible:X}.{tier}{config[12]}{constraints}"
    return b"hvc1", box(b"hvcC", config), codecs, facts


def _av1(config: bytes, keyframe: bytes) -> _Picture:
    facts = av1.read_config(config)
    record = config[2:6] if config[:2] == _AV1_DESCRIPTOR else config
    if facts.width is None and keyframe:
        facts = merged(facts, av1.read_units(keyframe))
    tier = "H" if record[2] & 0x80 else "M"
    codecs = f"av01.{record[1] >> 5}.{record[1] & 0x1F:02}{tier}.{facts.bit_depth or 8:02}"
    return b"av01", box(b"av1C", record), codecs, facts


def _vp9(config: bytes, keyframe: bytes) -> _Picture:
    facts = vpx.read_config(config)
    if keyframe:
        facts = merged(facts, vpx.read_vp9_frame(keyframe))
    record = config[4:] if config[:4] == _VP_FULL_BOX and len(config) >= 12 else config
    # Chromium does not take level 0, which encoders write that do not know theirs
    codecs = f"vp09.{record[0]:02}.{record[1] or 10:02}.{facts.bit_depth or 8:02}"
    return b"vp09", box(b"vpcC", _VP_FULL_BOX, record), codecs, facts


_VIDEO: Final[Mapping[str, Callable[[bytes, bytes], _Picture]]] = {
    "H264": _avc,
    "H265": _hevc,
    "AV1": _av1,
    "VP9": _vp9,
}


# --- audio ------------------------------------------------------------------------------------------


def _aac(config: bytes, _: bytes) -> Entry:
    facts = aac.read_config(config)
    core = aac.read_core(config)
    decoder = _descriptor(4, pack(">BB3xII", 0x40, 0x15, 0, 0) + _descriptor(5, config))
    esds = full_box(b"esds", 0, 0, _descriptor(3, bytes(3) + decoder + _descriptor(6, b"\x02")))
    entry = audio_entry(b"mp4a", facts.channels or 2, 16, core.rate_hz, esds)
    samples = core.frame_samples
    return Entry("AAC", f"mp4a.40.{core.object_type}", core.rate_hz, entry, config, frame_samples=lambda body: samples)


def _descriptor(tag: int, body: bytes) -> bytes:
    """A descriptor of MPEG-4 systems with the size in four bytes, as most writers have it (14496-1, 8.3.3)."""
    size = len(body)
    return bytes([tag, 0x80 | size >> 21 & 127, 0x80 | size >> 14 & 127, 0x80 | size >> 7 & 127, size & 127]) + body


def _opus(config: bytes, _: bytes) -> Entry:
    facts = opus.read_config(config)
    pre_skip, rate_hz = int.from_bytes(config[10:12], "little"), int.from_bytes(config[12:16], "little")
    gain = int.from_bytes(config[16:18], "little", signed=True)
    specific = pack(">BBHIh", 0, config[9], pre_skip, rate_hz, gain) + config[18:]
    entry = audio_entry(b"Opus", facts.channels or 2, 16, _OPUS_RATE_HZ, box(b"dOps", specific))
    return Entry("OPUS", "opus", _OPUS_RATE_HZ, entry, config, frame_samples=opus.packet_samples)


def _flac(config: bytes, _: bytes) -> Entry:
    facts = flac.read_config(config)
    at = 8 if config.startswith(b"fLaC") else 0
    info = config[at : at + _STREAMINFO_BYTES]
    rate_hz = facts.sample_rate_hz
    if not rate_hz:
        raise MediaError("the STREAMINFO block says no sample rate", "bad_value")
    bits = (int.from_bytes(info[12:14], "big") >> 4 & 0x1F) + 1
    block = full_box(b"dfLa", 0, 0, pack(">I", 0x80 << 24 | _STREAMINFO_BYTES) + info)
    entry = audio_entry(b"fLaC", facts.channels or 2, bits, rate_hz, block)
    # what an encoder knows at the end only, the sizes of frames and the number of samples, makes no other track
    identity = info[:4] + info[10:13] + bytes([info[13] & 0xF0])
    usual = int.from_bytes(info[2:4], "big")
    return Entry("FLAC", "flac", rate_hz, entry, identity, frame_samples=lambda body: flac.frame_samples(body, usual))


def _ac3(_: bytes, frame: bytes) -> Entry | None:
    if not frame:
        return None
    sync = ac3.read_sync(frame)
    rate_code = sync.size_code >> 1  # of the bit rate
    fields = sync.rate_code << 22 | sync.bsid << 17 | sync.mode << 11 | sync.low_frequency << 10 | rate_code << 5
    specific = pack(">I", fields)[1:]
    entry = audio_entry(b"ac-3", sync.channels, 16, sync.rate_hz, box(b"dac3", specific))
    return Entry("AC3", "ac-3", sync.rate_hz, entry, entry, frame_samples=lambda body: sync.samples)


def _eac3(_: bytes, frame: bytes) -> Entry | None:
    if not frame:
        return None
    sync = ac3.read_sync(frame)
    # one independent substream without dependent ones
    substream = sync.rate_code << 22 | sync.bsid << 17 | sync.mode << 9 | sync.low_frequency << 8
    specific = pack(">H", (sync.bitrate_bps // 1000) << 3) + pack(">I", substream)[1:]
    entry = audio_entry(b"ec-3", sync.channels, 16, sync.rate_hz, box(b"dec3", specific))
    return Entry("EAC3", "ec-3", sync.rate_hz, entry, entry, frame_samples=lambda body: ac3.read_sync(body).samples)


_AUDIO: Final[Mapping[str, Callable[[bytes, bytes], Entry | None]]] = {
    "AAC": _aac,
    "OPUS": _opus,
    "FLAC": _flac,
    "AC3": _ac3,
    "EAC3": _eac3,
}

CARRIED: Final = frozenset({*_VIDEO, *_AUDIO})
SIZED_BY_KEYFRAMES: Final = frozenset({"VP9"})  #: each may have another size than the sequence header says
