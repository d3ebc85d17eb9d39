"""``rtmpd token issue`` and ``rtmpd token check``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rtmpd import cli
from rtmpd.identity import StreamId
from rtmpd.server.access import command, signed
from rtmpd.server.access.question import Question
from rtmpd.settings import AccessSettings, AppSettings, AppsSettings, Settings
from tests.support.asking import StandingClock, ask

KEYS = ("n" * 32, "o" * 32)
CLOCK = StandingClock(4_000_000_000.0)

Captured = pytest.CaptureFixture[str]


APPS = AppsSettings(named=(("vip/cam", AppSettings()),))


def read(path: str) -> Settings:
    assert path == "rtmpd.ini"
    return Settings(access=AccessSettings(signing_keys=KEYS), apps=APPS)


def issued(capsys: Captured, *arguments: str) -> str:
    assert command.issue(["-c", "rtmpd.ini", *arguments], read, CLOCK) == 0
    return capsys.readouterr().out.strip()


def checked(*arguments: str) -> int:
    return command.check(["-c", "rtmpd.ini", *arguments], read, CLOCK)


def test_what_is_issued_admits(capsys: Captured) -> None:
    key = issued(capsys, "live/a", "--ttl", "2h", "--identity", "studio", "--address", "192.0.2.7")
    assert signed.check(KEYS, ask(token=key), CLOCK.now + 7200).identity == "studio"
    assert signed.check(KEYS, ask(token=key), CLOCK.now + 7201).reason == "expired"
    assert signed.check(KEYS, ask(token=key, address="192.0.2.8"), CLOCK.now).reason == "wrong address"
    assert signed.check(KEYS, ask(token=key, action="play"), CLOCK.now).reason == "wrong action"


def test_a_key_can_be_for_playing_for_both_and_for_an_application_of_several_levels(capsys: Captured) -> None:
    play, both = issued(capsys, "live/eu/a*", "--play"), issued(capsys, "live/a", "--both")
    assert signed.check(KEYS, ask("live/eu/abc", play, "play"), CLOCK.now).allowed
    assert not signed.check(KEYS, ask("live/eu/abc", play), CLOCK.now).allowed
    assert signed.check(KEYS, ask(token=both), CLOCK.now).allowed
    assert signed.check(KEYS, ask(token=both, action="play"), CLOCK.now).allowed


def test_the_query_is_what_an_encoder_wants(capsys: Captured) -> None:
    text = issued(capsys, "live/a", "--query")
    assert text.startswith("a?token=")
    assert checked(text) == 0


def test_check_tells_what_a_key_is_good_for(capsys: Captured) -> None:
    key = issued(capsys, "live/a", "--identity", "studio")
    assert checked(key) == 0
    out = capsys.readouterr().out
    assert "stream:   live/a\n" in out and "actions:  publish\n" in out and "identity: studio\n" in out
    assert "expires:  2096-10-03T07:06:40Z\n" in out
    assert checked(key, "live/b") == 1
    assert capsys.readouterr().err == "refused: wrong name\n"
    assert checked(key, "live/a", "--play") == 1
    assert checked(key[:-1]) == 1
    assert "bad signature" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["a"], ["/a"], ["live/"], ["live/a", "--ttl", "soon"], ["live/a", "--address", "h"]]
)
def test_a_wrong_argument_is_told(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        command.issue(["-c", "rtmpd.ini", *arguments], read, CLOCK)
    assert caught.value.code == 2 and "usage: rtmpd token issue" in capsys.readouterr().err


def test_keys_come_from_a_file_or_the_environment_or_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS))
    assert command.issue(["--key-file", str(file), "live/a"], read, CLOCK) == 0
    key = capsys.readouterr().out.strip()
    monkeypatch.setenv(command.KEYS_VARIABLE, KEYS[0])
    assert command.check([key], read, CLOCK) == 0
    monkeypatch.delenv(command.KEYS_VARIABLE)
    with pytest.raises(SystemExit):
        command.check([key], read, CLOCK)
    assert "a signing key is missing" in capsys.readouterr().err


def test_the_front_door_reads_the_keys_of_a_configuration(tmp_path: Path, capsys: Captured) -> None:
    ini = tmp_path / "rtmpd.ini"
    ini.write_text(f"[access]\nsigning_keys = {KEYS[0]}, {KEYS[1]}\n")
    assert cli.main(["token", "issue", "-c", str(ini), "live/a"]) == 0
    assert cli.main(["token", "check", "-c", str(ini), capsys.readouterr().out.strip()]) == 0
    assert cli.main(["token", "nonsense"]) == 2
    ini.write_text("[access]\nnonsense = 1\n")
    assert cli.main(["token", "issue", "-c", str(ini), "live/a"]) == 78


def test_the_commands_need_neither_gevent_nor_requests() -> None:
    code = "import sys, rtmpd.server.access.command; print({'gevent', 'requests', 'jwt'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n", done.stderr


def test_the_stream_is_split_by_the_applications_of_the_configuration(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS))
    by_configuration = issued(capsys, "vip//cam/1", "--query")
    assert command.issue(["--key-file", str(file), "vip/cam/1", "--query"], read, CLOCK) == 0
    by_first_segment = capsys.readouterr().out.strip()
    assert by_configuration.startswith("1?token=") and by_first_segment.startswith("cam/1?token=")
    for text in (by_configuration, by_first_segment):
        token = text.partition("=")[2]
        for key in ("vip/cam/1", "/vip/cam//1"):
            assert checked(text, key) == 0
        for stream in (StreamId("vip/cam", "1"), StreamId("vip", "cam/1")):
            assert signed.check(KEYS, Question("publish", stream, token, "192.0.2.7", 1), CLOCK.now).allowed
        assert checked(text, "vip/cam/2") == 1
    with pytest.raises(SystemExit):
        command.issue(["-c", "rtmpd.ini", "vip/cam"], read, CLOCK)
