"""The real program in the background: what the starting shell sees, and what is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ForAnybody
from tests.support.child import Child, free_port, is_listening, rtmpd
from tests.support.proof import proves
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for whoever adopted it to ask for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


class Place:
    """Where a daemon is started; ``end`` stops whoever is in the pid file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.pid_file = home / "rtmpd.pid"
        self.log = home / "log"

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``rtmpd --daemon``; its outputs are pipes, which the daemon must let go of for this to return."""
        command = [sys.executable, "-m", "rtmpd", "--daemon", "--pid-file", str(self.pid_file)]
        command += ["-listen", f"127.0.0.1:{self.port}", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def end(self) -> None:
        if self.pid_file.exists() and self.pid_file.read_text().strip():
            pid = self.pid
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: has_ended(pid), "the daemon has ended", 20.0)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.end()


def test_the_shell_gets_0_when_the_listeners_are_open(place: Place) -> None:
    result = place.start("--log-file", str(place.log))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert is_listening(place.port)
    stat = Path(f"/proc/{place.pid}/stat").read_text().rpartition(") ")[2].split()
    session, terminal = int(stat[3]), int(stat[4])
    assert session not in (place.pid, os.getsid(0)) and terminal == 0
    assert Path(f"/proc/{place.pid}/comm").read_text() == "rtmpd\n"
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{place.pid}/fd/{number}") == "/dev/null"
    pid = place.pid
    place.end()
    assert not place.pid_file.exists()
    assert not is_listening(place.port)
    assert f"server started version=0.1.0 pid={pid}" in place.log.read_text()


def test_the_shells_other_descriptors_are_let_go(place: Place) -> None:
    held = place.home / "held"
    words = [sys.executable, "-m", "rtmpd", "-d", "--pid-file", str(place.pid_file), "--log-file", str(place.log)]
    shell = 'exec 9>"$0"; exec "$@"'
    subprocess.run(
        ["sh", "-c", shell, str(held), *words, "-listen", f"127.0.0.1:{place.port}"], cwd=ROOT, timeout=30, check=True
    )
    open_files = [os.readlink(link) for link in Path(f"/proc/{place.pid}/fd").iterdir()]
    assert str(place.log) in open_files and str(held) not in open_files


@proves("daemon.pid_file", "--pid-file")
def test_output_that_goes_to_a_file_goes_on(place: Place) -> None:
    output = place.home / "output"
    command = [sys.executable, "-m", "rtmpd", "-d", "--pid-file", str(place.pid_file)]
    command += ["-listen", f"127.0.0.1:{place.port}", "-hook-stdio-format", "json"]
    with output.open("w") as file:
        subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, timeout=30, check=True)
    wait_until(lambda: '"type":"server_start"' in output.read_text(), "an event after the start")
    place.end()
    assert "server stopped" in output.read_text()


def test_an_address_in_use_is_status_69_and_told_to_the_shell(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        result = place.start("--log-file", str(place.log))
    assert result.returncode == os.EX_UNAVAILABLE
    assert f"cannot listen on 127.0.0.1:{place.port}" in result.stderr
    assert not place.pid_file.exists()
    assert "server cannot start" in place.log.read_text()


def test_a_wrong_configuration_is_status_78_before_anything_is_forked(place: Place) -> None:
    file = place.home / "rtmpd.ini"
    file.write_text("[server]\nbacklog = nonsense\n")
    result = place.start("-c", str(file))
    assert result.returncode == os.EX_CONFIG
    assert f"{file}:2: server.backlog" in result.stderr
    assert not place.pid_file.exists()


def test_a_log_that_can_not_be_made_is_status_73(place: Place) -> None:
    result = place.start("--log-file", str(place.home / "missing" / "log"))
    assert result.returncode == os.EX_CANTCREAT
    assert "missing/log: No such file or directory" in result.stderr


def test_a_store_that_can_not_be_opened_is_status_69(place: Place) -> None:
    file = place.home / "rtmpd.ini"
    store = place.home / "a-directory"
    store.mkdir()
    file.write_text(
        f"[store]\npath = {store}\n[hooks]\n"
        "[[out]]\ntype = webhook\nurl = http://127.0.0.1:9/\nguarantee_level = at-least-once\n"
    )
    result = place.start("-c", str(file), "--log-file", str(place.log))
    assert result.returncode == os.EX_UNAVAILABLE
    assert f"event store {store}" in result.stderr


def test_a_second_daemon_is_status_75_and_names_the_first(place: Place) -> None:
    assert place.start("--log-file", str(place.log)).returncode == 0
    result = place.start("-listen", "127.0.0.1:0", "--log-file", str(place.log))
    assert result.returncode == os.EX_TEMPFAIL
    assert f"is already running, as process {place.pid}" in result.stderr
    assert is_listening(place.port)


def test_a_crash_before_the_start_is_status_70(place: Place) -> None:
    code = (
        "import os\nfrom rtmpd.daemon import process\nfrom rtmpd.settings import DaemonSettings\n"
        "print(process.run(DaemonSettings(background=True), lambda service: os._exit(9)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert result.stdout == "70\n"


@proves("daemon.umask", "daemon.working_directory")
def test_umask_and_directory_are_those_of_the_file(place: Place) -> None:
    file = place.home / "rtmpd.ini"
    file.write_text(f"[daemon]\numask = 027\nworking_directory = {place.home}\nopen_files = 100\n")
    assert place.start("-c", str(file), "--log-file", str(place.log)).returncode == 0
    assert place.log.stat().st_mode & 0o777 == 0o640
    assert os.readlink(f"/proc/{place.pid}/cwd") == str(place.home)


@proves("--environment-file")
def test_an_environment_file_fills_the_variables_of_the_configuration(place: Place) -> None:
    file, environment = place.home / "rtmpd.ini", place.home / "environment"
    file.write_text("[log]\nfile = ${RTMPD_TEST_LOG}\n")
    environment.write_text(f"# where\nexport RTMPD_TEST_LOG='{place.log}'\n")
    assert place.start("-c", str(file), "--environment-file", str(environment)).returncode == 0
    assert "server started" in place.log.read_text()


def test_systemd_hears_the_start_each_reload_the_watchdog_and_the_stop(place: Place) -> None:
    file = place.home / "rtmpd.ini"
    file.write_text(f"[server]\nlisten = 127.0.0.1:{place.port}\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place.home / "notify"))
        manager.settimeout(20)

        def hears(wanted: str) -> list[str]:
            """The next datagram that has the line ``wanted``."""
            while wanted not in (lines := manager.recv(4096).decode().splitlines()):
                pass
            return lines

        environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
        with Child(rtmpd("-f", "-c", str(file)), place.log, env=environ) as child:
            lines = hears("READY=1")
            assert f"MAINPID={child.pid}" in lines and "STATUS=0 connections, 0 streams" in lines
            assert is_listening(place.port)
            assert "STATUS=0 connections, 0 streams" in hears("WATCHDOG=1")
            with socket.create_connection(("127.0.0.1", place.port)):
                while "STATUS=1 connections, 0 streams" not in hears("WATCHDOG=1"):
                    pass
            child.signal(signal.SIGHUP)
            assert any(line.startswith("MONOTONIC_USEC=") for line in hears("RELOADING=1"))
            hears("READY=1")
            child.signal(signal.SIGTERM)
            hears("STOPPING=1")
            assert child.wait() == 0


# --- announced when it is ready ------------------------------------------------------------------


def in_foreground(place: Place, ini: str = "") -> Child:
    """A daemon with a pid file and a control socket, as its process."""
    file = place.home / "rtmpd.ini"
    file.write_text(
        f"[server]\nlisten = 127.0.0.1:{place.port}\ndrain = 0.1s\n[daemon]\npid_file = {place.pid_file}\n"
        f"[http]\nsocket = {place.home}/control.sock\n{ini}"
    )
    return Child(rtmpd("-f", "-c", str(file)), place.log)


def as_soon_as_there_is_a_pid(place: Place) -> int:
    """The number in the pid file, at the first moment it can be read."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if text := place.pid_file.read_text():
                return int(text)
        except FileNotFoundError:
            time.sleep(0.001)
    raise AssertionError(f"no pid file: {place.log.read_text()}")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_as_soon_as_the_pid_file_can_be_read_is_followed(place: Place, number: int) -> None:
    with in_foreground(place) as child:
        os.kill(as_soon_as_there_is_a_pid(place), number)
        done = {signal.SIGHUP: "configuration reloaded", signal.SIGUSR2: "greenlet"}.get(number, "server started")
        wait_until(lambda: done in place.log.read_text(), "it is followed", 20.0)
        assert child.running()
        child.signal(signal.SIGTERM)
        assert child.wait() == 0


