"""The syntax that nginx and SRS share: words that end with ``;`` or with a block in braces."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ... import textfile
from ...errors import ConfigError, Problem
from ...textfile import TextFileError

MAX_DEPTH = 32

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<sign>[{};])
      | (?P<word>(?!["'])(?:\\.|\$\{\w*\}|[^\s{};\\])+)
      | (?P<wrong>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(["'\\])""")  # nginx keeps every other backslash
_LUA_BLOCK = re.compile(r"\w+_by_lua_block")
_LUA = re.compile(
    r"""--\[(?P<c>=*)\[.*?\](?P=c)\] | --[^\n]* | \[(?P<s>=*)\[.*?\](?P=s)\] | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | (?P<brace>[{}])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: where it stands (``file:line``), its name, its arguments, and what is in its braces."""

    where: str
    name: str
    words: tuple[str, ...]
    body: tuple[Directive, ...] = ()

    @property
    def first(self) -> str:
        """The first argument, or ""."""
        return self.words[0] if self.words else ""

    @property
    def file(self) -> str:
        """The file it stands in."""
        return self.where.rpartition(":")[0]


def read(path: str) -> tuple[Directive, ...]:
    """The directives of a file; ``include`` is one of them. Raises ConfigError. Waits for the disk."""
    try:
        text = textfile.read(path).text
    except TextFileError as error:
        where = f"{path}:{error.line}" if error.line else path
        raise ConfigError([Problem(where, "", str(error))]) from error
    return parse(text, path)


def parse(text: str, path: str) -> tuple[Directive, ...]:
    """The directives of a text that stands in ``path``. Raises ConfigError."""
    tokens = list(_tokens(text, path))
    found, rest = _block(tokens, 0, path, 0)
    if rest < len(tokens):
        raise _error(path, tokens[rest][0], "has a } that nothing opened")
    return found


def included(directive: Directive, base: str, depth: int = 0) -> Iterator[Directive]:
    """What an ``include`` stands for, those inside of it too: its files, from the directory ``base``. Raises
    ConfigError. Waits for the disk."""
    if depth > MAX_DEPTH:
        raise ConfigError([Problem(directive.where, directive.name, "includes are nested too deep")])
    pattern = os.path.join(base, directive.first)
    for path in sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]:
        for one in read(path):
            yield from included(one, base, depth + 1) if one.name == "include" else [one]


def _tokens(text: str, path: str) -> Iterator[tuple[int, str, bool]]:
    """Line, text, and whether it is a sign."""
    line, at, lua = 1, 0, False
    while match := _TOKEN.match(text, at):
        kind, token, at = match.lastgroup, match[0], match.end()
        if kind == "wrong":
            raise _error(path, line, "has a quote that is not closed" if token in "'\"" else "ends in a backslash")
        if kind == "quoted":
            yield line, _ESCAPE.sub(r"\1", token[1:-1]), False
        elif kind in ("sign", "word"):
            yield line, token if kind == "sign" else _ESCAPE.sub(r"\1", token), kind == "sign"
            if lua and token == "{":
                at = _end_of_lua(text, at, path, line)
            lua = bool(_LUA_BLOCK.fullmatch(token)) or (lua and kind == "word")
        line += text.count("\n", match.start(), at)


def _end_of_lua(text: str, at: int, path: str, line: int) -> int:
    """Where the brace is that closes a block of Lua: not one in its strings and comments."""
    depth = 1
    for match in _LUA.finditer(text, at):
        if match["brace"]:
            depth += 1 if match["brace"] == "{" else -1
            if not depth:
                return match.start()
    raise _error(path, line, "has a { that nothing closes")


def _block(tokens: list[tuple[int, str, bool]], at: int, path: str, depth: int) -> tuple[tuple[Directive, ...], int]:
    """The directives from ``at`` to the brace that closes them, and where that is."""
    if depth > MAX_DEPTH:
        raise _error(path, tokens[at - 1][0], "has blocks that are nested too deep")
    found: list[Directive] = []
    words: list[str] = []
    start = 0
    while at < len(tokens):
        line, text, is_sign = tokens[at]
        if not is_sign:
            start = start if words else line
            words.append(text)
        elif text == "}":
            break
        elif not words:
            raise _error(path, line, f"has a {text} without a directive before it")
        else:
            body: tuple[Directive, ...] = ()
            if text == "{":
                body, at = _block(tokens, at + 1, path, depth + 1)
                if at == len(tokens):
                    raise _error(path, line, "has a { that nothing closes")
            found.append(Directive(f"{path}:{start}", words[0], tuple(words[1:]), body))
            words = []
        at += 1
    if words:
        raise _error(path, start, f"{words[0]} does not end with ;")
    return tuple(found), at


def _error(path: str, line: int, message: str) -> ConfigError:
    return ConfigError([Problem(f"{path}:{line}", "", message)])
