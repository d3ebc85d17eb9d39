"""The proofs of options would notice that an option does nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import proof
from tests.support.ignoring import without_flag

#: Options of several sections and the ways in which they are set; each takes a second or two.
SAMPLE = """apps.gop_cache limits.connections store.dead_letters hooks.NAME.max_age hooks.NAME.rate_burst
    access.jwt_leeway alerts.disk""".split()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.support.proof", *arguments]
    return subprocess.run(command, cwd=proof.ROOT, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_proof_fails_while_its_option_is_ignored(name: str) -> None:
    done = run("--ignore", name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_proof_that_does_not_use_its_option_is_found() -> None:
    idle = "tests/support/test_proof.py::test_a_flag_is_left_out_with_its_value"
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.support import proof; print(proof.idle('apps.flush', [{idle!r}]))"],
        cwd=proof.ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "test_a_flag_is_left_out_with_its_value" in done.stdout, done.stdout + done.stderr


def test_decorators_are_read_without_importing_the_tests(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    text = 'import nothing\n\n\n@proves("a.b", "--c")\ndef test_it(): ...\n'
    (tmp_path / "tests" / "test_one.py").write_text(text)
    assert proof.proofs(tmp_path) == {"a.b": ["tests/test_one.py::test_it"], "--c": ["tests/test_one.py::test_it"]}


def test_a_flag_is_left_out_with_its_value() -> None:
    words = ["-listen", ":1", "--log-level=debug", "-c", "FILE", "--listen=:2", "-test"]
    assert without_flag(words, "--listen") == ["--log-level=debug", "-c", "FILE", "-test"]
    assert without_flag(words, "--config") == ["-listen", ":1", "--log-level=debug", "--listen=:2", "-test"]
    assert without_flag(["-t", "word"], "--test") == ["word"]
