"""Command lines of go-rtmp: what our own flags say, and the few of go-rtmp's that are options of the file here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from ...settings import RetrySettings
from .. import flags
from ..entries import Entry, Origin, Path
from ..flags import CommandLine
from ..options import spec
from .draft import Draft, literal

_RETRY = {field.name for field in fields(RetrySettings)}
_EVERY = "*"
_APPS = ("apps",)


def migrate(words: Sequence[str]) -> Draft:
    """What a command line says. Never raises; what can not be read is told."""
    draft = Draft("a command line")
    rest = _others(draft, list(words))
    line = flags.parse(rest)
    for problem in line.problems:
        draft.absent(problem.where or "command line", problem.text or "flag", problem.message)
    for override in line.overrides:
        if (override.section, override.key) != ("hooks", "stdio_format"):
            _put(draft, (override.section,), override.key, override.entry)
    _hooks(draft, line)
    return draft


def _put(draft: Draft, path: Path, key: str, entry: Entry) -> None:
    """A value of a flag, which is never a reference; a list if the option takes one."""
    text = entry.value if isinstance(entry.value, str) else ", ".join(entry.value)
    draft.put(path, key, literal(text), entry.origin.where)


# --- hooks --------------------------------------------------------------------------------------


def _hooks(draft: Draft, line: CommandLine) -> None:
    """Each hook with what the flags for all of them say: in a file that stands with each."""
    events = [flag.entry for flag in line.hook_options if flag.key == "event_types"]
    for hook in line.hooks:
        path = draft.hook(hook.id)
        draft.put(path, "type", hook.type, hook.origin.where)
        draft.put(path, "path" if hook.type == "script" else "url", literal(hook.target), hook.origin.where)
        if hook.event_type == _EVERY and events:
            _types(draft, path, events)
        else:
            draft.put(path, "event_types", literal(hook.event_type), hook.origin.where)
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
            draft.add(path, flag.key, [literal(str(flag.entry.value))], flag.entry.origin.where)
        elif option.kind == "names":
            draft.add(path, flag.key, _items(flag.entry), flag.entry.origin.where)
        else:
            _put(draft, path, flag.key, flag.entry)


def _items(entry: Entry) -> list[str]:
    return [literal(item.strip()) for item in str(entry.value).split(",") if item.strip()]


def _auth(draft: Draft, path: Path, line: CommandLine) -> None:
    types = list(dict.fromkeys(flag.type for flag in line.auth if flag.type))
    for flag in line.auth:
        value = literal(str(flag.entry.value))
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


# --- flags of go-rtmp that are options of the file ----------------------------------------------


def _others(draft: Draft, words: list[str]) -> list[str]:
    """The words without those flags, which are put into the draft."""
    rest: list[str] = []
    while words:
        word = words.pop(0)
        spelling, equals, value = word.partition("=")
        take = _OTHERS.get(spelling.removeprefix("-").removeprefix("-")) if spelling.startswith("-") else None
        if take is None or not (equals or words):
            rest.append(word)
            continue
        take(draft, Entry(value if equals else words.pop(0), Origin(spelling)))
    return rest


def _both(draft: Draft, key: str, value: str, where: str) -> None:
    for action in ("publish", "play"):
        draft.put(_APPS, f"{action}_{key}", value, where)


def _mode(draft: Draft, entry: Entry) -> None:
    word = str(entry.value)
    if word in ("none", "token", "file", "callback"):
        _both(draft, "access", "open" if word == "none" else word, entry.origin.where)
    else:
        draft.absent(entry.origin.where, word, "rtmpd has no such mode of access")


def _token(draft: Draft, entry: Entry) -> None:
    """``STREAM=TOKEN``, good for both actions."""
    stream, _, token = str(entry.value).partition("=")
    name = stream.rpartition("/")[2] or "all"
    for action in ("publish", "play"):
        draft.add(_APPS, f"{action}_tokens", [literal(f"{name}:{token} {stream}")], entry.origin.where)


def _token_file(draft: Draft, entry: Entry) -> None:
    draft.absent(
        entry.origin.where, str(entry.value), "the file has another form here, IDENTITY:TOKEN STREAMS ACTION a line, "
        "and stands in [access] token_file",
    )  # fmt: skip


def _callback(draft: Draft, entry: Entry) -> None:
    draft.put(_APPS, "callback_url", literal(str(entry.value)), entry.origin.where)


def _callback_timeout(draft: Draft, entry: Entry) -> None:
    _put(draft, ("access",), "callback_timeout", entry)


def _metrics(draft: Draft, entry: Entry) -> None:
    _put(draft, ("http",), "listen", entry)
    draft.differs(entry.origin.where, str(entry.value), "/metrics is for Prometheus; there is no /debug/vars")


def _record_all(draft: Draft, entry: Entry) -> None:
    value = "all" if str(entry.value).lower() in ("true", "1", "yes") else "off"
    draft.put(_APPS, "record", value, entry.origin.where)
    if value == "all" and draft.get(_APPS, "record_dir") is None:
        draft.put(_APPS, "record_dir", "recordings", entry.origin.where)
    draft.differs(entry.origin.where, "record", "every recording is an FLV file, whatever its codecs")


def _record_dir(draft: Draft, entry: Entry) -> None:
    _replace(draft, _APPS, "record_dir", entry)


def _segment_duration(draft: Draft, entry: Entry) -> None:
    _replace(draft, _APPS, "segment_duration", entry)


def _relay_to(draft: Draft, entry: Entry) -> None:
    draft.add(_APPS, "push", [literal(str(entry.value))], entry.origin.where)


def _replace(draft: Draft, path: Path, key: str, entry: Entry) -> None:
    draft.drop(path, key)
    _put(draft, path, key, entry)


_OTHERS: dict[str, Callable[[Draft, Entry], None]] = {
    "auth-mode": _mode,
    "auth-token": _token,
    "auth-file": _token_file,
    "auth-callback": _callback,
    "auth-callback-timeout": _callback_timeout,
    "metrics-addr": _metrics,
    "record-all": _record_all,
    "record-dir": _record_dir,
    "segment-duration": _segment_duration,
    "relay-to": _relay_to,
}
