"""Where each key of a file stands, and what configobj would silently read otherwise than meant.

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

_SECTION = re.compile(r"(\[+)([^\[\]]*)\]+\s*(?:#.*)?")
_KEY = re.compile(r"(\"[^\"]*\"|'[^']*'|[^\"'=\[#][^=]*?)\s*=\s*(.*)")
_UNQUOTED = re.compile(r"[^,#]*")
_TRIPLE = ("'''", '"""')


@dataclass(frozen=True, slots=True)
class Line:
    """A section header (``key`` "") or a key. ``number`` counts from 1, ``text`` is the raw value or
    header."""

    number: int
    path: Path
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Lint:
    """A line that can not be used as it stands."""

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
            yield Line(number, path, "", line)
        elif pair := _KEY.fullmatch(line):
            inside = next((mark for mark in _TRIPLE if pair[2].startswith(mark) and pair[2].count(mark) == 1), "")
            yield Line(number, path, _unquote(pair[1]), pair[2])


def lint(line: Line) -> Lint | None:
    """What is wrong with the value of a key: it would be cut, or it would not parse."""
    if not line.key or line.text.startswith(_TRIPLE):
        return None
    fault = _fault(line.text)
    return fault and Lint(line.number, ".".join((*line.path, line.key)), fault[0], line.text, fault[1])


def _fault(value: str) -> tuple[str, str] | None:
    """Message and hint for a value that is no list of quoted and unquoted items with a comment."""
    rest = value.strip()
    if rest == ",":
        return None  # an empty list
    while rest[:1] not in ("", "#"):
        if rest[0] == ",":
            return "has an empty item", 'write "" for an empty string'
        if rest[0] in "'\"":
            item, closed, rest = rest[1:].partition(rest[0])
            rest = rest.lstrip()
            if not closed:
                return "has a quote that is not closed", "close it, or quote the whole value with the other kind"
            if rest[:1] not in ("", ",", "#"):
                return "has text after a closing quote", "quote the whole value"
        else:
            item = _UNQUOTED.match(rest)[0]  # type: ignore[index]  # it can match nothing, so it always matches
            rest = rest[len(item) :]
            if rest[:1] == "#" and not item[-1].isspace():
                return "would be cut at the #, which starts a comment", HASH_HINT
        rest = rest.removeprefix(",").lstrip()
    return None


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0] else text
