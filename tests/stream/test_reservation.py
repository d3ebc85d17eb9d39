"""Keys that are held for publishers that may yet be admitted."""

from __future__ import annotations

import pytest

from rtmpd.errors import LimitReached, StreamBusy
from tests.support.proof import proves
from tests.support.streams import FakePublisher, Rig

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


def test_a_reserved_key_is_busy_for_everybody_until_it_is_free() -> None:
    rig = Rig()
    with rig.registry.reserved("live", "camera", "c000009", HERE):
        with pytest.raises(StreamBusy, match="about to be published"):
            rig.publish()
        with pytest.raises(StreamBusy), rig.registry.reserved("live", "camera", "c000008", HERE):
            pass
        rig.publish("other")
        assert rig.registry.find("live/camera") is None and not rig.events[2:], "no stream for a question"
    rig.publish()


def test_a_key_is_free_again_whatever_ended_the_question() -> None:
    rig = Rig()
    with pytest.raises(KeyError), rig.registry.reserved("live", "camera", "c000009", HERE):
        raise KeyError
    rig.publish()


def test_a_busy_key_can_not_be_reserved() -> None:
    rig = Rig()
    rig.publish()
    with pytest.raises(StreamBusy), rig.registry.reserved("live", "camera", "c000009", ELSEWHERE):
        pass


def test_a_publisher_that_would_give_way_is_left_in_peace_until_the_claim() -> None:
    for rig, policy in ((Rig(publish_conflict="replace"), "replace"), (Rig(), "stalled")):
        rig.publish()
        rig.publisher.silent_s = 60.0
        with rig.registry.reserved("live", "camera", "c000009", rig.publisher.address):
            assert not rig.publisher.replaced_by
        assert not rig.publisher.replaced_by
        rig.publish(publisher=FakePublisher("c000009", rig.publisher.address))
        assert rig.publisher.replaced_by == [("c000009", policy)]


def test_under_the_rule_to_replace_a_reservation_stops_nobody() -> None:
    rig = Rig(publish_conflict="replace")
    with (
        rig.registry.reserved("live", "camera", "c000008", HERE),
        rig.registry.reserved("live", "camera", "c000009", ELSEWHERE),
    ):
        rig.publish()


@proves("apps.max_publishers")
def test_reserved_keys_count_as_publishers_once() -> None:
    rig = Rig(max_publishers=1, publish_conflict="replace")
    with rig.registry.reserved("live", "a", "c000008", HERE):
        with pytest.raises(LimitReached), rig.registry.reserved("live", "b", "c000009", HERE):
            pass
        with pytest.raises(LimitReached):
            rig.publish("b")
        rig.publish("a")
    rig.publish("a", FakePublisher("c000002"))
