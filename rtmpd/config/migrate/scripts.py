"""Commands of other servers as scripts for a hook: their variables come from the event, and each word stays a word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .draft import Draft

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_REDIRECTION = re.compile(r"(\d?(?:>>|>|<)&?)(.*)")
_SPECIAL = re.compile(r'([\\"`$])')
_SHELLS = ("sh", "bash", "dash", "zsh")


def add(draft: Draft, name: str, words: Sequence[str], variables: Mapping[str, str], where: str) -> str:
    """Put a script that runs ``words`` into the draft; its path. ``variables`` has the words of the shell that stand
    for the variables of the other server."""
    used = {one or other for word in words for one, other in _VARIABLE.findall(word)}
    rows = ["#!/bin/sh", f"# From {where}. The event is in the environment: see docs/events.md."]
    rows += [f"{variable}={variables[variable]}" for variable in variables if variable in used]
    for unknown in sorted(used - set(variables)):
        draft.differs(where, f"${unknown}", "is not known to an event of rtmpd, and empty in the script")
        rows.append(f'{unknown}=""')
    if used and words[0].rpartition("/")[2] in _SHELLS and "-c" in words:
        text = "a name that a publisher chose becomes part of a shell's text; take it from the environment instead"
        draft.differs(where, words[0], text)
    rows.append("exec " + " ".join(_word(word) for word in words))
    path = f"scripts/{name}.sh"
    draft.scripts[path] = "\n".join(rows) + "\n"
    return path


def _word(word: str) -> str:
    """One word in double quotes, with its variables; a redirection keeps its sign."""
    redirection = _REDIRECTION.fullmatch(word)
    if redirection and redirection[1].endswith("&"):
        return word if redirection[2].isdigit() else f'{redirection[1]}"{_escaped(redirection[2])}"'
    if redirection and redirection[2]:
        return f"{redirection[1]}{_quoted(redirection[2])}"
    return word if redirection else _quoted(word)


def _quoted(text: str) -> str:
    parts, at = [], 0
    for match in _VARIABLE.finditer(text):
        parts += [_escaped(text[at : match.start()]), "${" + (match[1] or match[2]) + "}"]
        at = match.end()
    return '"' + "".join(parts) + _escaped(text[at:]) + '"'


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
