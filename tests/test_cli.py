"""The front door: what is printed, exit statuses, and what signals do to the daemon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmpd import __version__, cli
from rtmpd.config import sample
from rtmpd.event import schema
from tests.support.authority import Authority
from tests.support.proof import proves
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
END_S = 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rtmpd.ini"
    path.write_text("[log]\nformat = json\n[server]\nlisten = 127.0.0.1:0\n[hooks]\ndrain = 1s\n")
    return path


def rtmpd(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtmpd", *words], capture_output=True, text=True, timeout=END_S, cwd=ROOT
    )


# --- what is printed ----------------------------------------------------------------------------


def test_the_program_tests_a_configuration_as_a_process(file: Path) -> None:
    file.write_text("[log]\nlevel = loud\n[server]\nlisten = here\n")
    result = rtmpd("-t", "-c", str(file))
    assert result.returncode == os.EX_CONFIG
    assert result.stdout == ""
    first, second, last = result.stderr.splitlines()
    assert first.startswith(f"rtmpd: {file}:2: log.level: ")
    assert second.startswith(f"rtmpd: {file}:4: server.listen: ")
    assert last == f"rtmpd: configuration {file} is not usable"


def test_a_usable_configuration_is_ok(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(file.read_text() + "[[a]]\ntype = stdio\nevent_types = nonsense\n")
    assert cli.main(["-t", "-c", str(file)]) == 0
    warning, verdict = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"rtmpd: warning: {file}:9: hooks.a.event_types: no event is called nonsense")
    assert "publish_start" in warning
    assert verdict == f"rtmpd: configuration {file} is ok"


AUTHORIZATION = """\
[[a]]
type = webhook
url = http://user:pass@127.0.0.1:9/
headers = "Authorization: Bearer x"
"""


@pytest.mark.parametrize(
    ("text", "words", "problem"),
    [
        (AUTHORIZATION, [], "{file}:7: hooks.a.auth.headers: write Authorization, which the credentials in url do too"),
        (
            "",
            ["-hook-webhook", "*=http://u:p@127.0.0.1:9/", "-hook-header", "Authorization: Bearer x"],
            "-hook-webhook: hooks.webhook_0.auth.headers: write Authorization",
        ),
        ("[server]\nlisten = no.such.host.invalid:1935\n", [], "{file}:9: server.listen: no.such.host.invalid:1935"),
        ("[http]\nlisten = no.such.host.invalid:80\ntoken_file = t\n", [], "{file}:8: http.listen: no.such.host"),
        (
            "[server]\ntls_listen = :0\ntls_cert = one.pem\ntls_key = other.key\n",
            [],
            "{file}:10: server.tls_cert: the certificate {folder}/one.pem with the key {folder}/other.key",
        ),
    ],
)
def test_what_a_start_would_fail_at_fails_the_test(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str], problem: str
) -> None:
    authority = Authority(tmp_path)
    for name in ("one", "other"):
        authority.issue(name)
    (tmp_path / "t").write_text("a" * 16)
    before = "" if "[server]" not in text else "\n\n\n\n\n\n[log]\n"
    file.write_text((before or file.read_text()) + text)
    assert cli.main(["-t", "-c", str(file), *words]) in (os.EX_CONFIG, cli.EXIT_USAGE)
    assert problem.format(file=file, folder=tmp_path) in capsys.readouterr().err


def test_what_only_the_start_sees_names_its_line(file: Path) -> None:
    file.write_text(file.read_text() + AUTHORIZATION)
    result = rtmpd("-c", str(file))
    assert result.returncode == os.EX_CONFIG
    assert f"{file}:7: hooks.a.auth.headers: write Authorization" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_store_that_the_next_start_could_not_open_is_not_usable(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The init script asks this before it stops the daemon that runs."""
    text = file.read_text().replace("[hooks]", "[store]\npath = {}\n[hooks]")
    text += "[[a]]\ntype = webhook\nurl = http://127.0.0.1:1/\nguarantee_level = at-least-once\n"
    for path, why in (
        (file.parent / "none" / "events.db", f"{file.parent}/none"),
        (file, "it is not an SQLite database; move the file away to begin with an empty store"),
        (file.parent / "events.db", ""),
    ):
        file.write_text(text.format(path))
        status = cli.main(["-t", "-c", str(file)])
        complaints = capsys.readouterr().err
        assert (status, "is not usable" in complaints) == ((os.EX_CONFIG, True) if why else (0, False)), complaints
        assert not why or ("store.path: " in complaints and why in complaints)
    assert not (file.parent / "events.db").exists(), "it only looks"


