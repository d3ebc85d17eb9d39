"""``hooks.yaml`` as the specification has it: names are the same here, its groups are not nested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..delivery import DEFAULT_KEYS
from ..entries import Path
from ..options import spec
from .documents import Node, read
from .draft import Draft, Value

_DEFAULTS = "default_config"
_LISTS = {"scripts": ("script", "script", "path"), "webhooks": ("webhook", "url", "url")}
_GROUPS = ("retry", "delivery", "filter")
_UNKNOWN = "is not a key of hooks.yaml that rtmpd has"


def migrate(path: str) -> Draft:
    """What the file says. Raises ConfigError. Waits for the disk."""
    draft = Draft(path)
    root = read(path)
    tree = dict(root)
    hooks = tree.pop("hooks", None)
    for key, node in tree.items():
        draft.absent(node.where, key, _UNKNOWN)
    if hooks is None:
        draft.absent(root.where, "hooks", "is not in the file")
        return draft
    groups = dict(hooks)
    defaults = dict(groups.pop(_DEFAULTS, Node("")))
    for key in ("timeout", "concurrency"):
        if key in defaults:
            node = defaults.pop(key)
            draft.put(("hooks",), key, node.text, node.where)
    if retry := dict(defaults.get("retry", Node(""))):
        for key in [key for key in retry if key in DEFAULT_KEYS]:
            draft.put(("hooks",), key, retry[key].text, retry[key].where)
        rest = {key: node for key, node in retry.items() if key not in DEFAULT_KEYS}
        defaults["retry"] = replace(defaults["retry"], pairs=rest)
    for name, node in groups.items():
        if name in _LISTS:
            for number, one in enumerate(node.items):
                _hook(draft, name, number, one, defaults)
        elif name == "stdio":
            _stdio(draft, node)
        else:
            draft.absent(node.where, name, _UNKNOWN)
    return draft


def _hook(draft: Draft, group: str, number: int, node: Node, defaults: Mapping[str, Node]) -> None:
    type, target, key = _LISTS[group]
    given = dict(node)
    if given.pop("enabled", Node("")).text.lower() in ("false", "no", "off"):
        draft.carried += 1
        return
    own = next((given.pop(name).text for name in ("name", "id") if name in given), f"{type}_{number}")
    path = draft.hook(own)
    draft.put(path, "type", type, node.where)
    if target in given:
        found = given.pop(target)
        draft.put(path, key, found.text, found.where)
    else:
        draft.absent(node.where, group, f"has no {target}")
    for name, default in defaults.items():
        given[name] = _merged(default, given.get(name))
    if type == "script" and dict(given.get("retry", Node(""))):
        draft.differs(node.where, own, "a script that is tried again may do twice what it does")
    for name, one in given.items():
        _take(draft, path, name, one)


def _merged(default: Node, own: Node | None) -> Node:
    """A group of the hook's with what it leaves to the default."""
    if own is None:
        return default
    return Node(own.where, own.text, own.items, {**(default.pairs or {}), **own.pairs} if own.pairs else own.pairs)


def _take(draft: Draft, path: Path, name: str, node: Node) -> None:
    if name in _GROUPS and node.pairs is not None:
        for key, one in node:
            _take(draft, path, key, one)
    elif name == "auth" and node.pairs is not None:
        for key, one in node:
            _put(draft, (*path, "auth"), key, one)
    elif name == "rate_limit" and node.pairs is not None:
        _rate(draft, path, node)
    elif name == "conditions":
        for condition in node.items:
            _condition(draft, path, condition)
    elif name == "headers" and node.pairs is not None:
        draft.put(path, "headers", [f"{key}: {one.text}" for key, one in node], node.where)
    else:
        _put(draft, path, name, node)


def _put(draft: Draft, path: Path, name: str, node: Node) -> None:
    section = spec().find(path)
    if section is None or name not in section.options:
        draft.absent(node.where, name, _UNKNOWN)
        return
    value: Value = node.text
    if node.pairs is not None:
        value = [f"{key}={one.text}" for key, one in node]
    elif node.items:
        value = node.texts()
    draft.put(path, name, value, node.where)


def _rate(draft: Draft, path: Path, node: Node) -> None:
    given = dict(node)
    events, window, burst = (given.pop(key, None) for key in ("max_events", "time_window", "burst_size"))
    if events is None:
        draft.absent(node.where, "rate_limit", "has no max_events")
        return
    draft.put(path, "rate_limit", f"{events.text}/{window.text if window else '1s'}", events.where)
    if burst:
        draft.put(path, "rate_burst", burst.text, burst.where)
    for key, one in given.items():
        draft.absent(one.where, key, _UNKNOWN)


def _condition(draft: Draft, path: Path, node: Node) -> None:
    given = dict(node)
    if missing := [key for key in ("field", "operator", "value") if key not in given]:
        draft.absent(node.where, "conditions", f"has no {' and no '.join(missing)}")
        return
    value = given["value"].text
    value = value if value and value == value.strip() else f'"{value}"'
    draft.add(path, "conditions", [f"{given['field'].text} {given['operator'].text} {value}"], node.where)


def _stdio(draft: Draft, node: Node) -> None:
    """Without a filter it is the option; a hook of its own has one."""
    given = dict(node)
    form = given.pop("format", Node(node.where, "json"))
    enabled = given.pop("enabled", Node(node.where, "true"))
    if enabled.text == "false" or not form.text:
        return
    path = draft.hook("stdio")
    draft.put(path, "type", "stdio", node.where)
    draft.put(path, "format", form.text, form.where)
    for name, one in given.items():
        _take(draft, path, name, one)
