"""What a payload says: any bytes are read into facts or raise MediaError, and a track hears any messages.

The first byte of an input chooses the reader; those above the readers are a track of video or audio, whose
messages follow with two bytes of length each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rtmpd.codec import aac, ac3, av1, avc, flac, flash, hevc, mp3, opus, vpx, vvc
from rtmpd.codec.facts import Facts
from rtmpd.codec.tag import AUDIO_MESSAGE, VIDEO_MESSAGE
from rtmpd.codec.track import MediaTrack
from rtmpd.errors import MediaError
from tests.fuzz import fuzz

READERS: tuple[Callable[[bytes], Facts], ...] = (
    avc.read_config,
    hevc.read_config,
    vvc.read_config,
    av1.read_config,
    av1.read_units,
    vpx.read_config,
    vpx.read_vp8_frame,
    vpx.read_vp9_frame,
    flash.read_sorenson,
    flash.read_screen,
    flash.read_vp6,
    aac.read_config,
    mp3.read_frame,
    opus.read_config,
    flac.read_config,
    ac3.read_frame,
)
VIDEO, AUDIO = len(READERS), len(READERS) + 1
MOST_BEGINNINGS = 8

_AVC = bytes.fromhex("0164000affe100176764000aacd9442684000003000400000300c83c48965801000468ef8fcb")
_HEVC = bytes.fromhex(
    "01600000009000000000001ef000fcfdf8f800000f01210001002a42010101600000030090000003000003001ea028831c44d965654a4c2e68"
    "08000003000800000300c840"
)
_AV1 = bytes.fromhex("81000c000a0a00000002afff805f0008")
_AAC_PROGRAM = bytes.fromhex("118004c4040021100d4c61766336322e32382e31303256e500")
_FLAC = bytes.fromhex("664c6143000000224312001200000000004a580ac442f0") + bytes(19)
_OPUS = bytes.fromhex("4f707573486561640102380180bb0000000000")
_AC3 = bytes.fromhex("0b77e9fa484043e106f00108080821010104571f")


def _reading(read: Callable[[bytes], Facts], data: bytes) -> bytes:
    return bytes([READERS.index(read)]) + data


def _hearing(kind: int, *payloads: bytes) -> bytes:
    return bytes([kind]) + b"".join(len(payload).to_bytes(2, "big") + payload for payload in payloads)


SEEDS = [
    _reading(avc.read_config, _AVC),
    _reading(hevc.read_config, _HEVC),
    _reading(vvc.read_config, bytes.fromhex("ff00115f0102430000077f04380c8000") + bytes(8)),
    _reading(av1.read_config, _AV1),
    _reading(av1.read_units, bytes.fromhex("12000a0a00000002afff895f2008")),
    _reading(vpx.read_config, bytes.fromhex("01000000000a820202020000")),
    _reading(vpx.read_vp8_frame, bytes.fromhex("1002009d012a4001f000")),
    _reading(vpx.read_vp9_frame, bytes.fromhex("824983420003f003f06038241c184a00")),
    _reading(flash.read_sorenson, bytes.fromhex("00008400211311260202020202033010")),
    _reading(flash.read_screen, bytes.fromhex("30403040002378")),
    _reading(flash.read_vp6, bytes.fromhex("5328462d5000")),
    _reading(aac.read_config, _AAC_PROGRAM),
    _reading(mp3.read_frame, bytes.fromhex("fffb5064")),
    _reading(opus.read_config, _OPUS),
    _reading(flac.read_config, _FLAC),
    _reading(ac3.read_frame, _AC3),
    _hearing(VIDEO, b"\x17\0\0\0\0" + _AVC, b"\x17\1\0\0\0abc", b"\x27\1\0\0\0abc", b"\x90hvc1" + _HEVC),
    _hearing(VIDEO, b"\x96\0avc1\1" + _AVC, b"\x97\2\0\0\1\0av01" + _AV1, b"\x91vp09\x82\x49\x83\x42\0\3\xf0\3\xf0\0"),
    _hearing(AUDIO, b"\xaf\0" + _AAC_PROGRAM, b"\xaf\1abc", b"\x90Opus" + _OPUS, b"\x91ac-3" + _AC3, b"\x72abc"),
]


def one_input(data: bytes) -> None:
    if not data:
        return
    choice, rest = data[0] % (AUDIO + 1), data[1:]
    if choice < len(READERS):
        try:
            _check(READERS[choice](rest))
        except MediaError as error:
            assert error.code != "MediaError", "every code is a word of its own"
        return
    track = MediaTrack(VIDEO_MESSAGE if choice == VIDEO else AUDIO_MESSAGE)
    for payload in _split(rest):
        detection = track.look(payload)
        assert len(track.ordinary) <= MOST_BEGINNINGS
        if detection is not None:
            assert detection.codec and None not in detection.fields().values()
            _check(detection.facts)


def _split(data: bytes) -> Iterator[bytes]:
    position = 0
    while position + 2 <= len(data):
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        yield data[position + 2 : end]
        position = end


def _check(facts: Facts) -> None:
    for number in (facts.width, facts.height, facts.framerate, facts.sample_rate_hz, facts.channels, facts.bitrate_bps):
        assert number is None or number > 0, facts


if __name__ == "__main__":
    fuzz(one_input, SEEDS)
