"""HTTP-fMP4, snapshots and HLS from a house: what viewers get, their sessions, and who may watch."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import m3u8
import pytest

from rtmpd.server import facts
from rtmpd.settings import PlaybackSettings, TokenSettings
from rtmpd.settings.playback import SESSIONS_SHARED
from tests.integration.conftest import Start
from tests.integration.test_playback import LISTEN, NO_GRACE, Viewer, of_viewer, publish, watching
from tests.support.client import AAC_HEADER, AVC_HEADER, Client, audio, interframe, keyframe
from tests.support.house import Running, wait_until
from tests.support.playlists import Watch, faults, parsed
from tests.support.proof import proves

GOP_MS = 2000


def send(client: Client, msid: int, from_ms: int, to_ms: int, gop_ms: int = GOP_MS) -> None:
    """Pictures each 200 ms with sound, a keyframe each ``gop_ms``."""
    for at_ms in range(from_ms, to_ms, 200):
        picture = keyframe if at_ms % gop_ms == 0 else interframe
        client.video(msid, picture(300, b"%d" % (at_ms // 200 % 10)), at_ms)
        client.audio(msid, audio(), at_ms + 10)


def broadcast(house: Running, name: str = "a", seconds: int = 2) -> tuple[Client, int]:
    """A publisher that has sent ``seconds`` of media at once."""
    client = house.client()
    msid = client.publish(name)
    client.metadata(msid, framerate=25.0, videocodecid=7.0, audiocodecid=10.0)
    client.headers(msid)
    send(client, msid, 0, seconds * 1000)
    stream = wait_until(lambda: house.house.registry.find(f"live/{name}"), "the stream is there")
    wait_until(lambda: stream.gop.frames and stream.gop.frames[-1].timestamp >= seconds * 1000 - 200, "media is there")
    return client, msid


def boxes(data: bytes) -> list[str]:
    """The boxes at the top of a file, which must be whole."""
    found = []
    while data:
        (size,) = struct.unpack(">I", data[:4])
        assert 8 <= size <= len(data)
        found.append(data[4:8].decode())
        data = data[size:]
    return found


def get(house: Running, path: str, headers: str = "", method: str = "GET") -> Viewer:
    """A whole answer."""
    with watching(house, path, f"Connection: close\r\n{headers}", method=method) as viewer:
        viewer.read_to_end()
        return viewer


@contextmanager
def watching_later(house: Running, path: str) -> Iterator[Viewer]:
    """A viewer that has sent its request."""
    viewer = Viewer(house, path, "Connection: close\r\n")
    try:
        yield viewer
    finally:
        viewer.close()


def uris(text: bytes) -> list[str]:
    return [line for line in text.decode().split("\n") if line and not line.startswith("#")]


class Hls:
    """A viewer of HLS that has its first playlists. The ``publisher`` (of ``broadcast``) sends all up to 9 s while the
    first one waits for segments, so that there are four."""

    def __init__(self, house: Running, publisher: tuple[Client, int] | None = None, query: str = "") -> None:
        self.house = house
        self.base = "/hls/live/a/"
        with watching_later(house, f"{self.base}index.m3u8{query}") as viewer:
            if publisher is not None:
                wait_until(lambda: "live/a" in house.house._playback._hls, "the stream is muxed")
                send(*publisher, 2000, 9000)
            viewer.head().read_to_end()
        self.index = viewer
        self.status = self.index.status
        self.playlist_path = self.base + uris(self.index.body)[0] if self.status == 200 else ""
        self.watch = Watch()

    def playlist(self) -> bytes:
        answer = get(self.house, self.playlist_path)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
        self.watch.look(answer.body.decode())
        return answer.body

    def get(self, uri: str, headers: str = "", method: str = "GET") -> Viewer:
        return get(self.house, self.base + uri, headers, method)


# --- HTTP-fMP4 ------------------------------------------------------------------------------------


def test_a_viewer_gets_fragments_until_the_stream_ends_and_is_a_session(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = broadcast(house, seconds=3)
    with watching(house, "/live/live/a.mp4") as viewer:
        assert viewer.headers["content-type"] == 'video/mp4; codecs="avc1.64000a,mp4a.40.2"'
        viewer.read_to(keyframe(300, b"0")[5:])  # of 2 s
        send(publisher, msid, 3000, 6000)
        viewer.read_to(interframe(300, b"8")[5:])
        publisher.call("deleteStream", None, float(msid))
        data = viewer.read_to_end()
    found = boxes(data)
    assert found[:2] == ["ftyp", "moov"] and set(found[2:]) == {"moof", "mdat"}
    assert found[2::2] == ["moof"] * (len(found) // 2 - 1)
    assert len(found) > 20
    stop = house.wait_event("play_stop", protocol="http-fmp4")
    assert (stop.data["reason"], stop.data["bytes_sent"]) == ("unpublished", len(data))


def test_a_viewer_after_a_republish_gets_the_new_stream_though_one_of_before_has_not_left(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = broadcast(house, seconds=3)
    with watching(house, "/live/live/a.mp4") as left_open:
        left_open.read_to(keyframe(300, b"0")[5:])
        publisher.call("deleteStream", None, float(msid))
        house.wait_event("publish_stop")
        publisher, msid = broadcast(house, seconds=3)
        with watching(house, "/live/live/a.mp4") as viewer:
            viewer.read_to(b"mdat")
            send(publisher, msid, 3000, 6000)
            viewer.read_to(interframe(300, b"8")[5:])


def test_every_viewer_gets_the_same_fragments_and_one_who_comes_late_those_since_the_keyframe(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = broadcast(house, seconds=3)
    with watching(house, "/live/live/a.mp4") as first:
        first.read_to(keyframe(300, b"0")[5:])
        send(publisher, msid, 3000, 5000)
        first.read_to(interframe(300, b"3")[5:])
        with watching(house, "/live/live/a.mp4") as second:
            second.read_to(b"mdat")
            send(publisher, msid, 5000, 8000)
            publisher.call("deleteStream", None, float(msid))
            whole, part = first.read_to_end(), second.read_to_end()
    head = part.index(b"moof") - 4
    assert whole.startswith(part[:head])
    assert whole.endswith(part[head:])
    assert boxes(part)[:3] == ["ftyp", "moov", "moof"]


def test_codecs_that_mp4_cannot_carry_are_refused_once_with_an_event(start: Start) -> None:
    house = start(playback=LISTEN)
    client = house.client()
    msid = client.publish("a")
    for at_ms in range(0, 300, 20):
        client.audio(msid, b"\x2f\xff\xfb\x90\xc4" + bytes(60), at_ms)

    def go_on() -> None:
        for at_ms in range(300, 60_000, 20):
            client.audio(msid, b"\x2f\xff\xfb\x90\xc4" + bytes(60), at_ms)
            gevent.sleep(0.02)

    feeding = gevent.spawn(go_on)
    wait_until(lambda: house.of("codec_detected"), "media is there")
    for path in ("/live/live/a.mp4", "/live/live/a.mp4", "/hls/live/a/index.m3u8"):
        viewer = get(house, path)
        assert (viewer.status, b"MP3" in viewer.body, b"/live/live/a.flv" in viewer.body) == (406, True, True)
    (event,) = house.of("stream_error")
    assert event.data["error_type"] == "codec_mismatch"
    with watching(house, "/live/live/a.flv") as viewer:
        viewer.read_to(b"\x2f\xff\xfb\x90")
    feeding.kill()


def test_a_slow_viewer_of_fragments_goes_on_at_a_keyframe(start: Start) -> None:
    house = start(playback=LISTEN, app={"backlog_bytes": 1 << 17, **NO_GRACE})
    publisher, msid = broadcast(house, seconds=3)
    with watching(house, "/live/live/a.mp4", receive_bytes=65536) as viewer:
        viewer.read_to(b"mdat")
        (session,) = house.house.context.viewers.values()
        at_ms = 3000
        while not session.facts(0.0)["frames_dropped"]:
            publisher.video(msid, (keyframe if at_ms % 1000 == 0 else interframe)(60_000), at_ms)
            at_ms += 200
            wait_until(lambda: not publisher.peer.writer.busy, "the server takes it")
            gevent.sleep(0.001)
        publisher.call("deleteStream", None, float(msid))
        assert set(boxes(viewer.read_to_end())) == {"ftyp", "moov", "moof", "mdat"}
    assert house.wait_event("play_stop").data["frames_dropped"] > 0


def test_a_snapshot_is_the_last_keyframe(start: Start) -> None:
    house = start(playback=LISTEN)
    publisher, msid = broadcast(house, seconds=3)
    viewer = get(house, "/snapshot/live/a.mp4")
    assert (viewer.status, boxes(viewer.body)) == (200, ["ftyp", "moov", "moof", "mdat"])
    assert keyframe(300, b"0")[5:] in viewer.body and interframe(300, b"1")[5:] not in viewer.body
    assert get(house, "/snapshot/live/none.mp4").status == 404
    assert not of_viewer(house, "play_start")


# --- HLS ------------------------------------------------------------------------------------------


def test_hls_is_played_from_the_index_to_the_segments_and_is_one_session(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = broadcast(house)
    viewer = Hls(house, (publisher, msid))
    index = m3u8.loads(viewer.index.body.decode())
    (variant,) = index.playlists
    assert (variant.stream_info.codecs, variant.stream_info.frame_rate) == ("avc1.64000a,mp4a.40.2", 25.0)
    playlist = m3u8.loads(viewer.playlist().decode())
    assert (playlist.target_duration, len(playlist.segments), playlist.is_endlist) == (2, 4, False)
    init = viewer.get(playlist.segment_map[0].uri)
    assert boxes(init.body) == ["ftyp", "moov"] and "immutable" in init.headers["cache-control"]
    sent = len(init.body)
    for segment in playlist.segments:
        answer = viewer.get(segment.uri)
        assert set(boxes(answer.body)) == {"moof", "mdat"}
        sent += len(answer.body)
    assert house.house.status()["players"] == 1
    send(publisher, msid, 9000, 13_000)
    wait_until(lambda: len(parsed(viewer.playlist().decode()).segments) == 6, "two segments more")
    (start_event,) = house.of("play_start", protocol="hls")
    (conn_id,) = house.house.context.viewers
    assert facts.kick(house.house.context, conn_id) == [conn_id]
    stop = house.wait_event("play_stop", protocol="hls")
    assert (stop.data["reason"], stop.data["bytes_sent"]) == ("kicked", sent)
    assert stop.data["session_id"] == start_event.data["session_id"]
    assert get(house, viewer.playlist_path).status == 403
    assert viewer.get(playlist.segments[-1].uri).status == 403
    assert faults(viewer.watch) == []


def test_a_viewer_that_falls_silent_has_stopped_and_may_come_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpd.playback.visitor._MIN_SILENCE_S", 0.1)
    monkeypatch.setattr("rtmpd.playback.visitor.SILENCE_TARGETS", 0)
    house = start(playback=LISTEN)
    viewer = Hls(house, broadcast(house))
    assert house.wait_event("play_stop", protocol="hls").data["reason"] == "timeout"
    viewer.playlist()
    wait_until(lambda: len(house.of("play_start", protocol="hls")) == 2, "it is back")
    wait_until(lambda: len(house.of("play_stop", protocol="hls")) == 2, "it has left")


def test_hls_passes_the_rules_of_play_and_its_addresses_need_no_token(start: Start) -> None:
    tokens = (TokenSettings("me", "secret-of-the-viewer", ("*",)),)
    rules = {"play_access": ("token",), "play_tokens": tokens, "max_players": 1}
    house = start(playback=LISTEN, app=rules, access={"failure_delay_s": 0.0})
    publisher = broadcast(house)
    assert get(house, "/hls/live/a/index.m3u8").status == 403
    assert get(house, "/hls/live/a/stream.m3u8").status == 403
    viewer = Hls(house, publisher, "?token=secret-of-the-viewer")
    assert b"secret" not in viewer.index.body + viewer.playlist()
    assert get(house, "/hls/live/a/index.m3u8?token=secret-of-the-viewer").status == 503
    assert viewer.get(uris(viewer.playlist())[0]).status == 200
    bare = uris(viewer.playlist())[0].partition("?")[0]
    assert viewer.get(bare).status == 403
    assert viewer.get(bare + "?s=made.up").status == 403


def test_a_republish_and_another_codec_are_discontinuities(start: Start) -> None:
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = broadcast(house)
    viewer = Hls(house, (publisher, msid))
    viewer.playlist()
    publisher.call("deleteStream", None, float(msid))
    house.wait_event("publish_stop")
    publisher, msid = broadcast(house, seconds=9)
    wait_until(lambda: b"DISCONTINUITY\n" in viewer.playlist(), "the new publish is in the playlist")
    publisher.video(msid, AVC_HEADER[:-1] + b"\xcc", 9000)
    publisher.audio(msid, AAC_HEADER, 9000)
    send(publisher, msid, 10_000, 15_000)
    wait_until(lambda: viewer.playlist().count(b"DISCONTINUITY\n") == 2, "the other codec is in the playlist")
    assert faults(viewer.watch) == []
    assert not house.of("play_stop", protocol="hls")


def test_the_end_of_the_stream_is_the_end_of_the_playlist_and_of_the_sessions(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtmpd.playback.hls._NO_ENDING_S", 0.0)
    monkeypatch.setattr("rtmpd.playback.playback._LOOK_S", 0.05)
    house = start(playback=LISTEN, app=NO_GRACE)
    publisher, msid = broadcast(house)
    viewer = Hls(house, (publisher, msid))
    publisher.call("deleteStream", None, float(msid))
    assert house.wait_event("play_stop", protocol="hls").data["reason"] == "unpublished"
    assert viewer.playlist().endswith(b"#EXT-X-ENDLIST\n")
    assert viewer.get(uris(viewer.playlist())[-1]).status == 200
    assert faults(viewer.watch) == []


@pytest.mark.parametrize(
    ("headers", "status", "part"),
    [
        ("Range: bytes=0-3\r\n", 206, slice(0, 4)),
        ("Range: bytes=-8\r\n", 206, slice(-8, None)),
        ("Range: bytes=8-\r\n", 206, slice(8, None)),
        ("Range: bytes=99999999-\r\n", 416, None),
        ("Range: bytes=0-1,4-5\r\n", 416, None),
        ("Range: lines=1-2\r\n", 200, slice(None)),
    ],
)
def test_segments_are_served_in_ranges(start: Start, headers: str, status: int, part: slice | None) -> None:
    house = start(playback=LISTEN)
    viewer = Hls(house, broadcast(house))
    uri = uris(viewer.playlist())[0]
    whole = viewer.get(uri).body
    answer = viewer.get(uri, headers)
    assert answer.status == status
    if part is not None:
        assert answer.body == whole[part]
    head = viewer.get(uri, method="HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(whole)), b"")


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "none.m4s", "", "index.m3u8/", "%00", "a" * 5000]
)
def test_names_that_are_none_are_not_found(start: Start, name: str) -> None:
    house = start(playback=LISTEN)
    viewer = Hls(house, broadcast(house))
    query = "?" + uris(viewer.playlist())[0].partition("?")[2]
    assert viewer.get(name + query).status in (403, 404)


@proves("playback.hls_sessions")
def test_shared_sessions_give_everybody_the_same_addresses_for_a_cache(start: Start) -> None:
    house = start(playback={**LISTEN, "hls_sessions": SESSIONS_SHARED})
    first, second = Hls(house, broadcast(house)), Hls(house)
    assert first.index.body == second.index.body and b"s=" not in first.index.body
    assert first.playlist() == second.playlist()
    assert first.get(uris(first.playlist())[0]).status == 200
    assert not of_viewer(house, "play_start")
    for query in ("", "?k=guessed", "?k=%C3%A4"):
        assert get(house, f"/hls/live/a/stream.m3u8{query}").status == 403, "only the index has its address"


@proves("playback.hls_dir")
def test_the_files_of_every_stream_are_written_whole(start: Start, tmp_path: Path) -> None:
    house = start(playback={"hls_dir": str(tmp_path), "hls_segments": 3}, app=NO_GRACE)
    publisher, msid = broadcast(house, "../x", seconds=9)
    folder = tmp_path / "live" / "%2E%2E" / "x"
    wait_until(lambda: (folder / "index.m3u8").exists(), "the files are there")
    watch = Watch()
    send(publisher, msid, 9000, 41_000)
    wait_until(lambda: len(list(folder.glob("*.m4s"))) == 6, "old files are gone")

    def complete() -> bool:
        watch.look((folder / "stream.m3u8").read_text())
        return watch.playlists[-1].sequence - watch.playlists[0].sequence >= 0

    wait_until(complete, "the playlist is there")
    for segment in watch.playlists[-1].segments:
        assert set(boxes((folder / segment.uri).read_bytes())) == {"moof", "mdat"}
        assert boxes((folder / segment.map).read_bytes()) == ["ftyp", "moov"]
    assert faults(watch) == [] and not list(folder.glob("*.part"))
    publisher.call("deleteStream", None, float(msid))


def test_a_directory_that_cannot_be_written_costs_the_files_and_is_reported_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    house = start(playback={**LISTEN, "hls_dir": str(tmp_path / "file")})
    publisher, msid = broadcast(house, seconds=9)
    send(publisher, msid, 9000, 15_000)
    wait_until(lambda: house.logged("files of HLS cannot be written"), "it is reported")
    assert Hls(house).status == 200
    assert len(house.logged("files of HLS cannot be written")) == 1


@proves("playback.hls_segment", "playback.hls_segments", "playback.hls_memory")
@pytest.mark.parametrize(
    ("settings", "count", "duration_s"),
    [
        ({"hls_segment_s": 4.0}, 6, 4.0),
        ({"hls_segments": 3}, 3, 2.0),
        ({"hls_memory_bytes": 20_000}, 3, 2.0),
    ],
)
def test_how_long_and_how_many_segments_are(
    start: Start, settings: dict[str, Any], count: int, duration_s: float
) -> None:
    house = start(playback={**LISTEN, **settings})
    publisher, msid = broadcast(house)
    viewer = Hls(house, (publisher, msid))
    send(publisher, msid, 9000, 25_000)
    segments = lambda: parsed(viewer.playlist().decode()).segments  # noqa: E731
    wait_until(lambda: len(segments()) == count, "all are there")
    assert {one.duration_s for one in segments()} == {duration_s}


def test_requests_for_more_sessions_than_may_be_leave_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtmpd.playback.visitor.MAX_VISITORS", 300)
    house = start(playback=LISTEN)
    Hls(house, broadcast(house))
    with watching(house, "/hls/live/a/index.m3u8") as viewer:
        refused = 0
        for _ in range(400):
            viewer.body = b""
            viewer.sock.sendall(b"GET /hls/live/a/index.m3u8 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            viewer.head()
            refused += viewer.status == 503
            length = int(viewer.headers["content-length"])
            while len(viewer.body) < length:
                viewer.body += viewer.sock.recv(65536)
    assert refused == 102
    assert len(house.house.context.viewers) == 300
    facts.kick_stream(house.house.context, "live/a", "players")
    assert not house.house.context.viewers


def test_a_reload_changes_where_files_go(start: Start, tmp_path: Path) -> None:
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    house = start(playback={"hls_dir": first})
    publisher, msid = broadcast(house, seconds=9)
    wait_until(lambda: os.path.exists(f"{first}/live/a/index.m3u8"), "the files are there")
    house.change(playback=PlaybackSettings(hls_dir=second))
    send(publisher, msid, 9000, 15_000)
    wait_until(lambda: os.path.exists(f"{second}/live/a/index.m3u8"), "the files are there")
    assert re.search("m4s", Path(f"{second}/live/a/stream.m3u8").read_text())


def test_the_first_index_waits_for_the_first_segment(start: Start) -> None:
    house = start(playback=LISTEN)
    publisher, msid = publish(house)
    viewer = Viewer(house, "/hls/live/a/index.m3u8")
    gevent.sleep(0.05)
    send(publisher, msid, 2000, 7000)
    assert viewer.head().status == 200
    viewer.close()
