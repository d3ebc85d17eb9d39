"""Every event type fires: real clients, real media and real faults make the real daemon tell of them.

``FIRED_BY`` is the table that docs/events.md shows, and ``ROWS`` lists the events that must arrive. The daemon runs
once for each of ``SCENES``, however many rows look at what came of it; every event of a run is checked against its
schema.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import pytest

from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.protocol.constants import COMMAND_AMF0
from rtmpd.protocol.message import Message
from rtmpd.settings import Address
from tests import contract
from tests.functional import peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon, Event
from tests.functional.receiver import Receiver
from tests.functional.test_quality import Studio
from tests.support.child import Child, free_port, rtmpd
from tests.support.client import Client, Raw, audio, chunked, handshake_bytes, keyframe
from tests.support.waiting import wait_until

FIRED_BY: dict[str, str] = {
    "connection_accept": "an encoder connects",
    "handshake_complete": "an encoder connects",
    "connection_close": "an encoder has published its file and disconnects",
    "connection_error": "noise, resets, half a handshake, a silent client",
    "protocol_error": "a client sends video without having published",
    "auth_failed": "an encoder publishes with a wrong token",
    "stream_create": "a player arrives first",
    "stream_delete": "the encoder and the players disconnect",
    "publish_start": "an encoder publishes",
    "publish_stop": "the encoder has sent its file",
    "publish_stalled": "a publisher pauses",
    "publish_resumed": "the publisher sends media again",
    "publish_replaced": "another client publishes the same stream, where `publish_conflict = replace`",
    "play_start": "a player plays",
    "play_stop": "the stream of a player ends",
    "subscriber_count": "players come and go",
    "stream_not_found": "a player arrives before the publisher",
    "stream_idle": "an encoder publishes a stream without players",
    "session_update": "an encoder publishes to a player, with `update_interval = 1s`",
    "stream_error": "an encoder publishes with a wrong token; a second one takes a key that is in use",
    "codec_detected": "an encoder publishes H.264 and AAC",
    "stream_metadata": "an encoder publishes",
    "bitrate_change": "a file whose second half has less than half of the bitrate",
    "framerate_change": "a file whose second half has 15 frames a second instead of 25",
    "resolution_change": "a file whose second half is larger",
    "quality_alert": "a file whose timestamps jump",
    "performance_alert": "more connections than the threshold, until they close",
    "latency_alert": "a client that is slow in its handshake",
    "resource_alert": "a file system above its threshold",
    "recording_start": "an encoder publishes, with `record = all`",
    "recording_stop": "the encoder has sent its file",
    "recording_recovered": "the daemon starts where another was killed, with `record_format = mp4`",
    "recording_deleted": "a recording is older than `record_keep`",
    "segment_complete": "an encoder publishes more than `segment_duration`",
    "relay_start": "an encoder publishes, and another daemon is in `push`",
    "relay_stop": "the encoder has sent its file",
    "relay_error": "nothing listens at a second destination",
    "pull_start": "a player asks for what another daemon has, and that daemon is in `pull`",
    "pull_stop": "the player has left for longer than `pull_idle`",
    "pull_error": "nothing listens at the first source",
    "hook_degraded": "an endpoint answers 503",
    "hook_recovered": "it answers 200 again",
    "events_dropped": "an endpoint that never answers, and a queue of one event",
    "server_start": "the daemon starts",
    "server_stop": "SIGTERM",
    "config_reload": "SIGHUP with a good file, SIGHUP with a bad file",
}
ALONE, WATCHED, CUT, GONE = "live/alone", "live/watched", "live/cut", "live/gone"


class Row(NamedTuple):
    """Of the type there must be an event with each of ``told``, parts of the envelope or the data."""

    scene: str
    told: tuple[dict[str, object], ...]


def row(scene: str, *told: dict[str, object]) -> Row:
    return Row(scene, told)


ROWS: dict[str, Row] = {
    "connection_accept": row("session", {"client_ip": "127.0.0.1", "tls": False, "protocol": "rtmp"}),
    "handshake_complete": row("session", {"scheme": "simple", "tls_version": ""}, {"scheme": "digest"}),
    "connection_close": row("session", {"role": "publisher", "app": "live"}, {"role": "subscriber"}),
    "stream_create": row("session", {"stream_key": WATCHED, "app": "live", "stream_name": "watched"}),
    "stream_delete": row("session", {"stream_key": WATCHED, "app": "live", "stream_name": "watched"}),
    "publish_start": row("session", {"stream_key": WATCHED, "publish_type": "live", "query": {"token": "***"}}),
    "publish_stop": row("session", {"stream_key": WATCHED, "audio_codec": "AAC", "video_codec": "H264"}),
    "play_start": row("session", {"stream_key": WATCHED, "protocol": "rtmp"}),
    "play_stop": row("session", {"stream_key": WATCHED, "frames_dropped": 0}),
    "subscriber_count": row("session", {"count": 1}, {"count": 2}, {"count": 0}),
    "stream_not_found": row("session", {"stream_key": WATCHED, "waiting": True}),
    "stream_idle": row("session", {"stream_key": ALONE}),
    "session_update": row("session", {"role": "publisher"}, {"role": "subscriber", "frames_dropped": 0}),
    "codec_detected": row(
        "session",
        {"codec_name": "H264", "resolution": "160x90", "framerate": 25.0, "packet_type": "sequence_header"},
        {"codec_name": "AAC", "sample_rate": 48000, "channels": 1, "change": False},
    ),
    "stream_metadata": row("session", {"width": 160, "height": 90, "framerate": 25.0}),
    "server_start": row("session", {"conn_id": "", "stream_key": ""}),
    "server_stop": row("session", {"reason": "stop"}),
    "config_reload": row("session", {"result": "applied", "changed": ["apps"]}, {"result": "rejected", "changed": []}),
    "connection_error": row(
        "faults",
        {"error_type": "handshake_failure", "phase": "handshake", "error_code": "unsupported_version"},
        {"error_type": "protocol_error", "phase": "chunking", "error_code": "no_header_to_repeat", "retry_count": 0},
        {"error_type": "network_error", "phase": "chunking", "error_code": "ECONNRESET", "stream_key": CUT},
        {"error_type": "network_error", "phase": "media_processing", "error_code": "ECONNRESET", "stream_key": GONE},
        {"error_type": "protocol_error", "phase": "command_processing", "stream_key": ""},
        {"error_type": "network_error", "phase": "handshake", "error_code": "EOF"},
        {"error_type": "timeout", "phase": "handshake", "error_code": "handshake_timeout"},
    ),
    "protocol_error": row("faults", {"error_code": "media_without_publish", "phase": "media_processing"}),
    "auth_failed": row("faults", {"action": "publish", "app": "closed", "stream_name": "door"}),
    "stream_error": row(
        "faults",
        {"error_type": "auth_failed", "stream_key": "closed/door"},
        {"error_type": "publish_conflict", "stream_key": "first/a"},
        {"error_type": "invalid_stream_key", "app": "unknown"},
    ),
    "publish_stalled": row("faults", {"stream_key": "live/slow"}),
    "publish_resumed": row("faults", {"stream_key": "live/slow"}),
    "publish_replaced": row("faults", {"stream_key": "live/slow", "policy": "replace"}),
    "bitrate_change": row("quality", {"stream_key": "live/bitrate", "metric": "bitrate", "threshold_percent": 20}),
    "framerate_change": row("quality", {"stream_key": "live/framerate", "metric": "framerate"}),
    "resolution_change": row("quality", {"previous": "160x90", "current": "320x180"}),
    "quality_alert": row(
        "quality",
        {"metric": "timestamp_jump", "state": "raised", "severity": "warning"},
        {"metric": "timestamp_jump", "state": "cleared"},
    ),
    "performance_alert": row(
        "endpoints",
        {"metric_type": "connections", "state": "raised", "threshold": 5},
        {"metric_type": "connections", "state": "cleared"},
    ),
    "latency_alert": row("endpoints", {"metric": "handshake", "state": "raised", "threshold_ms": 200}),
    "resource_alert": row("endpoints", {"metric_type": "disk", "state": "raised", "severity": "critical"}),
    "recording_start": row("outputs", {"stream_key": WATCHED, "format": "flv"}),
    "recording_stop": row("outputs", {"stream_key": WATCHED, "format": "flv"}),
    "recording_recovered": row("outputs", {"stream_key": ""}),
    "recording_deleted": row("outputs", {"rule": "age", "size": 3}),
    "segment_complete": row("outputs", {"stream_key": WATCHED, "segment_index": 1}, {"segment_index": 2}),
    "relay_start": row("outputs", {"stream_key": WATCHED}),
    "relay_stop": row("outputs", {"stream_key": WATCHED}),
    "relay_error": row("outputs", {"stream_key": WATCHED, "attempt": 1}, {"attempt": 2}),
    "pull_start": row("outputs", {"stream_key": "live/far"}),
    "pull_stop": row("outputs", {"stream_key": "live/far", "reason": "idle"}),
    "pull_error": row("outputs", {"stream_key": "live/far", "attempt": 1}),
    "hook_degraded": row("endpoints", {"hook_id": "office", "fault": "endpoint"}),
    "hook_recovered": row("endpoints", {"hook_id": "office"}),
    "events_dropped": row("endpoints", {"hook_id": "deaf", "reason": "queue_full"}),
}


# --- the scenes ---------------------------------------------------------------------------------

SESSION_INI = """
[apps]
update_interval = 1s
idle_after = 1s
"""


def session(home: Path, clip: Maker) -> list[Event]:
    """Two players wait for an encoder, another encoder has no player; then the file is changed twice."""
    ffmpeg, media = peers.ffmpeg(), clip("h264_aac")
    peers.need(peers.RTMPDUMP)
    with Daemon(home, ini=SESSION_INI) as daemon:
        players = [ffmpeg.play(daemon.url(WATCHED), home / "a.flv")]
        daemon.wait_count("play_start", WATCHED, 1)
        players.append(peers.RTMPDUMP.play(daemon.url(WATCHED), home / "b.flv"))
        daemon.wait_count("play_start", WATCHED, 2)
        alone = ffmpeg.publish(media, daemon.url(ALONE), home / "alone.log")
        with alone, ffmpeg.publish(media, daemon.url(f"{WATCHED}?token=x"), home / "watched.log") as watched:
            assert watched.wait() == alone.wait() == 0
        for player in players:
            player.wait()
        daemon.ini.write_text(SESSION_INI.replace("update_interval = 1s", "update_interval = 2s"))
        daemon.child.signal(signal.SIGHUP)
        daemon.wait_count("config_reload", None, 1)
        daemon.ini.write_text("[apps]\nupdate_intervall = 1s\n")
        daemon.child.signal(signal.SIGHUP)
        daemon.wait_count("config_reload", None, 2)
        daemon.wait_count("connection_close", None, 4)
    return daemon.events


FAULTS_INI = """
[limits]
handshake_timeout = 1s
[apps]
served = live, first, closed
publish_conflict = replace
stalled_after = 200ms
    [[first]]
    publish_conflict = reject
    [[closed]]
    publish_access = token
    publish_tokens = studio:the-right-token
