"""Checks entries against the table of options, and collects every problem."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import Problem
from .entries import Entry, Origin, Path, Tree
from .expand import expand, exposed_files
from .flags import CommandLine
from .options import MANY, Option, SectionSpec, Spec
from .values import BadValue, nearest

Values = dict[str, Any]


class Checked:
    """Checked values by section path and key, as far as they were given, and where each stands.

    ``value`` falls back to the default of the table. ``problems`` and ``warnings`` grow as the
    settings are built from it.
    """

    def __init__(self, spec: Spec, tree: Tree, problems: list[Problem]) -> None:
        self.spec = spec
        self.tree = tree
        self.problems = problems
        self.warnings: list[Problem] = []
        self.given: dict[Path, Values] = {}
        self.command_line: CommandLine | None = None

    def value(self, section: str, key: str) -> Any:
        """A value of a section of the first level, or its default."""
        given = self.given.get((section,), {})
        return given[key] if key in given else self.spec.option(section, key).default_value()

    def fields(self, section: str, *without: str) -> Values:
        """The section as fields of its settings slice."""
        options = self.spec.sections[section].options.values()
        return {o.field: self.value(section, o.key) for o in options if o.key not in without}

    def subsections(self, section: str) -> dict[str, Values]:
        """The given values of each ``[[name]]``, in the order of the files."""
        return {path[1]: given for path, given in self.given.items() if len(path) == 2 and path[0] == section}

    def inner(self, path: Path, kind: str = "") -> dict[Path, Values]:
        """The given values of each ``[[[name]]]`` of the subsection at ``path``, by its own path; of those that are
        called ``kind`` or ``kind-ANYTHING``, if it is given."""
        found = {inner: given for inner, given in self.given.items() if len(inner) == 3 and inner[:2] == path}
        return {inner: given for inner, given in found.items() if kind in ("", inner[-1].partition("-")[0])}

    def where(self, path: Path) -> str:
        """Where the key or section at ``path`` stands, or else the section that it belongs to; "" if nowhere."""
        while path and not self._origin(path).where:
            path = path[:-1]
        return self._origin(path).where if path else ""

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        """Something is wrong with the key or section at ``path``."""
        self.problems.append(self._origin(path).problem(path, message, hint))

    def warning(self, path: Path, message: str, hint: str = "") -> None:
        """Something is odd about the key or section at ``path``, but can be run."""
        self.warnings.append(self._origin(path).problem(path, message, hint))

    def _origin(self, path: Path) -> Origin:
        entry = self.tree.sections.get(path[:-1], {}).get(path[-1])
        return entry.origin if entry else self.tree.origins.get(path, Origin(""))


def check(spec: Spec, tree: Tree, environ: Mapping[str, str], problems: list[Problem]) -> Checked:
    """Check every entry of ``tree``; unknown sections and keys are problems too."""
    checked = Checked(spec, tree, problems)
    for path, entries in tree.sections.items():
        section = spec.find(path)
        if section is None:
            _unknown_section(checked, path, entries)
            continue
        checked.given.setdefault(path, {})
        for key, entry in entries.items():
            _check_entry(checked, section, (*path, key), entry, environ)
    return checked


def _is_key(spec: Spec, path: Path) -> bool:
    parent = spec.find(path[:-1])
    return parent is not None and path[-1] in parent.options


def _check_entry(checked: Checked, section: SectionSpec, path: Path, entry: Entry, environ: Mapping[str, str]) -> None:
    option = section.options.get(path[-1]) or section.options.get(MANY)
    if option is None:
        checked.problem(path, "no such key", nearest(path[-1], list(section.options)))
        return
    try:
        value = option.check(_expanded(entry, environ))
    except BadValue as error:
        checked.problem(path, str(error), error.hint)
        return
    for file in _exposed(option, entry):
        checked.warning(path, f"{file} holds a secret, and everybody can read it", f"chmod o-r {file}")
    if option.kind == "path" and value and entry.origin.directory:
        value = os.path.join(entry.origin.directory, value)
    checked.given[path[:-1]][path[-1]] = value


def _expanded(entry: Entry, environ: Mapping[str, str]) -> str | list[str]:
    """A flag has been expanded where the command line was taken in."""
    directory = entry.origin.directory
    if not directory:
        return entry.value
    if isinstance(entry.value, list):
        return [expand(item, environ, directory) for item in entry.value]
    return expand(entry.value, environ, directory)


def _exposed(option: Option, entry: Entry) -> list[str]:
    """The files of secrets in a value that every user of the machine may read."""
    items = entry.value if isinstance(entry.value, list) else [entry.value]
    return [file for item in items for file in exposed_files(item, entry.origin.directory)] if option.secret else []


def _unknown_section(checked: Checked, path: Path, entries: dict[str, Entry]) -> None:
    known = list(checked.spec.sections)
    if not path:
        for key in entries:
            hint = f"write [{key}]" if key in known else "put it below a [section]"
            checked.problem((key,), "a key outside every section", hint)
        return
    if len(path) == 1:
        checked.problem(path, "no such section", nearest(path[0], known))
    elif path[0] not in known:
        return  # its first part was reported
    elif _is_key(checked.spec, path):
        checked.problem(path, "is a key, not a section", f"write {path[-1]} = ...")
    elif len(path) > 2:
        parent = checked.spec.find(path[:-1])
        if parent and parent.inner:
            checked.problem(path, "no such section", nearest(path[-1], list(parent.inner)))
        else:
            checked.problem(path, "sections are not nested this deep")
    else:
        checked.problem(path, f"[{path[0]}] has no subsections")

