"""The init script as a system runs it, with the real daemon; the other files of a service with their own checkers."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import ForAnybody
from tests.support.child import REPOSITORY, Child, free_port, is_listening, rtmpd
from tests.support.proof import proves
from tests.support.waiting import wait_until

SCRIPT = REPOSITORY / "etc" / "init.d" / "rtmpd"
SHELL_SCRIPTS = [
    ".ci/run", "etc/init.d/rtmpd", "scripts/install-service", "scripts/build-deb", "scripts/run", "scripts/test",
    "scripts/venv",
]  # fmt: skip
MAINTAINER_SCRIPTS = ["etc/debian/preinst", "etc/debian/postinst", "etc/debian/prerm", "etc/debian/postrm"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the init script is for root")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


class Service:
    """The init script with all its places below ``home``."""

    def __init__(self, home: Path, user: str = "") -> None:
        self.home = home
        self.port = free_port()
        self.config = home / "rtmpd.ini"
        self.pid_file = home / "rtmpd.pid"
        self.log = home / "rtmpd.log"
        self.program = home / "bin" / "rtmpd"
        self.program.parent.mkdir()
        words = " ".join(rtmpd())
        self.program.write_text(f"#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {words} \"$@\"\n")
        self.program.chmod(0o755)
        control = self.program.with_name("rtmpctl")
        control.write_text(f"#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m rtmpd.ctl.main \"$@\"\n")
        control.chmod(0o755)
        self.write("")
        self.defaults = home / "default"
        self.defaults.write_text(
            f"DAEMON={self.program}\nCONFIG={self.config}\nPIDFILE={self.pid_file}\nLOGFILE={self.log}\n"
            f"RUNDIR={home}/run\nRTMPD_USER={user}\nSTOP_TIMEOUT=20\n"
        )

    def write(self, more: str) -> None:
        self.config.write_text(
            f"[server]\nlisten = 127.0.0.1:{self.port}\ndrain = 0.2s\n"
            f"[http]\nsocket = {self.home}/run/control.sock\n{more}"
        )

    @property
    def environ(self) -> dict[str, str]:
        """Where the script finds its settings."""
        return {**os.environ, "RTMPD_DEFAULTS": str(self.defaults), "RTMPD_NAME": "rtmpd"}

    def does(self, *words: str) -> tuple[int, str]:
        """Exit status of the script, and all that it said."""
        result = subprocess.run(
            [str(SCRIPT), *words],
            env=self.environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, cwd="/",
        )  # fmt: skip
        return result.returncode, result.stdout

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def kill(self) -> None:
        """As a crash does it: the pid file stays."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_listening(self.port), "it is gone")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    if made.pid_file.exists():
        made.does("stop")


@needs_root
def test_start_and_stop_twice_are_0_and_status_follows(service: Service) -> None:
    assert service.does("status") == (3, "rtmpd: not running\n")
    status, said = service.does("start")
    assert (status, said) == (0, f"rtmpd: started, as process {service.pid}\n"), said
    assert is_listening(service.port)
    pid = service.pid
    assert service.does("start") == (0, f"rtmpd: already running, as process {pid}\n")
    assert service.does("status") == (0, f"rtmpd: running, as process {pid}\n")
    assert service.does("stop") == (0, "rtmpd: stopped\n")
    assert not is_listening(service.port) and not service.pid_file.exists()
    assert service.does("stop") == (0, "rtmpd: not running\n")
    assert service.does("status")[0] == 3


@needs_root
def test_a_crash_is_status_1_and_start_takes_the_stale_file_over(service: Service) -> None:
    service.does("start")
    service.kill()
    assert service.does("status") == (1, f"rtmpd: not running, but there is {service.pid_file}\n")
    assert service.does("reload")[0] == 7
    assert service.does("start")[0] == 0
    assert service.does("status")[0] == 0


@needs_root
def test_a_foreign_process_is_not_taken_for_ours_and_not_stopped(service: Service) -> None:
    with Child([sys.executable, "-c", "import time; time.sleep(600)"], service.home / "stranger") as stranger:
        service.pid_file.write_text(f"{stranger.pid}\n")
        assert service.does("status")[0] == 1
        assert service.does("reload")[0] == 7
        assert service.does("stop")[0] == 0
        assert stranger.running()
        service.pid_file.write_text(f"{stranger.pid}\n")
        assert service.does("start")[0] == 0
        assert service.pid != stranger.pid and stranger.running()


