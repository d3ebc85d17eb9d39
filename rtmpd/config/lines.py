"""Finds the line of each key, and values that configobj would silently misread.

configobj says nothing about the line of a value once it is parsed, and cuts an unquoted value at ``#``
even without a space before it. It matches section headers with a pattern whose time grows with the
square of the line's length, and values with one whose time doubles with each item of a list that ends
in an open quote. So the text is scanned here first, and lines that would fail never reach it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .entries import Path

MAX_FILE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 4096
HASH_HINT = "quote values that contain a #, or put a space before the # of a comment"

_SECTION = re.compile(r"""(\[+)(\s*(?:"[^"]*"|'[^']*')\s*|[^\[\]]*)(\]+)\s*(?:#.*)?""")
_PLAIN_NAME = re.compile(r"[\w./@:+-]+(?: +[\w./@:+-]+)*")
_NEEDS_QUOTES = re.compile(r"^$|^\s|\s$|[,#'\"\n]")
_KEY = re.compile(r"(\"[^\"]*\"|'[^']*'|[^\"'=\[#][^=]*?)\s*=\s*(.*)")
_UNQUOTED = re.compile(r"[^,#]*")
_TRIPLE = ("'''", '"""')


@dataclass(frozen=True, slots=True)
class Line:
    """A section header (``key`` "") or a key. ``number`` counts from 1, ``text`` is the raw value or
    header, ``brackets`` how many a header has on either side."""

    number: int
    path: Path
    key: str
    text: str
    brackets: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Lint:
    """A line that cannot be used as it stands."""

    number: int
    key: str
    message: str
    text: str
    hint: str


def too_long(lines: list[str]) -> list[Lint]:
    """Lines that must not reach the parser."""
    return [
        Lint(number, "", f"the line is longer than {MAX_LINE_BYTES} bytes", line[:40] + "...", "")
        for number, line in enumerate(lines, 1)
        if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES
    ]


def scan(lines: list[str]) -> Iterator[Line]:
    """Every section header and key, in order. Lines that are neither are left to the parser."""
    path: Path = ()
    inside = ""
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if inside:
            inside = "" if inside in line else inside
            continue
        if header := _SECTION.fullmatch(line):
            path = (*path[: len(header[1]) - 1], _unquote(header[2].strip()))
            yield Line(number, path, "", line, (len(header[1]), len(header[3])))
        elif pair := _KEY.fullmatch(line):
            inside = next((mark for mark in _TRIPLE if pair[2].startswith(mark) and pair[2].count(mark) == 1), "")
            yield Line(number, path, _unquote(pair[1]), pair[2])


def lint(line: Line) -> Lint | None:
    """What is wrong with the value of a key: it would be cut, or it would not parse."""
    if not line.key or line.text.startswith(_TRIPLE):
        return None
    try:
        _end_of_value(line.text)
    except _Fault as fault:
        return Lint(line.number, ".".join((*line.path, line.key)), fault.args[0], line.text, fault.args[1])
    return None


def without_comment(row: str, line: Line) -> str:
    """``row`` as far as the value of ``line``, which has passed the lint, goes: configobj may take the
    quotes and commas of a comment for the value's."""
    if not line.key or line.text.startswith(_TRIPLE):
        return row
    comment = line.text[_end_of_value(line.text) :]
    return row.rstrip().removesuffix(comment)


def quoted(text: str) -> str:
    """Return ``text`` as the value of a key, or an item of it, so that it is read back as it is.

    Raises ValueError for a text that no quotes can hold: with ``'''`` and ``\"\"\"`` in it.
    """
    if not _NEEDS_QUOTES.search(text):
        return text
    if "\n" not in text and "'" not in text:
        return f'"{text}"' if '"' not in text else f"'{text}'"
    if "\n" not in text and '"' not in text:
        return f'"{text}"'
    for mark in _TRIPLE:
        if mark not in text and not text.endswith(mark[0]) and not text.startswith(mark[0]):
            return f"{mark}{text}{mark}"
    raise ValueError("has quotes of both kinds that no quotes can hold")


def header(name: str, depth: int) -> str:
    """Return the header of a section, whatever its name. Raises ValueError for a name with a line end or with both
    kinds of quotes."""
    if not _PLAIN_NAME.fullmatch(name):
        if "\n" in name or ('"' in name and "'" in name):
            raise ValueError("has a line end, or quotes of both kinds")
        name = f"'{name}'" if '"' in name else f'"{name}"'
    return "[" * depth + name + "]" * depth


class _Fault(Exception):
    """Return message and hint for a value that is not a list of quoted and unquoted items."""


def _end_of_value(value: str) -> int:
    """Return where the comment after a value starts, or the length of the text without a comment."""
    at = 0
    while at < len(value) and value[at] != "#":
        if value[at] == "," and value != ",":
            raise _Fault("has an empty item", 'write "" for an empty string')
        at = _end_of_item(value, at)
        if value[at : at + 1] == ",":
            at += 1
        while value[at : at + 1].isspace():
            at += 1
    return at


def _end_of_item(value: str, start: int) -> int:
    """Where the item at ``start`` ends: at a comma, a comment or the end of the value."""
    quote = value[start]
    if quote not in "'\"":
        at = _UNQUOTED.match(value, start).end()  # type: ignore[union-attr]  # it also matches nothing
        if value[at : at + 1] == "#" and not value[at - 1].isspace():
            raise _Fault("would be cut at the #, which starts a comment", HASH_HINT)
        return at
    at = value.find(quote, start + 1) + 1
    if at == 0:
        raise _Fault("has a quote that is not closed", "close it, or quote the whole value with the other kind")
    while value[at : at + 1].isspace():
        at += 1
    if value[at : at + 1] not in ("", ",", "#"):
        raise _Fault("has text after a closing quote", "quote the whole value")
    return at


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0] else text
