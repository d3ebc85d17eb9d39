"""Codec names, as events use them, by the ids on the wire.

Sources: FLV 10.1 (SoundFormat E.4.2.1, CodecID E.4.3.1), Enhanced RTMP v2 (VideoFourCc, AudioFourCc). The
codec ids 12, 13 and 14, and the sound format 13, are in no standard: encoders that send these codecs in
legacy messages agree on them, and Tencent publishes the codec ids as "FLV extension for AV1 and VVC".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VIDEO_CODEC_IDS: Final[Mapping[int, str]] = {
    2: "SORENSON",
    3: "SCREEN",
    4: "VP6",
    5: "VP6A",
    6: "SCREEN2",
    7: "H264",
    12: "H265",
    13: "AV1",
    14: "VVC",
}
SOUND_FORMATS: Final[Mapping[int, str]] = {
    0: "PCM",
    1: "ADPCM",
    2: "MP3",
    3: "PCM",
    4: "NELLYMOSER",
    5: "NELLYMOSER",
    6: "NELLYMOSER",
    7: "G711A",
    8: "G711U",
    10: "AAC",
    11: "SPEEX",
    13: "OPUS",
    14: "MP3",
    15: "NATIVE",
}
VIDEO_FOURCCS: Final[Mapping[str, str]] = {
    "avc1": "H264",
    "hvc1": "H265",
    "vvc1": "VVC",
    "av01": "AV1",
    "vp08": "VP8",
    "vp09": "VP9",
}
AUDIO_FOURCCS: Final[Mapping[str, str]] = {
    "mp4a": "AAC",
    "Opus": "OPUS",
    "fLaC": "FLAC",
    ".mp3": "MP3",
    "ac-3": "AC3",
    "ec-3": "EAC3",
}
