"""The file of --environment-file: variables for ``${VAR}``, so that secrets stand neither in the configuration nor in
the command line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping

from .. import textfile
from ..errors import ConfigError, Problem
from ..textfile import TextFileError

_COMMENT = re.compile(r"(?:^|\s)#.*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def environment(path: str | None, environ: Mapping[str, str]) -> Mapping[str, str]:
    """``environ`` and over it the variables of the file at ``path``: NAME=VALUE a line, quoted as in a shell, # for
    comments. With a - before ``path`` the file may be missing, as in a unit of systemd. Raises ConfigError."""
    if path is None or (path.startswith("-") and not os.path.lexists(path[1:])):
        return environ
    path = path.removeprefix("-")
    try:
        lines = textfile.read(path).lines()
    except TextFileError as error:
        raise ConfigError([Problem("--environment-file", "", f"{path}: {error}")]) from None
    found = dict(environ)
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith(("#", ";")):
            continue
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        words = _words(value) or _words(_COMMENT.sub("", value))
        if not equals or not _NAME.fullmatch(name) or words is None:
            problems.append(Problem(f"{path}:{number}", "", "is not NAME=VALUE", hint="quote a value with spaces"))
        else:
            found[name] = "".join(words)
    if problems:
        raise ConfigError(problems)
    return found


def _words(value: str) -> list[str] | None:
    """A value without its quotes; None if it is not one word."""
    try:
        words = shlex.split(value, posix=True)
    except ValueError:  # a quote without its end
        return None
    return words if len(words) < 2 else None
