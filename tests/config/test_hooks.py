"""Hooks of files and of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.settings import HookSettings, HooksSettings
from tests.support.proof import proves

from .conftest import EVENT_TYPES, Read, Refuse


@proves("hooks.concurrency", "hooks.NAME.format")
def test_a_hook_takes_what_it_does_not_say_from_the_section(read: Read, tmp_path: Path) -> None:
    (tmp_path / "on.sh").write_text("")
    hooks = read(
        """[hooks]
timeout = 5s
concurrency = 7
drain = 1s
[[ops]]
type = webhook
url = https://h/x
event_types = publish_*, play_start
[[box]]
type = script
path = on.sh
timeout = 1m
concurrency = 2
queue = 9
[[out]]
type = stdio
format = env
"""
    ).settings.hooks
    assert hooks == HooksSettings(
        (
            HookSettings("ops", "webhook", "https://h/x", ("publish_*", "play_start"), 5.0, 7),
            HookSettings("box", "script", str(tmp_path / "on.sh"), (), 60.0, 2, 9),
            HookSettings("out", "stdio", "env", (), 5.0, 7),
        ),
        7,
        1.0,
    )


@proves("hooks.stdio_format")
def test_stdio_format_makes_the_hook_stdio(read: Read) -> None:
    assert read("[hooks]\nstdio_format = json\n").settings.hooks.hooks == (HookSettings("stdio", "stdio", "json"),)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("url = http://h/", "hooks.a"),
        ("type = webhook", "hooks.a"),
        ("type = webhook\nurl = ''", "hooks.a.url"),
        ("type = webhook\nurl = ftp://h/", "hooks.a.url"),
        ("type = shell", "hooks.a.type"),
        ("type = script\npath = /none/on.sh", "hooks.a.path"),
        ("type = script\npath = /", "hooks.a.path"),
        ("type = stdio\nurl = http://h/", "hooks.a.url"),
        ("type = stdio\nformat = xml", "hooks.a.format"),
        ("type = stdio\ntimeout = 0", "hooks.a.timeout"),
        ("type = stdio\nevents = x", "hooks.a.events"),
    ],
)
def test_a_hook_that_can_not_run_is_an_error(refuse: Refuse, lines: str, key: str) -> None:
    (problem,) = refuse(f"[hooks]\n[[a]]\n{lines}\n")
    assert problem.key == key and problem.hint


def test_a_hook_has_a_plain_name(refuse: Refuse) -> None:
    (problem,) = refuse("[hooks]\n[[a b]]\ntype = stdio\n")
    assert "not a valid name" in problem.message


@proves("hooks.NAME.event_types")
def test_an_unknown_event_is_a_warning_that_names_the_known(read: Read) -> None:
    loaded = read("[hooks]\n[[a]]\ntype = stdio\nevent_types = publish_strat, play_*\n", "-hook-script", "nope=/bin/sh")
    assert loaded.settings.hooks.hooks[0].event_types == ("publish_strat", "play_*")
    first, second = loaded.warnings
    assert first.where.endswith(":4") and 'did you mean "publish_start"?' in first.hint
    assert second.where == "-hook-script" and all(name in second.hint for name in EVENT_TYPES)


# --- the command line ---------------------------------------------------------------------------


def test_each_flag_makes_one_hook_numbered_per_kind(read: Read) -> None:
    hooks = read(
        "[hooks]\nconcurrency = 50\n[[ops]]\ntype = stdio\n",
        "-hook-script", "publish_start=/bin/sh",
        "--hook-webhook=publish_start=http://h/?a=b,c",
        "-hook-script=*=/bin/sh",
        "-hook-webhook", "play_*=http://h/?a=b,c",
        "-hook-stdio-format", "env",
        "-hook-timeout", "1m30s",
        "-hook-concurrency", "3",
    ).settings.hooks  # fmt: skip
    assert hooks.concurrency == 3
    assert hooks.hooks == (
        HookSettings("ops", "stdio", "json", (), 90.0, 3),
        HookSettings("shell_0", "script", "/bin/sh", ("publish_start",), 90.0, 3),
        HookSettings("webhook_0", "webhook", "http://h/?a=b,c", ("publish_start",), 90.0, 3),
        HookSettings("shell_1", "script", "/bin/sh", ("*",), 90.0, 3),
        HookSettings("webhook_1", "webhook", "http://h/?a=b,c", ("play_*",), 90.0, 3),
        HookSettings("stdio", "stdio", "env", (), 90.0, 3),
    )


def test_a_script_flag_keeps_its_path_and_warns_if_there_is_nothing(read: Read) -> None:
    loaded = read("", "-hook-script", "publish_start=./none.sh")
    assert loaded.settings.hooks.hooks[0].target == "./none.sh"
    assert [w.where for w in loaded.warnings] == ["-hook-script"]


@proves("--hook-webhook")
@pytest.mark.parametrize(
    "words",
    [
        ("-hook-script", "publish_start"),
        ("-hook-script", "=/bin/sh"),
        ("-hook-webhook", "publish_start="),
        ("-hook-webhook", "publish_start=h.example"),
        ("-hook-stdio-format", "xml"),
        ("-hook-timeout", "30"),
        ("-hook-timeout", "-5s"),
        ("-hook-timeout", "soon"),
        ("-hook-concurrency", "many"),
    ],
)
def test_a_wrong_hook_flag_is_an_error_at_the_flag(refuse: Refuse, words: tuple[str, str]) -> None:
    (problem,) = refuse("", *words)
    assert problem.where == words[0]
    assert problem.text == words[1] or problem.text in words[1]


def test_values_that_have_always_meant_the_default_still_do(read: Read) -> None:
    hooks = read("", "-hook-concurrency", "0", "-hook-timeout", "0", "-hook-stdio-format", "").settings.hooks
    assert hooks == HooksSettings()
    assert read("", "-hook-concurrency=-3").settings.hooks.concurrency == 10


@proves("--listen")
def test_a_reference_in_a_flag_is_read_as_in_a_file(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("s3cret\n")
    environ = {"HOST": "media.example"}
    assert read("", "-listen", "${HOST}:1", environ=environ).settings.server.listen[0].host == "media.example"
    words = ["-hook-webhook", "*=http://${HOST}/$$x", "-hook-auth-api-key", "${file:key}"]
    (hook,) = read("", *words, environ=environ).settings.hooks.hooks
    assert (hook.target, hook.auth[0].key) == ("http://media.example/$x", "s3cret")


@pytest.mark.parametrize("word", ["$SECRET", "%SECRET%", "${NONE}", "${file:none}"])
def test_a_reference_that_stands_for_nothing_is_refused_in_a_flag(refuse: Refuse, word: str) -> None:
    problems = refuse("", "-hook-webhook", "*=http://h/", "-hook-auth-api-key", word)
    assert [problem.where for problem in problems] == ["-hook-auth-api-key"] and problems[0].text == "***"


def test_two_hooks_do_not_share_a_name(refuse: Refuse) -> None:
    (problem,) = refuse("[hooks]\nstdio_format = json\n[[stdio]]\ntype = stdio\n")
    assert problem.key == "hooks.stdio" and problem.where.endswith(":3")


@pytest.mark.parametrize(
    ("first", "warned"),
    [
        ("#!/bin/sh\r", "carriage return (CR), so '/bin/sh'"),
        ("#!/opt/none/python3 -u", "its interpreter '/opt/none/python3' is not there"),
        ("#!/bin/sh", ""),
        ("echo", ""),
    ],
)
def test_a_script_whose_interpreter_is_missing_is_warned_of(
    read: Read, tmp_path: Path, first: str, warned: str
) -> None:
    (tmp_path / "on.sh").write_bytes(f"{first}\nexit 0\n".encode())
    for loaded in (
        read("[hooks]\n[[a]]\ntype = script\npath = on.sh\n"),
        read("", "-hook-script", f"publish_start={tmp_path}/on.sh"),
    ):
        assert [warned in str(one) for one in loaded.warnings] == ([True] if warned else [])
