"""Who has a key: conflicts, limits, players that wait, and the events of a stream's life."""

from __future__ import annotations

from typing import Any

import pytest

from rtmpd.errors import LimitReached, StreamBusy, StreamNotFound
from rtmpd.stream.stream import Stream
from tests.support.proof import proves
from tests.support.streams import FakePublisher, Rig, key, send
from tests.support.waiting import until

CREATED = ("stream_create", {"stream_key": "live/camera", "app": "live", "stream_name": "camera"})


def deleted(duration: float = 0.0) -> tuple[str, dict[str, Any]]:
    return "stream_delete", {**CREATED[1], "duration_sec": duration}


def test_a_stream_lives_from_its_publisher_to_its_last_player() -> None:
    rig = Rig()
    stream = rig.publish()
    _, player = rig.join()
    assert rig.events == [CREATED]
    stream.stop_publish(rig.publisher, clean=True)
    assert rig.events == [CREATED] and rig.registry.find("live/camera") is stream
    rig.clock.advance(2.5)
    stream.detach(player.subscriber)
    assert rig.events == [CREATED, deleted(2.5)]
    assert len(rig.registry) == 0 and rig.registry.find("live/camera") is None


def test_a_stream_lives_from_a_waiting_player_to_the_publisher_that_leaves_last() -> None:
    rig = Rig()
    stream, player = rig.join()
    assert rig.publish() is stream
    stream.detach(player.subscriber)
    assert rig.events == [CREATED]
    stream.stop_publish(rig.publisher, clean=False)
    assert rig.events == [CREATED, deleted()], "nobody is there to be kept for a publisher that may return"


def test_a_stream_that_comes_again_is_another() -> None:
    rig = Rig()
    first = rig.publish()
    first.stop_publish(rig.publisher, clean=True)
    second = rig.publish()
    assert second is not first
    first.stop_publish(rig.publisher, clean=True)
    assert rig.registry.find("live/camera") is second
    assert [name for name, _ in rig.events] == ["stream_create", "stream_delete", "stream_create"]


def test_on_start_hears_of_every_publisher() -> None:
    rig = Rig()
    heard: list[Stream] = []
    rig.registry.on_start(heard.append)
    stream = rig.publish()
    stream.stop_publish(rig.publisher, clean=True)
    assert heard == [stream, rig.publish()]


# --- conflicts ------------------------------------------------------------------------------------------


def test_a_second_publisher_is_refused_and_the_first_undisturbed() -> None:
    rig = Rig()
    stream = rig.publish()
    with pytest.raises(StreamBusy):
        rig.publish(publisher=FakePublisher("c000002"))
    assert stream.publisher is rig.publisher and not rig.publisher.replaced_by


def test_where_replacing_is_the_rule_the_second_has_the_key_and_the_players() -> None:
    rig = Rig(publish_conflict="replace")
    stream, player = rig.publish(), rig.join()[1]
    second = FakePublisher("c000002", "198.51.100.9")
    assert rig.publish(publisher=second) is stream
    assert stream.publisher is second and rig.publisher.replaced_by == [("c000002", "replace")]
    assert player.watcher.told == []
    stream.stop_publish(rig.publisher, clean=True)
    assert stream.publisher is second and player.watcher.told == [], "the first leaves without a trace"


@pytest.mark.parametrize(
    "address, silent_s, replaced",
    [("192.0.2.1", 5.0, True), ("192.0.2.1", 4.9, False), ("192.0.2.2", 500.0, False)],
)
def test_a_stalled_publisher_gives_way_to_its_own_address_only(address: str, silent_s: float, replaced: bool) -> None:
    rig = Rig(stalled_after_s=5.0)
    stream = rig.publish()
    rig.publisher.silent_s = silent_s
    second = FakePublisher("c000002", address)
    if replaced:
        rig.publish(publisher=second)
        assert rig.publisher.replaced_by == [("c000002", "stalled")]
    else:
        with pytest.raises(StreamBusy):
            rig.publish(publisher=second)
    assert stream.publisher is (second if replaced else rig.publisher)


# --- players --------------------------------------------------------------------------------------------


