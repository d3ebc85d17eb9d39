"""[daemon], the environment file and where clients shall reconnect to."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest

from rtmpd.config.environment import environment
from rtmpd.errors import ConfigError
from rtmpd.settings import CORE_NO, DaemonSettings
from tests.config.conftest import Read, Refuse
from tests.support.proof import proves


def test_every_key_of_daemon_arrives(read: Read, tmp_path: Path) -> None:
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    text = (
        f"[log]\nfile = {tmp_path}/log\n[daemon]\nbackground = yes\npid_file = {tmp_path}/pid\nuser = {user}\n"
        f"group = {group}\numask = 027\nworking_directory = {tmp_path}\nopen_files = 4096\ncore_dumps = no\n"
    )
    loaded = read(text)
    assert loaded.warnings == ()
    assert loaded.settings.daemon == DaemonSettings(
        True, f"{tmp_path}/pid", user, group, 0o027, str(tmp_path), 4096, CORE_NO
    )
    assert read("").settings.daemon == DaemonSettings()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("user", "no-such-user", "there is no user no-such-user on this system"),
        ("group", "no-such-group", "there is no group no-such-group on this system"),
        ("working_directory", "/no/such", "/no/such is not a directory"),
        ("pid_file", "/no/such/rtmpd.pid", "/no/such is not a directory"),
        ("umask", "rw-r--r--", "is not an octal number of three digits"),
        ("umask", "098", "is not an octal number of three digits"),
        ("core_dumps", "perhaps", "is not one of"),
    ],
)
def test_what_the_system_can_not_do_is_a_problem(refuse: Refuse, key: str, value: str, message: str) -> None:
    [problem] = refuse(f"[daemon]\n{key} = {value}\n")
    assert problem.key == f"daemon.{key}"
    assert message in problem.message or message in str(problem)


@proves("--log-file")
def test_a_daemon_without_a_log_is_warned_of(read: Read) -> None:
    [warning] = read("[daemon]\nbackground = yes\n").warnings
    assert "without a [log] file there is no log" in warning.message
    assert read("", "--daemon", "--log-file", "/tmp/x").warnings == ()


def test_the_flags_of_the_process_win(read: Read, tmp_path: Path) -> None:
    words = ("-d", "--pid-file", f"{tmp_path}/b", "-log-file", "/tmp/l")
    settings = read("[daemon]\npid_file = /run/a\n", *words).settings
    assert (settings.daemon.background, settings.daemon.pid_file) == (True, f"{tmp_path}/b")
    assert settings.log.file == "/tmp/l"


@proves("server.reconnect_url", "--reconnect-url")
def test_a_reconnect_url_is_an_rtmp_url(read: Read, refuse: Refuse) -> None:
    url = "rtmps://other.example:443/live"
    assert read("", "-reconnect-url", url).settings.server.reconnect_url == url
    assert read("").settings.server.ask_to_reconnect
    [problem] = refuse("[server]\nreconnect_url = http://other.example/\n")
    assert problem.key == "server.reconnect_url"


def test_an_environment_file_adds_to_the_environment_and_wins(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text("# secrets\n\nA=1\nexport B='two words'\nC=\"x\"y\n; old\nD=\n")
    assert environment(str(file), {"A": "0", "Z": "z"}) == {"A": "1", "B": "two words", "C": "xy", "D": "", "Z": "z"}
    assert environment(None, {"A": "0"}) == {"A": "0"}


def test_every_wrong_line_of_an_environment_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text("A=1\nnonsense\n1A=2\nB=two words\nC='open\n")
    with pytest.raises(ConfigError) as caught:
        environment(str(file), {})
    assert [problem.where for problem in caught.value.problems] == [f"{file}:{n}" for n in (2, 3, 4, 5)]
    with pytest.raises(ConfigError, match="No such file"):
        environment(str(tmp_path / "missing"), {})
