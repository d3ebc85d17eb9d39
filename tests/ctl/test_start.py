"""How rtmpctl starts: with little, and where it looks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtmpd.ctl import main, text
from rtmpd.ctl.parser import COMMANDS, parser
from rtmpd.http import place
from rtmpd.settings.http import ApiSettings

ROOT = Path(__file__).resolve().parents[2]
END_S = 30


def test_it_starts_without_the_libraries_of_the_daemon(tmp_path: Path) -> None:
    code = (
        "import sys; from rtmpd.ctl.main import main; "
        f"status = main(['status', '--socket', {str(tmp_path / 'none')!r}]); "
        "print(status, sorted(sys.modules.keys() & {'gevent', 'requests', 'configobj', 'rtmpd.settings', 'asyncio'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=END_S, cwd=ROOT)
    assert result.stdout == f"{os.EX_UNAVAILABLE} []\n", result.stderr


def test_it_is_a_program() -> None:
    command = [sys.executable, "-m", "rtmpd.ctl.main", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=END_S, cwd=ROOT)
    assert (result.returncode, result.stdout.split()[0]) == (0, "rtmpctl")


def test_the_usual_place_is_the_default_of_the_settings() -> None:
    assert ApiSettings().socket == place.CONTROL_SOCKET


def test_it_looks_where_the_daemon_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "CONTROL_SOCKET", str(tmp_path / "run" / "control.sock"))
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    own = str(tmp_path / "rtmpd.sock")
    assert place.existing(environ) == place.CONTROL_SOCKET
    assert place.usable(place.CONTROL_SOCKET, environ) == own
    assert place.usable(place.CONTROL_SOCKET, {"XDG_RUNTIME_DIR": "relative"}) == ""
    assert place.usable("/else/where.sock", environ) == "/else/where.sock"
    home = tmp_path / "home"
    home.mkdir()
    in_state = str(home / ".local/state/rtmpd/control.sock")
    monkeypatch.setattr(place, "_STATE", str(tmp_path / "none"))
    assert place.usable(place.CONTROL_SOCKET, {"HOME": str(home)}) == in_state, "as after su, with no runtime directory"
    Path(in_state).touch()
    assert place.existing({"HOME": str(home)}) == in_state
    Path(own).touch()
    assert place.existing(environ) == own
    (tmp_path / "run").mkdir()
    assert place.usable(place.CONTROL_SOCKET, environ) == place.CONTROL_SOCKET


def test_every_command_has_a_help_and_takes_the_common_words_behind_it() -> None:
    for words, (run, _) in COMMANDS.items():
        assert run.__doc__, words
    given = parser().parse_args(["--socket", "/a", "hooks", "list", "--json", "--timeout", "5"])
    assert (given.socket, given.json, given.timeout) == ("/a", True, 5.0)
    given = parser().parse_args(["--json", "status"])
    assert given.json is True


@pytest.mark.parametrize("moment", ["yesterday", "2h30", "2026-13-01"])
def test_a_moment_that_is_none_is_refused(moment: str) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["replay", "ops", "--since", moment])
    assert end.value.code == os.EX_USAGE


def test_keys_are_made_and_checked_without_a_daemon(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RTMPD_SIGNING_KEYS", "a-signing-key-of-some-length-0123456789")
    assert main.main(["token", "issue", "live/a"]) == 0
    key = capsys.readouterr().out.strip()
    assert main.main(["token", "check", key, "live/a"]) == 0
    assert main.main(["token", "check", key, "live/b"]) == 1
    assert main.main(["token"]) == os.EX_USAGE
    assert capsys.readouterr().err.endswith("usage: rtmpctl token issue|check, each with --help\n")
    assert main.main(["token", "issue", "live/a", "-c", str(tmp_path / "none.ini")]) == os.EX_CONFIG
    assert "none.ini" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0s"), (59.9, "59s"), (61, "1m 1s"), (3600, "1h 0m"), (90061, "1d 1h")]
)
def test_an_age_is_its_two_largest_units(seconds: float, said: str) -> None:
    assert text.age(seconds) == said


def test_rates_and_sizes_have_their_units() -> None:
    rates = [text.rate(n) for n in (1, 125, 125_000, 250_000_000)]
    assert rates == ["8 bit/s", "1.0 kbit/s", "1.0 Mbit/s", "2.0 Gbit/s"]
    assert [text.size(n) for n in (1, 2048, 3 * 2**20, 2**30)] == ["1 B", "2.0 KiB", "3.0 MiB", "1.0 GiB"]


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert text.table(("NAME", "N"), [("a", 5), ("long-name", 10)]) == [
        "NAME        N",
        "a           5",
        "long-name  10",
    ]
    assert text.table(("NAME",), []) == ["NAME"]
    assert text.facts({"a": {"b": True}, "c": [{"d": None}], "e": []}) == ["a", "  b  yes", "c", "  - d  -", "e  -"]