@needs_root
def test_a_reload_with_a_bad_file_is_refused_and_changes_nothing(service: Service) -> None:
    assert service.does("reload")[0] == 7
    service.does("start")
    pid = service.pid
    service.write("[log]\nlevel = loud\n")
    for action in ("reload", "force-reload", "restart", "configtest"):
        status, said = service.does(action)
        assert status == 6 and f"{service.config}:7: log.level" in said, (action, said)
    assert (service.does("status")[0], service.pid) == (0, pid)
    service.write("[log]\nlevel = debug\n")
    assert service.does("configtest")[0] == 0
    assert service.does("reload")[0] == 0
    wait_until(lambda: "configuration reloaded" in service.log.read_text(), "the reload")
    assert service.pid == pid


@needs_root
def test_start_tells_why_it_can_not(service: Service) -> None:
    with socket.create_server(("127.0.0.1", service.port)):
        status, said = service.does("start")
    assert status == 1 and f"cannot listen on 127.0.0.1:{service.port}" in said
    service.write("nonsense\n")
    status, said = service.does("start")
    assert status == 6 and f"{service.config}:6" in said
    service.config.unlink()
    assert service.does("start")[0] == 6
    assert service.does("status")[0] == 3
    service.program.unlink()
    assert service.does("start")[0] == 5
    assert service.does("dance")[0] == service.does()[0] == 2


@needs_root
def test_a_restart_under_a_publisher_closes_it_and_takes_it_again(service: Service) -> None:
    service.does("start")
    first = service.pid
    url = f"rtmp://127.0.0.1:{service.port}/live/a"
    command = rtmpd("publish", "--loop", "rtmpd/data/sample.flv", url)
    with Child(command, service.home / "publisher") as publisher:
        wait_until(lambda: "publish started" in service.log.read_text(), "it publishes", 20.0)
        assert service.does("restart")[0] == 0
        assert publisher.wait() != 0
    assert service.pid != first
    with Child(command, service.home / "publisher2"):
        wait_until(lambda: service.log.read_text().count("publish started") == 2, "it publishes again", 20.0)


@needs_root
def test_only_root_may_and_everybody_may_ask(service: Service) -> None:
    as_nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "/bin/sh"]
    home = Path("/tmp") / f"rtmpd-test-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        script, program = home / "rtmpd", home / "program"
        script.write_text(SCRIPT.read_text())
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        (home / "default").write_text(f"DAEMON={program}\nPIDFILE={home}/none\n")
        environ = {**os.environ, "RTMPD_DEFAULTS": f"{home}/default"}
        for action, status in (("start", 4), ("stop", 4), ("reload", 4), ("restart", 4), ("status", 3)):
            result = subprocess.run([*as_nobody, str(script), action], env=environ, cwd="/", capture_output=True)
            assert result.returncode == status, (action, result)
    finally:
        shutil.rmtree(home)


class ServiceOfNobody(Service):
    """The same with a daemon that becomes the user nobody."""

    def __init__(self, for_anybody: ForAnybody) -> None:
        super().__init__(for_anybody.home, user="nobody")
        for name, module in (("rtmpd", "rtmpd"), ("rtmpctl", "rtmpd.ctl.main")):
            program = self.program.with_name(name)
            program.write_text(f"#!/bin/sh\nexec {shlex.join(for_anybody.module(module))} \"$@\"\n")
            program.chmod(0o755)

    def give_log(self) -> None:
        self.log.touch()
        shutil.chown(self.log, "nobody")

    def set(self, name: str, value: str) -> None:
        """Set a variable in the default file, which root and the group of the daemon can read."""
        lines = [line for line in self.defaults.read_text().splitlines() if not line.startswith(f"{name}=")]
        self.defaults.write_text("\n".join([*lines, f"{name}={value}"]) + "\n")
        shutil.chown(self.defaults, "root", "nogroup")
        self.defaults.chmod(0o640)


@pytest.fixture
def service_of_nobody(for_anybody: ForAnybody) -> Iterator[ServiceOfNobody]:
    made = ServiceOfNobody(for_anybody)
    yield made
    if made.pid_file.exists():
        made.does("stop")


