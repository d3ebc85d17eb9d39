"""The file under the log. Everything here blocks: it runs on the log's own thread, one call at a time.

SQLite in WAL mode with one exclusive connection: no second daemon can deliver the same events, and
no reader keeps the WAL from being folded into the file. With ``full`` every commit is on the disk before it
returns; with ``normal`` a power cut can take the last moments, a killed process can not; ``off`` is for tests.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, TypeVar

from ...errors import StartError, StoreFault, StoreFull
from .schema import TABLES, UNSAVED, VERSION, Batch, DeadRow, GapRow, LaneRow, Loaded, Page, Row, SessionRow

_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "off": "OFF"}
_PAGE_BYTES = 1 << 20
_SCAN_ROWS = 50_000  # a page looks at no more than these, so that no call takes long
_COLLECT_ROWS = 1000

_R = TypeVar("_R", Row, DeadRow, SessionRow)


class Database:
    """The log's file at ``path``, made if it is not there. Raises StartError if it can not be used.

    Every method but ``close`` raises StoreFull if there is no room and StoreFault for any other trouble of the file;
    then nothing of the call was written.
    """

    def __init__(self, path: str, durability: str, pages: int = 0) -> None:
        self.path = path
        self._durability = durability
        self._pages = pages
        self.is_sound = True  # false after a fault, until all has been written once more
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            os.close(descriptor)
            connection = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"event store {self.path}: {error}; [store] path names another file") from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise StartError(f"event store {self.path}: {_in_words(error)}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self._durability]}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if self._pages:
            connection.execute(f"PRAGMA max_page_count = {self._pages}")
        connection.execute("BEGIN EXCLUSIVE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise StartError(
                f"event store {self.path}: has version {version}, this rtmpd knows {VERSION}; "
                "use the rtmpd that wrote it, or have [store] path name another file"
            )
        if version == 0:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def load(self) -> Loaded:
        """What there is; from now on an end without ``close`` is a crash."""
        with _Reported(self._connection):
            query = self._connection.execute
            meta = dict(query("SELECT key, value FROM meta").fetchall())
            if not meta.get("clean", 1):
                query("UPDATE lane SET suspects = ?", (UNSAVED,))
            last = query("SELECT max(seq) FROM event").fetchone()[0] or 0
            lanes = [LaneRow(*row) for row in query("SELECT * FROM lane")]
            sessions = [SessionRow(*row) for row in query("SELECT * FROM session ORDER BY id DESC")]
            query("INSERT OR REPLACE INTO meta VALUES ('clean', 0)")
        last = max([last, meta.get("last_seq", 0), *(lane.read for lane in lanes)])
        return Loaded(last, lanes, sessions, meta.get("alive_at", 0.0))

    def commit(self, batch: Batch) -> None:
        """Write it all or nothing."""
        try:
            self._write(batch)
        except UnicodeEncodeError:  # a name with half a character in it; it must not stop all the others
            self._write(_encodable(batch))

    def _write(self, batch: Batch) -> None:
        with _Transaction(self):
            write = self._connection.executemany
            if batch.may_be_written:
                write("DELETE FROM dead WHERE lane = ? AND seq = ?", [(row.lane, row.seq) for row in batch.dead])
                gaps = [(row.lane, row.from_seq, row.to_seq) for row in batch.gaps]
                write("DELETE FROM gap WHERE lane = ? AND from_seq = ? AND to_seq = ?", gaps)
            write("INSERT OR REPLACE INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?)", batch.events)
            write("INSERT INTO dead VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", batch.dead)
            write("DELETE FROM dead WHERE number = ?", [(number,) for number in batch.risen])
            self._write_lanes(batch.lanes, batch.gaps)
            for key, row in batch.sessions.items():
                if row is None:
                    self._connection.execute("DELETE FROM session WHERE key = ?", (key,))
                else:
                    self._connection.execute("INSERT OR REPLACE INTO session VALUES (?,?,?,?,?,?,?)", row)
            if batch.events:
                meta = [("last_seq", batch.events[-1].seq), ("alive_at", batch.alive_at)]
                write("INSERT OR REPLACE INTO meta VALUES (?,?)", meta)

    def _write_lanes(self, lanes: list[LaneRow], gaps: list[GapRow]) -> None:
        write = self._connection.executemany
        write("INSERT INTO gap (lane, at, from_seq, to_seq, lost, reason) VALUES (?,?,?,?,?,?)", gaps)
        write("INSERT OR REPLACE INTO lane VALUES (?,?,?,?,?,?,?)", lanes)

    def page(self, lane: str, after: int, limit: int, upto: int) -> Page:
        """Up to ``limit`` events of the lane above ``after`` and up to ``upto``, not more than about a megabyte."""
        with _Reported(self._connection):
            top = max(min(upto, after + _SCAN_ROWS), after)
            rows: list[Row] = []
            room = _PAGE_BYTES
            found = self._connection.execute(
                "SELECT * FROM event WHERE seq > ? AND seq <= ? AND instr(routes, ?) ORDER BY seq LIMIT ?",
                (after, top, f'"{lane}":', limit),
            )
            for values in found:
                rows.append(Row(*values))
                room -= len(rows[-1].body)
                if room <= 0 or len(rows) == limit:
                    return Page(rows, rows[-1].seq)
            return Page(rows, top)

    def last_routes(self, lane: str, after: int, upto: int) -> str:
        """The ``routes`` of the lane's last event in that range of seqs, "" if it has none there."""
        with _Reported(self._connection):
            query = "SELECT routes FROM event WHERE seq > ? AND seq <= ? AND instr(routes, ?) ORDER BY seq DESC LIMIT 1"
            row = self._connection.execute(query, (after, upto, f'"{lane}":')).fetchone()
            return row[0] if row else ""

    # --- room -----------------------------------------------------------------------------------

    def used_bytes(self) -> int:
        """What is taken by rows; free pages inside the file are used again."""
        with _Reported(self._connection):
            pages, free, size = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

    def collect(
        self, upto: int, pinned: list[int], before_id: str, lanes: list[LaneRow], gaps: list[GapRow]
    ) -> int:
        """Delete some of the oldest events up to that seq, not those ``pinned`` and none with an id from
        ``before_id`` on ("" is no limit); how many. ``lanes`` and ``gaps`` say why nobody needs them any more, and are
        written if anything is deleted."""
        with _Transaction(self):
            execute = self._connection.execute
            execute("CREATE TEMP TABLE IF NOT EXISTS pinned (seq INTEGER PRIMARY KEY)")
            execute("DELETE FROM pinned")
            self._connection.executemany("INSERT OR IGNORE INTO pinned VALUES (?)", [(seq,) for seq in pinned])
            if before_id:  # from the index, so that what is to be kept is not looked at each time
                last = "SELECT seq FROM event WHERE id < ? AND doubt <> 'replay' ORDER BY id DESC LIMIT 1"
                found = execute(last, (before_id,)).fetchone()
                upto = min(upto, found[0]) if found else 0
            done = execute(
                "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= ? "
                "AND seq NOT IN (SELECT seq FROM pinned) ORDER BY seq LIMIT ?)",
                (upto, _COLLECT_ROWS),
            )
            if done.rowcount:
                self._write_lanes(lanes, gaps)  # now there is room for them
            return done.rowcount

    def trim(self, table: Literal["dead", "gap"], most: int) -> int:
        """Have no more than so many dead letters or gaps, the latest; how many were deleted."""
        with _Transaction(self):
            extra = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] - most
            if extra <= 0:
                return 0
            self._connection.execute(
                f"DELETE FROM {table} WHERE number IN (SELECT number FROM {table} ORDER BY number LIMIT ?)", (extra,)
            )
            return int(extra)

    def bounds(self) -> tuple[int, int]:
        """The lowest and the highest seq there is, 0 and 0 of an empty log."""
        with _Reported(self._connection):
            low, high = self._connection.execute("SELECT min(seq), max(seq) FROM event").fetchone()
            return low or 0, high or 0

    # --- questions ------------------------------------------------------------------------------

    def event(self, id: str) -> list[Row]:
        """Every entry of the event, the replayed ones too."""
        with _Reported(self._connection):
            found = self._connection.execute("SELECT * FROM event WHERE id = ? ORDER BY seq", (id,))
            return [Row(*row) for row in found]

    def between(self, since_id: str, until_id: str, after: int, limit: int) -> list[Row]:
        """Events by their ids, which sort by time, in the order of the log; not those that are replays."""
        with _Reported(self._connection):
            found = self._connection.execute(
                "SELECT * FROM event WHERE seq > ? AND id >= ? AND id < ? AND doubt <> 'replay' ORDER BY seq LIMIT ?",
                (after, since_id, until_id, limit),
            )
            return [Row(*row) for row in found]

    def dead(self, lane: str, after: int, limit: int) -> list[DeadRow]:
        """Dead letters above that number, of one lane or ("") of all."""
        with _Reported(self._connection):
            found = self._connection.execute(
                "SELECT * FROM dead WHERE number > ? AND (? = '' OR lane = ?) ORDER BY number LIMIT ?",
                (after, lane, lane, limit),
            )
            return [DeadRow(*row) for row in found]

    def last_dead(self) -> int:
        """The highest number of a dead letter, 0 if there is none."""
        with _Reported(self._connection):
            return self._connection.execute("SELECT max(number) FROM dead").fetchone()[0] or 0

    def dead_of(self, numbers: list[int]) -> list[DeadRow]:
        """These dead letters, as far as they exist."""
        with _Reported(self._connection):
            one = "SELECT * FROM dead WHERE number = ?"
            found = [self._connection.execute(one, (number,)).fetchone() for number in numbers]
            return [DeadRow(*row) for row in found if row]

    def dead_of_event(self, id: str) -> list[DeadRow]:
        """The dead letters that one event became."""
        with _Reported(self._connection):
            return [DeadRow(*row) for row in self._connection.execute("SELECT * FROM dead WHERE id = ?", (id,))]

    def gaps(self, lane: str, limit: int) -> list[tuple[object, ...]]:
        """The latest gaps of a lane: at, from, to, lost, reason."""
        with _Reported(self._connection):
            query = "SELECT at, from_seq, to_seq, lost, reason FROM gap WHERE lane = ? ORDER BY number DESC LIMIT ?"
            return self._connection.execute(query, (lane, limit)).fetchall()

    # --- ends -----------------------------------------------------------------------------------

    def sound(self) -> sqlite3.Connection:
        """The connection to write with. After a fault of the disk what the system believes to be written may not be, so
        everything is written once more: what is committed behind a hole would be lost with it."""
        if self.is_sound:
            return self._connection
        self._connection.close()
        try:
            self._connection = self._open()
        except StartError as error:
            raise StoreFault(str(error)) from error
        with _Reported(self._connection):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.is_sound = True
        return self._connection

    def close(self, clean: bool) -> None:
        """Write that the end was in order, if it was, and let go of the file."""
        try:
            if clean:
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
        finally:
            self._connection.close()


