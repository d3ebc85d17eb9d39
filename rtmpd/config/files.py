"""The configuration files as one tree of entries: the main file, then ``conf.d/*.ini`` beside it."""

from __future__ import annotations

import os
import re
from typing import Any

from configobj import ConfigObj, ConfigObjError

from .. import textfile
from ..errors import Problem
from ..textfile import TextFileError
from . import lines
from .entries import Entry, Origin, Path, Tree, hidden, masked
from .options import spec

CONF_D = "conf.d"

_WORD = re.compile(r"\w+")
_AT_LINE = re.compile(r"(?: \(.*\))?(?: \(matched as neither section nor keyword\))? at line \d+\.$")


def read(main: str, tree: Tree, problems: list[Problem]) -> None:
    """Read ``main`` and the files of its ``conf.d`` into ``tree``; later files win."""
    try:
        found = names(main)
    except OSError as error:
        problems.append(Problem(error.filename, "", f"cannot be listed: {error.strerror}"))
        found = [main]
    for name in found:
        _FileReader(name, tree, problems).read()


def names(main: str) -> list[str]:
    """``main`` and the files of the ``conf.d`` beside it, in the order in which they are read. Raises OSError if the
    directory is there and cannot be listed."""
    directory = os.path.join(os.path.dirname(main), CONF_D)
    try:
        drop_ins = sorted(name for name in os.listdir(directory) if name.endswith(".ini") and name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return [main]
    return [main, *(os.path.join(directory, name) for name in drop_ins)]


def read_text(name: str, text: str, tree: Tree, problems: list[Problem]) -> None:
    """Read ``text`` into ``tree`` as if it were in the file ``name``, alone."""
    _FileReader(name, tree, problems).take(text)


class _FileReader:
    """One file: its size, its text, its lines, its syntax, then its entries."""

    def __init__(self, name: str, tree: Tree, problems: list[Problem]) -> None:
        self.name = name
        self.directory = os.path.dirname(os.path.abspath(name))
        self.tree = tree
        self.problems = problems
        self.secret_keys = spec().secret_keys()
        self.origins: dict[Path, Origin] = {}
        self.section_origins: dict[Path, Origin] = {}
        self.names: dict[str, str] = {}

    def read(self) -> None:
        text = self._text()
        if text is not None:
            self.take(text)

    def take(self, text: str) -> None:
        """Read a text that is in the file."""
        # Not splitlines(): that also splits at form feeds and Unicode separators, configobj does not.
        rows = [row.removesuffix("\r") for row in text.split("\n")]
        if not self._drop_long_lines(rows):
            return
        scanned = list(rows)
        self._scan(scanned)
        parsed, whole = self._parse(scanned, rows)
        self._collect(parsed, (), whole)

    def _text(self) -> str | None:
        try:
            return textfile.read(self.name, lines.MAX_FILE_BYTES).text
        except TextFileError as error:
            self._problem(error.line, "", str(error))
            return None

    def _drop_long_lines(self, rows: list[str]) -> bool:
        found = lines.too_long(rows)
        for lint in found:
            self._problem(lint.number, lint.key, lint.message, self._shown(lint.text))
        return not found

    def _scan(self, rows: list[str]) -> None:
        """Note where everything stands; keep from configobj what it must not see. To it a section and a key of the same
        name are one, so it gets each section under a name that no key has."""
        marks: dict[Path, str] = {}
        for line in list(lines.scan(rows)):
            shown = hidden(line.text) if line.key in self.secret_keys else line.text
            origin = Origin(f"{self.name}:{line.number}", shown, self.directory)
            if not line.key:
                mark = marks.setdefault(line.path, f"\x01{len(marks)}")
                self.names[mark] = line.path[-1]
                self.section_origins.setdefault(line.path, origin)
                rows[line.number - 1] = "[" * line.brackets[0] + mark + "]" * line.brackets[1]
                continue
            self.origins.setdefault((*line.path, line.key), origin)
            if lint := lines.lint(line):
                self._problem(lint.number, lint.key, lint.message, shown, lint.hint)
                rows[line.number - 1] = ""
            else:
                rows[line.number - 1] = lines.without_comment(rows[line.number - 1], line)

    def _parse(self, rows: list[str], written: list[str]) -> tuple[Any, bool]:
        """What could be parsed, and whether it was everything. ``written`` are the rows as they stand in the file."""
        try:
            return ConfigObj(rows, interpolation=False, list_values=True, raise_errors=False), True
        except ConfigObjError as failure:
            for error in failure.errors:
                message = _AT_LINE.sub("", str(error)).lower()
                hint = "write [section] or key = value" if message.startswith("invalid line") else ""
                number = error.line_number or 0
                self._problem(number, "", message, self._shown(written[number - 1] if number else error.line), hint)
            return failure.config, False

    def _collect(self, section: Any, path: Path, whole: bool) -> None:
        for key in section.scalars:
            origin = self.origins.get((*path, key))
            if origin is None and not whole:
                continue  # it stands below a section header that did not parse, and was counted to the one above
            self.tree.put(path, key, Entry(section[key], origin or Origin(self.name, "", self.directory)))
        for mark in section.sections:
            inner = (*path, self.names.get(mark, mark))
            self.tree.open(inner, self.section_origins.get(inner) or Origin(self.name, "", self.directory))
            self._collect(section[mark], inner, whole)

    def _shown(self, row: str) -> str:
        """A line that could not be taken apart, as far as it may be shown."""
        first = _WORD.match(row.strip())
        return f"{first[0]} ***" if first and first[0] in self.secret_keys else row.strip()

    def _problem(self, number: int, key: str, message: str, text: str = "", hint: str = "") -> None:
        where = f"{self.name}:{number}" if number else self.name
        self.problems.append(Problem(where, key, message, masked(text), hint))
