"""Reads small text files that people write: configuration, secrets, tokens, keys.

All of them are read here, so that they are read by one rule: UTF-8, in which a byte order mark at the beginning is not
a part of the text (editors of Windows write one). What is something else is refused with a reason and its remedy.
"""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass, field
from typing import Final

from .errors import RtmpdError

MAX_BYTES: Final = 1024 * 1024

_FIRST_LINE_BYTES: Final = 256
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class TextFileError(RtmpdError):
    """The file cannot be used; the message gives the reason, without the path."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class TextFile:
    """The text of a file, and whether every user of the machine may read it."""

    text: str = field(repr=False)
    is_exposed: bool

    def lines(self) -> list[str]:
        """Return the lines without their ends: a line feed, with a carriage return before it or not."""
        return [line.removesuffix("\r") for line in self.text.split("\n")]


def read(path: str, max_bytes: int = MAX_BYTES) -> TextFile:
    """Read a file of at most ``max_bytes``. Raises TextFileError. Waits for the disk."""
    try:
        with open(path, "rb") as file:
            content = file.read(max_bytes + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise TextFileError(f"cannot be read: {error.strerror or error}") from error
    if len(content) > max_bytes:
        raise TextFileError(f"is larger than {max_bytes} bytes")
    if content.startswith(_UTF16):
        raise TextFileError("is UTF-16, not UTF-8: save it as UTF-8", 1)
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TextFileError("is not UTF-8 text: save it as UTF-8", line) from error
    return TextFile(text, bool(mode & stat.S_IROTH))


def fault_of_script(path: str) -> str:
    """Return why the first line of a script (``#!INTERPRETER``) keeps it from running, "" if it does not. The system
    says "No such file" of a script that is there when its interpreter is not. Waits for the disk."""
    try:
        with open(path, "rb") as file:
            first = file.read(_FIRST_LINE_BYTES).removeprefix(codecs.BOM_UTF8).partition(b"\n")[0]
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        return ""
    interpreter = (first[2:].decode("utf-8", "replace").split() or [""])[0]
    if first.endswith(b"\r"):
        return f"its first line ends in a carriage return (CR), so {interpreter!r} is not found: save it with LF alone"
    if interpreter and not os.path.exists(interpreter):
        return f"its interpreter {interpreter!r} is not there"
    return ""