@needs_root
def test_the_service_runs_as_its_user_and_says_what_that_user_may_not(service_of_nobody: ServiceOfNobody) -> None:
    service = service_of_nobody
    status, said = service.does("start")
    assert status == 1 and f"log file {service.log}: Permission denied" in said, said
    service.give_log()
    status, said = service.does("start")
    assert status == 0, said
    text = Path(f"/proc/{service.pid}/status").read_text()
    uids = re.search(r"^Uid:\s+(\d+)\s+(\d+)", text, re.MULTILINE)
    assert uids and uids.groups() == (str(pwd.getpwnam("nobody").pw_uid),) * 2
    assert service.does("stop")[0] == 0
    assert not service.pid_file.exists()


@needs_root
def test_a_configuration_that_only_root_can_read_does_not_start_and_is_not_reloaded(
    service_of_nobody: ServiceOfNobody,
) -> None:
    service = service_of_nobody
    service.give_log()
    service.config.chmod(0o600)
    status, said = service.does("start")
    assert status == 6 and f"{service.config}: " in said and "Permission denied" in said, said
    assert "(as nobody)" in said and "chgrp" in said
    service.config.chmod(0o644)
    assert service.does("start")[0] == 0
    service.config.chmod(0o600)
    for action in ("reload", "restart", "configtest"):
        status, said = service.does(action)
        assert status in (6, os.EX_CONFIG) and "(as nobody)" in said, (action, said)
    assert service.does("status")[0] == 0


@needs_root
def test_a_secret_in_the_default_file_is_read_at_the_start_and_again_at_a_reload(
    service_of_nobody: ServiceOfNobody,
) -> None:
    service = service_of_nobody
    service.give_log()
    with answers() as port:
        service.write(
            f"[hooks]\n[[out]]\ntype = webhook\nurl = http://127.0.0.1:{port}/\nevent_types = config_reload\n"
            "headers = X-Secret: ${WEBHOOK_SECRET}\n"
        )
        service.set("WEBHOOK_SECRET", "first")
        status, said = service.does("start")
        assert status == 0, said
        service.set("WEBHOOK_SECRET", "second   # rotated, don't keep the first")
        status, said = service.does("reload")
        assert (status, said.splitlines()[-1]) == (0, "rtmpd: reloaded")
        wait_until(lambda: "second" in seen_secrets, "the new value is sent")
        service.defaults.chmod(0o600)
        status, said = service.does("reload")
        assert status == 6 and f"{service.defaults}: " in said and "Permission denied" in said


def test_the_unit_reads_its_secrets_where_the_init_script_does() -> None:
    unit = (REPOSITORY / "etc/systemd/rtmpd.service").read_text()
    started = re.findall(r"^Exec\w+=/usr/bin/rtmpd (.*)", unit, re.MULTILINE)
    assert len(started) == 2
    assert all("--environment-file=-/etc/default/rtmpd $RTMPD_OPTIONS" in words for words in started)
    assert re.search(r"^ExecReload=/usr/bin/rtmpctl --config /etc/rtmpd/rtmpd.ini reload$", unit, re.MULTILINE)


seen_secrets: list[str] = []


