"""The messages that the load generator publishes.

A video message is an AVC tag with one slice NAL unit, an audio message a raw AAC tag; both carry a
marker (sequence number, time of sending, timestamp, length) right behind that, then padding that
the receiver can recompute from the sequence number. The sequence headers are real: 64x64
constrained baseline H.264 and AAC-LC, 44.1 kHz, stereo.

Wire bytes are built once for each kind, size and phase of the padding; a message that is sent
again later only has its timestamp and its marker written anew.
"""

from __future__ import annotations

import random
import struct
import zlib

from .wire import AUDIO, CSID_OF_MEDIA, DATA, VIDEO, amf0, chunked

MAGIC = b"RLmk"
MARKER = struct.Struct(">4sQQII")  # magic, sequence, time of sending in ns, timestamp in ms, length
CRC = struct.Struct(">I")
MARKER_BYTES = MARKER.size + CRC.size
PHASES = 64
"""How many different paddings there are; message n has padding n modulo this."""

PHASE_STEP = 61
MAX_MESSAGE_BYTES = 262_144
PADDING = random.Random(20).randbytes(MAX_MESSAGE_BYTES + PHASES * PHASE_STEP)

KEY_FRAME_HEAD = b"\x17\x01\x00\x00\x00"
INTER_FRAME_HEAD = b"\x27\x01\x00\x00\x00"
AUDIO_HEAD = b"\xaf\x01"
NAL_HEAD_BYTES = 5
MARKER_AT = {VIDEO: len(KEY_FRAME_HEAD) + NAL_HEAD_BYTES, AUDIO: len(AUDIO_HEAD)}
MIN_MESSAGE_BYTES = MARKER_AT[VIDEO] + MARKER_BYTES

SPS = bytes.fromhex("6742c00ada1099")
PPS = bytes.fromhex("68ce3880")
AVC_CONFIG = b"".join(
    (b"\x01", SPS[1:4], b"\xff\xe1", struct.pack(">H", len(SPS)), SPS, b"\x01", struct.pack(">H", len(PPS)), PPS)
)
VIDEO_SEQUENCE_HEADER = b"\x17\x00\x00\x00\x00" + AVC_CONFIG
AUDIO_SEQUENCE_HEADER = b"\xaf\x00\x12\x10"

CHUNK_HEADER_BYTES = 12
CHUNK_SIZE = 4096
"""What the publishers announce."""


def padding(sequence: int, count: int) -> bytes:
    """The padding of message ``sequence``."""
    start = sequence % PHASES * PHASE_STEP
    return PADDING[start : start + count]


def marker(sequence: int, sent_ns: int, timestamp: int, size: int) -> bytes:
    """What identifies a message, with a checksum of its own."""
    plain = MARKER.pack(MAGIC, sequence, sent_ns, timestamp, size)
    return plain + CRC.pack(zlib.crc32(plain))


def head(type_id: int, size: int, key_frame: bool) -> bytes:
    """What stands before the marker in a message of ``size`` bytes."""
    if type_id == AUDIO:
        return AUDIO_HEAD
    nal = struct.pack(">IB", size - len(KEY_FRAME_HEAD) - 4, 0x65 if key_frame else 0x41)
    return (KEY_FRAME_HEAD if key_frame else INTER_FRAME_HEAD) + nal


def payload(type_id: int, sequence: int, timestamp: int, sent_ns: int, size: int, key_frame: bool = False) -> bytes:
    """One media message of ``size`` bytes, at least MIN_MESSAGE_BYTES."""
    front = head(type_id, size, key_frame) + marker(sequence, sent_ns, timestamp, size)
    return front + padding(sequence, size - len(front))


def stream_headers(msid: int) -> bytes:
    """What a publisher sends first: metadata and both sequence headers, as chunks."""
    metadata = amf0("@setDataFrame") + amf0("onMetaData")
    metadata += amf0({"width": 64, "height": 64, "framerate": 30, "videocodecid": 7, "audiocodecid": 10})
    parts = ((DATA, metadata), (VIDEO, VIDEO_SEQUENCE_HEADER), (AUDIO, AUDIO_SEQUENCE_HEADER))
    return b"".join(chunked(CSID_OF_MEDIA[kind], kind, body, msid, chunk_size=CHUNK_SIZE) for kind, body in parts)


class MediaBytes:
    """Wire bytes of media messages on one message stream."""

    def __init__(self, msid: int) -> None:
        self._msid = msid
        self._built: dict[tuple[int, int, bool, int], bytearray] = {}

    def message(
        self, type_id: int, sequence: int, timestamp: int, sent_ns: int, size: int, key_frame: bool = False
    ) -> bytearray:
        """The wire bytes of one message, to be sent before the same kind comes PHASES messages later."""
        phase = sequence % PHASES
        wire = self._built.get((type_id, size, key_frame, phase))
        if wire is None:
            body = payload(type_id, sequence, timestamp, sent_ns, size, key_frame)
            wire = bytearray(chunked(CSID_OF_MEDIA[type_id], type_id, body, self._msid, 0, CHUNK_SIZE))
            self._built[type_id, size, key_frame, phase] = wire
        wire[1:4] = timestamp.to_bytes(3, "big")
        at = CHUNK_HEADER_BYTES + MARKER_AT[type_id]
        wire[at : at + MARKER_BYTES] = marker(sequence, sent_ns, timestamp, size)
        return wire
