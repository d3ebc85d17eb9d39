"""A file of fragments becomes an ordinary MP4, and what a cut leaves of one is found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rtmpd.cmaf.hybrid import Index, head
from rtmpd.errors import MediaError
from rtmpd.protocol.constants import VIDEO
from tests.cmaf.muxing import AUDIOS, FFMPEG, VIDEOS, Clips, mux, mux_file, run_ffmpeg
from tests.cmaf.test_muxer import HEADERS, gops
from tests.support.mp4 import fragments, walk


def growing(found: list) -> bytes:  # type: ignore[type-arg]
    return head(found[0].init) + b"".join(b"".join(fragment.pieces) for fragment in found)


def index_of(data: bytes) -> Index:
    return Index(lambda offset, size: data[offset : offset + size], len(data))


def finished(data: bytes) -> bytes:
    index = index_of(data)
    whole = bytearray(data[: index.end] + index.movie)
    whole[index.free_at : index.free_at + 16] = index.seal
    return bytes(whole)


def test_the_layout_before_and_after() -> None:
    data = growing(mux(HEADERS + gops(0, 3), part_ms=10_000))
    assert [box.kind for box in walk(data)] == ["ftyp", "free", "moov", *["moof", "mdat"] * 3]
    after = finished(data)
    assert [box.kind for box in walk(after)] == ["ftyp", "mdat", "moov"]
    differing = [at for at in range(len(data)) if data[at] != after[at]]
    assert min(differing) >= 24 and max(differing) < 40, "only the 16 bytes of free differ"


def test_the_tables_say_what_the_fragments_say() -> None:
    data = growing(mux(HEADERS + gops(0, 3), part_ms=10_000))
    index = index_of(data)
    assert [(one.offset, one.size) for one in index.spans] == [(one.offset, one.size) for one in fragments(data)]
    assert [one.keyframe for one in index.spans] == [True] * 3 and index.duration_ms == pytest.approx(600, abs=25)
    moov = list(walk(finished(data)))[-1]
    for trak, name in zip(moov.all("trak"), (1, 2), strict=True):
        stbl = trak.one("mdia/minf/stbl")
        sizes = [one.size for part in fragments(data) for one in part.tracks[name]]
        assert stbl.one("stsz").body[12:] == b"".join(size.to_bytes(4, "big") for size in sizes)
        offsets = [part.tracks[name][0].offset for part in fragments(data)]
        assert stbl.one("co64").body[8:] == b"".join(offset.to_bytes(8, "big") for offset in offsets)


def test_whatever_is_cut_off_every_whole_fragment_is_found() -> None:
    data = growing(mux(HEADERS + gops(0, 8), part_ms=10_000))
    whole = index_of(data).spans
    begin = whole[0].offset
    choose = random.Random(1)
    for cut in [choose.randrange(begin, len(data)) for _ in range(50)]:
        index = index_of(data[:cut])
        assert index.spans == [span for span in whole if span.offset + span.size <= cut]
        if index.spans:
            assert [box.kind for box in walk(finished(data[:cut]))] == ["ftyp", "mdat", "moov"]
        if index.end + 400 < cut:
            assert index.lost_ms == pytest.approx(200, abs=1)
        zeros = index_of(data[:cut] + bytes(4096))
        assert zeros.spans[: len(index.spans)] == index.spans and len(zeros.spans) <= len(index.spans) + 1


@pytest.mark.parametrize(
    "data", [b"", b"FLV\x01", bytes(100), finished(growing(mux(HEADERS + gops(0, 2), part_ms=10_000)))]
)
def test_what_is_not_a_growing_file_is_not_touched(data: bytes) -> None:
    with pytest.raises(MediaError):
        index_of(data)


def test_a_gap_between_fragments_is_in_the_tables() -> None:
    sounds_end_early = [one for one in gops(0, 5) if one.type_id == VIDEO or one.timestamp < 400]
    data = growing(mux([*HEADERS, *sounds_end_early, *gops(5_000_000, 2)], part_ms=10_000))
    last = fragments(data)[-1].tracks[2][-1]
    moov = list(walk(finished(data)))[-1]
    table = moov.all("trak")[1].one("mdia/minf/stbl/stts").body[8:]
    pairs = [
        (int.from_bytes(table[at : at + 4], "big"), int.from_bytes(table[at + 4 : at + 8], "big"))
        for at in range(0, len(table), 8)
    ]
    assert sum(count * ticks for count, ticks in pairs) == last.dts + last.duration


def test_a_playlist_covers_the_fragments_once_and_begins_segments_at_keyframes() -> None:
    data = growing(mux(HEADERS + gops(0, 5, 25), part_ms=200))
    index = index_of(data)
    lines = index.playlist("a.mp4").splitlines()
    assert lines[:2] == ["#EXTM3U", "#EXT-X-VERSION:7"] and lines[-1] == "#EXT-X-ENDLIST"
    assert "#EXT-X-TARGETDURATION:2" in lines
    ranges = [line.partition(":")[2].split("@") for line in lines if line.startswith("#EXT-X-BYTERANGE")]
    begin = index.spans[0].offset
    for size, offset in ranges:
        assert int(offset) == begin
        assert next(span for span in index.spans if span.offset == begin).keyframe
        begin += int(size)
    assert begin == index.end and len(ranges) == 3
    durations = [float(line[8:-1]) for line in lines if line.startswith("#EXTINF")]
    assert durations == [2.0, 2.0, 1.0]
    (place,) = [line for line in lines if line.startswith("#EXT-X-MAP")]
    size, _, offset = place.partition("BYTERANGE=")[2].strip('"').partition("@")
    assert [box.kind for box in walk(data[int(offset) : int(offset) + int(size)])] == ["moov"]


def hashes(path: Path) -> list[str]:
    lines = run_ffmpeg(FFMPEG, "-i", str(path), "-map", "0", "-f", "framemd5", "-").splitlines()
    rows = [line.replace(" ", "").split(",") for line in lines if not line.startswith("#")]
    return sorted(f"{row[0]} {row[5]}" for row in rows)


@pytest.mark.parametrize(
    ("video", "audio"),
    [*((video, "aac") for video in VIDEOS), *(("h264", audio) for audio in AUDIOS if audio != "aac")],
)
def test_ffmpeg_decodes_the_same_before_and_after(tmp_path: Path, video: str, audio: str) -> None:
    data = growing(mux_file(Clips(tmp_path)(video, audio)))
    before, after = tmp_path / "before.mp4", tmp_path / "after.mp4"
    before.write_bytes(data)
    after.write_bytes(finished(data))
    assert hashes(before) == hashes(after)
    (tmp_path / "after.m3u8").write_text(index_of(data).playlist("after.mp4"))
    assert [one for one in hashes(tmp_path / "after.m3u8") if one[0] == "0"] == [
        one for one in hashes(before) if one[0] == "0"
    ]
    run_ffmpeg("ffmpeg", "-i", str(after), "-f", "null", "-")  # Debian's, without a warning
