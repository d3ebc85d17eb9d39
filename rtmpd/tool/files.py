"""``rtmpd files``: lists and prints the data files that come with rtmpd.

Dashboards, alert rules, manual pages, completion, the init script and the unit, examples, documentation.

A package has them in ``share``; in the sources they are where they are edited.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = ("docs", "etc")


def main(words: Sequence[str]) -> int:
    """List the files, or print one. Return the exit status: 0, or 66 for a file that is not found."""
    parser = argparse.ArgumentParser(
        prog="rtmpd files",
        description="Files that come with rtmpd: dashboards, alert rules, manual pages, completion, documentation.",
    )
    text = "print this one: a path of the list, or the end of one, as prometheus/alerts.yml or hooks.md"
    parser.add_argument("name", nargs="?", metavar="NAME", help=text)
    parser.add_argument("--directory", action="store_true", help="print the directory that they are in")
    asked = parser.parse_args(words)
    try:
        return _show(asked.name, asked.directory)
    except BrokenPipeError:  # as head does it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit complains once more
        return os.EX_OK


def _show(wanted: str | None, only_directory: bool) -> int:
    directory = _PACKAGE / "share" if (_PACKAGE / "share").is_dir() else _PACKAGE.parent
    if only_directory:
        print(directory)
        return os.EX_OK
    names = sorted(
        str(path.relative_to(directory))
        for folder in _FOLDERS
        for path in (directory / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    if wanted is None:
        print("\n".join(names), flush=True)
        return os.EX_OK
    found = [name for name in names if name == wanted or name.endswith(f"/{wanted.lstrip('/')}")]
    if len(found) != 1:
        problem = f"more than one file has this name: {', '.join(found)}" if found else "no such file"
        print(f"rtmpd files: {wanted}: {problem}; rtmpd files lists them", file=sys.stderr)
        return os.EX_NOINPUT
    with (directory / found[0]).open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    return os.EX_OK
