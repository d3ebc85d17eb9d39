"""Command lines of go-rtmp and of rtmpd."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields

from ...settings import RetrySettings
from .. import flags
from ..entries import Entry, Path
from ..flags import CommandLine
from ..options import spec
from .draft import Draft

_RETRY = {field.name for field in fields(RetrySettings)}
_EVERY = "*"


def migrate(words: Sequence[str]) -> Draft:
    """Read a command line. Never raises; what cannot be read is noted."""
    draft = Draft("a command line")
    line = flags.parse(words)
    for problem in line.problems:
        draft.absent(problem.where or "command line", problem.text or "flag", problem.message)
    for override in line.overrides:
        if (override.section, override.key) != ("hooks", "stdio_format"):
            _put(draft, (override.section,), override.key, override.entry)
    _hooks(draft, line)
    return draft


def _put(draft: Draft, path: Path, key: str, entry: Entry) -> None:
    """A relative path starts from the working directory on a command line, and from the file's in a file."""
    section = spec().find(path)
    value = entry.value
    if section and section.options[key].kind == "path" and isinstance(value, str) and value and "$" not in value:
        value = os.path.abspath(value)
    draft.put(path, key, value, entry.origin.where)


# --- hooks --------------------------------------------------------------------------------------


def _hooks(draft: Draft, line: CommandLine) -> None:
    """Each hook with what the flags for all of them say: in a file that stands with each."""
    events = [flag.entry for flag in line.hook_options if flag.key == "event_types"]
    for hook in line.hooks:
        path = draft.hook(hook.id)
        draft.put(path, "type", hook.type, hook.origin.where)
        draft.put(path, "path" if hook.type == "script" else "url", hook.target, hook.origin.where)
        if hook.event_type == _EVERY and events:
            _types(draft, path, events)
        else:
            draft.put(path, "event_types", hook.event_type, hook.origin.where)
        _options(draft, path, hook.type, line)
        if hook.type == "webhook":
            _auth(draft, path, line)
    for override in line.overrides:
        if (override.section, override.key) == ("hooks", "stdio_format") and override.entry.value:
            _stdio(draft, override.entry, events, line)


def _stdio(draft: Draft, entry: Entry, events: Sequence[Entry], line: CommandLine) -> None:
    path = ("hooks", "stdio")
    draft.put(path, "type", "stdio", entry.origin.where)
    _put(draft, path, "format", entry)
    if events:
        _types(draft, path, events)
    _options(draft, path, "stdio", line)


def _types(draft: Draft, path: Path, events: Sequence[Entry]) -> None:
    for entry in events:
        draft.add(path, "event_types", _items(entry), entry.origin.where)


def _options(draft: Draft, path: Path, type: str, line: CommandLine) -> None:
    for flag in line.hook_options:
        option = spec().hook_option(flag.key)
        retries = option.field in _RETRY
        delivers = retries or option.field in ("guarantee_level", "confirm_timeout_s", "dead_letter_url")
        if flag.key == "event_types" or (retries and type != "webhook") or (delivers and type == "stdio"):
            continue
        if option.kind == "conditions":
            draft.add(path, flag.key, [str(flag.entry.value)], flag.entry.origin.where)
        elif option.kind == "names":
            draft.add(path, flag.key, _items(flag.entry), flag.entry.origin.where)
        else:
            _put(draft, path, flag.key, flag.entry)


def _items(entry: Entry) -> list[str]:
    return [item.strip() for item in str(entry.value).split(",") if item.strip()]


def _auth(draft: Draft, path: Path, line: CommandLine) -> None:
    types = list(dict.fromkeys(flag.type for flag in line.auth if flag.type))
    for flag in line.auth:
        value = str(flag.entry.value)
        if not flag.type:
            draft.add(path, "headers", [value], flag.entry.origin.where)
            continue
        first = flag.type == types[0]
        section = (*path, "auth" if first else f"auth-{flag.type}")
        if draft.get(section, "type") is None:
            draft.put(section, "type", flag.type, flag.entry.origin.where)
        if flag.key in ("claims", "scopes"):
            items = _items(flag.entry) if flag.key == "scopes" else [value]
            draft.add(section, flag.key, items, flag.entry.origin.where)
        else:
            draft.put(section, flag.key, value, flag.entry.origin.where)
