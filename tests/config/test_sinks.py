"""Workers, plugins and the audit trail in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config import flags, sample
from rtmpd.config.loader import load
from rtmpd.errors import ConfigError, PluginError
from rtmpd.settings import AuditSettings, HookSettings
from tests.support.proof import proves

from .conftest import Read, Refuse


def one(read: Read, lines: str) -> HookSettings:
    (hook,) = read(f"[hooks]\n[[a]]\n{lines}\n").settings.hooks.hooks
    return hook


def test_a_worker_has_one_process_and_batches_that_do_not_wait(read: Read) -> None:
    hook = one(read, "type = worker\npath = /bin/sh\nmax_attempts = 3")
    assert (hook.type, hook.target, hook.concurrency) == ("worker", "/bin/sh", 1)
    assert (hook.delivery.batch_events, hook.delivery.batch_age_s, hook.retry.max_attempts) == (64, 0.0, 3)
    hook = one(read, "type = worker\npath = /bin/sh\nbatch_events = 7\nbatch_age = 1s")
    assert (hook.delivery.batch_events, hook.delivery.batch_age_s) == (7, 1.0)


@proves("hooks.NAME.run_in_thread")
def test_a_plugin_gets_its_options_as_texts_and_lists(tmp_path: Path) -> None:
    asked = []
    file = tmp_path / "rtmpd.ini"
    file.write_text(
        "[hooks]\n[[a]]\ntype = plugin\nname = file\nrun_in_thread = yes\nbatch_events = 9\n"
        '[[[options]]]\npath = /x\nNames = a, b\nquoted = "a, b"\nfrom = ${HOME_OF_IT}\n'
    )
    loaded = load(
        flags.parse(["-c", str(file)]), environ={"HOME_OF_IT": "y"}, check_plugin=lambda *words: asked.append(words)
    )
    (hook,) = loaded.settings.hooks.hooks
    options = {"path": "/x", "Names": ("a", "b"), "quoted": "a, b", "from": "y"}
    assert (hook.type, hook.target, hook.run_in_thread, hook.delivery.batch_events) == ("plugin", "file", "yes", 9)
    assert dict(hook.options) == options and asked == [("file", "a", options)]
    shown = sample.effective(loaded.checked)
    assert "/x" not in shown and f"Names = ***, ***  # {file}:9" in shown and "from = ${HOME_OF_IT}" in shown
    assert "/x" not in repr(hook)


@pytest.mark.parametrize(("key", "line", "where"), [("options", 5, "hooks.a.options"), ("name", 4, "hooks.a.name")])
def test_a_plugin_that_can_not_be_used_is_a_problem_at_its_line(
    tmp_path: Path, key: str, line: int, where: str
) -> None:
    def refuse(name: str, hook_id: str, options: object) -> None:
        raise PluginError("it does not like that", key, "do something")

    file = tmp_path / "rtmpd.ini"
    file.write_text("[hooks]\n[[a]]\ntype = plugin\nname = file\n[[[options]]]\nx = 1\n")
    with pytest.raises(ConfigError) as caught:
        load(flags.parse(["-c", str(file)]), check_plugin=refuse)
    (problem,) = caught.value.problems
    assert (problem.where, problem.key, problem.hint) == (f"{file}:{line}", where, "do something")


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ("type = worker", "hooks.a", "has no path"),
        ("type = worker\npath = /none/worker", "hooks.a.path", "is not a file"),
        ("type = worker\npath = /bin/sh\nconcurrency = 2", "hooks.a.concurrency", "is not for type = worker"),
        ("type = worker\npath = /bin/sh\nurl = http://h/", "hooks.a.url", "is for type = webhook"),
        ("type = worker\npath = /bin/sh\nschema = 2", "hooks.a.schema", "is for type = webhook"),
        ("type = stdio\npath = /bin/sh", "hooks.a.path", "is for type = script and type = worker"),
        ("type = script\npath = /bin/sh\nbatch_events = 2", "hooks.a.batch_events", "is for type = "),
        ("type = plugin", "hooks.a", "has no name"),
        ("type = plugin\nname = no-such-plugin", "hooks.a.name", "no installed package has the plugin"),
        ("type = stdio\nrun_in_thread = yes", "hooks.a.run_in_thread", "is for type = plugin"),
        ("type = stdio\n[[[options]]]\nx = 1", "hooks.a.options", "is for type = plugin"),
        ("type = stdio\n[[[option]]]\nx = 1", "hooks.a.option", "no such section"),
    ],
)
def test_what_can_not_be_is_a_problem_with_a_remedy(refuse: Refuse, lines: str, key: str, message: str) -> None:
    (problem,) = refuse(f"[hooks]\n[[a]]\n{lines}\n")
    assert problem.key == key and message in problem.message and problem.hint


def test_a_second_section_of_options_is_a_problem(refuse: Refuse) -> None:
    problems = refuse("[hooks]\n[[a]]\ntype = plugin\nname = x\n[[[options]]]\na = 1\n[[[options-b]]]\nb = 2\n")
    assert [problem.key for problem in problems] == ["hooks.a.name", "hooks.a.options-b"]


@proves("hooks.audit_file", "hooks.audit_key", "hooks.audit")
def test_the_audit_trail_has_a_file_and_a_key(read: Read, refuse: Refuse, tmp_path: Path) -> None:
    hooks = read("[hooks]\naudit_file = a.jsonl\naudit_key = s3cret\naudit = all\nattempt_log = 5000\n").settings.hooks
    assert hooks.audit == AuditSettings(str(tmp_path / "a.jsonl"), "s3cret", "all") and hooks.attempt_log == 5000
    assert "s3cret" not in repr(hooks)
    for given, missing in (("audit_file", "audit_key"), ("audit_key", "audit_file")):
        (problem,) = refuse(f"[hooks]\n{given} = x\n")
        assert problem.key == f"hooks.{given}" and missing in problem.message