"""


def faults(home: Path, clip: Maker) -> list[Event]:
    """One client for each thing that can go wrong."""
    with Daemon(home, ini=FAULTS_INI) as daemon, clients(daemon) as (client, raw):
        silent = raw()
        raw().send(b"GET / HTTP/1.1\r\n\r\n")
        raw().send(handshake_bytes() + b"\xff" * 200)
        raw().send(handshake_bytes()[:500]).end()
        raw().send(handshake_bytes() + chunked((3, Message(COMMAND_AMF0, b"no AMF0"))))
        media_of_nobody = client()
        media_of_nobody.connect()
        media_of_nobody.video(media_of_nobody.create_stream(), keyframe())
        assert client().connect("unknown").name == "_error"
        first, second = client(), client()
        for each in (first, second):
            each.connect("first")
        first.publish("a")
        second.call("publish", None, "a", "live", msid=second.create_stream())
        reset(daemon, client)
        refuse(daemon, clip, home)
        stall_and_replace(daemon, client)
        daemon.wait_event("connection_error", error_type="timeout")
        silent.close()
    return daemon.events


def reset(daemon: Daemon, client: Callable[[], Client]) -> None:
    """Inside of a message, and between two messages of a publish."""
    inside, between = client(), client()
    for each, key in ((inside, CUT), (between, GONE)):
        each.headers(each.publish(key.removeprefix("live/")))
        daemon.wait_event("codec_detected", stream_key=key, media_type="audio")
    inside.raw(b"\x07\x00\x00\x00\x00\xff\xff\x09")
    for each in (inside, between):
        each.reset()


def refuse(daemon: Daemon, clip: Maker, home: Path) -> None:
    with peers.ffmpeg().publish(clip("h264_aac"), daemon.url("closed/door?token=wrong"), home / "refused") as refused:
        assert refused.wait() != 0


def stall_and_replace(daemon: Daemon, client: Callable[[], Client]) -> None:
    slow = client()
    msid = slow.publish("slow")
    slow.headers(msid)
    slow.video(msid, keyframe())
    daemon.wait_event("publish_stalled")
    slow.audio(msid, audio(), 40)
    daemon.wait_event("publish_resumed")
    client().publish("slow")
    daemon.wait_event("publish_replaced")


QUALITY_INI = """
[quality]
window = 2s
warm_up = 4s
cool_down = 0
"""


def quality(home: Path, clip: Maker) -> list[Event]:
    """Files that are joined of two encodes, each published as fast as it goes."""
    peers.need(peers.ffmpeg())
    studio = Studio(home)

    def part(bitrate: str = "400k", **others: Any) -> Path:
        return studio.noisy(bitrate, seconds=14, **others)

    joined = {
        "bitrate": studio.join("bitrate", part(), part("120k")),
        "framerate": studio.join("framerate", part(), part(rate=15)),
        "size": studio.join("size", part(), part(size="320x180")),
        "leap": studio.join("leap", part(), part(), gap_ms=20_000),
    }
    with Daemon(home, ini=QUALITY_INI) as daemon:
        for name, media in joined.items():
            with Child(rtmpd("publish", "--fast", str(media), daemon.url(f"live/{name}")), home / name) as publisher:
                assert publisher.wait() == 0, publisher.describe()
        daemon.wait_count("connection_close", None, len(joined))
    return daemon.events


ENDPOINTS_INI = """
[alerts]
interval = 100ms
hold = 0
cool_down = 0
connections = 5
handshake = 200ms
disk = 0.0001, 0.0002
disk_paths = /
[hooks]
drain = 100ms
    [[office]]
    type = webhook
    url = {office}
    schema = 2
    event_types = connection_accept
    max_attempts = 1000
    initial_delay = 20ms
    max_delay = 20ms
    breaker_failures = 2
    [[deaf]]
    type = webhook
    url = {deaf}
    event_types = connection_*
    queue = 1
    concurrency = 1
