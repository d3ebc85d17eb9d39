"""``${VAR}``, ``${VAR:-default}``, ``${file:PATH}`` and ``$$`` in values.

What comes out is never expanded again nor split at commas, so a secret may hold any character.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from .. import textfile
from ..textfile import TextFileError
from .values import BadValue

MAX_FILE_BYTES = 64 * 1024

_PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----"

_TOKEN = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(value: str, environ: Mapping[str, str], directory: str) -> str:
    """Replace every reference in ``value``. ``directory`` is where relative file names start.
    Raises ``BadValue``. Reads the files named, so it may block for a moment."""

    def replace(token: re.Match[str]) -> str:
        if token[0] == "$$":
            return "$"
        if not token[2]:
            raise BadValue("has ${ without }", "write $$ for a dollar sign")
        return _lookup(token[1], environ, directory)

    return _TOKEN.sub(replace, value)


def exposed_files(value: str, directory: str) -> list[str]:
    """The files that ``value`` refers to and every user of the machine may read."""
    names = [token[1][len("file:") :] for token in _TOKEN.finditer(value) if (token[1] or "").startswith("file:")]
    paths = [os.path.join(directory, name) for name in names]
    found = []
    for path in paths:
        try:
            file = textfile.read(path, MAX_FILE_BYTES)
            found += [path] if file.is_exposed and _PUBLIC_KEY not in file.text else []
        except TextFileError:
            continue  # it was complained about when its text was needed
    return found


def _lookup(reference: str, environ: Mapping[str, str], directory: str) -> str:
    if reference.startswith("file:"):
        return _content(os.path.join(directory, reference[len("file:") :]))
    name, fallback_sign, fallback = reference.partition(":-")
    if not _NAME.fullmatch(name):
        hint = "write ${VAR}, ${VAR:-default} or ${file:PATH}"
        raise BadValue(f"has ${{{reference}}}, which is not a reference", hint)
    if fallback_sign:
        return environ.get(name) or fallback
    if name not in environ:
        raise BadValue(
            f"needs the environment variable {name}, which is not set", f"set it, or write ${{{name}:-default}}"
        )
    return environ[name]


def _content(path: str) -> str:
    """The text of a small file without the line end that editors add."""
    try:
        return textfile.read(path, MAX_FILE_BYTES).text.rstrip("\r\n")
    except TextFileError as error:
        raise BadValue(f"names {path}, which {error}") from error
