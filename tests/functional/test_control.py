"""rtmpctl and the API against the real daemon, with a real encoder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional import peers
from tests.functional.clips import Maker
from tests.functional.harness import Daemon
from tests.support.child import REPOSITORY, Child, rtmpd
from tests.support.proof import proves
from tests.support.waiting import wait_until

KEY = "live/camera"
END_S = 30


class Controlled(Daemon):
    """A daemon with a control socket of its own."""

    def __init__(self, home: Path, hooks: str = "") -> None:
        self.socket = str(home / "control.sock")
        super().__init__(home, ini=f"[http]\nsocket = {self.socket}\n[hooks]\n{hooks}")

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status and output of ``rtmpctl``."""
        command = [sys.executable, "-m", "rtmpd.ctl.main", "--socket", self.socket, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=END_S, cwd=REPOSITORY)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout or done.stderr

    def ask(self, *words: str) -> Any:
        """The document that a command prints."""
        status, out = self.run(*words, "--json")
        assert status == 0, out
        return json.loads(out)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Controlled]:
    with Controlled(tmp_path) as running:
        yield running


def test_an_operator_sees_a_publish_and_ends_it(daemon: Controlled, clip: Maker, tmp_path: Path) -> None:
    ffmpeg = peers.ffmpeg()
    with ffmpeg.publish(clip("h264_aac", 10.0), daemon.url(KEY), tmp_path / "publisher.log") as publisher:
        daemon.wait_event("publish_start")
        stream = wait_until(lambda: playing(daemon), "media has come")
        assert stream["publisher"]["video_codec"] == "H264"
        assert KEY in daemon.run("streams")[1]
        assert KEY in daemon.run("top", "--once")[1]
        server = daemon.ask("status")["server"]
        assert (server["publishers"], server["pid"]) == (1, daemon.child.pid)
        (connection,) = daemon.ask("connections")["connections"]
        assert (connection["role"], connection["stream_key"]) == ("publisher", KEY)
        assert daemon.ask("kick", KEY)["kicked"] == [connection["conn_id"]]
        daemon.wait_event("publish_stop", reason="kicked")
        publisher.wait()
    assert daemon.run("streams", KEY)[0] == 1


def playing(daemon: Controlled) -> Any:
    stream = daemon.ask("streams", KEY)
    return stream if stream["publisher"]["video_packets"] else None


def test_a_reload_is_waited_for_and_tells_what_became_of_it(daemon: Controlled) -> None:
    text = daemon.ini.read_text()
    daemon.ini.write_text(text + "[[more]]\ntype = stdio\n")
    assert "+[[more]]" in daemon.run("config", "diff")[1]
    assert daemon.ask("reload")["changed"] == ["hooks"]
    assert "more" in [hook["id"] for hook in daemon.ask("hooks", "list")["hooks"]]
    daemon.ini.write_text(text + "[[more]]\ntype = nonsense\n")
    status, out = daemon.run("reload")
    assert status == 1
    assert f"{daemon.ini}:" in out and "hooks.more.type" in out
    assert "more" in [hook["id"] for hook in daemon.ask("hooks", "list")["hooks"]], "a bad file changes nothing"
    assert daemon.run("doctor")[0] == 1


def test_a_hook_is_tested_paused_and_resumed(daemon: Controlled) -> None:
    assert daemon.ask("hooks", "test", "stdio", "--event", "config_reload")["delivered"] is True
    daemon.wait_event("config_reload")
    daemon.run("hooks", "pause", "stdio")
    assert daemon.ask("hooks", "show", "stdio")["state"] != "active"
    daemon.run("hooks", "resume", "stdio")
    assert daemon.ask("hooks", "show", "stdio")["state"] == "active"
    assert daemon.run("hooks", "test", "stdio", "--event", "nonsense")[0] == 1


def test_events_are_followed_as_they_happen(daemon: Controlled, clip: Maker, tmp_path: Path) -> None:
    ffmpeg = peers.ffmpeg()
    command = [sys.executable, "-m", "rtmpd.ctl.main", "--socket", daemon.socket, "events", "tail", "--json"]
    words = ["--type", "publish_*", "--count", "2"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as tail:
        wait_until(lambda: "events-tail" in daemon.run("hooks", "list")[1], "the tail listens")
        with ffmpeg.publish(clip("h264_aac"), daemon.url(KEY), tmp_path / "publisher.log") as publisher:
            publisher.wait()
        out, _ = tail.communicate(timeout=END_S)
    told = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in told] == ["publish_start", "publish_stop"]
    assert all(event["stream_key"] == KEY and event["id"].startswith("evt_") for event in told)
    wait_until(lambda: "events-tail" not in daemon.run("hooks", "list")[1], "nobody listens any more")


def test_the_log_level_changes_while_it_runs(daemon: Controlled) -> None:
    assert daemon.ask("log-level")["level"] == "info"
    assert daemon.ask("log-level", "debug")["level"] == "debug"
    assert daemon.ask("log-level")["level"] == "debug"
    assert daemon.run("log-reopen")[0] == 0


def test_the_control_socket_is_private_and_goes_with_the_daemon(tmp_path: Path) -> None:
    with Controlled(tmp_path) as daemon:
        assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == 0o600
        assert daemon.run("health")[0] == 0
    assert not os.path.exists(daemon.socket)
    status, said = daemon.run("status")
    remedy = "(use --socket or --config for another one)"
    assert status == 69 and said.endswith(f": no socket at {daemon.socket} {remedy}\n")
    assert said.startswith(("rtmpctl: rtmpd is not running", "rtmpctl: rtmpd is running (process "))


@proves("http.socket")
def test_a_control_socket_that_can_not_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    command = rtmpd("-listen", "127.0.0.1:0", "-c", str(tmp_path / "rtmpd.ini"))
    (tmp_path / "rtmpd.ini").write_text("[http]\nsocket = /nowhere/control.sock\n")
    with Child(command, tmp_path / "stderr") as child:
        assert child.wait() == os.EX_UNAVAILABLE
        assert "cannot make the control socket /nowhere/control.sock: No such file or directory" in child.text()
        assert "Traceback" not in child.text()
