"""What time makes of a publish and a play: stalls, streams nobody watches, the periodic report."""

from __future__ import annotations

import gevent

from rtmpd.settings import AppSettings, QualitySettings
from tests.integration.conftest import Start
from tests.support.client import Client, audio, interframe, keyframe
from tests.support.house import Running
from tests.support.proof import proves
from tests.support.waiting import wait_until

SOON_S = 0.15


def published(house: Running, at_ms: int = 0) -> tuple[Client, int]:
    publisher = house.client()
    msid = publisher.publish()
    publisher.headers(msid)
    publisher.video(msid, keyframe(), at_ms)
    return publisher, msid


@proves("apps.stalled_after")
def test_a_publisher_that_falls_silent_has_stalled_once_and_resumes_once(start: Start) -> None:
    house = start(app={"stalled_after_s": SOON_S})
    publisher, msid = published(house)
    with gevent.Timeout(4):  # sooner than by default
        stalled = house.wait_event("publish_stalled")
    gevent.sleep(SOON_S)  # the watch has looked again, often
    publisher.video(msid, interframe(), 40)
    resumed = house.wait_event("publish_resumed")
    session = house.of("publish_start")[0].data["session_id"]
    assert (stalled.data["session_id"], resumed.data["session_id"]) == (session, session)
    assert stalled.stream_key == resumed.stream_key == "live/a"
    assert stalled.conn_id == resumed.conn_id == house.of("publish_start")[0].conn_id
    silences = number(stalled.data["idle_ms"]), number(resumed.data["idle_ms"])
    assert SOON_S * 1000 <= silences[0] < silences[1]
    assert len(house.of("publish_stalled")) == 1
    wait_until(lambda: len(house.of("publish_stalled")) == 2, "it stalls again")
    publisher.close()
    house.wait_event("publish_stop")
    assert len(house.of("publish_resumed")) == 1


def number(value: object) -> float:
    assert isinstance(value, int | float)
    return value


def test_a_publisher_that_has_sent_nothing_yet_has_not_stalled(start: Start) -> None:
    house = start(app={"stalled_after_s": 0.05})
    silent, sending = house.client(), house.client()
    silent.publish("silent")
    msid = sending.publish("sending")
    sending.video(msid, keyframe())
    house.wait_event("publish_stalled", stream_key="live/sending")
    assert not house.of("publish_stalled", stream_key="live/silent")


def test_a_stream_nobody_plays_is_idle_once_each_time(start: Start) -> None:
    house = start(app={"idle_after_s": SOON_S})
    published(house)
    idle = house.wait_event("stream_idle")
    assert (idle.stream_key, list(idle.data)) == ("live/a", ["idle_sec"])
    assert number(idle.data["idle_sec"]) >= SOON_S
    player = house.client()
    player.play()
    gevent.sleep(2 * SOON_S)
    assert len(house.of("stream_idle")) == 1, "told twice, or while it was played"
    player.close()
    wait_until(lambda: len(house.of("stream_idle")) == 2, "it is idle again")
    gevent.sleep(2 * SOON_S)
    assert len(house.of("stream_idle")) == 2


@proves("apps.idle_after")
def test_idle_streams_are_not_told_where_that_is_off(start: Start) -> None:
    named = (("told", AppSettings(idle_after_s=0.05)),)
    house = start(app={"idle_after_s": 0.0}, apps={"named": named})
    published(house)
    other = house.client()
    other.connect("told")
    other.video(other.publish(), keyframe())
    house.wait_event("stream_idle", stream_key="told/a")
    assert not house.of("stream_idle", stream_key="live/a")


