"""YAML with line numbers, by PyYAML (``pip install 'rtmpd[migrate]'``), which nothing else here needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ... import textfile
from ...errors import ConfigError, Problem
from ...textfile import TextFileError

MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands (``file:line``): a text, a list or a mapping."""

    where: str
    text: str = ""
    items: tuple[Node, ...] = ()
    pairs: dict[str, Node] | None = None

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return iter((self.pairs or {}).items())

    def texts(self) -> list[str]:
        """The items of a list; a text alone is a list of one."""
        return [item.text for item in self.items] if self.items or not self.text else [self.text]


def read(path: str) -> Node:
    """The document of a file. Raises ConfigError, also if PyYAML is not installed. Waits for the disk."""
    try:
        import yaml
    except ImportError as error:
        hint = "pip install 'rtmpd[migrate]', or PyYAML"
        raise ConfigError([Problem(path, "", "takes the Python package PyYAML to read", "", hint)]) from error
    try:
        text = textfile.read(path).text
    except TextFileError as error:
        raise ConfigError([Problem(path, "", str(error))]) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"is not valid YAML: {getattr(error, 'problem', error)}"
        raise ConfigError([Problem(f"{path}:{mark.line + 1}" if mark else path, "", message)]) from error
    return _node(root, path, 0) if root is not None else Node(f"{path}:1")


def _node(node: Any, path: str, depth: int) -> Node:
    where = f"{path}:{node.start_mark.line + 1}"
    if depth > MAX_DEPTH:
        raise ConfigError([Problem(where, "", "is nested too deep, or in itself")])
    if node.id == "scalar":
        return Node(where, "" if node.tag.endswith(":null") else node.value)
    if node.id == "sequence":
        return Node(where, items=tuple(_node(item, path, depth + 1) for item in node.value))
    pairs = {}
    for key, value in node.value:
        inner = _node(value, path, depth + 1)
        pairs[str(key.value)] = Node(f"{path}:{key.start_mark.line + 1}", inner.text, inner.items, inner.pairs)
    return Node(where, pairs=pairs)
