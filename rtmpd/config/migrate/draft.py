"""A configuration in the making: settings by section, the scripts that they need, and notes on what did not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..entries import Path
from ..options import spec

DIFFERS = "differs"
ABSENT = "no equivalent"

Value = str | Sequence[str]

_NEEDS_QUOTES = re.compile(r"^$|^\s|\s$|[,#'\"]")
_NO_NAME = re.compile(r"[^A-Za-z0-9_]+")
_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Note:
    """What became of one line. ``where`` is ``file:line`` or a flag, ``what`` the directive, ``verdict`` DIFFERS or
    ABSENT."""

    where: str
    what: str
    verdict: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.verdict}: {self.text}"


@dataclass(frozen=True, slots=True)
class _Setting:
    value: Value
    where: str


class Draft:
    """What a reader found. ``scripts`` are texts of programs by their path beside the file."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.notes: list[Note] = []
        self.scripts: dict[str, str] = {}
        self.carried = 0
        self._sections: dict[Path, dict[str, _Setting]] = {}

    # --- filling --------------------------------------------------------------------------------

    def put(self, path: Path, key: str, value: Value, where: str) -> None:
        """Set a key; ``value`` is written so that it is read back as it is, references (``${...}``) and all. Another
        value that stands there already is told and replaced."""
        before = self.get(path, key)
        if before is not None and before != value:
            self.differs(where, key, f"stands here more than once, and {_dotted(path)} has one; this one is taken")
        self._sections.setdefault(path, {})[key] = _Setting(value, where)
        self.carried += 1

    def add(self, path: Path, key: str, values: Sequence[str], where: str) -> None:
        """Put more items into a list."""
        before = self._sections.get(path, {}).pop(key, None)
        items = [before.value] if before and isinstance(before.value, str) else list(before.value) if before else []
        self.put(path, key, list(dict.fromkeys([*items, *values])), where)

    def drop(self, path: Path, key: str) -> None:
        """Forget a key."""
        self._sections.get(path, {}).pop(key, None)

    def get(self, path: Path, key: str) -> Value | None:
        """What was put, None if nothing was."""
        setting = self._sections.get(path, {}).get(key)
        return setting.value if setting else None

    def open(self, path: Path) -> None:
        """Have a section, even if nothing stands in it."""
        self._sections.setdefault(path, {})

    def hook(self, name: str) -> Path:
        """The path of a new [[hook]] that is called ``name``, or much like it."""
        plain = (_NO_NAME.sub("-", name).strip("-") or "hook")[: _NAME_LENGTH - 4]
        path, number = ("hooks", plain), 1
        while path in self._sections:
            number += 1
            path = ("hooks", f"{plain}_{number}")
        self.open(path)
        return path

    def differs(self, where: str, what: str, text: str) -> None:
        """Tell that something was carried over and means something else."""
        self.notes.append(Note(where, what, DIFFERS, text))

    def absent(self, where: str, what: str, text: str) -> None:
        """Tell that something was not carried over."""
        self.notes.append(Note(where, what, ABSENT, text))

    @property
    def is_whole(self) -> bool:
        """Whether everything has an equivalent."""
        return all(note.verdict != ABSENT for note in self.notes)

    # --- writing --------------------------------------------------------------------------------

    def ini(self) -> str:
        """The file. Sections stand in the order of the sample file, each value with where it came from."""
        rows = [f"# Made by rtmpd migrate from {self.source}."]
        if self.notes:
            rows += ["#", "# What it says and this file does not, or otherwise:", "#"]
            rows += [f"# {_one_line(str(note))}" for note in self.notes]
        for name in spec().sections:
            paths = [path for path in self._sections if path[0] == name]
            if paths:
                rows += ["", f"[{name}]"]
            for path in _nested(paths):
                rows += self._section(path)
        return "\n".join(rows) + "\n"

    def _section(self, path: Path) -> Iterator[str]:
        depth = len(path)
        indent = "  " * (depth - 1)
        if depth > 1:
            yield indent + "[" * depth + path[-1] + "]" * depth
        for key, setting in self._sections.get(path, {}).items():
            yield f"{indent}{key} = {written(setting.value)}  # {_one_line(setting.where)}"


def literal(text: str) -> str:
    """Text that holds no reference: its dollar signs are signs."""
    return text.replace("$", "$$")


def written(value: Value) -> str:
    """A value as it stands in a file."""
    if isinstance(value, str):
        return _quoted(value)
    return ", ".join(_quoted(item) for item in value) if value else '""'


def _quoted(text: str) -> str:
    if "\n" in text or ('"' in text and "'" in text):
        return f"'''{text}'''"
    if not _NEEDS_QUOTES.search(text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def _nested(paths: Sequence[Path]) -> list[Path]:
    """Sections before what is in them, each family together, in the order in which they were made."""
    top = list(dict.fromkeys(path[:2] for path in paths))
    top.sort(key=len)
    return [path for first in top for path in [first, *(p for p in paths if len(p) > 2 and p[:2] == first)]]


def _dotted(path: Path) -> str:
    return "".join(f"{'[' * depth}{name}{']' * depth}" for depth, name in enumerate(path, 1))


def _one_line(text: str) -> str:
    return " ".join(text.split())
