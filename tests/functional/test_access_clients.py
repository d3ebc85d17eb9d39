"""Real encoders and players before the door: each access mode refuses them and lets them in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest

from rtmpd.server.access import signed
from rtmpd.server.access.signed import Claims
from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.functional.peers import FFMPEG_CURRENT, GSTREAMER, LIBRTMP_PEER, RTMPDUMP, Peer, ffmpeg, need
from tests.functional.receiver import Receiver
from tests.support import flv
from tests.support.child import Child
from tests.support.waiting import wait_until

SECONDS = 1.2
FIXED, IN_FILE, TO_CALLBACK = "fixed-s3cret-0123", "file-s3cret-01234", "asked-s3cret-0123"
SIGNING, JWT_SECRET = "signing-s3cret-".ljust(40, "0"), "jwt-s3cret-".ljust(40, "0")
WRONG = "wr0ng-s3cret"
MODES = ("token", "file", "signed", "jwt", "callback")

INI = f"""
[apps]
  [[token]]
  publish_access = token
  play_access = token
  publish_tokens = studio:{FIXED}
  play_tokens = studio:{FIXED}
  [[file]]
  publish_access = file
  play_access = file
  [[signed]]
  publish_access = signed
  play_access = signed
  [[jwt]]
  publish_access = jwt
  play_access = jwt
  [[callback]]
  publish_access = callback
  play_access = callback
  callback_url = CALLBACK
  [[hanging]]
  publish_access = callback
  callback_url = HANGING
[access]
token_file = tokens
signing_keys = {SIGNING}
jwt_keys = {JWT_SECRET}
failure_delay = 0
callback_timeout = 30s
[hooks]
  [[environment]]
  type = script
  path = environment.sh
  event_types = auth_failed, stream_error, publish_start, play_start
