"""Entries of files and flags, with their places, before any check."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import Problem

Path = tuple[str, ...]

_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]*@")
_REFERENCE = re.compile(r"\$\{(?:file:)?[^}:]*\}")
_QUERY_VALUE = re.compile(r"([?&][^=&\s]*)=[^&\s]*")


def masked(text: str) -> str:
    """``text`` without the passwords and query values of URLs in it: it may be shown and logged."""
    if "://" not in text:
        return text
    return _QUERY_VALUE.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", text))


def hidden(text: str) -> str:
    """What may be shown of a secret: a reference to one, nothing of any other."""
    return text if _REFERENCE.fullmatch(text) else "***" if text else ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value stands. ``where`` is ``file:line`` or a flag, ``text`` the raw text there;
    ``directory`` is what relative paths start from, "" for the working directory."""

    where: str
    text: str = ""
    directory: str = ""

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        """A problem of the value or section at ``path``."""
        return Problem(self.where, ".".join(path), message, masked(self.text), hint)


@dataclass(frozen=True, slots=True)
class Entry:
    """The value of one key, as text; a list where unquoted commas separate it."""

    value: str | list[str] = field(repr=False)
    origin: Origin


@dataclass(frozen=True, slots=True)
class HookFlag:
    """One ``-hook-script`` or ``-hook-webhook``. ``id`` and ``type`` are those of the hook."""

    id: str
    type: str
    event_type: str
    target: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class HookOptionFlag:
    """A flag that sets ``key`` of a [[hook]] for the hooks of the command line."""

    key: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class AuthFlag:
    """A flag that sets ``key`` of an [[[auth]]] of ``type`` for the webhooks of the command line; with ``type`` "" one
    of their ``headers``."""

    type: str
    key: str
    entry: Entry


class Tree:
    """Sections by path, each with its entries by key. A later ``put`` of the same key wins."""

    __slots__ = ("origins", "sections")

    def __init__(self) -> None:
        self.sections: dict[Path, dict[str, Entry]] = {}
        self.origins: dict[Path, Origin] = {}

    def open(self, path: Path, origin: Origin) -> None:
        """A section header was seen."""
        self.sections.setdefault(path, {})
        self.origins[path] = origin

    def put(self, path: Path, key: str, entry: Entry) -> None:
        """Set a key, in a section that may not have been opened."""
        self.sections.setdefault(path, {})[key] = entry

    def origin(self, path: Path, key: str) -> Origin:
        """Where a key was given; an origin without a place if it was not."""
        entry = self.sections.get(path, {}).get(key)
        return entry.origin if entry else Origin("")
