"""A file of a recording while it is written, whatever is in it. Everything here blocks, and is for a thread.

The file is locked for as long as it is open, so a file that another recording writes is known, also that of another
process. It may be called ``NAME.part`` until it is closed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from io import FileIO
from typing import Final

from ..protocol.message import Message
from .path import with_suffix

PART: Final = ".part"
MAX_NAMES: Final = 1000


class MediaFile(ABC):
    """``path`` is what the file is called in the end, ``size`` its bytes, ``begins_ms`` where its first new frame
    stands in its own time. Every method blocks and raises OSError; only one thread may be in one at a time."""

    path: str
    size: int
    begins_ms: int

    @property
    @abstractmethod
    def duration_ms(self) -> int:
        """Up to the end of the last frame."""

    @property
    def is_over(self) -> bool:
        """Whether what comes next needs another file."""
        return False

    @abstractmethod
    def write(self, messages: Iterable[Message]) -> None:
        """Append messages. Raises MediaError for media that the format does not carry."""

    @abstractmethod
    def close(self) -> None:
        """Write what is known now, have it on the disk, and give the file its name."""


def create(path: str, replace: bool, part: str) -> tuple[str, str, FileIO]:
    """A new file: what it will be called, what it is called now, and itself. A file in use is left alone;
    what a crash left under a name for the time of writing is replaced if files are."""
    for number in range(MAX_NAMES):
        final = with_suffix(path, number)
        if os.path.lexists(final) and not replace:
            continue
        try:
            file = open_locked(final + part, os.O_CREAT if replace else os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            continue
        if file is not None:
            file.truncate(0)
            return final, final + part, file
    raise FileExistsError(errno.EEXIST, f"there are {MAX_NAMES} files of this name", path)


def open_locked(path: str, flags: int) -> FileIO | None:
    """The file, locked for as long as it is open and this process lives; None if another writer has it, or has just
    renamed it."""
    file = FileIO(os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None


def sync_directory(path: str) -> None:
    """Write a directory to the disk, so that the names of its files survive a power failure."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