def test_the_effective_configuration_goes_to_stdout(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-T", "-c", str(file)]) == 0
    assert f"listen = 127.0.0.1:0  # {file}:4" in capsys.readouterr().out


@proves("--version")
@pytest.mark.parametrize("word", ["-V", "-version", "--version"])
def test_the_version_is_printed(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([word]) == 0
    assert capsys.readouterr().out == f"rtmpd {__version__}\n"


@proves("--print-defaults", "--print-schema")
def test_the_defaults_and_the_help_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-defaults"]) == 0
    assert capsys.readouterr().out == sample.sample()
    assert cli.main(["--print-schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema.document()
    assert cli.main(["-help"]) == 0
    assert "--hook-script EVENT=PATH" in capsys.readouterr().out


def test_flag_errors_come_all_at_once_with_status_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-c", str(file), "-srt-latency", "-hook-script", "x", "-chunk-size", "0", "-nope"]
    assert cli.main(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        "rtmpd: -srt-latency: SRT is not offered by rtmpd",
        "rtmpd: -nope: no such flag; see rtmpd --help",
        "rtmpd: -hook-script: is not an event and its hook (found 'x'); write EVENT=PATH",
        "rtmpd: -chunk-size: server.chunk_size: is too small (found '0'); the least is 1",
    ]


def test_a_missing_file_is_a_configuration_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-c", str(tmp_path / "none")]) == os.EX_CONFIG
    assert "cannot be read" in capsys.readouterr().err


def test_a_secret_of_the_command_line_is_not_in_the_list_of_processes(tmp_path: Path) -> None:
    words = ["-listen", "127.0.0.1:0", "-log-file", str(tmp_path / "log"), "--hook-auth-api-key=s3cret-key"]
    words += ["-hook-webhook", "*=http://me:pa55@127.0.0.1:9/"]
    process = subprocess.Popen([sys.executable, "-m", "rtmpd", *words], cwd=ROOT)
    try:
        deadline = time.monotonic() + END_S
        while "server started" not in (tmp_path / "log").read_text() if (tmp_path / "log").exists() else True:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert b"--hook-auth-api-key=**********" in shown and b"-listen" in shown
        assert not any(b"s3cret" in word or b"pa55" in word for word in shown)
    finally:
        process.terminate()
        assert process.wait(END_S) == 0


def test_a_log_file_that_can_not_be_made_ends_the_start(tmp_path: Path, file: Path) -> None:
    file.write_text(f"[log]\nfile = {tmp_path}/none/x.log\n")
    result = subprocess.run([sys.executable, "-m", "rtmpd", "-c", str(file)], cwd=ROOT, timeout=END_S, check=False)
    assert result.returncode == os.EX_CANTCREAT


# --- the daemon ---------------------------------------------------------------------------------


class Running:
    """A daemon whose log is read as it comes."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtmpd", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.records: list[dict[str, object]] = []

    def until(self, message: str) -> dict[str, object]:
        """The next record with this message."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.records.append(json.loads(line))
            if self.records[-1]["message"] == message:
                return self.records[-1]
        raise AssertionError(f"no {message!r} in {self.records}")


@pytest.fixture
def daemon(file: Path) -> Iterator[Running]:
    running = Running("-c", str(file))
    yield running
    running.process.kill()
    running.process.communicate()


def test_the_daemon_follows_its_signals(daemon: Running, file: Path) -> None:
    listening = daemon.until("server listening")
    assert str(listening["addr"]).startswith("127.0.0.1:") and listening["tls"] is False
    daemon.until("server started")
    good = file.read_text()
    file.write_text("nonsense\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert "invalid line" in str(daemon.until("configuration problem")["problem"])
    daemon.until("configuration not reloaded")
    file.write_text(good + "attempt_log = 5000\n[[out]]\ntype = stdio\n[limits]\namf_depth = 9\n")
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.until("changed settings need a restart")["keys"] == "hooks.attempt_log"
    assert daemon.until("configuration reloaded")["changed"] == "limits,hooks"
    daemon.process.send_signal(signal.SIGUSR2)
    while "Greenlet" not in str(daemon.records[-1]["message"]):
        assert daemon.process.stderr
        daemon.records.append(json.loads(daemon.process.stderr.readline()))
    daemon.process.send_signal(signal.SIGINT)
    daemon.until("server stopped")
    assert daemon.process.wait(END_S) == 0


def test_a_second_stop_does_not_wait_for_the_drain(file: Path) -> None:
    file.write_text(file.read_text().replace("[server]\n", "[server]\ndrain = 1h\n"))
    daemon = Running("-c", str(file))
    try:
        host, _, port = str(daemon.until("server listening")["addr"]).rpartition(":")
        daemon.until("server started")
        with socket.create_connection((host, int(port))):
            daemon.process.send_signal(signal.SIGTERM)
            daemon.until("server stopping")
            daemon.process.send_signal(signal.SIGTERM)
            daemon.until("server stopping now")
            assert daemon.process.wait(END_S) == 0
    finally:
        daemon.process.kill()
        daemon.process.communicate()


def test_an_address_in_use_is_status_69(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = rtmpd("-c", str(file), "-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.returncode == os.EX_UNAVAILABLE
    assert json.loads(result.stderr.splitlines()[-1])["message"] == "server cannot start"


def stopped(running: Running, pid_file: Path) -> None:
    """Stop a daemon that has come to its pid file."""
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the pid file")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(END_S) == 0


@proves("log.level", "log.file")
@pytest.mark.parametrize(("level", "words"), [("info", True), ("error", False)])
def test_the_log_file_has_what_its_level_lets_through(tmp_path: Path, file: Path, level: str, words: bool) -> None:
    pid_file, log = tmp_path / "pid", tmp_path / "our.log"
    text = file.read_text().replace("format = json\n", f"format = json\nlevel = {level}\nfile = {log}\n")
    file.write_text(text + f"[daemon]\npid_file = {pid_file}\n")
    stopped(Running("-c", str(file)), pid_file)
    assert ("server st" in log.read_text()) is words  # it may have been stopped before it served


@proves("hooks.drain")
def test_a_stop_waits_for_hooks_no_longer_than_their_drain(tmp_path: Path, file: Path) -> None:
    script, pid_file = tmp_path / "slow.sh", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 3\ntouch {tmp_path}/ended\n")
    script.chmod(0o755)
    hook = f"[[slow]]\ntype = script\npath = {script}\nevent_types = server_start\n"
    file.write_text(
        file.read_text().replace("drain = 1s\n", f"drain = 0\n{hook}") + f"[daemon]\npid_file = {pid_file}\n"
    )
    running = Running("-c", str(file))
    wait_until((tmp_path / "begun").exists, "the script runs")
    stopped(running, pid_file)
    time.sleep(3.2)  # as long as the script takes, had it been left alone
    assert not (tmp_path / "ended").exists()


def test_the_collector_does_not_look_at_what_the_start_has_made() -> None:
    made = "import gc; from rtmpd import run; run._tune_collector()"
    code = f"{made}; print(gc.get_freeze_count() > 1000, len(gc.get_objects()))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=END_S, check=True, capture_output=True)
    is_frozen, left = result.stdout.split()
    assert is_frozen == b"True" and int(left) < 100