class _Reported:
    """Errors of SQLite become ours."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise _ours(error) from error


class _Transaction:
    """All or nothing, in a file that is sound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._connection = self._database.sound()
        with _Reported(self._connection):
            self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
                return
            self._roll_back()
        except sqlite3.Error as failure:
            error = failure
            self._roll_back()
        if isinstance(error, sqlite3.Error):
            fault = _ours(error)
            self._database.is_sound = isinstance(fault, StoreFull)
            raise fault from error

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # a full disk has SQLite do it by itself
            self._connection.execute("ROLLBACK")


def _encodable(batch: Batch) -> Batch:
    """The same, with a question mark for every half of a character."""

    def clean(rows: Iterable[_R]) -> list[_R]:
        return [type(row)(*[_utf8(value) for value in row]) for row in rows]

    sessions = {_utf8(key): row and clean([row])[0] for key, row in batch.sessions.items()}
    return replace(batch, events=clean(batch.events), dead=clean(batch.dead), sessions=sessions)


def _utf8(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _ours(error: sqlite3.Error) -> StoreFault:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return StoreFull(_in_words(error))
    return StoreFault(_in_words(error))


def _in_words(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return "in use by another process; each daemon needs a store of its own"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{error}; move the file away to begin with an empty store"
    return str(error)
