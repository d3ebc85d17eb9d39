"""The table of options, read from ``rtmpd.spec``.

The spec is a configobj configspec. Above each key stand comment lines: its help, and at most one
directive line ``#: word=value ...``:

=============  =================================================================================
``reload=``    ``yes`` or ``restart``; on a section it holds for all keys in it
``field=``     the field of the settings slice, where it is not the key plus the check's unit
``override=``  ``no`` for a key of [apps] that a subsection cannot override
``secret=``    ``yes`` for a value that is never shown
``name=``      on ``[[__many__]]``: the name of the example in the sample file
``example=``   the value in the sample file, where the default would not help
=============  =================================================================================

A key ``__many__`` stands for any. ``[[__many__]]`` without keys takes those of its parent; what it does not set, the
parent does. A subsection of it, ``[[[name]]]``, may stand several times in a file, as ``[[[name]]]`` and
``[[[name-ANYTHING]]]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from configobj import ConfigObj
from configobj.validate import Validator

from . import grants, http_values, octal, output_values, values
from .entries import Path as SectionPath

SPEC_FILE = Path(__file__).with_name("rtmpd.spec")
MANY = "__many__"

_CHECK = re.compile(r"(?P<kind>\w+)\((?P<arguments>.*?)(?:,\s*)?(?:default=\"(?P<default>[^\"]*)\")?\)")
_UNIT_SUFFIX = {"seconds": "_s", "milliseconds": "_ms"}
_ROOMS = (values, grants, http_values, octal, output_values)
_VALIDATOR = Validator({name: check for room in _ROOMS for name, check in room.CHECKS.items()})


@dataclass(frozen=True, slots=True)
class Option:
    """One key. ``default`` is text as in a file, or None; ``arguments`` are those of
    the check, as text; ``field`` names the field of the settings slice."""

    key: str
    kind: str
    arguments: str
    default: str | None
    help: tuple[str, ...]
    field: str
    reload: str
    overridable: bool = True
    example: str = ""
    secret: bool = False

    @property
    def shown_key(self) -> str:
        """The key as manuals have it."""
        return "NAME" if self.key == MANY else self.key

    def check(self, value: values.Text) -> Any:
        """The checked value. Raises ``values.BadValue``."""
        return _VALIDATOR.check(f"{self.kind}({self.arguments})", value)

    def default_value(self) -> Any:
        """The checked default, or None."""
        return None if self.default is None else self.check(self.default)


@dataclass(frozen=True, slots=True)
class SectionSpec:
    """One section: its keys, and the form of its subsections if it can have any. ``inherits`` is true for
    a subsection that has the keys of its parent; ``example`` names it in the sample file. ``inner`` are the sections
    of the third level by name."""

    path: SectionPath
    help: tuple[str, ...]
    options: dict[str, Option] = field(default_factory=dict)
    many: SectionSpec | None = None
    example: str = ""
    inherits: bool = False
    inner: dict[str, SectionSpec] = field(default_factory=dict)

    def family(self) -> Iterator[SectionSpec]:
        """This section and those below it, in the order of the file."""
        yield self
        for below in (*([self.many] if self.many else []), *self.inner.values()):
            yield from below.family()


@dataclass(frozen=True, slots=True)
class Spec:
    """Every section in the order of the file, and the paragraph at its top."""

    help: tuple[str, ...]
    sections: dict[str, SectionSpec]

    def find(self, path: SectionPath) -> SectionSpec | None:
        """The section at ``path``, None if there can be none."""
        section = self.sections.get(path[0]) if path else None
        if section and len(path) > 1:
            section = section.many
        if section and len(path) > 2:
            section = section.inner.get(path[2].partition("-")[0])
        return section if len(path) < 4 else None

    def option(self, section: str, key: str) -> Option:
        """One option of a section of the first level. Raises ``KeyError``."""
        return self.sections[section].options[key]

    def hook_option(self, key: str, *inner: str) -> Option:
        """One option of a [[hook]], or of a section inside of it. Raises ``KeyError``."""
        section = self.find(("hooks", MANY, *inner))
        assert section is not None
        return section.options[key]

    def secret_keys(self) -> frozenset[str]:
        """The keys whose values are never shown."""
        families = (one for section in self.sections.values() for one in section.family())
        return frozenset(option.key for one in families for option in one.options.values() if option.secret)


@cache
def spec() -> Spec:
    """The table; read once."""
    parsed = ConfigObj(str(SPEC_FILE), list_values=False, interpolation=False, _inspec=True, encoding="utf-8")
    top, first = _split_top(parsed.initial_comment)
    comments = {**parsed.comments, parsed.sections[0]: first}
    return Spec(top, {name: _section(parsed[name], comments[name]) for name in parsed.sections})


def _split_top(lines: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The comment at the top of the file ends at its last blank line; the rest is the first section's."""
    at = max(index for index, line in enumerate(lines) if not line.strip())
    return _comment(lines[:at])[0], lines[at:]


def _section(parsed: Any, comment: list[str]) -> SectionSpec:
    help, directives = _comment(comment)
    options = {
        key: _option(key, parsed[key], parsed.comments[key], directives.get("reload", "")) for key in parsed.scalars
    }
    path = (parsed.name,)
    many = None
    if MANY in parsed.sections:
        many = _many(path, parsed[MANY], parsed.comments[MANY], options, directives.get("reload", ""))
    return SectionSpec(path, help, options, many)


def _many(
    parent: SectionPath, parsed: Any, comment: list[str], inherited: dict[str, Option], reload: str
) -> SectionSpec:
    help, directives = _comment(comment)
    options = {key: _option(key, parsed[key], parsed.comments[key], reload) for key in parsed.scalars}
    inherits = not options
    if inherits:
        options = {key: option for key, option in inherited.items() if option.overridable}
    path = (*parent, MANY)
    inner = {name: _inner((*path, name), parsed[name], parsed.comments[name], reload) for name in parsed.sections}
    return SectionSpec(path, help, options, None, directives.get("name", ""), inherits, inner)


def _inner(path: SectionPath, parsed: Any, comment: list[str], reload: str) -> SectionSpec:
    options = {key: _option(key, parsed[key], parsed.comments[key], reload) for key in parsed.scalars}
    return SectionSpec(path, _comment(comment)[0], options, example=path[-1])


def _option(key: str, check: str, comment: list[str], reload: str) -> Option:
    match = _CHECK.fullmatch(check)
    if match is None:
        raise ValueError(f"{SPEC_FILE}: {key}: {check!r} is not a check")
    help, directives = _comment(comment)
    return Option(
        key=key,
        kind=match["kind"],
        arguments=match["arguments"],
        default=match["default"],
        help=help,
        field=directives.get("field", key + _UNIT_SUFFIX.get(match["kind"], "")),
        reload=directives.get("reload", reload),
        overridable=directives.get("override") != "no",
        example=directives.get("example", ""),
        secret=directives.get("secret") == "yes",
    )


def _comment(lines: list[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Help lines and directives of the comment above a key or section."""
    help: list[str] = []
    directives: dict[str, str] = {}
    for line in (line.strip() for line in lines):
        if line.startswith("#:"):
            for word in line[2:].split():
                name, _, value = word.partition("=")
                directives[name] = value
        elif line:
            help.append(line[1:].removeprefix(" "))
    return tuple(help), directives
