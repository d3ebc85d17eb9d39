"""Each command of rtmpctl against a real front over fakes, through its control socket or over TCP."""

from __future__ import annotations

import json
import os
import pty
import select
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from rtmpd.ctl import main as front_door
from rtmpd.ctl.parser import COMMANDS
from rtmpd.ctl.top import _View
from rtmpd.exits import NO
from tests.support.desk import STREAM, TOKEN, Desk

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    try:
        yield desk
    finally:
        desk.close()


@pytest.fixture
def run(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str, socket: bool = True) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        where = ("--socket", desk.path) if socket else ()
        try:
            status = front_door.main([*where, *words])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


GOOD = [
    (("status",), "rtmpd 9 is running", "server"),
    (("top", "--once"), "live/a", "streams"),
    (("health",), "healthy", "hook_manager_status"),
    (("metrics",), "rtmp_ingest_bytes_per_second 125000", "text"),
    (("streams",), "live/a", "streams"),
    (("streams", "live/a"), "c000002", "playing"),
    (("connections",), "c000003", "connections"),
    (("connections", "c000001"), "192.0.2.1", "conn_id"),
    (("kick", "c000001"), "ended c000001", "kicked"),
    (("kick", "live/a", "--role", "all"), "ended c000001", "kicked"),
    (("hooks", "list"), "ops  webhook", "hooks"),
    (("hooks", "show", "ops"), "active", "state"),
    (("hooks", "test", "ops", "--event", "play_start"), "play_start", "delivered"),
    (("hooks", "pause", "ops"), "ops is paused", "ok"),
    (("hooks", "resume", "ops"), "ops delivers again", "ok"),
    (("hooks", "why", "evt_1"), "2023-11-14T22:13:20.500Z server returned status 503", "hooks"),
    (("hooks", "why", "evt_1", "--verbose"), "all of it", "hooks"),
    (("hooks", "attempts", "ops", "evt_1"), "status:503", "attempts"),
    (("dead-letters", "list"), "attempts", "dead_letters"),
    (("dead-letters", "list", "--hook", "ops", "--after", "2"), "3  ops", "dead_letters"),
    (("dead-letters", "show", "2"), "publish_start", "event"),
    (("config", "show"), "level = info", "text"),
    (("config", "diff"), "nothing would change", "text"),
    (("config", "test"), "the configuration is ok", "warnings"),
    (("reload",), "reloaded: hooks\nwaiting for a restart: server", "changed"),
    (("log-level",), "info", "level"),
    (("log-level", "debug"), "debug", "level"),
    (("log-reopen",), "reopened", "ok"),
]


@pytest.mark.parametrize(("words", "text", "key"), GOOD, ids=lambda one: str(one))
def test_a_command_tells_people_and_programs(run: Run, words: tuple[str, ...], text: str, key: str) -> None:
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    assert text in out
    status, out, err = run(*words, "--json")
    assert (status, err) == (0, "")
    assert key in json.loads(out)


def test_every_command_is_tested_here() -> None:
    elsewhere = {
        ("doctor",), ("events", "tail"), ("replay",), ("dead-letters", "replay"), ("dead-letters", "purge"),
    }  # fmt: skip
    here = {words for words in COMMANDS for given, _, _ in GOOD if given[: len(words)] == words}
    assert here | elsewhere == set(COMMANDS)


