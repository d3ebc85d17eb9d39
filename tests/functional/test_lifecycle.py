"""The events of whole sessions, and what signals do to a running daemon."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.functional import pairing, peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon, Event
from tests.functional.test_hooks_cli import dump_environment, environment
from tests.support import flv, ledger
from tests.support.child import Child
from tests.support.proof import proves
from tests.support.waiting import wait_until

KEY = "live/camera"


def types(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


@pytest.fixture(scope="module")
def session(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of one publish that one player watches from before its start to its end."""
    ffmpeg, home = peers.ffmpeg(), tmp_path_factory.mktemp("session")
    with Daemon(home) as daemon:
        with ffmpeg.play(daemon.url(KEY), home / "player.flv") as player:
            daemon.wait_count("play_start", KEY, 1)
            with ffmpeg.publish(clip("h264_aac"), daemon.url(KEY + "?token=x"), home / "publisher.log") as publisher:
                assert publisher.wait() == 0
            assert player.wait() == 0
        daemon.wait_count("connection_close", None, 2)
    return daemon.events


def connection_of(session: list[Event], type_: str) -> list[Event]:
    """All events of the connection that the first event of a type belongs to."""
    conn_id = next(event["conn_id"] for event in session if event["type"] == type_)
    return [event for event in session if event["conn_id"] == conn_id]


def only(events: list[Event], type_: str) -> Event:
    found = [event for event in events if event["type"] == type_]
    assert len(found) == 1, f"{len(found)} {type_}"
    return found[0]


def test_a_publisher_is_told_of_from_accept_to_close(session: list[Event]) -> None:
    mine = [type_ for type_ in types(connection_of(session, "publish_start")) if not type_.startswith("stream_")]
    told = [type_ for type_ in mine if type_ not in ("codec_detected", "stream_metadata")]
    assert told == ["connection_accept", "handshake_complete", "publish_start", "publish_stop", "connection_close"]


def test_a_player_is_told_of_from_accept_to_close(session: list[Event]) -> None:
    mine = [type_ for type_ in types(connection_of(session, "play_start")) if not type_.startswith("stream_")]
    assert mine == [
        "connection_accept",
        "handshake_complete",
        "play_start",
        "subscriber_count",
        "play_stop",
        "subscriber_count",
        "connection_close",
    ]


def test_a_stream_is_created_once_and_deleted_once_around_its_sessions(session: list[Event]) -> None:
    around = ("stream_not_found", "connection_close")
    mine = [event["type"] for event in session if event["stream_key"] == KEY and event["type"] not in around]
    assert mine[0] == "stream_create"
    assert mine[-1] == "stream_delete"
    assert (mine.count("stream_create"), mine.count("stream_delete")) == (1, 1)


def test_every_event_of_a_session_has_the_documented_fields(session: list[Event]) -> None:
    wanted = {
        "connection_accept": {"client_ip", "client_port", "server_ip", "server_port", "remote_addr", "tls", "protocol"},
        "handshake_complete": {"duration_ms", "scheme"},
        "connection_close": {"role", "reason", "duration_sec", "bytes_received", "bytes_sent", "app"},
        "stream_create": {"app", "stream_name"},
        "stream_delete": {"app", "stream_name", "duration_sec"},
        "publish_start": {"app", "publishing_name", "publish_type", "session_id", "client_ip"},
        "publish_stop": {"audio_packets", "video_packets", "total_bytes", "audio_codec", "video_codec", "duration_sec"}
        | {"session_id", "reason"},
        "play_start": {"app", "session_id", "client_ip", "protocol"},
        "play_stop": {"app", "session_id", "duration_sec", "bytes_sent", "frames_dropped", "reason"},
        "subscriber_count": {"count"},
    }
    assert set(wanted) <= set(types(session))
    for event in session:
        missing = wanted.get(event["type"], set()) - set(event["data"])
        assert not missing, f"{event} lacks {missing}"


def test_the_fields_tell_what_happened(session: list[Event], clip: Maker) -> None:
    sent = flv.read(clip("h264_aac"))
    accept, start, stop = (only(connection_of(session, "publish_start"), name) for name in (
        "connection_accept", "publish_start", "publish_stop"))
    assert re.fullmatch(r"c\d{6}", accept["conn_id"])
    data = accept["data"]
    assert (data["client_ip"], data["tls"], data["protocol"]) == ("127.0.0.1", False, "rtmp")
    assert data["remote_addr"] == f"127.0.0.1:{data['client_port']}"
    assert (start["data"]["app"], start["data"]["publishing_name"], start["stream_key"]) == ("live", "camera", KEY)
    data = stop["data"]
    assert data["session_id"] == start["data"]["session_id"]
    assert len(sent.video) <= data["video_packets"] <= len(sent.video) + 2
    assert len(sent.audio) <= data["audio_packets"] <= len(sent.audio) + 2
    assert (data["audio_codec"], data["video_codec"]) == ("AAC", "H264")
    payload_bytes = sum(frame.size for frame in (*sent.video, *sent.audio))
    assert payload_bytes < data["total_bytes"] < payload_bytes + 5 * (len(sent.video) + len(sent.audio)) + 400
    play_stop = only(connection_of(session, "play_start"), "play_stop")["data"]
    assert (play_stop["frames_dropped"], play_stop["bytes_sent"] >= payload_bytes) == (0, True)
    counts = [event["data"]["count"] for event in session if event["type"] == "subscriber_count"]
    assert counts == [1, 0]