@proves("apps.update_interval")
def test_sessions_are_reported_at_their_interval_and_only_if_wanted(start: Start) -> None:
    house = start(app={"update_interval_s": SOON_S})
    publisher, msid = published(house)
    player = house.client()
    player.play()
    for at in range(1, 20):
        publisher.video(msid, interframe(1000), at * 40)
        publisher.audio(msid, audio(), at * 40)
        gevent.sleep(0.02)
    of_publisher = house.wait_event("session_update", role="publisher")
    of_player = house.wait_event("session_update", role="subscriber")
    assert list(of_publisher.data) == ["role", "session_id", "bytes", "frames", "bitrate"]
    assert list(of_player.data) == ["role", "session_id", "bytes", "frames_dropped", "queue_ms", "bitrate"]
    assert of_publisher.data["session_id"] == house.of("publish_start")[0].data["session_id"]
    assert of_player.data["session_id"] == house.of("play_start")[0].data["session_id"]
    for event in (of_publisher, of_player):
        assert number(event.data["bytes"]) > 1000
    told = [number(event.data["bytes"]) for event in house.of("session_update", role="publisher")]
    assert told == sorted(told)
    assert max(number(event.data["bitrate"]) for event in house.of("session_update", role="publisher")) > 10_000


def test_nothing_is_reported_by_default(start: Start) -> None:
    house = start()
    published(house)
    gevent.sleep(SOON_S)
    told = {event.type for event in house.events}
    assert not told & {"session_update", "stream_idle", "publish_stalled", "quality_alert"}


# --- the monitor in the running house -------------------------------------------------------------


def send_seconds(client: Client, msid: int, seconds: range, sound: bool) -> None:
    for second in seconds:
        for at_ms in range(second * 1000, (second + 1) * 1000, 40):
            client.video(msid, keyframe(400) if at_ms % 2000 == 0 else interframe(400), at_ms)
            if sound:
                client.audio(msid, audio(), at_ms)


def test_the_monitor_tells_of_a_publish_and_is_silent_behind_its_end(start: Start) -> None:
    house = start()
    publisher, msid = published(house)
    send_seconds(publisher, msid, range(13), sound=False)
    alert = house.wait_event("quality_alert", metric="missing_audio")
    assert (alert.stream_key, alert.data["state"]) == ("live/a", "raised")
    assert house.of("publish_start")[0].conn_id == alert.conn_id
    publisher.close()
    house.wait_event("publish_stop")
    types = [event.type for event in house.events]
    assert "quality_alert" not in types[types.index("publish_stop") :]


@proves("quality.enabled")
def test_the_monitor_follows_settings_that_change_under_a_publish(start: Start) -> None:
    house = start()
    house.change(quality=QualitySettings(enabled=False))
    publisher, msid = published(house)
    send_seconds(publisher, msid, range(13), sound=False)
    publishing = next(iter(house.connection(publisher).activity.publishers.values()))
    wait_until(lambda: publishing.video_packets > 13 * 25, "all of it has come")
    assert not house.of("quality_alert")
    house.change(quality=QualitySettings(missing_after_s=3.0))
    wait_until(lambda: publishing._quality is not None, "the watch has seen it")
    publisher.headers(msid)
    send_seconds(publisher, msid, range(13, 18), sound=False)
    raised = house.wait_event("quality_alert", metric="missing_audio")
    assert raised.data["threshold"] == 3.0
    house.change(quality=QualitySettings(missing_after_s=0.0))
    send_seconds(publisher, msid, range(18, 20), sound=False)
    cleared = house.wait_event("quality_alert", metric="missing_audio", state="cleared")
    assert cleared.data["severity"] == raised.data["severity"]


def test_a_silence_that_shows_in_the_timestamps_is_a_stall_and_no_jump(start: Start) -> None:
    house = start(app={"stalled_after_s": 1.0})
    publisher, msid = published(house)
    send_seconds(publisher, msid, range(3), sound=True)
    house.wait_event("publish_stalled")
    send_seconds(publisher, msid, range(6, 12), sound=True)
    house.wait_event("publish_resumed")
    assert not house.of("quality_alert")
    send_seconds(publisher, msid, range(20, 22), sound=True)
    house.wait_event("quality_alert", metric="timestamp_jump")