class Receiver(BaseHTTPRequestHandler):
    """Notes the secret of each request."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        seen_secrets.append(self.headers["X-Secret"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:
        """Keep quiet."""


@contextmanager
def answers() -> Iterator[int]:
    """A receiver of webhooks; its port."""
    seen_secrets.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@proves("http.socket_group")
@needs_root
def test_members_of_the_group_may_use_the_control_socket_and_others_may_not(
    service_of_nobody: ServiceOfNobody,
) -> None:
    service = service_of_nobody
    service.give_log()
    other = next(user for user in pwd.getpwall() if user.pw_uid not in (0, pwd.getpwnam("nobody").pw_uid))

    def asks(gid: int) -> int:
        command = [str(service.program.with_name("rtmpctl")), "-c", str(service.config), "status"]
        result = subprocess.run(
            ["setpriv", "--reuid", str(other.pw_uid), "--regid", str(gid), "--clear-groups", *command],
            capture_output=True, text=True, timeout=60, cwd="/",
        )  # fmt: skip
        return result.returncode

    assert service.does("start")[0] == 0
    members = grp.getgrnam("nogroup").gr_gid
    assert asks(members) == os.EX_NOPERM
    service.write("socket_group = nogroup\n")
    assert service.does("reload") == (0, "reloaded: http\nrtmpd: reloaded\n")
    assert (asks(members), asks(other.pw_gid)) == (0, os.EX_NOPERM)
    service.write("socket_group = root\n")
    status, said = service.does("reload")
    assert status == 6 and "http.socket_group: the user of rtmpd is not a member of root" in said, said
    service.write("socket_group = no-such-group\n")
    assert "the group no-such-group does not exist" in service.does("reload")[1]
    service.write("")
    assert service.does("reload")[0] == 0
    assert asks(members) == os.EX_NOPERM


@needs_root
def test_what_the_daemon_refuses_at_a_reload_is_what_the_script_reports(service: Service) -> None:
    service.does("start")
    with socket.create_server(("127.0.0.1", 0)) as holder:
        service.write(f"listen = 127.0.0.1:{holder.getsockname()[1]}\n")  # the test of the file finds nothing wrong
        status, said = service.does("reload")
    assert status == 6 and "Address already in use" in said and "not reloaded" in said
    assert service.does("status")[0] == 0


@needs_root
def test_a_reload_without_a_control_socket_says_where_its_result_is(service: Service) -> None:
    service.config.write_text(f"[server]\nlisten = 127.0.0.1:{service.port}\n[http]\nsocket = \"\"\n")
    service.does("start")
    status, said = service.does("reload")
    assert status == 0 and f"reload requested; {service.log} has the result" in said
    wait_until(lambda: "configuration reloaded" in service.log.read_text(), "the reload")


# --- the other files ----------------------------------------------------------------------------


@needs("shellcheck")
@pytest.mark.parametrize("script", [*SHELL_SCRIPTS, *MAINTAINER_SCRIPTS])
def test_shellcheck_finds_nothing(script: str) -> None:
    result = subprocess.run(["shellcheck", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.stdout == result.stderr == ""


@needs("systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "rtmpd.service"
    text = (REPOSITORY / "etc/systemd/rtmpd.service").read_text()
    assert "/usr/bin/rtmpd" in text
    text = text.replace("/usr/bin/rtmpd", "/bin/true").replace("/usr/bin/rtmpctl", "/bin/true")
    unit.write_text(text.replace("Documentation=man:", "Documentation=info:"))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    result = subprocess.run(command, capture_output=True, text=True)
    ours = [line for line in result.stderr.splitlines() if "rtmpd" in line]
    assert (result.returncode, ours) == (0, [])
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=often"))
    assert "rtmpd.service" in subprocess.run(command, capture_output=True, text=True).stderr


@needs_root
@needs("logrotate")
def test_logrotate_renames_the_logs_and_every_instance_goes_on_in_a_new_one(tmp_path: Path) -> None:
    """Each instance is a link of the init script under a name of its own, which need not begin with rtmpd."""
    scripts = tmp_path / "init.d"
    scripts.mkdir()
    shutil.copy(SCRIPT, scripts / "rtmpd")
    instances = {}
    for name in ("rtmpd", "rtmpd-west", "east"):
        if name != "rtmpd":
            (scripts / name).symlink_to(scripts / "rtmpd")
        (tmp_path / name).mkdir()
        made = instances[name] = Service(tmp_path / name)
        made.log = tmp_path / f"{name}.log"
        text = made.defaults.read_text().replace(f"{made.home}/rtmpd.log", str(made.log))
        (tmp_path / f"default-{name}").write_text(text)
    rules = tmp_path / "rules"
    text = (REPOSITORY / "etc/logrotate.d/rtmpd").read_text()
    rules.write_text(
        text.replace("/var/log/rtmpd/", f"{tmp_path}/").replace("rtmpd rtmpd", "root root")
        .replace("/etc/init.d/", f"{scripts}/").replace('"$script" reopen-logs', f'RTMPD_DEFAULTS={tmp_path}/default-'
        '$(basename "$script") "$script" reopen-logs')
    )  # fmt: skip
    rules.chmod(0o644)

    def does(name: str, action: str) -> None:
        environ = {**os.environ, "RTMPD_DEFAULTS": f"{tmp_path}/default-{name}"}
        subprocess.run([str(scripts / name), action], env=environ, check=True, capture_output=True, timeout=60, cwd="/")

    try:
        for name in instances:
            does(name, "start")
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(rules)]
        for _ in range(2):  # a log that nobody writes to any more is not rotated a second time
            result = subprocess.run(command, capture_output=True, text=True)
            assert (result.returncode, result.stderr) == (0, "")
            for name, one in instances.items():
                os.kill(one.pid, signal.SIGHUP)
                wait_until(lambda one=one: "configuration reloaded" in one.log.read_text(), f"{name} has a new log")  # type: ignore[misc]
        assert all("server started" not in one.log.read_text() for one in instances.values())
    finally:
        for name in instances:
            does(name, "stop")


def completed(*words: str) -> list[str]:
    """What bash offers for the last of ``words``."""
    code = (
        "rtmpctl() { printf 'ID TYPE\\nops webhook\\nbilling script\\n'; }; "
        f"source etc/completion/{words[0]}.bash; COMP_WORDS=({' '.join(repr(word) for word in words)}); "
        f"COMP_CWORD={len(words) - 1}; _shtab_{words[0]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    answer = subprocess.run(["bash", "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return answer.stdout.split()


@needs("bash")
def test_bash_completes_flags_words_and_commands() -> None:
    assert completed("rtmpd", "--pid") == ["--pid-file"]
    assert completed("rtmpd", "--log-level", "") == ["debug", "info", "warning", "error"]
    assert completed("rtmpd", "-log-l") == ["-log-level"], "as Go writes it"
    assert completed("rtmpd", "-log-level", "d") == ["debug"]
    assert completed("rtmpd", "mig") == ["migrate"] and completed("rtmpd", "fil") == ["files"]
    assert completed("rtmpctl", "dead-letters", "r") == ["replay"]
    assert completed("rtmpctl", "hooks", "why", "o") == []
    assert completed("rtmpctl", "hooks", "show", "o") == ["ops"]
    assert completed("rtmpctl", "dead-letters", "list", "--hook", "") == ["ops", "billing"]
    assert completed("rtmpctl", "log-level", "w") == ["warning"]
    assert "etc/rtmpd.ini" in completed("rtmpd", "-c", "etc/rtmpd.i")


@needs("zsh")
def test_zsh_can_read_its_completion() -> None:
    for program in ("rtmpd", "rtmpctl"):
        subprocess.run(["zsh", "-n", str(REPOSITORY / f"etc/completion/_{program}")], check=True)


def test_the_installer_puts_everything_below_its_root_and_takes_it_out_again(tmp_path: Path) -> None:
    root, venv = tmp_path / "root", tmp_path / "venv"
    venv.mkdir()
    command = [str(REPOSITORY / "scripts/install-service"), "--root", str(root), "--venv", str(venv)]
    subprocess.run(command, check=True, capture_output=True)
    assert (root / "usr/bin/rtmpd").readlink() == venv / "bin/rtmpd"
    for path in ("etc/init.d/rtmpd", "etc/default/rtmpd", "etc/logrotate.d/rtmpd", "var/lib/rtmpd", "etc/rtmpd/conf.d",
                 "usr/lib/systemd/system/rtmpd.service", "usr/share/bash-completion/completions/rtmpctl"):  # fmt: skip
        assert (root / path).exists(), path
    assert os.access(root / "etc/init.d/rtmpd", os.X_OK)
    configuration = root / "etc/rtmpd/rtmpd.ini"
    assert configuration.stat().st_mode & 0o777 == 0o640
    assert "\nstdio_format" not in configuration.read_text()
    test = subprocess.run(rtmpd("-t", "-c", str(configuration)), cwd=REPOSITORY, capture_output=True, text=True)
    assert test.returncode == 0, test.stderr
    configuration.write_text("# mine\n")
    (root / "etc/default/rtmpd").write_text("# mine\n")
    subprocess.run(command, check=True, capture_output=True)
    assert configuration.read_text() == (root / "etc/default/rtmpd").read_text() == "# mine\n"
    subprocess.run([*command, "--uninstall"], check=True, capture_output=True)
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
    assert left == ["etc/default/rtmpd", "etc/rtmpd/rtmpd.ini"]
    subprocess.run([*command, "--uninstall", "--purge"], check=True, capture_output=True)
    assert [path for path in root.rglob("*") if not path.is_dir()] == []
    assert not (root / "var/lib/rtmpd").exists()


def test_what_the_dockerfile_copies_is_there() -> None:
    text = (REPOSITORY / "etc/docker/Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    assert copied
    assert [path for paths in copied for path in paths if not (REPOSITORY / path).exists()] == []
