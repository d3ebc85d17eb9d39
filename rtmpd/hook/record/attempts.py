"""The log of recent attempts of each hook, for operators.

The writer (``batches``) appends them to an SQLite file, or to memory where there is no store; beyond ``rows`` the
oldest are deleted. It is a help, not a record: a power cut may take the last moments, a broken file is moved aside and
a new one begun, and what is more than can be written is counted and left out. The record is the audit trail
(``audit``).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import NamedTuple

from ...log import logger
from .batches import BatchWriter

MEMORY_ROWS = 10_000
ERROR_CHARS = 500

_VERSION = 1
_INSERT_VALUES = f"(?, ?, ?, ?, ?, ?, substr(?, 1, {ERROR_CHARS}), ?, ?, ?)"
_COLUMNS = "hook_id, event_id, event_type, attempt, outcome, code, error, duration_ms, redelivered, at"
_TABLES = f"""
CREATE TABLE attempt (seq INTEGER PRIMARY KEY, {_COLUMNS});
CREATE INDEX attempt_of_event ON attempt (event_id);
CREATE INDEX attempt_of_hook ON attempt (hook_id);
PRAGMA user_version = {_VERSION};
"""

_log = logger("hook.attempts")


class Attempt(NamedTuple):
    """One try. ``outcome`` is ``delivered``, ``failed`` or ``not_sent``; ``code`` and ``error`` are "" for the first;
    ``redelivered`` says why the event may have been known before; ``at`` is the Unix time of the end of the try."""

    hook_id: str
    event_id: str
    event_type: str
    attempt: int
    outcome: str
    code: str
    error: str
    duration_ms: int
    redelivered: str
    at: float


class AttemptLog:
    """The latest ``rows`` tries, in the file at ``path``, or up to ``MEMORY_ROWS`` in memory if that is "".

    Never raises: what the file does not take is logged and counted in ``dropped``, and ``fault`` says why; it is
    "" when the last use of the file was a success.
    """

    __slots__ = ("_file", "_writer", "add")

    def __init__(self, path: str, rows: int) -> None:
        self._file = _File(path, rows)
        self._writer: BatchWriter[Attempt] = BatchWriter("attempt-log", self._file.write, self._report)
        #: Takes an ``Attempt``. Never waits, never raises.
        self.add = self._writer.add

    @property
    def path(self) -> str:
        """Where it is, "" if it is in memory."""
        return self._file.path

    @property
    def dropped(self) -> int:
        """How many tries are not in the log because they could not be written."""
        return self._writer.dropped

    @property
    def fault(self) -> str:
        """Why the last use of the file failed, "" if it was a success."""
        return self._writer.fault

    def of_event(self, event_id: str) -> list[Attempt]:
        """Return the tries of one event, oldest first. May switch greenlets."""
        return self._find("WHERE event_id = ? ORDER BY seq", (event_id,))

    def latest(self, hook_id: str, limit: int) -> list[Attempt]:
        """Return the last ``limit`` tries of one hook, of all if ``hook_id`` is "", newest first. May switch
        greenlets."""
        if not hook_id:
            return self._find("ORDER BY seq DESC LIMIT ?", (limit,))
        return self._find("WHERE hook_id = ? ORDER BY seq DESC LIMIT ?", (hook_id, limit))

    def close(self) -> None:
        """Write what has gathered; what is added from now on is counted as dropped. May switch greenlets."""
        self._writer.close(self._file.close)

    def _find(self, clause: str, values: tuple[str | int, ...]) -> list[Attempt]:
        if self._writer.is_closed:
            return []
        self._writer.flush()
        return self._writer.call(lambda: self._file.find(clause, values), [])

    def _report(self, fault: str) -> None:
        """Log a fault once, and what was wrong with the file."""
        if fault and not self.fault:
            _log.error("Attempt log failed", file=self._file.path, error=fault)
        for trouble in self._file.take_troubles():
            _log.warning("Attempt log", file=self._file.path, problem=trouble)


class _File:
    """The file, opened at the first use. Everything but ``path`` and ``take_troubles`` runs in the writer's thread."""

    def __init__(self, path: str, rows: int) -> None:
        self.path = path
        self._rows = rows
        self._troubles: list[str] = []
        self._connection: sqlite3.Connection | None = None

    def take_troubles(self) -> list[str]:
        """Return what there is to log. Runs in the greenlet that has just used the thread."""
        troubles, self._troubles = self._troubles, []
        return troubles

    def write(self, rows: list[Attempt], refused: int) -> str:
        """Append the rows and delete the oldest beyond the limit (``BatchWriter``). Raises sqlite3.Error."""
        try:
            self._append(rows)
        except sqlite3.OperationalError:  # no room, or no right: the file itself may be fine
            raise
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
            self._append(rows)
        return ""

    def find(self, clause: str, values: tuple[str | int, ...]) -> list[Attempt]:
        query = f"SELECT {_COLUMNS} FROM attempt {clause}"
        try:
            return [Attempt(*row) for row in self._open().execute(query, values)]
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
            return []

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _append(self, rows: list[Attempt]) -> None:
        connection = self._open()
        with connection:
            connection.execute("BEGIN")
            connection.executemany(f"INSERT INTO attempt ({_COLUMNS}) VALUES {_INSERT_VALUES}", rows)
            connection.execute("DELETE FROM attempt WHERE seq <= (SELECT max(seq) FROM attempt) - ?", (self._rows,))

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        if self.path:
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
                try:
                    return _connected(self.path)
                except sqlite3.OperationalError:
                    raise
                except sqlite3.DatabaseError as error:
                    self._move_aside(error)
                    return _connected(self.path)
            except (OSError, sqlite3.Error) as error:
                self._troubles.append(f"{error}; attempts are kept in memory")
        self._rows = min(self._rows, MEMORY_ROWS)
        return _connected(":memory:")

    def _move_aside(self, error: sqlite3.Error) -> None:
        """Begin a new file. What there was is kept as one file for those who want to look into it."""
        self.close()
        aside = f"{self.path}.broken"
        self._troubles.append(f"{error}; moved to {aside}, a new one is begun")
        os.replace(self.path, aside)
        for suffix in ("-wal", "-shm"):
            if os.path.exists(self.path + suffix):
                os.unlink(self.path + suffix)


def _connected(path: str) -> sqlite3.Connection:
    """A connection to a sound file of our version. Raises sqlite3.DatabaseError."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 1048576")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.executescript(_TABLES)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        with closing(connection.execute("PRAGMA quick_check(1)")) as check:
            (verdict,) = check.fetchone()
        if version != _VERSION or verdict != "ok":
            raise sqlite3.DatabaseError(verdict if verdict != "ok" else f"is of version {version}, not {_VERSION}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