# --- signals ------------------------------------------------------------------------------------


def live_session(daemon: Daemon, clip: Maker, home: Path) -> list[Child]:
    """A publisher and a player in the middle of a long stream."""
    ffmpeg = peers.ffmpeg()
    publisher = ffmpeg.publish(clip("h264_aac", 20.0), daemon.url(KEY), home / "publisher.log")
    daemon.wait_count("publish_start", KEY, 1)
    player = ffmpeg.play(daemon.url(KEY), home / "player.flv")
    wait_until(lambda: flv.read(home / "player.flv").video, "the player has video")
    return [publisher, player]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_every_session_with_its_events(clip: Maker, tmp_path: Path, signal_number: int) -> None:
    with Daemon(tmp_path, ini="[server]\ndrain = 1s\n") as daemon:
        children = live_session(daemon, clip, tmp_path)
        try:
            assert daemon.stop(signal_number) == 0
            ended = pairing.statuses(dict(enumerate(children)))
            assert None not in ended.values(), "a client was left hanging"
        finally:
            for child in children:
                child.close()
    assert types(daemon.of("publish_stop")) == ["publish_stop"]
    assert types(daemon.of("play_stop")) == ["play_stop"]
    assert len(daemon.of("connection_close")) == 2
    assert ledger.faults(daemon.events) == []


@proves("server.drain")
def test_a_second_signal_does_not_wait_for_the_drain(clip: Maker, tmp_path: Path) -> None:
    with Daemon(tmp_path, ini="[server]\ndrain = 10m\n") as daemon:
        children = live_session(daemon, clip, tmp_path)
        try:
            daemon.child.signal(signal.SIGTERM)
            daemon.wait_log(lambda log: "server stopping" in log, "the first signal is seen")
            time.sleep(6)  # longer than the drain is by default
            assert all(child.running() for child in children) and daemon.child.running()
            assert daemon.stop() == 0
        finally:
            for child in children:
                child.close()


HOOK_INI = "[hooks]\n[[{name}]]\ntype = script\nevent_types = publish_start\npath = {path}\n"


def test_sighup_replaces_the_hooks_under_a_live_session_that_goes_on(clip: Maker, tmp_path: Path) -> None:
    before = HOOK_INI.format(name="before", path=dump_environment(tmp_path, "before"))
    after = HOOK_INI.format(name="after", path=dump_environment(tmp_path, "after"))
    with Daemon(tmp_path, ini=before) as daemon:
        children = live_session(daemon, clip, tmp_path)
        try:
            assert environment(tmp_path / "before")["RTMP_STREAM_KEY"] == KEY
            (tmp_path / "before").unlink()
            daemon.ini.write_text(after)
            daemon.child.signal(signal.SIGHUP)
            daemon.wait_log(lambda log: "configuration reloaded" in log, "the reload")
            peers.ffmpeg().publish_at_once(clip("h264_aac", 0.4), daemon.url("live/new"), tmp_path / "new.log")
            assert environment(tmp_path / "after")["RTMP_STREAM_KEY"] == "live/new"
            assert not (tmp_path / "before").exists(), "a hook that was taken out still runs"
            assert all(child.running() for child in children), "a reload ended a session"
            assert not daemon.of("publish_stop", KEY)
        finally:
            for child in children:
                child.close()
        daemon.wait_count("publish_stop", KEY, 1)


def test_sighup_with_a_bad_file_changes_nothing_and_names_the_line(clip: Maker, tmp_path: Path) -> None:
    good = HOOK_INI.format(name="one", path=dump_environment(tmp_path, "one"))
    with Daemon(tmp_path, ini=good) as daemon:
        daemon.ini.write_text(good.replace("event_types", "event_typos"))
        daemon.child.signal(signal.SIGHUP)
        daemon.wait_log(lambda log: f"{daemon.ini}:4" in log and "event_typos" in log, "the problem in the log")
        peers.ffmpeg().publish_at_once(clip("h264_aac", 0.4), daemon.url(KEY), tmp_path / "publisher.log")
        assert environment(tmp_path / "one")["RTMP_STREAM_KEY"] == KEY