def test_a_stop_as_soon_as_the_pid_file_can_be_read_ends_in_order(place: Place) -> None:
    with in_foreground(place) as child:
        os.kill(as_soon_as_there_is_a_pid(place), signal.SIGTERM)
        assert child.wait() == 0
    assert not place.pid_file.exists() and not (place.home / "control.sock").exists()


def test_a_signal_during_the_last_moments_does_not_change_the_exit_status(place: Place) -> None:
    with in_foreground(place) as child:
        pid = as_soon_as_there_is_a_pid(place)
        wait_until(lambda: "server started" in place.log.read_text(), "the start", 20.0)
        child.signal(signal.SIGTERM)
        while child.running():
            os.kill(pid, signal.SIGUSR1)  # a zombie takes it too
            os.kill(pid, signal.SIGHUP)
        assert child.wait() == 0


def test_a_reload_that_is_asked_for_as_soon_as_the_control_socket_is_there_is_done(place: Place) -> None:
    with in_foreground(place) as child:
        wait_until((place.home / "control.sock").exists, "the control socket", 20.0)
        command = [sys.executable, "-m", "rtmpd.ctl.main", "--socket", f"{place.home}/control.sock", "reload"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert result.returncode == 0, result.stderr
        child.signal(signal.SIGTERM)
        assert child.wait() == 0


def test_a_daemon_whose_http_port_is_taken_accepts_nobody_and_emits_no_start(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ini = f"listen = 127.0.0.1:{holder.getsockname()[1]}\n[hooks]\nstdio_format = json\n"
        with in_foreground(place, ini) as child:
            assert child.wait() == os.EX_UNAVAILABLE
    said = place.log.read_text()
    assert "server_start" not in said and "server listening" not in said and "server cannot start" in said


def test_ctrl_c_of_the_shell_that_waits_ends_the_daemon_that_starts(place: Place) -> None:
    command = [sys.executable, "-m", "rtmpd", "-d", "--pid-file", str(place.pid_file), "--log-file", str(place.log)]
    for _ in range(20):  # the daemon may be ready before the signal comes: then it has started, and is ended
        listening = [*command, "-listen", f"127.0.0.1:{place.port}"]
        with subprocess.Popen(listening, cwd=ROOT, stderr=subprocess.PIPE) as shell:
            pid = as_soon_as_there_is_a_pid(place)
            shell.send_signal(signal.SIGINT)
            _, said = shell.communicate(timeout=30)
            if shell.returncode == 0:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: has_ended(pid), "the daemon has ended", 20.0)  # noqa: B023  called here
        assert not place.pid_file.exists()
        if shell.returncode != 0:
            assert (shell.returncode, said) == (128 + signal.SIGTERM, b"")
            return
    raise AssertionError("the signal never came while the daemon was starting")


# --- as another user -----------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("secret", ["configuration", "environment", "file"])
def test_what_only_root_can_read_is_found_at_the_start_and_by_the_test(secret: str, for_anybody: ForAnybody) -> None:
    home = for_anybody.home
    ini, environment, file = home / "rtmpd.ini", home / "environment", home / "secret"
    ini.write_text("[log]\nlevel = ${LEVEL}\nformat = ${file:secret}\n[http]\nsocket = \"\"\n")
    environment.write_text("LEVEL=debug\n")
    file.write_text("json\n")
    command = [*for_anybody.module("rtmpd"), "-c", str(ini), "--environment-file", str(environment), "--user", "nobody"]
    command += ["-listen", "127.0.0.1:0"]
    test = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=30)
    assert test.returncode == 0, test.stderr
    hidden = {"configuration": ini, "environment": environment, "file": file}[secret]
    hidden.chmod(0o600)
    for more in ("-t", "-f"):
        result = subprocess.run([*command, more], capture_output=True, text=True, timeout=30)
        assert result.returncode == os.EX_CONFIG, result.stderr
        assert "Permission denied" in result.stderr and "(as nobody)" in result.stderr
        assert "chgrp GROUP FILE && chmod 640 FILE" in result.stderr