"""


def endpoints(home: Path, clip: Maker) -> list[Event]:
    """Endpoints that fail and recover, and more clients than there should be, one of them slow."""
    with Receiver(status=503) as office, Receiver(hang=True) as deaf:
        ini = ENDPOINTS_INI.format(office=office.url("/"), deaf=deaf.url("/"))
        with Daemon(home, ini=ini) as daemon:
            with clients(daemon) as (client, raw):
                for _ in range(6):
                    client().connect()
                daemon.wait_event("hook_degraded")
                office.status = 200
                daemon.wait_event("hook_recovered")
                dawdler = raw()
                dawdler.send(handshake_bytes()[:100])
                gevent.sleep(0.3)  # it is this time that is measured
                dawdler.send(handshake_bytes()[100:])
                daemon.wait_event("latency_alert", metric="handshake")
                daemon.wait_event("performance_alert", state="raised")
                daemon.wait_event("resource_alert", metric_type="disk")
                daemon.wait_event("events_dropped")
            daemon.wait_event("performance_alert", state="cleared")
            wait_until(lambda: len(office.events()) >= 7, "the office has heard of all")
    return daemon.events


OUTPUTS_INI = """
[apps]
record = all
record_dir = {home}
record_path = "{{app}}-{{name}}-{{segment}}.flv"
record_min_free = 0
record_keep = 720h
segment_duration = 1s
push = rtmp://127.0.0.1:{port}/copy, rtmp://127.0.0.1:{nobody}/copy
push_retry = 100ms
pull = rtmp://127.0.0.1:{nobody}/live/{{name}} | rtmp://127.0.0.1:{port}/live/{{name}}
pull_idle = 100ms
"""

MP4_INI = """
[apps]
record = all
record_format = mp4
record_fragment = 200ms
record_dir = {home}
record_path = "{{name}}.mp4"
record_min_free = 0
"""


def outputs(home: Path, clip: Maker) -> list[Event]:
    """An encoder whose stream is recorded in segments, and sent to another daemon and to nobody; before it another is
    killed in the middle of its MP4."""
    begun = MP4_INI.format(home=home)
    with (
        Daemon(home, ini=begun, events="") as daemon,
        peers.ffmpeg().publish(clip("h264_aac"), daemon.url(CUT), home / "cut"),
    ):
        wait_until(lambda: any(b"moof" in part.read_bytes() for part in home.glob("*.mp4.part")), "a fragment")
        daemon.child.signal(signal.SIGKILL)
        daemon.child.wait()
    old = home / "live-old-1.flv"
    old.write_bytes(b"FLV")
    os.utime(old, (1e9, 1e9))
    other = home / "other"
    other.mkdir()
    with Daemon(other) as copy:
        ini = OUTPUTS_INI.format(home=home, port=copy.port, nobody=free_port())
        with Daemon(home, ini=ini) as daemon:
            with peers.ffmpeg().publish(clip("h264_aac"), daemon.url(WATCHED), home / "log") as publisher:
                assert publisher.wait() == 0, publisher.describe()
            daemon.wait_event("recording_stop")
            daemon.wait_event("relay_stop")
            with peers.ffmpeg().publish(clip("h264_aac"), copy.url("live/far"), home / "far.log") as publisher:
                with clients(daemon) as (client, _):
                    client().play("far")
                    daemon.wait_event("pull_start")
                daemon.wait_event("pull_stop")
                assert publisher.wait() == 0, publisher.describe()
        copied = copy.wait_event("publish_stop", stream_key="copy/watched")
        assert copied["data"]["video_packets"] > 25
    return daemon.events


@contextmanager
def clients(daemon: Daemon) -> Iterator[tuple[Callable[[], Client], Callable[[], Raw]]]:
    """What makes clients that are closed at the end."""
    made: list[Client | Raw] = []
    address = Address("127.0.0.1", daemon.port)

    def client() -> Client:
        made.append(one := Client(address))
        return one

    def raw() -> Raw:
        made.append(one := Raw(address))
        return one

    try:
        yield client, raw
    finally:
        for each in made:
            each.close()


SCENES: dict[str, Callable[[Path, Maker], list[Event]]] = {
    "session": session,
    "faults": faults,
    "quality": quality,
    "endpoints": endpoints,
    "outputs": outputs,
}


# --- the rows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Event]]:
    """The events of a scene, which is played once, also if it goes wrong."""
    played: dict[str, list[Event]] = {}
    failed: dict[str, Exception] = {}

    def events(name: str) -> list[Event]:
        if name in failed:
            raise failed[name]
        try:
            return played.get(name) or played.setdefault(name, SCENES[name](tmp_path_factory.mktemp(name), clip))
        except Exception as error:
            failed[name] = error
            raise

    return events


@pytest.mark.parametrize("type", ROWS)
def test_every_type_fires(scenes: Callable[[str], list[Event]], type: str) -> None:
    scene, told = ROWS[type]
    found = [event for event in scenes(scene) if event["type"] == type]
    assert not contract.faults(found)
    facts = [{**event, **event["data"]} for event in found]
    for wanted in told:
        assert any(wanted.items() <= each.items() for each in facts), f"{wanted} is not in {found}"


def test_every_type_has_a_row() -> None:
    assert set(ROWS) == set(FIRED_BY) == set(EVENT_TYPES)


# --- what a crash leaves ------------------------------------------------------------------------

CRASH_INI = """
[store]
path = {store}
[hooks]
    [[office]]
    type = webhook
    url = {office}
    schema = 2
    guarantee_level = at-least-once
