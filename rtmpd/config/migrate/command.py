"""``rtmpd migrate``: reads what another server is configured with, writes a file of ours, notes what differs.

The result goes through the check of ``rtmpd -t``; what that refuses is noted at the line of the source.

===========  ================================================
exit status
===========  ================================================
0            everything has an equivalent
1            something has none; each is noted with its line
2            the command line is wrong
73           the file cannot be created
78           what is to be migrated cannot be read
===========  ================================================
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from ...errors import ConfigError, Problem
from . import flags, hooks_yaml, mediamtx, nginx, srs
from .draft import ABSENT, Draft

EXIT_NOT_WHOLE = 1
DEFAULT_NAME = "rtmpd.ini"

#: What ``rtmpd -t`` has against a configuration file, given its path and its text.
Check = Callable[[str, str], list[Problem]]

_READERS: dict[str, tuple[Callable[[str], Draft], str]] = {
    "hooks-yaml": (hooks_yaml.migrate, "the specification's hooks.yaml"),
    "nginx": (nginx.migrate, "nginx.conf with the rtmp module"),
    "srs": (srs.migrate, "srs.conf"),
    "mediamtx": (mediamtx.migrate, "mediamtx.yml"),
}


def main(argv: Sequence[str], check: Check) -> int:
    """Run the tool; the result is its exit status. Waits for the disk."""
    asked = parser().parse_args(argv)
    try:
        draft = flags.migrate(_words(asked.words)) if asked.source == "flags" else _READERS[asked.source][0](asked.file)
    except ConfigError as error:
        return _complain((str(problem) for problem in error.problems), os.EX_CONFIG)
    name = asked.output or DEFAULT_NAME
    draft.judge(check(name, draft.settings()), name)
    try:
        _write(draft, asked.output)
    except OSError as error:
        return _complain([f"{error.filename}: {error.strerror}"], os.EX_CANTCREAT)
    said = [str(note) for note in draft.notes]
    absent = sum(note.verdict == ABSENT for note in draft.notes)
    said.append(f"{draft.carried} settings; {len(draft.notes) - absent} differ, {absent} have no equivalent")
    return _complain(said, os.EX_OK if draft.is_whole else EXIT_NOT_WHOLE)


def parser() -> argparse.ArgumentParser:
    """The command line of the tool."""
    text = "Write what another server is configured with as a configuration file of rtmpd; note what differs."
    made = argparse.ArgumentParser(prog="rtmpd migrate", description=text)
    sources = made.add_subparsers(dest="source", metavar="SOURCE", required=True)
    for name, (_, help) in _READERS.items():
        source = sources.add_parser(name, help=help, description=f"Reads {help}.")
        source.add_argument("file", metavar="FILE")
        _output(source)
    source = sources.add_parser("flags", help="a command line of go-rtmp or rtmpd: flags -- -hook-script ...")
    _output(source)
    source.add_argument("words", nargs=argparse.REMAINDER, metavar="-- FLAGS")
    return made


def _output(source: argparse.ArgumentParser) -> None:
    text = "write there, and scripts that hooks need beside it; without it all goes to standard output"
    source.add_argument("-o", "--output", metavar="FILE", help=text)


def _words(words: list[str]) -> list[str]:
    return words[1:] if words[:1] == ["--"] else words


def _write(draft: Draft, output: str | None) -> None:
    """The file and its scripts. An existing one is not written over."""
    if output is None:
        sys.stdout.write(draft.ini())
        for path, text in draft.scripts.items():
            sys.stdout.write("".join(f"# {line}\n" for line in ("", f"{path}:", "", *text.splitlines())))
        return
    _create(output, draft.ini(), 0o640)
    for path, text in draft.scripts.items():
        script = os.path.join(os.path.dirname(output), path)
        os.makedirs(os.path.dirname(script), exist_ok=True)
        _create(script, text, 0o755)


def _create(path: str, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def _complain(lines: Iterable[str], status: int) -> int:
    for line in lines:
        print(f"rtmpd migrate: {line}", file=sys.stderr)
    return status
