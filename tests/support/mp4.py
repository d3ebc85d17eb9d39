"""The boxes of an MP4 file, read on our own, so that no code of the daemon judges the daemon.

Layouts: ISO/IEC 14496-12. Every size is checked against the box around it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf", b"edts"}


@dataclass(frozen=True)
class Box:
    """One box: its kind, where it begins in the file, its content, and the boxes in it."""

    kind: str
    offset: int
    size: int
    body: bytes
    children: tuple[Box, ...] = ()

    def all(self, path: str) -> list[Box]:
        """The boxes at a path like ``traf/trun``."""
        first, _, rest = path.partition("/")
        found = [child for child in self.children if child.kind == first]
        return [deep for child in found for deep in child.all(rest)] if rest else found

    def one(self, path: str) -> Box:
        (found,) = self.all(path)
        return found


@dataclass
class Sample:
    offset: int
    size: int
    dts: int
    duration: int
    composition: int
    sync: bool


@dataclass
class Fragment:
    """What one ``moof`` says, by track id."""

    offset: int
    size: int
    sequence: int
    tracks: dict[int, list[Sample]] = field(default_factory=dict)


def walk(data: bytes, start: int = 0, end: int | None = None, offset: int = 0) -> Iterator[Box]:
    """Every box between two places; fails where a size does not add up."""
    end = len(data) if end is None else end
    while start < end:
        assert start + 8 <= end, f"half a header at {offset + start}"
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        assert header <= size <= end - start, f"{kind!r} of {size} bytes at {offset + start}, {end - start} are left"
        body = data[start + header : start + size]
        children = tuple(walk(data, start + header, start + size, offset)) if kind in CONTAINERS else ()
        yield Box(kind.decode("latin-1"), offset + start, size, body, children)
        start += size


def fragments(data: bytes) -> list[Fragment]:
    """The fragments of a file; every sample is inside of the ``mdat`` after its ``moof``, they touch and fill it."""
    found = []
    boxes = list(walk(data))
    for moof, mdat in pairwise(boxes):
        if moof.kind != "moof":
            continue
        assert mdat.kind == "mdat"
        (sequence,) = struct.unpack(">I", moof.one("mfhd").body[4:])
        fragment = Fragment(moof.offset, moof.size + mdat.size, sequence)
        position = mdat.offset + 8
        for traf in moof.all("traf"):
            track_id, samples = _run(traf, moof.offset)
            for sample in samples:
                assert sample.offset == position, "samples do not touch"
                position += sample.size
            fragment.tracks[track_id] = samples
        assert position == mdat.offset + mdat.size, "samples do not fill their mdat"
        found.append(fragment)
    return found


def _run(traf: Box, moof_offset: int) -> tuple[int, list[Sample]]:
    tfhd, tfdt, trun = traf.one("tfhd").body, traf.one("tfdt").body, traf.one("trun").body
    flags, track_id, default_flags = struct.unpack(">III", tfhd)
    assert flags == 0x020020, "default-base-is-moof and default sample flags"
    assert tfdt[0] == 1, "tfdt version 1"
    (dts,) = struct.unpack(">Q", tfdt[4:])
    head, count, data_offset = struct.unpack(">IIi", trun[:12])
    at, position = 12, moof_offset + data_offset
    samples = []
    for _ in range(count):
        duration, size = struct.unpack_from(">II", trun, at)
        at += 8
        sample_flags, composition = default_flags, 0
        if head & 0xFFFFFF == 0xF01:
            sample_flags, composition = struct.unpack_from(">Ii", trun, at)
            at += 8
        samples.append(Sample(position, size, dts, duration, composition, not sample_flags & 0x10000))
        assert size, "an empty sample"
        position += size
        dts += duration
    assert at == len(trun)
    return track_id, samples
