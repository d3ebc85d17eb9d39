"""What is in an FLV file, read on our own, so that no code of the daemon judges the daemon.

Coded frames only: what a decoder is fed. Two files are compared by these, so a tool may write the
same frame under another tag header (Enhanced RTMP has two for a frame without composition time)
and is still held to every byte of the frame itself and to its timestamps.
Layouts: Adobe Flash Video File Format 10.1, annex E.4; Enhanced RTMP v2, "Enhanced Audio" and
"Enhanced Video".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

AUDIO, VIDEO, SCRIPT = 8, 9, 18
HEADER_BYTES = 13
TAG_HEADER_BYTES = 11


@dataclass(frozen=True, slots=True)
class Tag:
    """One FLV tag. ``offset`` and ``size`` are those of the whole tag, its trailing length included."""

    kind: int
    timestamp_ms: int
    body: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One coded frame as a decoder is fed it. ``dts_ms`` is the tag's timestamp; the payload stands here
    as its size and hash, so that a difference can be printed."""

    dts_ms: int
    composition_ms: int
    key: bool
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Media:
    """The coded frames and the decoder set-up of one file; ``metadata`` is the body of the first script tag."""

    video: tuple[Frame, ...]
    audio: tuple[Frame, ...]
    video_header: bytes
    audio_header: bytes
    metadata: bytes

    def stream(self, name: str) -> tuple[Frame, ...]:
        return self.video if name == "video" else self.audio


def tags(data: bytes) -> Iterator[Tag]:
    """Every complete tag; a tail that a killed writer left unfinished is ignored."""
    if data[:3] != b"FLV":
        return
    at = HEADER_BYTES
    while at + TAG_HEADER_BYTES <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        end = at + TAG_HEADER_BYTES + size
        if end > len(data):
            return
        timestamp = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        yield Tag(data[at] & 0x1F, timestamp, data[at + TAG_HEADER_BYTES : end], at, end + 4 - at)
        at = end + 4


def tag_bytes(kind: int, timestamp_ms: int, body: bytes) -> bytes:
    """One tag with its trailing length."""
    timestamp = timestamp_ms & 0xFFFFFFFF
    head = bytes([kind]) + len(body).to_bytes(3, "big")
    head += (timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes([timestamp >> 24, 0, 0, 0])
    return head + body + (len(head) + len(body)).to_bytes(4, "big")


def shifted(data: bytes, by_ms: int) -> bytes:
    """The same file with every timestamp moved, modulo 2**32."""
    moved = [tag_bytes(tag.kind, tag.timestamp_ms + by_ms, tag.body) for tag in tags(data)]
    return data[:HEADER_BYTES] + b"".join(moved)


def moved(frame: Frame, by_ms: int) -> Frame:
    """The same frame at another time, modulo 2**32."""
    return replace(frame, dts_ms=(frame.dts_ms + by_ms) & 0xFFFFFFFF)


def read(path: Path) -> Media:
    """Everything of one FLV file; an empty result if there is no such file."""
    return parse(path.read_bytes() if path.exists() else b"")


def parse(data: bytes) -> Media:
    frames: dict[int, list[Frame]] = {AUDIO: [], VIDEO: []}
    headers = {AUDIO: b"", VIDEO: b"", SCRIPT: b""}
    for tag in tags(data):
        if tag.kind == SCRIPT:
            headers[SCRIPT] = headers[SCRIPT] or tag.body
        elif tag.kind in frames:
            is_header, key, composition_ms, payload = (_video if tag.kind == VIDEO else _audio)(tag.body or b"\0")
            if is_header:
                headers[tag.kind] = headers[tag.kind] or payload
            elif payload:
                digest = hashlib.sha256(payload).hexdigest()
                frames[tag.kind].append(Frame(tag.timestamp_ms, composition_ms, key, len(payload), digest))
    return Media(tuple(frames[VIDEO]), tuple(frames[AUDIO]), headers[VIDEO], headers[AUDIO], headers[SCRIPT])


def _signed24(three: bytes) -> int:
    value = int.from_bytes(three, "big")
    return value - (1 << 24) if value & 0x800000 else value


def _video(body: bytes) -> tuple[bool, bool, int, bytes]:
    """(is a sequence header, is a keyframe, composition time, payload; b"" if it carries no frame)."""
    key = (body[0] >> 4) & 7 == 1
    if body[0] & 0x80:
        packet_type, fourcc, rest = body[0] & 0x0F, body[1:5], body[5:]
        if packet_type == 1 and fourcc in (b"avc1", b"hvc1", b"vvc1"):
            return False, key, _signed24(rest[:3]), rest[3:]
        return packet_type == 0, key, 0, rest if packet_type in (0, 1, 3) else b""
    if body[0] & 0x0F == 7:
        return body[1] == 0, key, _signed24(body[2:5]), body[5:] if body[1] in (0, 1) else b""
    return False, key, 0, body[1:]


def _audio(body: bytes) -> tuple[bool, bool, int, bytes]:
    if body[0] >> 4 == 9:
        packet_type = body[0] & 0x0F
        return packet_type == 0, True, 0, body[5:] if packet_type in (0, 1) else b""
    if body[0] >> 4 == 10:
        return body[1:2] == b"\0", True, 0, body[2:]
    return False, True, 0, body[1:]
