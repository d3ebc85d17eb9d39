"""A file system in memory that forgets what was not synced when the power is cut.

It is a VFS of apsw, which has an SQLite of its own inside, newer than Python's. The store's own code is run on it:
``plugged`` has ``sqlite3.connect`` give connections to these disks, behind the few methods of ``sqlite3`` that the
store uses, with the errors of ``sqlite3``.

A write goes to the cache, and to the disk only when its file is synced. A cut keeps what is on the disk, and, if it is
``torn``, any of the other writes, each in any of its sectors. A sync that fails is the worst there is: the cache
thinks that everything is written, and what was not is never written again unless somebody writes it anew.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import apsw

SECTOR = 512
_CHECKPOINT_PAGES = 50
_names = itertools.count(1)

Write = tuple[int, bytes]


class File:
    """``cache`` is what is read, ``disk`` what is left after a cut, ``pending`` the way from one to the other: writes,
    and lengths to cut it to."""

    def __init__(self, content: bytes = b"") -> None:
        self.cache = bytearray(content)
        self.disk = bytearray(content)
        self.pending: list[Write | int] = []

    def image(self, draw: random.Random | None) -> bytes:
        """What a cut leaves; with ``draw`` it is torn."""
        left = bytearray(self.disk)
        if draw:
            for change in self.pending:
                if isinstance(change, int):
                    if draw.random() < 0.5:
                        del left[change:]
                elif draw.random() < 0.5:
                    offset, data = change
                    for start in range(0, len(data), SECTOR):
                        if draw.random() < 0.7:
                            write(left, offset + start, data[start : start + SECTOR])
        return bytes(left)


def write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """``operation`` is called with the path before each change of a file and each sync. ``failing_syncs`` of the next
    syncs fail; ``room_bytes`` is how large all files may be together."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.name = f"power-{next(_names)}"
        self.files = {path: File(content) for path, content in (files or {}).items()}
        self.operation: Callable[[str], None] = lambda path: None
        self.failing_syncs = 0
        self.failed_syncs = 0
        super().__init__(self.name, "")

    def cut(self, draw: random.Random | None = None) -> dict[str, bytes]:
        """The files as they are after a cut at this moment."""
        return {path: file.image(draw) for path, file in self.files.items()}

    def xOpen(self, name: Any, flags: list[int]) -> Handle:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        flags[1] = flags[0]
        file = File() if path is None else self.files.setdefault(path, File())
        return Handle(self, path, file)

    def xAccess(self, path: str, flags: int) -> bool:
        return path in self.files

    def xDelete(self, path: str, sync: bool) -> None:
        self.files.pop(path, None)

    def xFullPathname(self, name: str) -> str:
        return name


class Handle:
    """An open file of a disk."""

    def __init__(self, disk: Disk, path: str | None, file: File) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def _operation(self) -> None:
        if self._path:
            self._disk.operation(self._path)

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.cache[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._operation()
        data = bytes(data)
        write(self._file.cache, offset, data)
        self._file.pending.append((offset, data))

    def xTruncate(self, size: int) -> None:
        self._operation()
        del self._file.cache[size:]
        self._file.pending.append(size)

    def xSync(self, flags: int) -> None:
        self._operation()
        file, disk = self._file, self._disk
        if disk.failing_syncs and self._path:
            disk.failing_syncs -= 1
            disk.failed_syncs += 1
            file.pending.clear()
            raise apsw.IOError("the disk does not answer")
        for change in file.pending:
            if isinstance(change, int):
                del file.disk[change:]
            else:
                write(file.disk, *change)
        file.pending.clear()

    def xFileSize(self) -> int:
        return len(self._file.cache)

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        pass


class Connection:
    """What the store uses of ``sqlite3.Connection``."""

    def __init__(self, disk: Disk, path: str) -> None:
        with _sqlite3_errors():
            self._connection = apsw.Connection(path, vfs=disk.name)
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    @property
    def in_transaction(self) -> bool:
        with _sqlite3_errors():
            return self._connection.in_transaction

    def execute(self, sql: str, values: Any = ()) -> Rows:
        with _sqlite3_errors():
            before = self._connection.total_changes()
            rows = list(self._connection.execute(sql, tuple(values)))
            return Rows(rows, self._connection.total_changes() - before)

    def executemany(self, sql: str, rows: Any) -> None:
        with _sqlite3_errors():
            self._connection.executemany(sql, [tuple(row) for row in rows])

    def close(self) -> None:
        with suppress(apsw.Error):  # sqlite3 does not tell either that it could not write at the end
            self._connection.close()


class Rows:
    """What the store uses of ``sqlite3.Cursor``."""

    def __init__(self, rows: list[tuple[Any, ...]], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows


@contextmanager
def _sqlite3_errors() -> Iterator[None]:
    try:
        yield
    except apsw.ConnectionClosedError as error:
        raise sqlite3.ProgrammingError(str(error)) from error
    except apsw.Error as error:
        ours = sqlite3.OperationalError(str(error))
        ours.sqlite_errorcode = getattr(error, "extendedresult", 0) or 0
        raise ours from error


@contextmanager
def plugged(disk: Disk, path: str) -> Iterator[None]:
    """``sqlite3.connect`` gives connections to this disk for the file ``path``."""
    connect = sqlite3.connect

    def to_disk(database: Any, *values: Any, **named: Any) -> Any:
        return Connection(disk, path) if database == path else connect(database, *values, **named)

    sqlite3.connect = to_disk
    try:
        yield
    finally:
        sqlite3.connect = connect