"""


@dataclass
class Door:
    """A daemon with an application per mode, and the endpoints that two of them ask."""

    daemon: Daemon
    endpoint: Receiver
    hanging: Receiver
    environment: Path

    def url(self, mode: str, name: str, right: bool) -> str:
        return self.daemon.url(f"{mode}/{name}?token={self._token(mode, name) if right else WRONG}")

    def _token(self, mode: str, name: str) -> str:
        ends = int(time.time()) + 3600
        if mode == "signed":
            return signed.issue([SIGNING], Claims(mode, name, ("publish", "play"), ends, "studio"))
        if mode == "jwt":
            claims = {"app": mode, "name": name, "action": ["publish", "play"], "exp": ends, "sub": "studio"}
            return jwt.encode(claims, JWT_SECRET, "HS256")
        return {"token": FIXED, "file": IN_FILE, "callback": TO_CALLBACK}[mode]

    def told(self) -> str:
        """Everything the daemon has said: events, log, and what a script found in its environment."""
        return self.daemon.stdout.read_text() + self.daemon.log() + self.environment.read_text()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = tmp_path_factory.mktemp("door")
    (home / "tokens").write_text(f"studio:sha256:{hashlib.sha256(IN_FILE.encode()).hexdigest()} file/* \n")
    (home / "tokens").chmod(0o600)
    environment = home / "environment"
    environment.touch()
    (home / "environment.sh").write_text(f"env >> {environment}\n")
    with Receiver() as endpoint, Receiver(hang=True) as hanging:
        ini = INI.replace("CALLBACK", endpoint.url("/ask")).replace("HANGING", hanging.url("/ask"))
        with Daemon(home, ini=ini) as daemon:
            yield Door(daemon, endpoint, hanging, environment)


def wait_all(children: list[Child], good: tuple[int, ...] | None) -> None:
    """Until all have ended: with one of these statuses, or (None) as those do that got nothing."""
    for child in children:
        status = child.wait()
        assert status in good if good is not None else status != 0, f"status {status}: {child.describe()}"
        child.close()


def publishers() -> list[Peer]:
    return [FFMPEG_CURRENT, LIBRTMP_PEER, GSTREAMER]


@pytest.mark.parametrize("peer", publishers(), ids=lambda peer: peer.name)
def test_a_publisher_is_refused_and_admitted_by_each_mode(door: Door, clip: Maker, tmp_path: Path, peer: Peer) -> None:
    need(peer)
    media, name = clip("h264_aac", SECONDS), f"p-{peer.name}"
    door.endpoint.status = 403
    asked = {mode: door.url(mode, name, right=False) for mode in MODES}
    wait_all([peer.publish(media, url, tmp_path / f"{mode}.refused") for mode, url in asked.items()], None)
    for mode in MODES:
        failed = door.daemon.wait_event("auth_failed", app=mode, stream_name=name)
        assert failed["data"]["action"] == "publish"
        assert not door.daemon.of("publish_start", f"{mode}/{name}")
    door.endpoint.status = 200
    admitted = {mode: door.url(mode, name, right=True) for mode in MODES}
    wait_all([peer.publish(media, url, tmp_path / f"{mode}.log") for mode, url in admitted.items()], peer.good_ends)
    for mode in MODES:
        started = door.daemon.wait_event("publish_start", stream_key=f"{mode}/{name}")
        assert started["data"]["identity"] == ("" if mode == "callback" else "studio")
        stopped = door.daemon.wait_event("publish_stop", stream_key=f"{mode}/{name}")
        assert stopped["data"]["video_packets"] > 10
    if peer is FFMPEG_CURRENT:
        assert "Authentication failed." in (tmp_path / "jwt.refused").read_text()
    if peer is GSTREAMER:
        assert "denied" in (tmp_path / "jwt.refused").read_text().lower()


@pytest.mark.parametrize("peer", [FFMPEG_CURRENT, RTMPDUMP, GSTREAMER], ids=lambda peer: peer.name)
def test_a_player_is_refused_and_admitted_by_each_mode(door: Door, clip: Maker, tmp_path: Path, peer: Peer) -> None:
    need(peer)
    media, name = clip("h264_aac", SECONDS), f"v-{peer.name}"
    door.endpoint.status = 403
    refused = [peer.play(door.url(mode, name, right=False), tmp_path / f"{mode}.refused.flv") for mode in MODES]
    for mode, child in zip(MODES, refused, strict=True):
        failed = door.daemon.wait_event("auth_failed", app=mode, stream_name=name)
        assert failed["data"]["action"] == "play"
        child.wait()
        child.close()
        assert not door.daemon.of("play_start", f"{mode}/{name}")
    door.endpoint.status = 200
    outs = {mode: tmp_path / f"{mode}.flv" for mode in MODES}
    playing = [peer.play(door.url(mode, name, right=True), out) for mode, out in outs.items()]
    for mode in MODES:
        door.daemon.wait_event("play_start", stream_key=f"{mode}/{name}")
    source = ffmpeg()
    wait_all(
        [source.publish(media, door.url(mode, name, right=True), tmp_path / f"{mode}.source") for mode in MODES], (0,)
    )
    for mode, child in zip(MODES, playing, strict=True):
        child.wait()
        child.close()
        assert len(flv.read(outs[mode]).video) > 10, child.describe()


def test_a_hanging_callback_delays_only_its_own_connection(door: Door, clip: Maker, tmp_path: Path) -> None:
    peer, media = ffmpeg(), clip("h264_aac", SECONDS)
    with peer.publish(media, door.daemon.url("hanging/a?token=x"), tmp_path / "stuck") as stuck:
        wait_until(lambda: door.hanging.posts, "the question is pending")
        began = time.monotonic()
        peer.publish_at_once(media, door.url("token", "b", right=True), tmp_path / "other")
        door.daemon.wait_event("publish_stop", stream_key="token/b")
        assert time.monotonic() - began < 10
        assert stuck.running() and not door.daemon.of("publish_start", "hanging/a")


def test_no_token_was_told_to_anybody(door: Door, clip: Maker, tmp_path: Path) -> None:
    peer, media = ffmpeg(), clip("h264_aac", SECONDS)
    for mode in ("token", "signed", "jwt"):
        wait_all([peer.publish(media, door.url(mode, "told", right=False), tmp_path / "refused")], None)
        peer.publish_at_once(media, door.url(mode, "told", right=True), tmp_path / "admitted")
    wait_until(lambda: door.environment.read_text().count("RTMP_PUBLISHING_NAME=told") == 3, "the script has run", 20.0)
    told = door.told()
    for what in ("auth_failed", "publish_start", "publish started", "request refused", "identity"):
        assert what in told, what
    for secret in ("s3cret", "wr0ng", "eyJ"):
        assert secret not in told
