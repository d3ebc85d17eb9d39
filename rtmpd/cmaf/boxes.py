"""Boxes of the ISO base media file format, as far as fragmented and hybrid MP4 need them.

Sources: ISO/IEC 14496-12 (sections are named at each function), ISO/IEC 23000-19 (CMAF) 7.5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from struct import pack
from typing import Final, NamedTuple

MOVIE_TIMESCALE: Final = 1000  #: of mvhd, tkhd and elst
MAX_BOX_BYTES: Final = 0xFFFFFFFF

SYNC: Final = 0x02000000  #: sample_depends_on = 2: a keyframe, or sound (8.8.3.1)
NOT_SYNC: Final = 0x01010000  #: sample_depends_on = 1, sample_is_non_sync_sample

_MATRIX: Final = pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED: Final = 0x55C4  # "und", three letters of five bits
_TKHD_FLAGS: Final = 7  # enabled, in movie, in preview
_TFHD_FLAGS: Final = 0x020020  # default-base-is-moof, default-sample-flags-present
_VIDEO_RUN: Final = 0x000F01  # data offset; duration, size, flags and composition time of each sample
_AUDIO_RUN: Final = 0x000301  # data offset; duration and size of each sample
_TRUN_BYTES: Final = 20
_FULL_HEADER_BYTES: Final = 12
_MAX_TICKS: Final = 0xFFFFFFFF  # that a duration can say
_VIDEO_SAMPLE: Final = struct.Struct(">IIIi")
_AUDIO_SAMPLE: Final = struct.Struct(">II")
_EMPTY_TABLES: Final = ((b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4))


class Sample(NamedTuple):
    """One coded frame. ``dts`` and ``composition`` (presentation minus decoding time, signed) are in the ticks of its
    track."""

    dts: int
    composition: int
    flags: int
    body: bytes | memoryview


class TrackHeader(NamedTuple):
    """What a ``trak`` says of a track; ``entry`` is its whole sample entry."""

    track_id: int
    is_video: bool
    timescale: int
    width: int
    height: int
    entry: bytes


class Run(NamedTuple):
    """The samples of one track in a fragment; ``end`` is where the sample after the last one begins."""

    track_id: int
    is_video: bool
    samples: Sequence[Sample]
    end: int


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box (4.2). Raises struct.error for 4 GiB and more."""
    body = b"".join(parts)
    return pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags (4.2)."""
    return box(kind, pack(">I", version << 24 | flags), *parts)


def video_entry(kind: bytes, width: int, height: int, *children: bytes) -> bytes:
    """A VisualSampleEntry (12.1.3)."""
    return box(
        kind,
        pack(">6xH16xHH", 1, width, height),
        pack(">IIIH", 0x480000, 0x480000, 0, 1),
        bytes(32),
        pack(">Hh", 24, -1),
        *children,
    )


def audio_entry(kind: bytes, channels: int, sample_bits: int, rate_hz: int, *children: bytes) -> bytes:
    """An AudioSampleEntry (12.2.3). A rate that its 16 bits do not hold is written as 0."""
    rate = rate_hz if rate_hz <= 0xFFFF else 0
    return box(kind, pack(">6xH8xHHHHI", 1, channels, sample_bits, 0, 0, rate << 16), *children)


def file_type(*brands: bytes) -> bytes:
    """The ``ftyp`` box (4.3); the first brand is the major one."""
    return box(b"ftyp", brands[0], pack(">I", 1), *brands)


def movie_header(duration_ms: int, next_track_id: int) -> bytes:
    """The ``mvhd`` box (8.2.2), version 1."""
    return full_box(
        b"mvhd",
        1,
        0,
        pack(">QQIQ", 0, 0, MOVIE_TIMESCALE, duration_ms),
        pack(">IHH", 0x10000, 0x100, 0),
        bytes(8),
        _MATRIX,
        bytes(24),
        pack(">I", next_track_id),
    )


def empty_tables(entry: bytes) -> bytes:
    """The ``stbl`` of a track whose samples are all in fragments (8.5.1)."""
    tables = [full_box(kind, 0, 0, bytes(size)) for kind, size in _EMPTY_TABLES]
    return box(b"stbl", full_box(b"stsd", 0, 0, pack(">I", 1), entry), *tables)


def track(header: TrackHeader, tables: bytes, duration: int = 0, duration_ms: int = 0, edits: bytes = b"") -> bytes:
    """A ``trak`` box (8.3.1). ``tables`` is its ``stbl``, ``edits`` its ``edts`` if there is one; the durations are in
    ticks of the track and in milliseconds."""
    handler = b"vide" if header.is_video else b"soun"
    media_header = full_box(b"vmhd", 0, 1, bytes(8)) if header.is_video else full_box(b"smhd", 0, 0, bytes(4))
    volume = 0 if header.is_video else 0x100
    return box(
        b"trak",
        full_box(
            b"tkhd",
            1,
            _TKHD_FLAGS,
            pack(">QQIIQ8x", 0, 0, header.track_id, 0, duration_ms),
            pack(">HHHH", 0, 0, volume, 0),
            _MATRIX,
            pack(">II", header.width << 16, header.height << 16),
        ),
        edits,
        box(
            b"mdia",
            full_box(b"mdhd", 1, 0, pack(">QQIQHH", 0, 0, header.timescale, duration, _UNDETERMINED, 0)),
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), b"rtmpd\0"),
            box(
                b"minf",
                media_header,
                box(b"dinf", full_box(b"dref", 0, 0, pack(">I", 1), full_box(b"url ", 0, 1))),
                tables,
            ),
        ),
    )


def init_movie(headers: Sequence[TrackHeader]) -> bytes:
    """The ``moov`` box of an init segment: tracks without samples, and ``mvex`` (8.8.1)."""
    return box(
        b"moov",
        movie_header(0, max(header.track_id for header in headers) + 1),
        *(track(header, empty_tables(header.entry)) for header in headers),
        box(b"mvex", *(full_box(b"trex", 0, 0, pack(">IIIII", one.track_id, 1, 0, 0, 0)) for one in headers)),
    )


def fragment(sequence: int, runs: Sequence[Run]) -> list[bytes | memoryview]:
    """A ``moof`` and its ``mdat`` (8.8.4 to 8.8.12): the bytes of both boxes, of which the payloads are the samples'
    own. Raises struct.error for 4 GiB and more."""
    tables = [_run_table(run) for run in runs]
    sizes = [sum(len(sample.body) for sample in run.samples) for run in runs]
    # moof and its mfhd; of each run traf, tfhd, tfdt and trun
    moof_bytes = 8 + 16 + sum(8 + 20 + 20 + _TRUN_BYTES + len(table) for table in tables)
    offset = moof_bytes + 8
    trafs = []
    for run, table, size in zip(runs, tables, sizes, strict=True):
        version, flags, default = (1, _VIDEO_RUN, NOT_SYNC) if run.is_video else (0, _AUDIO_RUN, SYNC)
        trafs.append(
            box(
                b"traf",
                full_box(b"tfhd", 0, _TFHD_FLAGS, pack(">II", run.track_id, default)),
                full_box(b"tfdt", 1, 0, pack(">Q", run.samples[0].dts)),
                full_box(b"trun", version, flags, pack(">Ii", len(run.samples), offset), table),
            )
        )
        offset += size
    moof = box(b"moof", full_box(b"mfhd", 0, 0, pack(">I", sequence & 0xFFFFFFFF)), *trafs)
    pieces: list[bytes | memoryview] = [moof + pack(">I4s", 8 + offset - moof_bytes - 8, b"mdat")]
    for run in runs:
        pieces += [sample.body for sample in run.samples]
    return pieces


def _run_table(run: Run) -> bytes:
    samples = run.samples
    ends = [min(sample.dts, before.dts + _MAX_TICKS) for before, sample in pairwise(samples)]
    ends.append(min(run.end, samples[-1].dts + _MAX_TICKS))
    rows: Iterable[bytes]
    if run.is_video:
        row = _VIDEO_SAMPLE.pack
        rows = [
            row(end - sample.dts, len(sample.body), sample.flags, sample.composition)
            for sample, end in zip(samples, ends, strict=True)
        ]
    else:
        pair = _AUDIO_SAMPLE.pack
        rows = [pair(end - sample.dts, len(sample.body)) for sample, end in zip(samples, ends, strict=True)]
    return b"".join(rows)
