"""What became of each try of each hook, lately: for an operator who asks why.

Adding is a list append. A greenlet hands what has gathered to a thread of the log's own, which writes it to an SQLite
file, or to memory where there is no store; beyond ``rows`` the oldest are forgotten. It is a help, not a record: a
power cut may take the last moments, a file that is broken is moved aside and a new one begun, and under more than can
be written the newest are counted and left out. The audit trail (``audit``) is the record.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple, TypeVar

import gevent
from gevent import Greenlet
from gevent.event import Event as Signal
from gevent.threadpool import ThreadPool

from ...log import logger
from ..threads import in_thread

MEMORY_ROWS = 10_000
ERROR_CHARS = 500

_BATCH_ROWS = 500
_BATCH_S = 0.1
_PENDING_ROWS = 20_000
_VERSION = 1
_INSERT_VALUES = f"(?, ?, ?, ?, ?, ?, substr(?, 1, {ERROR_CHARS}), ?, ?, ?)"
_COLUMNS = "hook_id, event_id, event_type, attempt, outcome, code, error, duration_ms, redelivered, at"
_TABLES = f"""
CREATE TABLE attempt (seq INTEGER PRIMARY KEY, {_COLUMNS});
CREATE INDEX attempt_of_event ON attempt (event_id);
CREATE INDEX attempt_of_hook ON attempt (hook_id);
PRAGMA user_version = {_VERSION};
"""

T = TypeVar("T")

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

    __slots__ = ("_closed", "_file", "_full", "_pending", "_runner", "_thread", "_wake", "dropped", "fault")

    def __init__(self, path: str, rows: int) -> None:
        self.dropped = 0
        self.fault = ""
        self._file = _File(path, rows)
        self._thread = ThreadPool(1)
        self._pending: list[Attempt] = []
        self._wake = Signal()
        self._full = Signal()
        self._closed = False
        self._runner: Greenlet[[], None] | None = None  # begins with the first try

    def add(self, attempt: Attempt) -> None:
        """Note a try. Never waits, never raises."""
        pending = self._pending
        waiting = len(pending)
        if waiting >= _PENDING_ROWS or self._closed:
            self.dropped += 1
            return
        pending.append(attempt)
        if self._runner is None:
            self._runner = gevent.spawn(self._run)
            self._runner.name = "attempt-log"
        if not waiting:
            self._wake.set()
        elif waiting == _BATCH_ROWS:
            self._full.set()

    @property
    def path(self) -> str:
        """Where it is, "" if it is in memory."""
        return self._file.path

    def of_event(self, event_id: str) -> list[Attempt]:
        """The tries of one event, oldest first. May switch greenlets."""
        return self._find("WHERE event_id = ? ORDER BY seq", (event_id,))

    def latest(self, hook_id: str, limit: int) -> list[Attempt]:
        """The last ``limit`` tries of one hook, of all if ``hook_id`` is "", newest first. May switch greenlets."""
        if not hook_id:
            return self._find("ORDER BY seq DESC LIMIT ?", (limit,))
        return self._find("WHERE hook_id = ? ORDER BY seq DESC LIMIT ?", (hook_id, limit))

    def close(self) -> None:
        """Write what has gathered; what is added from now on is counted as dropped. May switch greenlets."""
        if self._closed:
            return
        self._closed = True
        self._flush()
        if self._runner is not None:
            self._runner.kill()
        self._on_thread(self._file.close, None)
        self._thread.kill()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._full.wait(_BATCH_S)
            self._wake.clear()
            self._full.clear()
            self._flush()

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        if rows:
            self.dropped += self._on_thread(lambda: self._file.write(rows), len(rows))

    def _find(self, clause: str, values: tuple[str | int, ...]) -> list[Attempt]:
        if self._closed:
            return []
        self._flush()
        return self._on_thread(lambda: self._file.find(clause, values), [])

    def _on_thread(self, call: Callable[[], T], otherwise: T) -> T:
        """``call`` on the log's thread; what it raises and what is wrong with the file is logged here. May switch."""
        try:
            result = in_thread(self._thread, call)
        except Exception as error:  # noqa: BLE001  whatever it is, the next batch may fare better
            if not self.fault:
                _log.error("Attempt log failed", file=self._file.path, error=error)
            self.fault, result = str(error), otherwise
        else:
            self.fault = ""
        for trouble in self._file.take_troubles():
            _log.warning("Attempt log", file=self._file.path, problem=trouble)
        return result


class _File:
    """The file. Everything but ``path`` is for the thread; opened at the first use."""

    def __init__(self, path: str, rows: int) -> None:
        self.path = path
        self._rows = rows
        self._troubles: list[str] = []
        self._connection: sqlite3.Connection | None = None

    def take_troubles(self) -> list[str]:
        """What there is to log. For the greenlet that has just used the thread."""
        troubles, self._troubles = self._troubles, []
        return troubles

    def write(self, rows: list[Attempt]) -> int:
        """Append the rows and forget the oldest beyond the limit; how many were not written, which is none."""
        try:
            self._append(rows)
        except sqlite3.OperationalError:  # no room, or no right: the file itself may be fine
            raise
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
            self._append(rows)
        return 0

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
