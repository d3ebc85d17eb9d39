"""``@proves("section.option")`` on the test that sets an option and sees what it does.

An option is named as in ``rtmpd.spec``: ``limits.connections``, ``hooks.NAME.queue``; a flag with two dashes. Every
option and every flag has such a test (tests/test_papers.py). Whether the test would notice that the option does nothing
is tried by leaving the option out behind its back:

    python -m tests.support.proof                          list the proofs
    python -m tests.support.proof --ignore apps.flush ...  run the proofs of these options while rtmpd ignores them

The second form exits with status 1 and names each proof that passes all the same. ``tests/support/test_proof.py`` does
that for a sample of them.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtmpd.config.flags import GROUPS, Flag
from rtmpd.config.options import Option, SectionSpec, spec

from .ignoring import ignore

ROOT = Path(__file__).parents[2]

def proves(*names: str) -> Callable[..., object]:
    """Mark a test as the proof of these options and flags."""
    return pytest.mark.proves(*names)


def options() -> Iterator[tuple[str, Option]]:
    """Yield every option by its dotted name; those that a subsection only overrides stand once."""
    for first in spec().sections.values():
        for section in first.family():
            if not section.inherits:
                yield from ((f"{_name(section)}.{key}", option) for key, option in section.options.items())


def flags() -> Iterator[tuple[str, Flag]]:
    """Yield every flag by its name with two dashes."""
    for group in GROUPS.values():
        yield from ((f"--{flag.name}", flag) for flag in group)


def _name(section: SectionSpec) -> str:
    return ".".join("NAME" if part == "__many__" else part for part in section.path)


def proofs(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the tests (``path::name``) of each option and flag, read from the decorators without importing them."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for decorator in getattr(node, "decorator_list", []):
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "proves":
                    for name in decorator.args:
                        found[ast.literal_eval(name)].append(f"{path.relative_to(root).as_posix()}::{node.name}")
    return found


class _Verdicts:
    """A pytest plugin that keeps the tests that failed, whatever their parameters, in whatever phase."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.failed:
            self.failed.add(test)
        elif report.when == "call" and report.passed:
            self.passed.add(test)


def idle(name: str, tests: list[str]) -> list[str]:
    """Run the tests while rtmpd ignores the option ``name``; return those that pass all the same."""
    verdicts = _Verdicts()
    with ignore(name):
        pytest.main(["-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", *tests], plugins=[verdicts])
    return sorted(verdicts.passed - verdicts.failed)


def main(arguments: list[str]) -> int:
    """Do what the head of this module says. Return the exit status."""
    known = proofs()
    if arguments[:1] != ["--ignore"]:
        for name, tests in sorted(known.items()):
            print(name, *tests)
        return 0
    names = arguments[1:]
    if len(names) != 1:  # each in a process of its own: what one has cached is no matter of the next
        script = [sys.executable, "-m", "tests.support.proof", "--ignore"]
        return max(os.spawnv(os.P_WAIT, sys.executable, [*script, name]) for name in names or sorted(known))
    passing = idle(names[0], known.get(names[0], []))
    for test in passing:
        print(f"{test} does not notice that rtmpd ignores {names[0]}")
    return 1 if passing or not known.get(names[0]) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
