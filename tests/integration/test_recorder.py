"""Recordings of a house: files that are whole, events that balance, and streams that never notice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from gevent.monkey import get_original

from rtmpd.event.event import Event
from rtmpd.output.flv_file import FlvFile
from rtmpd.output.mp4_file import Mp4File
from rtmpd.protocol.constants import AUDIO, VIDEO
from rtmpd.protocol.message import Message
from rtmpd.settings import AppsSettings
from tests.integration.conftest import Start
from tests.support import flv
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, audio, interframe, keyframe
from tests.support.house import Running
from tests.support.mp4 import walk
from tests.support.proof import proves
from tests.support.waiting import wait_until

FRAMES = ((VIDEO, keyframe(300)), (AUDIO, audio()))


def recorded(home: Path, **options: Any) -> dict[str, Any]:
    """Settings of applications that are recorded below ``home``."""
    usual = {"record": "all", "record_dir": str(home), "record_path": "{app}/{name}.flv", "record_min_free_bytes": 0}
    return usual | {"publisher_grace_s": 0.1} | options


def send_gops(client: Client, msid: int, begin: int, count: int) -> None:
    """``count`` times a keyframe and four other pictures, 40 ms apart, each with a sound."""
    for number in range(begin * 5, (begin + count) * 5):
        picture = interframe(300, b"%d" % (number % 10)) if number % 5 else keyframe(2000)
        client.video(msid, picture, number * 40)
        client.audio(msid, audio(20, b"%d" % (number % 10)), number * 40)


def publish(house: Running, name: str = "a", gops: int = 4) -> tuple[Client, int]:
    client = house.client()
    msid = client.publish(name)
    client.metadata(msid, width=64.0, duration=0.0)
    client.headers(msid)
    send_gops(client, msid, 0, gops)
    return client, msid


def leave(client: Client, msid: int) -> None:
    client.call("deleteStream", None, float(msid))


@proves("apps.record", "apps.record_dir")
def test_a_publish_becomes_a_file_and_two_events(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path))
    client, msid = publish(house, "../../a")
    started = house.wait_event("recording_start")
    leave(client, msid)
    stopped = house.wait_event("recording_stop")
    path = tmp_path / "live" / "_._.._a.flv"
    assert started.data == {"path": str(path), "format": "flv", "session_id": started.data["session_id"]}
    assert stopped.data["session_id"] == started.data["session_id"] and started.stream_key == "live/../../a"
    assert (stopped.data["reason"], stopped.data["size"]) == ("unpublished", path.stat().st_size)
    media = flv.read(path)
    assert [len(media.video), len(media.audio)] == [20, 20] and media.video[0].dts_ms == 0
    assert not house.of("segment_complete") and not house.of("subscriber_count")


def recorded_again(start: Start, home: Path, **options: Any) -> list[int]:
    """The sizes of the events of two recordings of one name, one after the other."""
    house = start(app=recorded(home, **options))
    for number in range(2):
        client, msid = publish(house)
        leave(client, msid)
        wait_until(lambda: len(house.of("recording_stop")) == number + 1, "the recording ends")  # noqa: B023
    return [int(str(event.data["size"])) for event in house.of("recording_stop")]


@proves("apps.record_existing")
@pytest.mark.parametrize(("existing", "pictures"), [("unique", [20, 20]), ("replace", [20]), ("append", [40])])
def test_what_becomes_of_a_file_that_is_there_is_said(
    start: Start, tmp_path: Path, existing: str, pictures: list[int]
) -> None:
    recorded_again(start, tmp_path, record_existing=existing)
    files = sorted((tmp_path / "live").iterdir())
    assert [file.name for file in files] == ["a-1.flv", "a.flv"][2 - len(pictures) :]
    assert [len(flv.read(file).video) for file in files] == pictures


@proves("apps.record_part")
@pytest.mark.parametrize(("part", "name"), [(True, "a.flv.part"), (False, "a.flv")])
def test_a_file_has_another_name_while_it_is_written_unless_nobody_wants_that(
    start: Start, tmp_path: Path, part: bool, name: str
) -> None:
    house = start(app=recorded(tmp_path, record_part=part))
    client, msid = publish(house)
    house.wait_event("recording_start")
    assert [path.name for path in (tmp_path / "live").iterdir()] == [name]
    leave(client, msid)
    house.wait_event("recording_stop")
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["a.flv"]


@proves("apps.record_format")
def test_an_mp4_is_named_and_told_as_one(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, record_format="mp4"))
    client, msid = publish(house)
    started = house.wait_event("recording_start")
    leave(client, msid)
    stopped = house.wait_event("recording_stop")
    path = tmp_path / "live" / "a.mp4"
    assert {started.data["path"], stopped.data["path"]} == {str(path)}
    assert {started.data["format"], stopped.data["format"]} == {"mp4"}
    assert [box.kind for box in walk(path.read_bytes())] == ["ftyp", "mdat", "moov"]
    assert stopped.data["size"] == path.stat().st_size and not house.of("segment_complete")


def test_a_change_of_codec_makes_two_mp4s_that_are_both_told(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, record_format="mp4"))
    client, msid = publish(house)
    client.video(msid, AVC_HEADER[:-1] + b"\xca", 800)
    send_gops(client, msid, 4, 1)
    first = house.wait_event("segment_complete", segment_index=1)
    assert first.data["path"] == str(tmp_path / "live" / "a.mp4") and house.of("recording_stop") == []
    leave(client, msid)
    house.wait_event("recording_stop", path=str(tmp_path / "live" / "a-1.mp4"))
    assert house.wait_event("segment_complete", segment_index=2).data["path"] == str(tmp_path / "live" / "a-1.mp4")


def test_a_codec_that_mp4_does_not_carry_costs_the_recording_only(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, record_format="mp4"))
    client, msid = publish(house)
    client.audio(msid, b"\x2f" + bytes(40), 800)
    stopped = house.wait_event("recording_stop")
    assert stopped.data["reason"] == "codec_unsupported" and house.of("publish_stop") == []
    assert any("MP3" in str(fault) for fault in house.house.outputs.faults())
    leave(client, msid)


def test_a_start_finishes_the_mp4s_that_a_crash_left(start: Start, tmp_path: Path) -> None:
    file = Mp4File(str(tmp_path / "a.mp4"), True, 200, True, True)
    file.write([Message(VIDEO, AVC_HEADER, 0), Message(AUDIO, AAC_HEADER, 0)])
    file.write([Message(kind, payload, at) for at in range(0, 2000, 40) for kind, payload in FRAMES])
    size = file.size
    file._file.close()
    with (tmp_path / "a.mp4.part").open("ab") as part:
        part.write(bytes(100))
    house = start(app=recorded(tmp_path, record_format="mp4"))
    told = house.wait_event("recording_recovered")
    assert told.data == {"path": str(tmp_path / "a.mp4"), "duration_sec": told.data["duration_sec"], "lost_ms": 0}
    assert 1.7 < float(str(told.data["duration_sec"])) < 2.1
    assert [box.kind for box in walk((tmp_path / "a.mp4").read_bytes())] == ["ftyp", "mdat", "moov"]
    assert (tmp_path / "a.mp4").stat().st_size > size and not (tmp_path / "a.mp4.part").exists()


@proves("apps.record_path")
def test_segments_are_told_as_they_are_closed(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, record_path="{name}_{segment}.flv", segment_duration_s=0.3))
    client, msid = publish(house, gops=1)
    for gop in range(1, 6):
        send_gops(client, msid, gop, 1)
    first = house.wait_event("segment_complete", segment_index=1)
    assert house.of("recording_stop") == []
    assert first.data["path"] == str(tmp_path / "a_1.flv") and first.data["duration_ms"] == 400
    leave(client, msid)
    house.wait_event("recording_stop")
    done = house.of("segment_complete")
    assert [event.data["segment_index"] for event in done] == [1, 2, 3]
    assert [event.data["size"] for event in done] == [Path(str(e.data["path"])).stat().st_size for e in done]
    assert house.of("recording_stop")[0].data["size"] == sum(int(str(e.data["size"])) for e in done)
    assert sum(len(flv.read(Path(str(event.data["path"]))).video) for event in done) == 30


def test_a_publisher_that_comes_back_goes_on_in_the_same_file(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, publisher_grace_s=5.0))
    client, _ = publish(house)
    house.wait_event("recording_start")
    client.reset()
    house.wait_event("publish_stop")
    client, msid = publish(house)
    leave(client, msid)
    house.wait_event("recording_stop")
    media = flv.read(tmp_path / "live" / "a.flv")
    times = [frame.dts_ms for frame in media.video]
    assert len(media.video) > 20 and times == sorted(times)
    assert len(house.of("recording_start")) == 1


def test_a_stop_of_the_server_closes_the_files(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path))
    client, _ = publish(house)
    house.wait_event("recording_start")
    wait_until(lambda: house.house.outputs.facts("live/a")["recordings"][0]["bytes_written"], "something is written")
    house.house.stop(0.0)
    events = [event for event in house._recorder.events if event.type == "recording_stop"]
    assert [event.data["reason"] for event in events] == ["server_stop"]
    assert len(flv.read(tmp_path / "live" / "a.flv").video) == 20
    client.close()


def test_a_publish_without_media_leaves_no_file_and_no_event(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path))
    client = house.client()
    msid = client.publish()
    client.headers(msid)
    leave(client, msid)
    house.wait_event("stream_delete")
    assert not list(tmp_path.iterdir()) and not house.of("recording_start") + house.of("recording_stop")


# --- disks ----------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_recording_and_nothing_else(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, record_min_free_bytes=2**60))
    client, msid = publish(house)
    stopped = house.wait_event("recording_stop")
    assert (stopped.data["reason"], stopped.data["size"]) == ("disk_full", 0)
    player = house.client()
    player.play()
    send_gops(client, msid, 4, 1)
    player.wait_payload(interframe(300, b"4"))
    assert not house.errors() and not list(tmp_path.iterdir())
    (fault,) = house.house.outputs.faults()
    assert fault[:2] == ("recording_failed", "live/a") and "have to stay" in fault.message
    leave(client, msid)
    house.wait_event("publish_stop")
    assert list(house.house.outputs.faults()) == [], "there is nothing to be recorded"


def test_a_recording_fails_until_the_next_one_works_or_nobody_wants_it(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, record_min_free_bytes=2**60, publish_conflict="replace"))
    publish(house)
    house.wait_event("recording_stop")
    wait_until(lambda: list(house.house.outputs.faults()), "the recording fails")
    reload(house, record_min_free_bytes=0)
    assert list(house.house.outputs.faults()), "it begins with the next publish"
    publish(house)
    wait_until(lambda: len(house.of("recording_start")) == 2, "the next recording")
    assert list(house.house.outputs.faults()) == []
    reload(house, record_min_free_bytes=2**60)
    publish(house, "b")
    wait_until(lambda: list(house.house.outputs.faults()), "the other recording fails")
    reload(house, record="off")
    assert list(house.house.outputs.faults()) == []


def test_a_file_that_may_not_grow_is_whole_up_to_there(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(self: FlvFile, tags: list[Message]) -> None:
        if self.size > 8000:
            raise OSError(27, "File too large")
        real(self, tags)

    real = FlvFile.write
    monkeypatch.setattr(FlvFile, "write", limited)
    house = start(app=recorded(tmp_path))
    client, msid = publish(house)
    gops = count(4)

    def send_until_stopped() -> list[Event]:
        send_gops(client, msid, next(gops), 1)
        return house.of("recording_stop")

    (stopped,) = wait_until(send_until_stopped, "the recording ends")
    path = tmp_path / "live" / "a.flv"
    assert (stopped.data["reason"], stopped.data["size"]) == ("disk_full", path.stat().st_size)
    assert flv.read(path).video


class Disk:
    """Hangs until ``answer`` is called. Its lock is the system's own: it is for threads that know no greenlets."""

    def __init__(self) -> None:
        self._lock = get_original("_thread", "allocate_lock")()
        self._lock.acquire()

    def wait(self) -> None:
        with self._lock:
            pass

    def answer(self) -> None:
        if self._lock.locked():
            self._lock.release()


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk that files are written to hangs; it answers at the end."""
    disk, real = Disk(), FlvFile.write

    def hang(self: FlvFile, tags: list[Message]) -> None:
        disk.wait()
        real(self, tags)

    monkeypatch.setattr(FlvFile, "write", hang)
    yield disk
    disk.answer()


@proves("apps.record_queue")
def test_a_disk_that_hangs_costs_the_recording_and_delays_nobody(start: Start, tmp_path: Path, stuck: Disk) -> None:
    house = start(app=recorded(tmp_path, record_queue_bytes=64 * 1024))
    client, msid = publish(house, gops=1)
    player = house.client()
    player.play()
    for gop in range(1, 40):
        send_gops(client, msid, gop, 1)
    stopped = house.wait_event("recording_stop")
    assert stopped.data["reason"] == "disk_slow"
    player.wait_payload(interframe(300, b"9"))
    send_gops(client, msid, 40, 1)
    client.audio(msid, audio(77), 9000)
    client.video(msid, keyframe(78), 9001)
    player.wait_payload(keyframe(78))
    assert len([p for p in player.payloads() if p == keyframe(2000)]) == 41, "no picture was lost"
    stuck.answer()
    wait_until(lambda: not list(tmp_path.rglob("*.part")), "the file is closed once the disk answers")
    assert len(house.of("recording_stop")) == len(house.of("recording_start")) == 1


def test_a_stop_does_not_wait_for_a_disk_that_hangs(
    start: Start, tmp_path: Path, stuck: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpd.output.outputs._CLOSING_S", 0.1)
    house = start(app=recorded(tmp_path))
    client, _ = publish(house)
    wait_until(lambda: house.house.outputs.facts("live/a")["recordings"][0]["queued_bytes"], "frames wait")
    client.close()
    house.house.stop(0.1)
    stopped = [event for event in house._recorder.events if event.type == "recording_stop"]
    assert [event.data["reason"] for event in stopped] in ([], ["server_stop"], ["unpublished"])
    stuck.answer()


# --- while it runs --------------------------------------------------------------------------------


def reload(house: Running, **options: Any) -> None:
    """Have other settings of all applications."""
    settings = house.house.settings
    apps = AppsSettings(default=replace(settings.apps.default, **options))
    change = house.house.prepare(replace(settings, apps=apps))
    change.commit()
    change.retire()


def test_a_rule_that_is_removed_ends_its_recordings(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path))
    client, msid = publish(house)
    house.wait_event("recording_start")
    reload(house, record="off")
    assert house.wait_event("recording_stop").data["reason"] == "config"
    send_gops(client, msid, 4, 1)
    assert house.connection(client) and not house.of("publish_stop")


def test_a_rule_that_is_added_is_for_streams_that_start_after_it(start: Start, tmp_path: Path) -> None:
    house = start()
    publish(house, "before")
    reload(house, **recorded(tmp_path))
    client, msid = publish(house, "after")
    house.wait_event("recording_start")
    leave(client, msid)
    house.wait_event("recording_stop")
    assert [path.name for path in (tmp_path / "live").iterdir()] == ["after.flv"]


def test_recordings_are_no_players(start: Start, tmp_path: Path) -> None:
    house = start(app=recorded(tmp_path, max_players=1))
    publish(house)
    house.wait_event("recording_start")
    house.client().play()
    lines = house.house.instruments.render().decode().splitlines()
    assert {"rtmp_recordings 1", "rtmp_players 1", "rtmp_relays 0"} <= set(lines)
    assert [event.data["count"] for event in house.of("subscriber_count")] == [1]


@proves("apps.record_keep", "apps.record_keep_size", "apps.record_keep_free")
@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"record_keep_s": 3600.0}, "age"),
        ({"record_keep_bytes": 50}, "size"),
        ({"record_keep_free_percent": 99}, "free"),
    ],
)
def test_old_recordings_are_deleted_and_told(start: Start, tmp_path: Path, options: dict[str, Any], rule: str) -> None:
    old = tmp_path / "live" / "old.flv"
    old.parent.mkdir()
    old.write_bytes(bytes(60))
    os.utime(old, (1e9, 1e9))
    house = start(app=recorded(tmp_path, **options))
    told = house.wait_event("recording_deleted", rule=rule)
    assert (told.data["path"], told.data["size"]) == (str(old), 60) and float(str(told.data["age_sec"])) > 1e8
    assert not old.exists()
