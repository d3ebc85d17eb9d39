"""What every test shares."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline per example would fail on a slow machine, not on a slow rtmpd.
settings.register_profile("rtmpd", deadline=None)
settings.load_profile("rtmpd")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _the_process_stays_as_it_was() -> Iterator[None]:
    """A daemon may block signals, leave its directory and set a mask for files. One that runs in the process of the
    suite would do it to every test after it and to every program that they start."""
    before = _state_of_the_process()
    yield
    assert _state_of_the_process() == before


def _state_of_the_process() -> tuple[object, ...]:
    os.umask(umask := os.umask(0o022))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()), handlers, os.getcwd(), umask


@dataclass(frozen=True)
class ForAnybody:
    """A copy of rtmpd and of what it needs that every user may run, wherever the repository and its environment are.
    ``home`` is an empty directory that every user may enter."""

    home: Path
    python: str
    packages: Path

    def module(self, name: str, *arguments: str) -> list[str]:
        """The command line of a module, as ``python -m`` runs it."""
        code = (
            f"import runpy, sys; sys.path.insert(0, {str(self.packages)!r}); "
            f"sys.argv[0] = {name!r}; runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
        )
        return [self.python, "-S", "-c", code, *arguments]


@pytest.fixture(scope="session")
def packages_for_anybody() -> Iterator[Path]:
    """The directory of the copy."""
    place = Path("/tmp") / f"rtmpd-test-packages-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        shutil.copytree(ROOT / "rtmpd", place / "rtmpd", ignore=shutil.ignore_patterns("__pycache__"))
        for name in _required("rtmpd"):
            for file in metadata.distribution(name).files or []:
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    target = place / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file.locate(), target)
        for path in [place, *place.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield place
    finally:
        shutil.rmtree(place)


@pytest.fixture
def for_anybody(packages_for_anybody: Path) -> Iterator[ForAnybody]:
    python = _python_for_anybody()
    if not python:
        pytest.skip(f"there is no Python 3.{sys.version_info.minor} that every user may run")
    home = Path("/tmp") / f"rtmpd-test-anybody-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        yield ForAnybody(home, python, packages_for_anybody)
    finally:
        shutil.rmtree(home)


def _python_for_anybody() -> str:
    """A Python like ours that an ordinary user may run, "" if there is none; ours can lie in somebody's home."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        parents = Path(os.path.realpath(candidate)).parents
        if os.path.exists(candidate) and all(parent.stat().st_mode & 0o001 for parent in parents):
            return candidate
    return ""


def _required(name: str) -> set[str]:
    """The distributions that one needs, and that those need; extras are left out."""
    found: set[str] = set()
    left = [name]
    while left:
        for line in metadata.requires(left.pop()) or []:
            requirement, _, marker = line.partition(";")
            needed = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]
            if "extra" not in marker and needed.lower() not in found and _is_installed(needed):
                found.add(needed.lower())
                left.append(needed)
    return found


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:  # its marker leaves it out here
        return False
    return True
