"""Playlists of HLS: what the standard says they must be, whatever the stream does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtmpd.cmaf.muxer import Fragment, Init
from rtmpd.errors import LimitReached
from rtmpd.playback import visitor
from rtmpd.playback.directory import folder_of
from rtmpd.playback.hls import HlsStream, Observer
from rtmpd.playback.visitor import Visitor, Visitors
from rtmpd.settings.playback import PlaybackSettings
from rtmpd.stream.stream import Stream
from tests.support.playlists import Watch, faults, parsed
from tests.support.streams import Rig

WALL = 1_800_000_000.25
FIRST = Init(b"ftyp", b"moov1", "avc1.64000a,mp4a.40.2", 640, 360, True, True)
SECOND = Init(b"ftyp", b"moov2", "avc1.64001f,mp4a.40.2", 1280, 720, True, True)


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now - 100.0


class Source:
    refusal = ""

    def __init__(self) -> None:
        self.takers: list[HlsStream] = []

    def add(self, taker: HlsStream) -> None:
        self.takers.append(taker)

    def remove(self, taker: HlsStream) -> None:
        if taker in self.takers:
            self.takers.remove(taker)


class Bench:
    """A playlist that is fed by hand, and looked at after each segment by a client that remembers."""

    def __init__(self, **settings: object) -> None:
        self.clock = FakeClock()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.dropped: list[str] = []
        bench = self

        class Keeps(Observer):
            def dropped(self, hls: HlsStream, names: list[str]) -> None:
                bench.dropped += names

        rig = Rig()
        self.stream: Stream = rig.publish()
        given = PlaybackSettings(**settings)  # type: ignore[arg-type]
        self.hls = HlsStream(self.stream, given, self.clock, self._emit, Keeps())  # type: ignore[arg-type]
        self.source = Source()
        self.hls.feed(self.source)  # type: ignore[arg-type]
        self.watch = Watch()
        self.at = 0.0

    def _emit(self, type: str, **data: object) -> None:
        self.events.append((type, data))

    def put(self, seconds: float, key: bool = True, init: Init = FIRST, breaks: bool = False, size: int = 1000) -> None:
        ticks = round(self.at * 90_000), round(seconds * 90_000)
        fragment = Fragment([bytes(size)], size, init, 90_000, *ticks, key, breaks)
        self.at += seconds
        self.clock.now += seconds
        self.hls.put(fragment)
        if self.hls.has_segments:
            self.watch.look(self.hls.playlist("?s=x"))

    def gops(self, count: int, seconds: float = 2.0, **others: object) -> None:
        for _ in range(count):
            self.put(seconds / 2, True, **others)  # type: ignore[arg-type]
            self.put(seconds / 2, False, **others)  # type: ignore[arg-type]

    def republish(self) -> None:
        self.hls.over("")
        self.source = Source()
        self.at = 0.0
        self.hls.feed(self.source)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    assert faults(made.watch) == []


def test_a_live_playlist_slides_with_numbers_that_begin_at_the_time_of_the_clock(bench: Bench) -> None:
    bench.gops(12)
    found = parsed(bench.hls.playlist("?s=x"))
    assert (found.version, found.target_s, len(found.segments), found.is_over) == (7, 2, 7, False)
    assert found.sequence == 1_800_000_000 + 1 + 4
    assert [one.duration_s for one in found.segments] == [2.0] * 7
    assert all(one.uri.endswith(".m4s?s=x") for one in found.segments)
    assert found.segments[0].map == found.segments[-1].map
    steps = [after.at - before.at for before, after in zip(found.segments, found.segments[1:], strict=False)]
    assert steps == pytest.approx([2.0] * 6)
    assert found.segments[0].at == pytest.approx(WALL + 8.0 - 0.0, abs=1.1)


def test_segments_begin_at_keyframes_and_are_as_long_as_gops(bench: Bench) -> None:
    for _ in range(4):
        bench.put(0.5)  # four GOPs of half a second
    bench.put(0.2)
    assert parsed(bench.hls.playlist("")).segments[0].duration_s == 2.0
    for _ in range(24):
        bench.put(0.2, key=False)
    bench.watch.may_grow = True
    bench.put(0.2)  # 5 s without a keyframe
    assert parsed(bench.hls.playlist("")).segments[1].duration_s == 5.0


def test_the_target_duration_grows_only_where_it_must_and_that_is_reported(bench: Bench) -> None:
    bench.gops(3)
    assert not bench.events
    bench.watch.may_grow = True
    bench.gops(2, 6.0)
    assert parsed(bench.hls.playlist("")).target_s == 6
    ((type_, data),) = bench.events
    assert (type_, data["metric"], data["value"], data["threshold"]) == ("quality_alert", "keyframe_interval", 6.0, 2.0)


def test_another_init_segment_is_a_discontinuity_that_is_counted_when_it_has_gone(bench: Bench) -> None:
    bench.gops(3)
    bench.gops(4, init=SECOND)
    found = parsed(bench.hls.playlist(""))
    breaks = [one.discontinuity for one in found.segments]
    assert breaks == [False, False, False, True, False, False]
    assert found.segments[2].map != found.segments[3].map
    assert found.discontinuities == 0
    bench.gops(12, init=SECOND)
    found = parsed(bench.hls.playlist(""))
    assert (found.discontinuities, any(one.discontinuity for one in found.segments)) == (1, False)
    assert len([name for name in bench.dropped if name.endswith(".mp4")]) == 1
    assert "RESOLUTION=1280x720" in bench.hls.index("")


def test_a_jump_of_the_timestamps_is_a_discontinuity(bench: Bench) -> None:
    bench.gops(3)
    bench.put(2.0, breaks=True)
    bench.gops(3)
    assert [one.discontinuity for one in parsed(bench.hls.playlist("")).segments].count(True) == 1


def test_a_republish_goes_on_with_a_discontinuity_and_without_going_back(bench: Bench) -> None:
    bench.gops(3)
    bench.republish()
    bench.gops(3)
    found = parsed(bench.hls.playlist(""))
    assert [one.discontinuity for one in found.segments] == [False, False, False, True, False]
    bench.clock.now += 5
    bench.republish()
    bench.gops(2)
    found = parsed(bench.hls.playlist(""))
    assert found.segments[-1].at > found.segments[-2].at + 5


def test_the_playlist_ends_when_the_publisher_has_not_come_back(bench: Bench) -> None:
    bench.gops(3)
    bench.put(0.7)
    bench.hls.over("")
    bench.hls.look(bench.clock.now + 5)
    assert not bench.hls.has_ended
    bench.hls.look(bench.clock.now + 7)
    found = parsed(bench.hls.playlist("?s=x"))
    assert bench.hls.has_ended and found.is_over
    assert found.segments[-1].duration_s == 0.7
    bench.watch.look(bench.hls.playlist("?s=x"))


def test_rounding_does_not_add_up(bench: Bench) -> None:
    for _ in range(100):
        bench.put(1001 / 480, True)  # 50 pictures at 24000/1001
    total = sum(one.duration_s for one in parsed(bench.hls.playlist("")).segments)
    assert total == pytest.approx(7 * 1001 / 480, abs=0.00002)


def test_what_left_the_playlist_is_kept_for_as_long_again(bench: Bench) -> None:
    bench.gops(20)
    numbers = [int(name.partition("-")[2].partition(".")[0]) for name in bench.dropped if name.endswith("m4s")]
    first = parsed(bench.hls.playlist("")).sequence
    assert max(numbers) == first - 7 - 1
    prefix = parsed(bench.hls.playlist("")).segments[0].uri.partition("-")[0]
    assert bench.hls.file(f"{prefix}-{first - 7}.m4s") is not None
    assert bench.hls.file(f"{prefix}-{first - 8}.m4s") is None


def test_the_memory_of_a_stream_is_bounded() -> None:
    bench = Bench(hls_memory_bytes=1 << 20)
    bench.gops(30, size=100_000)
    held = sum(one.size for one in (*bench.hls._segments, *bench.hls._past))
    assert held <= 1 << 20
    assert len(parsed(bench.hls.playlist("")).segments) == 5
    for _ in range(100):
        bench.put(0.2, key=False, size=100_000)  # keyframes do not come
    assert sum(one.size for one in (*bench.hls._segments, *bench.hls._past)) <= 1 << 20
    assert bench.hls._open is not None and bench.hls._open.size <= 1 << 19


def test_the_multivariant_playlist_says_what_there_is(bench: Bench) -> None:
    bench.gops(3)
    index = bench.hls.index("?s=x")
    assert index.endswith("\nstream.m3u8?s=x\n")
    assert 'CODECS="avc1.64000a,mp4a.40.2"' in index and "RESOLUTION=640x360" in index
    bandwidth = int(index.partition(":BANDWIDTH=")[2].partition(",")[0])
    assert bandwidth >= 2000 * 8 / 2


def test_sound_alone_has_no_size(bench: Bench) -> None:
    sound = Init(b"ftyp", b"moov", "mp4a.40.2", 0, 0, False, True)
    for _ in range(40):
        bench.put(0.2, init=sound)
    index = bench.hls.index("")
    assert "RESOLUTION" not in index and "FRAME-RATE" not in index
    assert {one.duration_s for one in parsed(bench.hls.playlist("")).segments} == {2.0}


# --- who watches ----------------------------------------------------------------------------------


class Ticket:
    def __init__(self) -> None:
        self.sessions: list[list[str]] = []

    def begin(self, protocol: str, viewer: Visitor) -> object:
        stops: list[str] = []
        self.sessions.append(stops)

        class Session:
            def stop(self, reason: str) -> None:
                stops.append(reason)

        return Session()


@pytest.fixture
def visitors() -> tuple[Visitors, FakeClock]:
    clock = FakeClock()
    return Visitors(clock), clock  # type: ignore[arg-type]


def test_silence_of_three_targets_ends_a_session_and_a_return_begins_another(
    visitors: tuple[Visitors, FakeClock],
) -> None:
    known, clock = visitors
    ticket = Ticket()
    viewer = known.new(ticket, "live/a", lambda: 4)  # type: ignore[arg-type]
    viewer.seen()
    viewer.bytes_sent += 5
    viewer.watch(clock.now + 11.9)
    assert ticket.sessions == [[]]
    viewer.watch(clock.now + 12.1)
    assert ticket.sessions == [["timeout"]]
    clock.now += 100
    found = known.find(known.name_of(viewer), "live/a")
    assert found is viewer
    viewer.seen()
    assert (ticket.sessions, viewer.bytes_sent) == ([["timeout"], []], 0)


def test_who_was_kicked_does_not_come_back(visitors: tuple[Visitors, FakeClock]) -> None:
    known, _ = visitors
    ticket = Ticket()
    viewer = known.new(ticket, "live/a", lambda: 2)  # type: ignore[arg-type]
    viewer.seen()
    name = known.name_of(viewer)
    viewer.end("kicked")
    assert ticket.sessions == [["kicked"]]
    assert known.find(name, "live/a") is None
    known.look(0.0)
    assert len(known) == 0


def test_a_name_is_good_for_one_stream_and_cannot_be_made_up(visitors: tuple[Visitors, FakeClock]) -> None:
    known, clock = visitors
    viewer = known.new(Ticket(), "live/a", lambda: 2)  # type: ignore[arg-type]
    name = known.name_of(viewer)
    assert known.find(name, "live/a") is viewer
    for wrong in (name[:-1], name[:-2] + "xx", "", "a.b", Visitors(clock).name_of(viewer)):  # type: ignore[arg-type]
        assert known.find(wrong, "live/a") is None
    assert known.find(name, "live/b") is None


def test_viewers_are_forgotten_and_bounded(
    visitors: tuple[Visitors, FakeClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, clock = visitors
    monkeypatch.setattr(visitor, "MAX_VISITORS", 2)
    first = known.new(Ticket(), "live/a", lambda: 2)  # type: ignore[arg-type]
    known.new(Ticket(), "live/a", lambda: 2).seen()  # type: ignore[arg-type]
    with pytest.raises(LimitReached):
        known.new(Ticket(), "live/a", lambda: 2)  # type: ignore[arg-type]
    known.look(clock.now + 601)
    assert len(known) == 1 and known.find(known.name_of(first), "live/a") is None


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("live/camera 1", "/r/live/camera 1"),
        ("live/../../etc", "/r/live/%2E%2E/%2E%2E/etc"),
        ("live/.", "/r/live/%2E"),
        ("live/a.b", "/r/live/a.b"),
        ("live/\u00e9%2F", "/r/live/%C3%A9%252F"),
    ],
)
def test_a_stream_has_its_files_below_the_directory_whatever_it_is_called(key: str, folder: str) -> None:
    assert folder_of("/r", key) == folder


