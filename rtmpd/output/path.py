"""File names of recordings: a template, filled with names that clients chose.

What stands in the template is the operator's and may make directories. What is filled in comes from the network, so
each value is made into a plain part of a file's name: it can neither leave the directory nor hide a file.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from string import Formatter
from typing import Final

from ..text import find_unshowable

_MAX_BYTES: Final = 96  # of one value: two of them, a time and a suffix still make a name that file systems take
_UNSAFE: Final = frozenset('/\\:*?"<>|')
_USUAL_TIME: Final = "%Y%m%d-%H%M%S"


#: What directives of strftime become.
_DIRECTIVES: Final = {
    "Y": "[0-9]{4}", "j": "[0-9]{3}", "s": "[0-9]+", "%": "%", "F": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    **dict.fromkeys("mdHMSyIUWVCgu", "[0-9]{1,2}"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Name:
    """What a template is filled with. ``wall`` is Unix time, shown as local time; ``segment`` counts from 1."""

    app: str
    name: str
    session_id: str
    wall: float
    segment: int


def safe(text: str) -> str:
    """``text`` as a part of a file's name: without separators, control characters and a dot in front, at most 96 bytes
    and never empty."""
    clean = "".join("_" if char in _UNSAFE or find_unshowable(char) else char for char in text)
    if clean.startswith((".", "-", "~")):
        clean = "_" + clean[1:]
    cut = clean.encode("utf-8", "replace")[:_MAX_BYTES].decode("utf-8", "ignore")
    return cut.rstrip() or "_"


def render(template: str, name: Name) -> str:
    """The path that ``template`` means, relative to the directory of recordings. The template was checked when it was
    read."""
    local = time.localtime(name.wall)
    parts: list[str] = []
    for literal, field, spec, _ in Formatter().parse(template):
        parts.append(literal)
        if field == "time":
            parts.append(time.strftime(spec or _USUAL_TIME, local))
        elif field == "segment":
            parts.append(format(name.segment, spec or "d"))
        elif field is not None:
            parts.append(safe({"app": name.app, "name": name.name, "session": name.session_id}[field]))
    return "".join(parts)


def pattern(template: str, app: str, is_mp4: bool) -> str:
    """A regular expression for every path that ``template`` may mean, with the numbers of ``with_suffix`` and, where
    recordings are MP4, with either ending. ``app`` is the application, "" for any, which is then the group ``app``."""
    stem, dot, extension = template.rpartition(".")
    if not stem or "/" in extension or "}" in extension:
        stem, dot, extension = template, "", ""
    parts: list[str] = []
    has_app = False
    for literal, field, spec, _ in Formatter().parse(stem):
        parts.append(re.escape(literal))
        if field == "time":
            parts.append(_time_pattern(spec or _USUAL_TIME))
        elif field == "segment":
            parts.append("[0-9]+")
        elif field == "app" and app:
            parts.append(re.escape(safe(app)))
        elif field == "app" and not has_app:
            has_app = True
            parts.append("(?P<app>[^/]+)")
        elif field is not None:
            parts.append("[^/]+")
    ending = "(flv|mp4)" if extension == "flv" and is_mp4 else re.escape(extension)
    return f"{''.join(parts)}(-[0-9]+)?{re.escape(dot)}{ending}"


def _time_pattern(spec: str) -> str:
    """A regular expression for what ``strftime`` makes of ``spec``: digits where it makes digits."""
    return "".join(
        _DIRECTIVES.get(part[1], "[^/]+") if part[0] == "%" else re.escape(part)
        for part in re.findall(r"%.|[^%]+", spec, re.DOTALL)
    )


def with_suffix(path: str, number: int) -> str:
    """``a-2.flv`` for ``a.flv`` and 2; 0 is the path itself."""
    if not number:
        return path
    folder, slash, file = path.rpartition("/")
    stem, dot, extension = file.rpartition(".")
    if not stem:
        stem, dot, extension = file, "", ""
    return f"{folder}{slash}{stem}-{number}{dot}{extension}"