"""


def test_the_next_start_tells_the_ends_of_what_a_crash_cut_short(clip: Maker, tmp_path: Path) -> None:
    ffmpeg = peers.ffmpeg()
    with Receiver() as office:
        ini = CRASH_INI.format(store=tmp_path / "events.db", office=office.url("/"))
        with Daemon(tmp_path, ini=ini, events="") as daemon:
            player = ffmpeg.play(daemon.url(WATCHED), tmp_path / "player.flv")
            wait_until(lambda: of(office, "play_start"), "the player is told")
            with player, ffmpeg.publish(clip("h264_aac", 20.0), daemon.url(WATCHED), tmp_path / "publisher.log"):
                wait_until(lambda: len(of(office, "codec_detected")) == 2, "media is told")
                daemon.child.signal(signal.SIGKILL)
                daemon.child.wait()
        begun = {kind: of(office, kind) for kind in STOPS}
        assert [len(events) for events in begun.values()] == [1, 2, 1, 1, 1]
        with Daemon(tmp_path, ini=ini, events=""):
            for start, stop in STOPS.items():
                wait_until(lambda: len(of(office, stop)) == len(begun[start]), stop)  # noqa: B023
        ends = {stop: of(office, stop)[: len(begun[start])] for start, stop in STOPS.items()}
    for stop in set(ends) - {"stream_delete"}:
        assert {event["data"]["reason"] for event in ends[stop]} == {"server_crash"}, ends[stop]
        assert all("at_least_sec" in event["data"] for event in ends[stop]), ends[stop]
    for start, stop in (("publish_start", "publish_stop"), ("play_start", "play_stop")):
        assert ends[stop][0]["data"]["session_id"] == begun[start][0]["data"]["session_id"]
    accepts = begun["connection_accept"]
    closed, accepted = ({one["conn_id"] for one in events} for events in (ends["connection_close"], accepts))
    assert closed == accepted


STOPS = {
    "server_start": "server_stop",
    "connection_accept": "connection_close",
    "stream_create": "stream_delete",
    "publish_start": "publish_stop",
    "play_start": "play_stop",
}


def of(receiver: Receiver, type: str) -> list[Event]:
    """The events of a type that the receiver has, each once: it may get one again."""
    return list({event["id"]: event for event in receiver.events() if event["type"] == type}.values())
