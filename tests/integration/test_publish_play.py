"""Publish and play in one process: the main job, and everything a player may ask on the way."""

from __future__ import annotations

from tests.integration.client import AAC_HEADER, AVC_HEADER, audio, interframe, keyframe
from tests.integration.conftest import Start


def test_a_player_receives_what_is_published(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    publisher.headers(msid)
    sent = [AVC_HEADER, AAC_HEADER]
    for number in range(50):
        picture = keyframe(5000 + number) if number % 10 == 0 else interframe(3000 + number)
        publisher.video(msid, picture, number * 40)
        publisher.audio(msid, audio(40 + number), number * 40)
        sent += [picture, audio(40 + number)]
    player.wait_payload(sent[-1])
    assert player.payloads() == sent
    assert [frame.timestamp for frame in player.frames[2:]] == [n * 40 for n in range(50) for _ in range(2)]


def test_a_parked_player_hears_the_end_of_its_stream_and_may_leave(start: Start) -> None:
    house = start()
    publisher, player = house.client(), house.client()
    msid = publisher.publish()
    player.play()
    house.wait_event("play_start")
    player.close()
    house.wait_event("play_stop", reason="client_closed")
    assert publisher.codes(msid) == ["NetStream.Publish.Start"]
