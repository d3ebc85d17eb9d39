"""Hybrid MP4: a file of fragments while it grows, an ordinary MP4 afterwards, with the same bytes in the same places.

::

    while it grows    ftyp  free(16)   moov (init)  moof mdat  moof mdat ...
    afterwards        ftyp  mdat(........................................)  moov

At the end a ``moov`` with the tables of all samples is appended, and the 16 bytes of ``free`` become the header of an
``mdat`` around everything up to it: one write. Before it the file is a fragmented MP4, of which every whole fragment
plays, so a crash costs the fragment that was being written. The byte ranges of the fragments stay valid.

Sources: ISO/IEC 14496-12, 8.1 (free, mdat), 8.6 (stts, ctts, stss, elst), 8.7 (stsz, stsc, co64), 8.8 (fragments).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from struct import pack, unpack_from
from typing import Final, NamedTuple

from ..errors import MediaError
from .boxes import MOVIE_TIMESCALE, TrackHeader, box, full_box, movie_header, track
from .muxer import Init

Read = Callable[[int, int], bytes]
"""``read(offset, size)`` gives the bytes of a file, fewer at its end."""

FREE_BYTES: Final = 16
MIN_SEGMENT_MS: Final = 2000
BEGINNING: Final = "#EXTM3U"
_HEADER_BYTES: Final = 8
_IS_LITTLE_ENDIAN: Final = array("H", [1]).tobytes()[0] == 1
_MAX_HEAD_BYTES: Final = 1024 * 1024  # of ftyp and moov, and of a moof
_NOT_SYNC: Final = 0x00010000
_VIDEO_RUN: Final = 0x000F01
_AUDIO_RUN: Final = 0x000301


def head(init: Init) -> bytes:
    """What a file begins with."""
    return init.file_type + box(b"free", bytes(FREE_BYTES - _HEADER_BYTES)) + init.movie


class Span(NamedTuple):
    """One whole fragment of a file: where it is, and what it holds in milliseconds."""

    offset: int
    size: int
    start_ms: float
    duration_ms: float
    keyframe: bool


class Playlist:
    """An HLS playlist into a file of fragments: its segments are byte ranges, so the file is there once. Segments begin
    at keyframes and have ``MIN_SEGMENT_MS`` at least (RFC 8216, 4.3.2.2 and 4.3.2.5)."""

    def __init__(self, uri: str, movie_at: int, movie_bytes: int) -> None:
        """``uri`` is that of the file, quoted; the others are where its first ``moov`` is."""
        self.uri = uri
        self._map = f'#EXT-X-MAP:URI="{uri}",BYTERANGE="{movie_bytes}@{movie_at}"\n'
        self._segments: list[str] = []
        self._open: list[Span] = []
        self._target_s = 0

    def add(self, span: Span) -> str:
        """Take the next fragment. Returns what to append to the playlist of a file that grows, mostly nothing; or all
        of it, with its head, where a segment is longer than those before it, as the first one is."""
        text = ""
        if span.keyframe and self._open and sum(one.duration_ms for one in self._open) >= MIN_SEGMENT_MS:
            target_s = self._target_s
            self._close()
            text = self._segments[-1]
            if self._target_s > target_s:
                text = self._head("EVENT") + "".join(self._segments)
        self._open.append(span)
        return text

    def whole(self) -> str:
        """The playlist of a file that is finished."""
        if self._open:
            self._close()
        return self._head("VOD") + "".join(self._segments) + "#EXT-X-ENDLIST\n"

    def _head(self, kind: str) -> str:
        return (
            f"{BEGINNING}\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{self._target_s}\n#EXT-X-PLAYLIST-TYPE:{kind}\n"
            f"#EXT-X-INDEPENDENT-SEGMENTS\n{self._map}"
        )

    def _close(self) -> None:
        first, spans, self._open = self._open[0], self._open, []
        duration_ms = sum(one.duration_ms for one in spans)
        size = sum(one.size for one in spans)
        self._target_s = max(self._target_s, math.ceil(duration_ms / 1000))
        self._segments.append(
            f"#EXTINF:{duration_ms / 1000:.5f},\n#EXT-X-BYTERANGE:{size}@{first.offset}\n{self.uri}\n"
        )


class _Samples:
    """The samples of one track of the file, as its tables have them. Times are in ticks of the track."""

    def __init__(self, header: TrackHeader) -> None:
        self.header = header
        self.begin: int | None = None
        self.end = 0
        self.durations = array("I")
        self.sizes = array("I")
        self.compositions = array("i")
        self.sync = array("I")  # numbers, from 1
        self.chunks: list[tuple[int, int]] = []  # offset and samples of each

    def add(self, dts: int, offset: int, run: _Run) -> None:
        if self.begin is None:
            self.begin = self.end = dts
        elif dts > self.end:
            self.durations[-1] = min(self.durations[-1] + dts - self.end, 0xFFFFFFFF)  # after a gap
        self.sync.extend(len(self.sizes) + 1 + index for index in run.sync)
        self.durations.extend(run.durations)
        self.sizes.extend(run.sizes)
        self.compositions.extend(run.compositions)
        self.chunks.append((offset, len(run.sizes)))
        self.end = max(dts, self.end) + sum(run.durations)

    @property
    def duration(self) -> int:
        return self.end - (self.begin or 0)

    def tables(self) -> bytes:
        """The ``stbl`` box."""
        times = [pack(">II", count, value) for value, count in _runs(self.durations)]
        parts = [
            full_box(b"stsd", 0, 0, pack(">I", 1), self.header.entry),
            full_box(b"stts", 0, 0, pack(">I", len(times)), *times),
        ]
        if self.header.is_video:
            shifts = [pack(">Ii", count, value) for value, count in _runs(self.compositions)]
            parts.append(full_box(b"ctts", 1, 0, pack(">I", len(shifts)), *shifts))
            parts.append(full_box(b"stss", 0, 0, pack(">I", len(self.sync)), _big_endian(self.sync)))
        groups = []
        number = 1
        for count, chunks in groupby(samples for _, samples in self.chunks):
            groups.append(pack(">III", number, count, 1))
            number += sum(1 for _ in chunks)
        parts += [
            full_box(b"stsc", 0, 0, pack(">I", len(groups)), *groups),
            full_box(b"stsz", 0, 0, pack(">II", 0, len(self.sizes)), _big_endian(self.sizes)),
            full_box(b"co64", 0, 0, pack(">I", len(self.chunks)), *(pack(">Q", offset) for offset, _ in self.chunks)),
        ]
        return box(b"stbl", *parts)

    def trak(self) -> tuple[bytes, int]:
        """The ``trak`` box, and where it ends in milliseconds. A track that begins later than 0 has an empty edit."""
        begin_ms = (self.begin or 0) * MOVIE_TIMESCALE // self.header.timescale
        length_ms = -(-self.duration * MOVIE_TIMESCALE // self.header.timescale)  # rounded up: nothing is cut off
        edits = [pack(">QqI", begin_ms, -1, 0x10000)] if begin_ms else []
        edits.append(pack(">QqI", length_ms, 0, 0x10000))
        edit_box = box(b"edts", full_box(b"elst", 1, 0, pack(">I", len(edits)), *edits))
        end_ms = begin_ms + length_ms
        return track(self.header, self.tables(), self.duration, end_ms, edit_box), end_ms


class _Run(NamedTuple):
    durations: array[int]
    sizes: array[int]
    compositions: array[int]
    sync: list[int]  # indices


class Index:
    """What is in a file of fragments: every whole one, up to ``end``. ``lost_ms`` is how long the fragment is that was
    begun after it, as far as its header is there; ``free_at`` is where the 16 bytes are."""

    def __init__(self, read: Read, size: int) -> None:
        """Look through a file of ``size`` bytes. Raises MediaError ``not_fragmented`` for what ``head`` did not begin;
        reads headers only, one fragment at a time."""
        self.spans: list[Span] = []
        self.lost_ms = 0.0
        self._movie_bytes = 0
        self._samples: dict[int, _Samples] = {}
        self.free_at, self.end = self._read_head(read, size)
        while self._read_fragment(read, size):
            pass

    @property
    def duration_ms(self) -> float:
        """From the beginning of the first sample to the end of the last one."""
        if not self.spans:
            return 0.0
        return max(one.end * 1000 / one.header.timescale for one in self._samples.values())

    def playlist(self, uri: str) -> str:
        """The playlist of the file when it is finished; ``uri`` is what it is called, quoted."""
        made = Playlist(uri, self.free_at + FREE_BYTES, self._movie_bytes)
        for span in self.spans:
            made.add(span)
        return made.whole()

    @property
    def movie(self) -> bytes:
        """The ``moov`` box to append at ``end``."""
        made = [one.trak() for one in self._samples.values() if one.sizes]
        next_id = max(self._samples) + 1
        return box(b"moov", movie_header(max(end_ms for _, end_ms in made), next_id), *(trak for trak, _ in made))

    @property
    def seal(self) -> bytes:
        """The 16 bytes to write at ``free_at`` when ``movie`` is on the disk."""
        return pack(">I4sQ", 1, b"mdat", self.end - self.free_at)

    def _read_head(self, read: Read, size: int) -> tuple[int, int]:
        position = free_at = 0
        for expected in (b"ftyp", b"free", b"moov"):
            kind, box_bytes = _header(read, position)
            if kind != expected or not _HEADER_BYTES <= box_bytes <= min(_MAX_HEAD_BYTES, size - position):
                raise MediaError("this file does not begin as one that is recorded", "not_fragmented")
            if kind == b"free":
                free_at = position
            elif kind == b"moov":
                self._movie_bytes = box_bytes
                self._read_movie(read(position, box_bytes))
            position += box_bytes
        return free_at, position

    def _read_movie(self, movie: bytes) -> None:
        for _, start, end in _children(movie, _HEADER_BYTES, len(movie), b"trak"):
            (_, tkhd, _), (_, mdia, mdia_end) = _one(movie, start, end, b"tkhd"), _one(movie, start, end, b"mdia")
            (_, mdhd, _), (_, hdlr, _) = _one(movie, mdia, mdia_end, b"mdhd"), _one(movie, mdia, mdia_end, b"hdlr")
            _, minf, minf_end = _one(movie, mdia, mdia_end, b"minf")
            _, stbl, stbl_end = _one(movie, minf, minf_end, b"stbl")
            _, stsd, stsd_end = _one(movie, stbl, stbl_end, b"stsd")
            track_id = unpack_from(">I", movie, tkhd + 20)[0]
            width, height = unpack_from(">II", movie, tkhd + 88)
            header = TrackHeader(
                track_id,
                movie[hdlr + 8 : hdlr + 12] == b"vide",
                unpack_from(">I", movie, mdhd + 20)[0],
                width >> 16,
                height >> 16,
                movie[stsd + 8 : stsd_end],
            )
            self._samples[track_id] = _Samples(header)

    def _read_fragment(self, read: Read, size: int) -> bool:
        """Take the fragment at ``end``; whether it is whole."""
        kind, moof_bytes = _header(read, self.end)
        if kind != b"moof" or not _HEADER_BYTES < moof_bytes <= _MAX_HEAD_BYTES or self.end + moof_bytes > size:
            return False
        moof = read(self.end, moof_bytes)
        try:
            runs = [
                _read_run(moof, start, end) for _, start, end in _children(moof, _HEADER_BYTES, moof_bytes, b"traf")
            ]
        except (MediaError, ValueError):
            return False
        if not runs or any(track_id not in self._samples for track_id, *_ in runs):
            return False
        mdat, mdat_bytes = _header(read, self.end + moof_bytes)
        payload = sum(sum(run.sizes) for *_, run in runs)
        whole = moof_bytes + mdat_bytes
        lead_id, lead_dts, _, lead = runs[0]
        header = self._samples[lead_id].header
        duration_ms = sum(lead.durations) * 1000 / header.timescale
        if mdat != b"mdat" or mdat_bytes != _HEADER_BYTES + payload or self.end + whole > size:
            self.lost_ms = duration_ms
            return False
        for track_id, dts, offset, run in runs:
            self._samples[track_id].add(dts, self.end + offset, run)
        has_video = any(one.header.is_video for one in self._samples.values())
        is_key = not has_video or (header.is_video and lead.sync[:1] == [0])
        self.spans.append(Span(self.end, whole, lead_dts * 1000 / header.timescale, duration_ms, is_key))
        self.end += whole
        return True


def _read_run(moof: bytes, start: int, end: int) -> tuple[int, int, int, _Run]:
    """Track id, decoding time of the first sample, offset of its bytes from the ``moof``, and the samples."""
    (_, tfhd, _), (_, tfdt, _) = _one(moof, start, end, b"tfhd"), _one(moof, start, end, b"tfdt")
    _, trun, trun_end = _one(moof, start, end, b"trun")
    track_id, (dts,) = unpack_from(">I", moof, tfhd + 4)[0], unpack_from(">Q", moof, tfdt + 4)
    flags, count, offset = unpack_from(">IIi", moof, trun)
    fields = {_VIDEO_RUN: 4, _AUDIO_RUN: 2}.get(flags & 0xFFFFFF)
    if fields is None or trun_end - trun != 12 + 4 * fields * count or not count:
        raise MediaError("a run that is not ours", "not_fragmented")
    table = array("I", moof[trun + 12 : trun_end])
    if _IS_LITTLE_ENDIAN:
        table.byteswap()
    if fields == 2:
        return track_id, dts, offset, _Run(table[0::2], table[1::2], array("i", bytes(4 * count)), [])
    sync = [index for index, one in enumerate(table[2::4]) if not one & _NOT_SYNC]
    return track_id, dts, offset, _Run(table[0::4], table[1::4], array("i", table[3::4].tobytes()), sync)


def _header(read: Read, position: int) -> tuple[bytes, int]:
    """Kind and size of the box at a place; no kind where the file ends."""
    data = read(position, _HEADER_BYTES)
    return (data[4:], int.from_bytes(data[:4], "big")) if len(data) == _HEADER_BYTES else (b"", 0)


def _children(data: bytes, start: int, end: int, kind: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of a kind between two places: where their content begins and ends."""
    while start + _HEADER_BYTES <= end:
        size = int.from_bytes(data[start : start + 4], "big")
        if not _HEADER_BYTES <= size <= end - start:
            raise MediaError("a box is larger than the one around it", "not_fragmented")
        if data[start + 4 : start + 8] == kind:
            yield kind, start + _HEADER_BYTES, start + size
        start += size


def _one(data: bytes, start: int, end: int, kind: bytes) -> tuple[bytes, int, int]:
    for found in _children(data, start, end, kind):
        return found
    raise MediaError(f"no {kind.decode()} box", "not_fragmented")


def _runs(values: Iterable[int]) -> list[tuple[int, int]]:
    """Each value, and how often it comes in a row."""
    return [(value, sum(1 for _ in same)) for value, same in groupby(values)]


def _big_endian(values: array[int]) -> bytes:
    swapped = array("I", values)
    if _IS_LITTLE_ENDIAN:
        swapped.byteswap()
    return swapped.tobytes()