def test_over_tcp_a_token_file_opens_the_door(desk: Desk, run: Run, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{desk.port}"
    mine = tmp_path / "mine"
    mine.write_text(f"# mine\n{TOKEN}\n")
    assert run("streams", "--url", url, "--token-file", str(mine))[0] == 0
    status, _, err = run("streams", "--url", url)
    assert status == os.EX_NOPERM
    assert err == "rtmpctl: this needs Authorization: Bearer with a token from [http] token_file\n"
    mine.write_text("a-wrong-token-of-some-length")
    assert run("streams", "--url", url, "--token-file", str(mine))[0] == os.EX_NOPERM
    assert run("streams", "--url", url, "--token-file", str(tmp_path / "none"))[0] == os.EX_NOPERM
    mine.write_text("# nothing\n")
    assert run("streams", "--url", url, "--token-file", str(mine))[0] == os.EX_NOPERM


# --- what goes wrong ------------------------------------------------------------------------------


def test_what_is_not_there_is_said_with_status_1(run: Run) -> None:
    assert run("streams", "live/b") == (NO, "", "rtmpctl: no such stream\n")
    assert run("hooks", "show", "x") == (NO, "", "rtmpctl: no such hook\n")
    assert run("kick", "c9") == (NO, "", "rtmpctl: no such connection\n")


def test_no_socket_and_no_process_means_that_rtmpd_does_not_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "none.sock"
    place = f"no socket at {path} (use --socket or --config for another one)\n"
    monkeypatch.setattr("rtmpd.ctl.client.running", list)
    assert run("status", "--socket", str(path)) == (
        os.EX_UNAVAILABLE, "", f"rtmpctl: rtmpd is not running: {place}"
    )  # fmt: skip
    monkeypatch.setattr("rtmpd.ctl.client.running", lambda: [12, 34])
    _, _, err = run("status", "--socket", str(path))
    assert err == f"rtmpctl: rtmpd is running (process 12, 34), but not with this control socket: {place}"


def test_the_control_socket_is_that_of_a_configuration_file(run: Run, desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "west.ini"
    file.write_text(f"[http]\nsocket = {desk.path}\n[nonsense]\nkey = ${{NOT_SET}}\n")
    assert run("reload", "--config", str(file), "--socket", "")[0] == 0
    file.write_text('[http]\nsocket = ""\n')
    status, _, err = run("reload", "-c", str(file), "--socket", "")
    assert (status, err) == (
        os.EX_UNAVAILABLE, f"rtmpctl: {file}: [http] socket is empty, so rtmpd has no control socket\n"
    )  # fmt: skip
    status, _, err = run("reload", "-c", str(tmp_path / "missing.ini"), "--socket", "")
    assert status == os.EX_CONFIG and "missing.ini" in err


def test_a_socket_that_was_left_behind_is_told_from_one_that_is_not_there(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    status, _, err = run("status", "--socket", str(path))
    assert status == os.EX_UNAVAILABLE
    assert "did not shut down cleanly" in err


def test_a_url_that_nobody_listens_on_is_unavailable(run: Run, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        assert run("status", "--url", url)[0] == os.EX_UNAVAILABLE
    assert run("status", "--url", "ftp://x")[0] == os.EX_USAGE


def test_a_daemon_that_does_not_answer_is_given_up(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        status, _, err = run("status", "--socket", path, "--timeout", "0.1")
    assert (status, err) == (os.EX_TEMPFAIL, f"rtmpctl: no answer from {path} within 0.1 s\n")


@pytest.mark.parametrize("answer", [b"RTMP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b""])
def test_somebody_else_at_the_socket_is_not_taken_for_rtmpd(run: Run, tmp_path: Path, answer: bytes) -> None:
    path = str(tmp_path / "other.sock")

    def serve(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(answer)

    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        serving = gevent.spawn(serve, other)
        status, _, err = run("health", "--socket", path)
        serving.join(5)
    assert status == os.EX_UNAVAILABLE
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("active", "active "),
        ("paused", "paused by operator "),
        ("retrying", "retrying, again in 1m 12s "),
        ("tripped", "tripped, again in 1m 12s "),
        ("disabled", "disabled "),
    ],
)
def test_the_state_of_a_hook_says_by_whom_or_for_how_long(desk: Desk, run: Run, state: str, shown: str) -> None:
    desk.hooks.state = state
    _, listed, _ = run("hooks", "list")
    assert f"ops  webhook  {shown}" in listed and "  1h 1m  " in listed
    _, one, _ = run("hooks", "show", "ops")
    assert shown.strip() in one and "retry_in   1m 12s" in one and "oldest     1h 1m" in one


def test_why_is_a_line_for_each_hook_first(desk: Desk, run: Run) -> None:
    status, text, _ = run("hooks", "why", "evt_1")
    assert status == 0 and "all of it" not in text
    assert text.splitlines()[0] == "evt_1  play_start live/a" and len(text.splitlines()) == 3


@pytest.mark.parametrize("words", [(), ("nonsense",), ("hooks",), ("log-level", "loud"), ("dead-letters", "purge")])
def test_a_wrong_command_line_has_the_status_of_sysexits(run: Run, words: tuple[str, ...]) -> None:
    status, _, err = run(*words)
    assert status == os.EX_USAGE
    assert err.startswith("rtmpctl")


def test_the_answer_no_is_status_1(desk: Desk, run: Run) -> None:
    desk.config.problems = ["a.ini:3: log.level: bad"]
    desk.hooks.delivers = False
    desk.status = "degraded"
    for words in (("config", "test"), ("config", "diff"), ("reload",)):
        status, out, _ = run(*words)
        assert (status, out.splitlines()[0]) == (NO, "a.ini:3: log.level: bad")
    assert run("hooks", "test", "ops")[0] == NO
    assert run("health")[0] == NO
    assert run("status")[0] == 0


def test_what_a_client_calls_itself_does_not_move_the_cursor(run: Run) -> None:
    _, out, _ = run("connections", "c000001")
    assert "x\\x1b[2J" in out
    assert "\x1b" not in out


# --- long work and events -------------------------------------------------------------------------


def test_long_work_ends_with_its_last_figures(desk: Desk, run: Run) -> None:
    assert run("dead-letters", "replay", "--hook", "ops") == (0, "replayed 2  total 2\n", "")
    assert run("dead-letters", "replay", "1", "2")[0] == 0
    assert run("replay", "ops", "--since", "1700000000", "--until", "2023-11-14T22:13:20+00:00")[0] == 0
    assert run("replay", "ops", "evt_1", "evt_2")[0] == 0
    assert desk.hooks.told == [
        ("replay_dead", "ops", None),
        ("replay_dead", "", [1, 2]),
        ("replay", "ops", None, 1700000000.0, 1700000000.0),
        ("replay", "ops", ["evt_1", "evt_2"], None, None),
    ]


def test_long_work_that_stops_early_is_status_1(run: Run) -> None:
    status, out, _ = run("dead-letters", "purge", "--all")
    assert (status, out.splitlines()) == (NO, ["purged 1", "stopped early: the disk is full"])
    status, out, _ = run("dead-letters", "purge", "--all", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"purged": 1}, {"done": False, "error": "the disk is full"},
    ]  # fmt: skip
    assert status == NO


def test_a_type_that_no_event_has_is_refused_at_once(run: Run) -> None:
    status, _, err = run("events", "tail", "--type", "publish_strat")
    assert status != 0 and "no event type matches 'publish_strat'; did you mean publish_start" in err


def test_events_are_followed(desk: Desk, run: Run) -> None:
    def tell() -> None:
        while not desk.offers:
            gevent.sleep(0.005)
        desk.emit("publish_stop", "live/b")
        desk.emit("play_start", reason="a\nb", count=3)

    telling = gevent.spawn(tell)
    status, out, _ = run("events", "tail", "--stream", "live/a", "--count", "1")
    telling.join(5)
    assert status == 0
    assert out.rstrip().endswith("info     play_start c000001 live/a reason=a\\nb count=3 evt_1")
    telling = gevent.spawn(tell)
    status, out, _ = run("events", "tail", "--type", "play_*", "--count", "1", "--json")
    telling.join(5)
    assert (status, json.loads(out)["id"]) == (0, "evt_1")


def test_a_follower_that_was_let_go_says_so(desk: Desk, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell() -> None:
        while not desk.offers:
            gevent.sleep(0.005)
        for _ in range(2000):
            desk.emit("play_start")

    telling = gevent.spawn(tell)
    status, _, err = run("events", "tail")
    telling.join(5)
    assert status == os.EX_TEMPFAIL
    assert "closed the stream" in err


# --- doctor and top -------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_where_nothing_is(desk: Desk, run: Run) -> None:
    status, out, _ = run("doctor")
    assert status == 0
    assert f"ok       control socket {desk.path}, mode 0600" in out
    assert "rtmpd 9 is running, but rtmpctl is" in out, "another version is a warning"
    assert "bad" not in out


def test_the_doctor_names_what_is_the_matter_and_what_to_do(desk: Desk, run: Run) -> None:
    desk.config.problems = ["a.ini:3: log.level: bad"]
    desk.status, desk.lag_ms, desk.reasons = "degraded", 900.0, ["rtmpd is stopping"]
    os.chmod(desk.path, 0o666)
    status, out, _ = run("doctor", "--json")
    assert status == NO
    seen = {one["seen"]: (one["level"], one["advice"]) for one in json.loads(out)["findings"]}
    held_up = "the endpoint of a hook fails: ops: its lane is tripped"
    assert seen[held_up] == ("bad", "rtmpctl hooks show ops, then rtmpctl hooks test ops")
    assert seen["configuration: a.ini:3: log.level: bad"][0] == "bad"
    assert seen["the event loop was 900 ms late"][0] == "warning"
    assert seen["not ready: rtmpd is stopping"][0] == "bad"
    assert seen[f"{desk.path} has mode 0666"] == ("warning", "chmod 0600 it")


def test_the_doctor_sees_what_was_lost_who_may_do_what_and_what_is_too_small(desk: Desk, run: Run) -> None:
    desk.dead, desk.dropped, desk.uid, desk.descriptors, desk.open = 4, 12, 0, 1024, ["live"]
    status, out, _ = run("doctor", "--json")
    levels = {one["seen"]: one["level"] for one in json.loads(out)["findings"]}
    assert status == 0
    for seen in (
        "4 events became dead letters since the start",
        "12 events were dropped since the start",
        "anyone may publish to live on 0.0.0.0:1935",
        "rtmpd runs as root",
        "rtmpd allows 1000 connections but may open only 1024 files",
    ):
        assert levels[seen] == "warning"


def test_the_status_names_every_fault_outputs_and_the_last_reload(desk: Desk, run: Run) -> None:
    desk.status, desk.dropped = "degraded", 12
    _, out, _ = run("status")
    lines = out.splitlines()
    assert "recordings   1, 0 ended early" in lines and "relays       2, 1 connected" in lines
    assert "             3 queued, 12 dropped, 0 dead letters" in lines and "last reload  none" in lines
    assert lines[-2:] == ["health       degraded", "  warning   hook_held_up ops: its lane is tripped"]


def test_the_doctor_knows_that_nobody_is_at_home(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("doctor", "--socket", str(tmp_path / "none"))
    assert status == NO
    assert "rtmpd is not running" in out or "rtmpd is running (process" in out


def test_top_shows_the_rate_of_a_stream(run: Run) -> None:
    _, out, _ = run("top", "--once")
    assert "in 1.0 Mbit/s" in out, "of the whole server, from its metrics"
    assert "live/a        1  1.0 Mbit/s  H264   AAC    192.0.2.1 c000001" in out


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_a_long_name_pushes_no_column_of_top_off(columns: int) -> None:
    long = {**STREAM, "key": "live/" + "x" * 300 + "-end", "in_bytes_per_s": 1000.0}
    document = {
        "server": {"version": "9", "uptime_s": 1, "pid": 1, "draining": False, "connections": 1, "streams": 1,
                   "publishers": 1, "players": 1, "hub_lag_ms": 0.1},
        "in_bytes_per_s": 0, "out_bytes_per_s": 0, "cpu_percent": 1, "memory_bytes": 1, "streams": [long],
    }  # fmt: skip
    lines = _View(None).lines(document, columns, 50)  # type: ignore[arg-type]  # it asks nobody
    row = next(line for line in lines if line.startswith("live/x"))
    assert "x-end" in row and "8.0 kbit/s  H264" in row
    assert columns < 100 or "192.0.2.1 c000001" in row


def test_q_ends_top(desk: Desk, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "rtmpd.ctl.main", "--socket", desk.path, "top", "--interval", "60"]
    before = termios.tcgetattr(slave)
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.STDOUT) as top:
        seen = b""
        deadline = time.monotonic() + 20
        while b"live/a" not in seen and time.monotonic() < deadline:
            gevent.sleep(0.01)
            if select.select([master], [], [], 0)[0]:
                seen += os.read(master, 65536)
        os.write(master, b"q")
        while top.poll() is None and time.monotonic() < deadline:
            gevent.sleep(0.01)
            if select.select([master], [], [], 0)[0]:
                seen += os.read(master, 65536)
        assert top.poll() == 0, seen
        top.kill()
    assert termios.tcgetattr(slave) == before, "the terminal is as it was"
    os.close(master)
    os.close(slave)


def test_verify_names_the_mistake_without_a_daemon(tmp_path: Path) -> None:
    for name, text in (("secret", "s" * 32), ("headers", "POST / HTTP/1.1\nX-Signature: sha256=00\n"), ("body", "{}")):
        (tmp_path / name).write_text(text)
    flags = {"--secret-file": "secret", "--headers": "headers", "--body": "body"}
    words = [f"{flag}={tmp_path / name}" for flag, name in flags.items()]
    command = [sys.executable, "-m", "rtmpd.ctl.main", "verify", *words]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert finished.returncode == 1
    assert finished.stderr.startswith("rtmpctl verify: not verified: no signature fits")
