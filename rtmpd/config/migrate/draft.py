"""A configuration in the making: settings by section, the scripts that they need, and notes on what did not fit.

Who may publish and play is carried over so that nobody gets in who was refused before: a rule that cannot be written
here is refused (``Draft.refuse``), never left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...errors import Problem
from .. import lines
from ..entries import Path
from ..options import Option, spec
from ..values import BadValue

DIFFERS = "differs"
ABSENT = "no equivalent"

EVERYWHERE = ("0.0.0.0/0", "::/0")

Value = str | Sequence[str]

_NO_NAME = re.compile(r"[^A-Za-z0-9_]+")
_NAME_LENGTH = 64
_REFERENCE = re.compile(r"(?:^|[^$])(?:\$\$)*\$\{")
_OF_ACCESS = re.compile(r"(publish|play)_(access|tokens|allow|deny)|(play_)?callback_(url|answer)")
_NOT_HERE = re.compile(r"environment variable|is not a file|is not a directory|No such file|rtmpd may not write")


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
        self._refused: set[tuple[Path, str]] = set()

    # --- filling --------------------------------------------------------------------------------

    def put(self, path: Path, key: str, value: Value, where: str) -> None:
        """Set a key; ``value`` is written so that it is read back as it is, references (``${...}``) and all.

        Another value that is there already is noted and replaced. A value beyond the option's bounds becomes the bound,
        and one that the option cannot take is left out; both are noted. Where that is a rule of who may, its action is
        refused.
        """
        if any((path, action) in self._refused for action in _actions(key) if key.endswith(("_allow", "_deny"))):
            return
        fitting = self._fitting(path, key, value, where)
        if fitting is None:
            if _actions(key):
                self.refuse(path, _actions(key), where, key, "the rule cannot be carried over")
            return
        before = self.get(path, key)
        if before is not None and before != fitting:
            self.differs(where, key, f"is set more than once, and {_dotted(path)} has one; this one is taken")
        self._sections.setdefault(path, {})[key] = _Setting(fitting, where)
        self.carried += 1

    def add(self, path: Path, key: str, values: Sequence[str], where: str) -> None:
        """Put more items into a list. Items that the option cannot take are left out and noted."""
        before = self._sections.get(path, {}).pop(key, None)
        items = [before.value] if before and isinstance(before.value, str) else list(before.value) if before else []
        fitting = [value for value in values if self._fitting(path, key, value, where) is not None]
        if items or fitting or not values:
            self.put(path, key, list(dict.fromkeys([*items, *fitting])), where)

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

    def give_up(self, path: Path) -> None:
        """Forget a section that was opened."""
        self._sections.pop(path, None)

    def refuse(
        self, path: Path, actions: Sequence[str], where: str, what: str, text: str, verdict: str = ABSENT
    ) -> None:
        """Have nobody publish or play in the applications of ``path``: the old server's rule cannot be written here."""
        for action in actions:
            if (path, action) not in self._refused:
                self._refused.add((path, action))
                self.drop(path, f"{action}_allow")
                self._sections.setdefault(path, {})[f"{action}_deny"] = _Setting(EVERYWHERE, where)
        keys = " and ".join(f"{action}_deny" for action in actions)
        nobody = f"nobody may {' or '.join(actions)}: {keys} in {_dotted(path)}"
        hint = f"so that nobody gets in who did not before, {nobody}"
        self._note(Note(where, what, verdict, f"{text}; {hint}"))

    def is_refused(self, path: Path, action: str) -> bool:
        """Whether ``refuse`` was called for an action."""
        return (path, action) in self._refused

    def differs(self, where: str, what: str, text: str) -> None:
        """Note that something was carried over and means something else."""
        self._note(Note(where, what, DIFFERS, text))

    def absent(self, where: str, what: str, text: str) -> None:
        """Note that something was not carried over."""
        self._note(Note(where, what, ABSENT, text))

    def _note(self, note: Note) -> None:
        if note not in self.notes:
            self.notes.append(note)

    @property
    def is_whole(self) -> bool:
        """Whether everything has an equivalent."""
        return all(note.verdict != ABSENT for note in self.notes)

    def _fitting(self, path: Path, key: str, value: Value, where: str) -> Value | None:
        """Return the value, or the nearest one that the option accepts, which is noted; or None."""
        section = spec().find(path)
        option = section.options.get(key) if section else None
        items = [value] if isinstance(value, str) else list(value)
        try:
            for item in items:
                lines.quoted(item)
            if len(items) > 1 and any(lines.quoted(item)[:3] in ("'''", '"""') for item in items):
                raise ValueError("has an item with quotes of both kinds, which a list cannot hold")
        except ValueError as error:
            self.absent(where, key, str(error))
            return None
        if option is None or any(_REFERENCE.search(item) for item in items):
            return value
        plain = [item.replace("$$", "$") for item in items]
        try:
            option.check(plain if len(plain) > 1 else "".join(plain))
        except BadValue as error:
            shown = "the value" if option.secret else " ".join(items)
            bound = _bound(option, str(error))
            if not bound:
                self.absent(where, key, f"{shown} {error}; {error.hint}".rstrip("; "))
                return None
            self.differs(where, key, f"{shown} {error}: {bound} is taken")
            return bound
        return value

    # --- checking and writing -------------------------------------------------------------------

    def judge(self, problems: Iterable[Problem], name: str) -> None:
        """Note what ``rtmpd -t`` has against the file, which was checked as ``name``, at the lines of the source."""
        places = dict(enumerate((place for _, place in self._rows()), 1))
        for problem in problems:
            file, _, number = problem.where.rpartition(":")
            where = places.get(int(number), "") if file == name and number.isdigit() else ""
            text = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
            if problem.key.endswith(".path") and self.get(_path(problem.key), "path") in self.scripts:
                continue  # it is written beside the file
            note = self.differs if _NOT_HERE.search(problem.message) else self.absent
            note(where or self.source, problem.key, f"rtmpd -t refuses the file: {text}")

    def ini(self) -> str:
        """The file. Sections are in the order of the sample file, each value with where it came from."""
        rows = [f"# Made by rtmpd migrate from {_one_line(self.source)}."]
        if self.notes:
            rows += ["#", "# What it says and this file does not, or otherwise:", "#"]
            rows += [f"# {_one_line(str(note))}" for note in self.notes]
        return "\n".join([*rows, *(row for row, _ in self._rows())]) + "\n"

    def settings(self) -> str:
        """The file without its comment at the top, with its lines as ``judge`` counts them."""
        return "\n".join(row for row, _ in self._rows()) + "\n"

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Each line, and where in the source it comes from."""
        for name in spec().sections:
            paths = [path for path in self._sections if path[0] == name]
            if paths:
                yield "", ""
                yield f"[{name}]", ""
            for path in _nested(paths):
                yield from self._section(path)

    def _section(self, path: Path) -> Iterator[tuple[str, str]]:
        depth = len(path)
        indent = "  " * (depth - 1)
        settings = self._sections.get(path, {})
        if depth > 1:
            yield indent + lines.header(path[-1], depth), next((one.where for one in settings.values()), "")
        for key, setting in settings.items():
            text = f"{indent}{key} = {written(setting.value)}  # {_one_line(setting.where)}"
            yield from ((row, setting.where) for row in text.split("\n"))


def literal(text: str) -> str:
    """Text that holds no reference: its dollar signs are signs."""
    return text.replace("$", "$$")


def written(value: Value) -> str:
    """A value as it stands in a file. Raises ValueError for one that no quotes can hold."""
    if isinstance(value, str):
        return lines.quoted(value)
    return ", ".join(lines.quoted(item) for item in value) if value else '""'


def _actions(key: str) -> tuple[str, ...]:
    """What a key is a rule for."""
    match = _OF_ACCESS.fullmatch(key)
    if match is None:
        return ()
    if match[1]:
        return (match[1],)
    return ("play",) if match[3] else ("publish", "play")


def _bound(option: Option, message: str) -> str:
    """The bound that a value is beyond, "" if it is wrong otherwise."""
    if message not in ("is too large", "is too small"):
        return ""
    arguments = dict(part.split("=", 1) for part in option.arguments.replace(" ", "").split(",") if "=" in part)
    return arguments.get("max" if message == "is too large" else "min", "")


def _path(dotted: str) -> Path:
    """The path of the section of a dotted key."""
    section, _, rest = dotted.partition(".")
    return (section, rest.rpartition(".")[0]) if "." in rest else (section,)


def _nested(paths: Sequence[Path]) -> list[Path]:
    """Sections before what is in them, each family together, in the order in which they were made."""
    top = list(dict.fromkeys(path[:2] for path in paths))
    top.sort(key=len)
    return [path for first in top for path in [first, *(p for p in paths if len(p) > 2 and p[:2] == first)]]


def _dotted(path: Path) -> str:
    return "".join(f"{'[' * depth}{name}{']' * depth}" for depth, name in enumerate(path, 1))


def _one_line(text: str) -> str:
    return " ".join(text.split())
