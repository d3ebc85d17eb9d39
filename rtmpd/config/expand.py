"""``${VAR}``, ``${VAR:-default}``, ``${file:PATH}`` and ``$$`` in values.

What comes out is never expanded again nor split at commas, so a secret may hold any character.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from .values import BadValue

MAX_FILE_BYTES = 64 * 1024

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


def _lookup(reference: str, environ: Mapping[str, str], directory: str) -> str:
    if reference.startswith("file:"):
        return _content(os.path.join(directory, reference[len("file:") :]))
    name, fallback_sign, fallback = reference.partition(":-")
    if not _NAME.fullmatch(name):
        raise BadValue(f"has ${{{reference}}}, which is no reference", "write ${VAR}, ${VAR:-default} or ${file:PATH}")
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
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise BadValue(f"names {path}, which is larger than {MAX_FILE_BYTES} bytes")
        return content.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise BadValue(f"can not read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadValue(f"names {path}, which is not UTF-8 text") from error
