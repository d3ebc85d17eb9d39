"""An output of a stream gets the frames themselves, each once, and holds the stream as a player does."""

from __future__ import annotations

from rtmpd.stream.frame import Frame
from rtmpd.stream.tap import Tap
from tests.support.streams import AAC_HEADER, AVC_HEADER, METADATA, SET_METADATA, FakeWatcher, Rig, inter, key, send


class Sink:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.watcher = FakeWatcher()
        self.tap = Tap(self, self.watcher)
        self.payloads: list[bytes] = []
        self.waits = False

    def begin(self, burst: list[Frame], wait_for_keyframe: bool) -> None:
        self.waits = wait_for_keyframe
        self.take(burst)

    def take(self, frames: list[Frame]) -> None:
        self.payloads += [frame.payload for frame in frames]


def test_a_late_output_begins_with_the_cache_and_goes_on_live() -> None:
    rig = Rig()
    stream = rig.publish()
    for number, body in enumerate((SET_METADATA, AVC_HEADER, AAC_HEADER, key(b"1"), inter(b"2"))):
        send(stream, body, number * 10)
    sink = Sink()
    stream.open_output(sink.tap)
    send(stream, inter(b"3"), 60)
    assert sink.payloads == [], "it is not fed yet"
    stream.feed(sink.tap)
    send(stream, inter(b"4"), 70)
    assert sink.payloads == [METADATA, AVC_HEADER, AAC_HEADER, key(b"1"), inter(b"2"), inter(b"3"), inter(b"4")]
    stream.pause(sink.tap)
    send(stream, inter(b"5"), 80)
    assert sink.payloads[-1] == inter(b"4") and not sink.waits


def test_players_and_outputs_get_the_same_and_do_not_know_each_other() -> None:
    rig = Rig()
    stream = rig.publish()
    sinks = [Sink(), Sink()]
    for sink in sinks:
        stream.open_output(sink.tap)
        stream.feed(sink.tap)
    _, player = rig.join()
    send(stream, key(b"1"), 0)
    stream.detach(sinks[0].tap)
    send(stream, inter(b"2"), 40)
    assert sinks[0].payloads == [key(b"1")]
    assert sinks[1].payloads == player.bodies == [key(b"1"), inter(b"2")]
    assert len(stream.subscribers) == 1, "an output is no player"


def test_an_output_may_leave_in_the_middle_of_a_flush() -> None:
    rig = Rig()
    stream = rig.publish()

    class Leaver(Sink):
        def take(self, frames: list[Frame]) -> None:
            super().take(frames)
            if frames:
                stream.detach(self.tap)

    leaver, other = Leaver(), Sink()
    for sink in (leaver, other):
        stream.open_output(sink.tap)
        stream.feed(sink.tap)
    for number in range(3):
        send(stream, key(b"%d" % number), number * 40)
    assert leaver.payloads == [key(b"0")] and len(other.payloads) == 3


def test_an_output_holds_the_stream_for_a_publisher_that_may_return() -> None:
    rig = Rig(publisher_grace_s=5.0)
    stream = rig.publish()
    sink = Sink()
    stream.open_output(sink.tap)
    stream.stop_publish(rig.publisher, clean=False)  # type: ignore[arg-type]
    assert stream.live and sink.watcher.told == []
    rig.registry.close()
    assert sink.watcher.told == ["unpublished"] and len(rig.registry) == 1
    stream.detach(sink.tap)
    assert len(rig.registry) == 0


def test_a_clean_end_is_told_at_once() -> None:
    rig = Rig()
    stream = rig.publish()
    sink = Sink()
    stream.open_output(sink.tap)
    stream.stop_publish(rig.publisher, clean=True)  # type: ignore[arg-type]
    assert sink.watcher.told == ["unpublished"]


def test_an_output_that_another_one_ended_gets_nothing_of_the_same_flush() -> None:
    rig = Rig()
    stream = rig.publish()
    victim = Sink()

    class Killer(Sink):
        def take(self, frames: list[Frame]) -> None:
            if frames:
                stream.detach(victim.tap)

    for sink in (Killer(), victim):
        stream.open_output(sink.tap)
        stream.feed(sink.tap)
    send(stream, key(b"1"), 0)
    assert victim.payloads == []