def test_a_player_may_wait_for_a_publisher() -> None:
    rig = Rig()
    assert rig.registry.admit_player("live", "camera") is False
    _, player = rig.join()
    assert player.watcher.told == []
    stream = rig.publish()
    assert player.watcher.told == ["published"]
    send(stream, key(), 7)
    assert player.times == [7]
    assert rig.registry.admit_player("live", "camera") is True


def test_where_players_may_not_wait_they_are_refused() -> None:
    rig = Rig(play_waits=False)
    with pytest.raises(StreamNotFound):
        rig.registry.admit_player("live", "camera")
    rig.publish()
    assert rig.registry.admit_player("live", "camera") is True


def test_a_player_of_a_stream_whose_publisher_may_return_is_admitted() -> None:
    rig = Rig(play_waits=False)
    stream = rig.publish()
    rig.join()
    stream.stop_publish(rig.publisher, clean=False)
    assert rig.registry.admit_player("live", "camera") is True
    rig.registry.close()


@proves("apps.max_players")
def test_players_of_a_stream_are_limited() -> None:
    rig = Rig(max_players=2)
    rig.publish()
    for _ in range(2):
        rig.registry.admit_player("live", "camera")
        stream, player = rig.join()
    with pytest.raises(LimitReached) as caught:
        rig.registry.admit_player("live", "camera")
    assert caught.value.status == "NetStream.Play.Failed"
    assert rig.registry.admit_player("live", "other") is False
    stream.detach(player.subscriber)
    assert rig.registry.admit_player("live", "camera") is True


def test_publishers_of_an_application_are_limited() -> None:
    rig = Rig(max_publishers=2, publish_conflict="replace")
    first = rig.publish("one")
    rig.publish("two", FakePublisher("c000002"))
    rig.join(name="three")
    with pytest.raises(LimitReached) as caught:
        rig.publish("three", FakePublisher("c000003"))
    assert caught.value.status == "NetStream.Publish.Failed"
    third = FakePublisher("c000003")
    assert rig.publish("two", third).publisher is third, "taking over a key is no publisher more"
    first.stop_publish(rig.publisher, clean=True)
    rig.publish("three")


# --- the grace window -------------------------------------------------------------------------------------


def test_a_publisher_that_does_not_come_back_in_time_ends_its_players() -> None:
    rig = Rig(publisher_grace_s=0.01)
    stream, player = rig.publish(), rig.join()[1]
    stream.stop_publish(rig.publisher, clean=False)
    assert stream.live and player.watcher.told == []
    until(lambda: player.watcher.told == ["unpublished"])
    assert not stream.live and rig.registry.find("live/camera") is stream
    rig.publish()
    assert player.watcher.told == ["unpublished", "published"]


@proves("apps.publisher_grace")
@pytest.mark.parametrize("clean, grace_s", [(True, 5.0), (False, 0.0)])
def test_players_end_at_once_with_a_goodbye_or_without_a_grace_window(clean: bool, grace_s: float) -> None:
    rig = Rig(publisher_grace_s=grace_s)
    stream, player = rig.publish(), rig.join()[1]
    stream.stop_publish(rig.publisher, clean=clean)
    assert player.watcher.told == ["unpublished"] and not stream.live


def test_a_publisher_back_in_time_finds_its_players_who_notice_nothing() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    send(stream, key(), 0)
    stream.stop_publish(rig.publisher, clean=False)
    assert rig.publish(publisher=FakePublisher("c000002", "198.51.100.9")) is stream
    send(stream, key(), 0)
    assert player.watcher.told == [] and len(player.times) == 2
    assert [name for name, _ in rig.events] == ["stream_create"]


def test_the_last_player_takes_the_grace_window_along() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    stream.stop_publish(rig.publisher, clean=False)
    stream.detach(player.subscriber)
    assert rig.events == [CREATED, deleted()] and not stream.live


def test_close_ends_every_grace_window() -> None:
    rig = Rig(publisher_grace_s=60.0)
    stream, player = rig.publish(), rig.join()[1]
    stream.stop_publish(rig.publisher, clean=False)
    rig.registry.close()
    assert player.watcher.told == ["unpublished"] and not stream.live
