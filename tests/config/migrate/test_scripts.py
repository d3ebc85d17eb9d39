"""Commands as scripts: what a publisher chose stays a word, and never becomes text that a shell reads."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from rtmpd.config.migrate import scripts
from rtmpd.config.migrate.draft import ABSENT, Draft

VARIABLES = {"name": '"${RTMP_STREAM_KEY#*/}"', "path": '"${RTMP_PATH:-}"', "unused": '"x"'}
HOSTILE = [
    "x$(touch hacked)y", "`touch hacked`", "a;touch hacked", "'; touch hacked; '", '"; touch hacked; "',
    "-n\ntouch hacked",
]  # fmt: skip


def script_of(command: str, draft: Draft | None = None) -> str:
    draft = draft or Draft("test")
    path = scripts.add(draft, "one", shlex.split(command), VARIABLES, "nginx.conf:1")
    return draft.scripts[path] if path else ""


def run(script: str, folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "RTMP_STREAM_KEY": f"live/{name}", "RTMP_PATH": f"/rec/{name}.flv"}
    (folder / "run.sh").write_text(script)
    return subprocess.run(
        ["/bin/sh", "run.sh"], cwd=folder, env=environ, capture_output=True, text=True, timeout=10, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        """bash -c "echo $name" """,
        """bash -c "echo '$name'" """,
        """sh -ec 'echo "$name"' """,
        """bash -x -c "echo ${name}" """,
        """/usr/bin/env bash -o pipefail -c "echo $name" """,
        """nice -n 10 sh -c "echo $name >> out && cat out" """,
        """sh -c 'echo "$0"' $name""",
    ],
)
def test_a_shell_gets_names_as_variables_and_only_harmless_ones(tmp_path: Path, command: str) -> None:
    script = script_of(command)
    done = run(script, tmp_path, "cam-1")
    assert (done.stdout.strip(), done.returncode) == ("cam-1", 0), script
    for name in HOSTILE:
        run(script, tmp_path, name)
        assert not (tmp_path / "hacked").exists(), (name, script)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_program_gets_every_name_as_one_word(tmp_path: Path, name: str) -> None:
    done = run(script_of("printf %s| $name pre-$name.x"), tmp_path, name)
    assert done.stdout == f"{name}|pre-{name}.x|"
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "command",
    [
        "ssh host 'rm $name'",
        "ssh host rm $name",
        "su user -c 'echo $name'",
        "sudo -u www bash -c 'echo $name'",
        "env -i sh -c 'echo $name'",
        "docker exec one sh -c 'echo $name'",
        """bash -c "sh -c 'echo $name'" """,
        """bash -c "ssh host echo $name" """,
        """bash -c "eval echo $name" """,
        """bash -c "echo $name | xargs rm" """,
        """python3 -c "print('$name')" """,
        "perl -e 'print \"$name\"'",
        "awk '{print \"$name\"}' /etc/passwd",
        "find / -name $name -exec sh -c 'rm {}' ;",
        "timeout 5 xargs $name",
        "sh $path",
        "$name",
        "zsh -c 'echo $name'",
    ],
)
def test_a_text_that_somebody_else_reads_is_not_carried_over(command: str) -> None:
    draft = Draft("test")
    assert script_of(command, draft) == "" and draft.scripts == {}
    (note,) = draft.notes
    assert (note.where, note.verdict) == ("nginx.conf:1", ABSENT)


@pytest.mark.parametrize(
    "command",
    ["sh -c 'rm -f /tmp/*.tmp'", "python3 /opt/up.py $path", "docker run img ffmpeg -i $path", "bash /opt/up.sh $path"],
)
def test_what_has_no_name_in_a_text_is_carried_over(command: str) -> None:
    draft = Draft("test")
    assert script_of(command, draft).startswith("#!/bin/sh\n")
    assert draft.is_whole


@pytest.mark.parametrize("command", ["echo rm $unknown/$path", "sh -c 'echo rm $unknown/$path'"])
def test_a_variable_that_no_event_has_ends_the_script(tmp_path: Path, command: str) -> None:
    draft = Draft("test")
    done = run(script_of(command, draft), tmp_path, "cam")
    assert done.returncode != 0 and done.stdout == "" and "unknown: has no equivalent" in done.stderr
    assert [note.what for note in draft.notes if note.verdict == ABSENT] == ["$unknown"]


def test_variables_of_the_shell_itself_are_left_to_it(tmp_path: Path) -> None:
    draft = Draft("test")
    done = run(script_of("""sh -c 'for i in 1 2; do echo "$i $name"; done' """, draft), tmp_path, "cam")
    assert done.stdout == "1 cam\n2 cam\n" and draft.is_whole


def test_programs_find_all_variables_in_their_environment_where_they_did_before(tmp_path: Path) -> None:
    draft = Draft("test")
    scripts.add(draft, "one", ["env"], VARIABLES, "m.yml:1", exported=True)
    out = run(draft.scripts["scripts/one.sh"], tmp_path, "cam").stdout.splitlines()
    assert {"name=cam", "path=/rec/cam.flv", "unused=x"} <= set(out)
