"""When frames are sent: each flush policy, with the hub's own timers where there are any."""

from __future__ import annotations

import gevent
import pytest

from rtmpd.clock import FakeClock
from rtmpd.stream.flush import Load
from rtmpd.stream.stream import Stream
from tests.support.proof import proves
from tests.support.streams import AAC_HEADER, CUE, Player, Rig, add, audio, inter, key, send
from tests.support.waiting import until


def listening(rig: Rig) -> Player:
    return rig.join()[1]


def test_immediate_sends_when_the_publisher_waits() -> None:
    rig = Rig(flush="immediate")
    stream, player = rig.publish(), listening(rig)
    add(stream, audio(), 1)
    assert player.times == []
    stream.idle()
    assert player.times == [1]


@proves("apps.audio_wait")
def test_audio_waits_for_video_that_never_waits() -> None:
    rig = Rig(flush="audio-waits", audio_wait_ms=60_000)
    stream, player = rig.publish(), listening(rig)
    send(stream, key(), 0)
    assert player.times == [0]
    send(stream, audio(), 5)
    send(stream, CUE, 6)
    send(stream, audio(), 10)
    gevent.sleep(0.1)  # longer than audio waits by default
    assert player.times == [0]
    send(stream, inter(), 20)
    assert player.times == [0, 5, 6, 10, 20] and len(player.outlet.sends) == 2


def test_audio_waits_no_longer_than_it_may() -> None:
    rig = Rig(flush="audio-waits", audio_wait_ms=5)
    stream, player = rig.publish(), listening(rig)
    send(stream, key(), 0)
    send(stream, audio(), 5)
    assert player.times == [0]
    until(lambda: player.times == [0, 5])
    send(stream, audio(), 10)
    assert player.times == [0, 5]
    until(lambda: player.times == [0, 5, 10])


@pytest.mark.parametrize("policy", ["audio-waits", "window"])
def test_more_that_comes_does_not_put_off_what_waits(policy: str) -> None:
    rig = Rig(flush=policy, audio_wait_ms=30, flush_window_ms=30)
    stream, player = rig.publish(), listening(rig)
    send(stream, key(), 0)
    stream.flush()

    def more() -> bool:
        send(stream, audio(), 1)
        return len(player.outlet.sends) > 1

    until(more)


def test_audio_alone_does_not_wait() -> None:
    rig = Rig(flush="audio-waits", audio_wait_ms=60_000)
    stream, player = rig.publish(), listening(rig)
    send(stream, AAC_HEADER, 0)
    send(stream, audio(), 5)
    assert player.times == [0, 5]


def test_a_window_gathers_everything_into_one_send() -> None:
    rig = Rig(flush="window", flush_window_ms=5)
    stream, player = rig.publish(), listening(rig)
    send(stream, key(), 0)
    send(stream, audio(), 5)
    assert player.times == []
    until(lambda: player.times == [0, 5])
    assert len(player.outlet.sends) == 1


@pytest.mark.parametrize("policy", ["window", "audio-waits"])
def test_much_that_waits_is_sent_at_once(policy: str) -> None:
    rig = Rig(flush=policy, flush_window_ms=60_000, audio_wait_ms=60_000)
    stream, player = rig.publish(), listening(rig)
    add(stream, key(), 0)
    stream.flush()
    send(stream, audio(bytes(300_000)), 1)
    assert len(player.outlet.sends) == 2


@proves("apps.flush", "apps.flush_window")
def test_what_gathered_in_the_socket_is_not_held_again() -> None:
    rig = Rig(flush="window", flush_window_ms=60_000)
    stream, player = rig.publish(), listening(rig)
    assert stream.gather_s == 60.0
    stream.set_gathered(True)
    send(stream, key(), 0)
    assert player.times == [0]
    stream.set_gathered(False)
    send(stream, inter(), 20)
    assert player.times == [0]
    stream.close()


@pytest.mark.parametrize("policy", ["immediate", "audio-waits", "adaptive"])
def test_only_a_window_lets_the_publisher_wait_in_its_socket(policy: str) -> None:
    assert Rig(flush=policy).publish().gather_s == 0.0


def adaptive_under_load(players: int) -> tuple[Rig, Stream, Player]:
    rig = Rig(flush="adaptive", flush_window_ms=5)
    stream, player = rig.publish(), listening(rig)
    for _ in range(players - 1):
        rig.join()
    send(stream, key(), 0)
    assert player.times == [0], "at once while sending is cheap"
    now = rig.clock.monotonic()
    rig.registry.load.spent(now, now + 10.0)
    send(stream, inter(), 20)
    return rig, stream, player


def test_adaptive_gathers_for_many_players_when_sending_is_not_cheap() -> None:
    _, _, player = adaptive_under_load(20)
    assert player.times == [0]
    until(lambda: player.times == [0, 20])


def test_adaptive_never_holds_back_from_a_small_audience() -> None:
    _, _, player = adaptive_under_load(19)
    assert player.times == [0, 20]


def test_load_is_the_share_of_the_last_second_that_went_into_sending() -> None:
    clock = FakeClock()
    load = Load(clock)
    began = clock.monotonic()
    load.spent(began, began + 0.25)
    assert load.busy == 0.0
    load.spent(began + 1.75, began + 2.0)
    assert load.busy == 0.25
    load.spent(began + 2.0, began + 30.0)
    assert load.busy == 1.0
    load.spent(began + 31.0, began + 31.0)
    assert load.busy == 0.0


@pytest.mark.parametrize("event", ["attach", "detach publisher", "pause"])
def test_what_waits_is_sent_before_anything_changes(event: str) -> None:
    rig = Rig(flush="window", flush_window_ms=60_000)
    stream, player = rig.publish(), listening(rig)
    send(stream, key(), 0)
    send(stream, inter(), 1)
    if event == "attach":
        assert rig.join()[1].times == [0, 1]
    elif event == "pause":
        stream.pause(player.subscriber)
    else:
        stream.stop_publish(rig.publisher, clean=True)
    assert player.times == [0, 1]


def test_the_longest_flush_of_lately_is_remembered() -> None:
    clock = FakeClock()
    load = Load(clock)
    for took_s in (0.25, 0.5, 0.125):
        began = clock.monotonic()
        clock.advance(took_s)
        load.spent(began, clock.monotonic())
    clock.advance(1.0)
    load.spent(clock.monotonic(), clock.monotonic())
    assert load.peak.value() == 0.5
