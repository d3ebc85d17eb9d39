"""The SQLite file of the log. Everything here blocks: it runs on the log's own thread, one call at a time.

SQLite in WAL mode with one exclusive connection: no second daemon can deliver the same events, and
no reader keeps the WAL from being folded into the file. With ``full`` every commit is on the disk before it
returns; with ``normal`` a power cut can take the last moments, a killed process cannot; ``off`` is for tests.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

from ...errors import StartError, StoreFault, StoreFull
from .schema import TABLES, UNSAVED, VERSION, Batch, DeadRow, GapRow, LaneRow, Loaded, Page, Row, SessionRow

_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "off": "OFF"}
_PAGE_BYTES = 1 << 20
_SCAN_ROWS = 50_000  # a page looks at no more than these, so that no call takes long
_COLLECT_ROWS = 1000
_RESERVE_BYTES = 8 << 20  # twice what SQLite's own log has before it is brought into the file
_MAX_PAGES = 0x3FFFFFFF  # so that the bound is SQLite's own (https://www.sqlite.org/limits.html#max_page_count)
_NOTE_BYTES = 64 << 10
_RESERVE_PART = 8  # of the free room at most an eighth is reserved
_HEADER = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat.html#the_database_header
_VERSION_OFFSET = 60

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_R = TypeVar("_R", Row, DeadRow, SessionRow)


class Database:
    """The log's file at ``path``, made if it is not there. Raises StartError if it cannot be used.

    A disk without space for a new file does not raise: the file is created with the first write that succeeds, and
    until then every write raises StoreFull. ``reserve`` is room that is kept for the day when the disk is full.

    Every method but ``close`` raises StoreFull if there is no room and StoreFault for any other trouble of the file;
    then nothing of the call was written.
    """

    def __init__(self, path: str, durability: str, pages: int = 0) -> None:
        self.path = path
        self._durability = durability
        self._pages = pages
        self.is_sound = True  # false after a fault, until all has been written once more
        self.reserve = Reserve(path + Reserve.SUFFIX)
        self.is_capped = False  # true from when the disk was full until it has room again: the file does not grow
        self._is_made = True  # false until there is room for a new file
        try:
            self._connection = self._open()
        except StoreFull as error:
            if _version_in(path):
                raise StartError(f"event store {path}: {error}") from error
            self.is_sound = self._is_made = False
            self._connection = _empty()

    def _open(self) -> sqlite3.Connection:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            os.close(descriptor)
            connection = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, check_same_thread=False)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StoreFull(error.strerror or str(error)) from error
            raise StartError(f"event store {self.path}: {error}; [store] path names another file") from error
        except sqlite3.Error as error:
            raise StartError(f"event store {self.path}: {error}; [store] path names another file") from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            fault = _ours(error)
            if isinstance(fault, StoreFull):
                raise fault from error
            raise StartError(f"event store {self.path}: {fault}") from error
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
            raise StartError(f"event store {self.path}: {_of_version(version)}")
        if version == 0:
            _create_tables(connection)
        connection.execute("COMMIT")

    def load(self) -> Loaded:
        """Return what there is. Writes nothing."""
        with _Reported(self._connection):
            query = self._connection.execute
            meta = dict(query("SELECT key, value FROM meta").fetchall())
            is_clean = bool(meta.get("clean", 1))
            last = query("SELECT max(seq) FROM event").fetchone()[0] or 0
            lanes = [LaneRow(*row) for row in query("SELECT * FROM lane")]
            sessions = [SessionRow(*row) for row in query("SELECT * FROM session ORDER BY id DESC")]
        if not is_clean:
            lanes = [row._replace(suspects=UNSAVED) for row in lanes]
        last = max([last, meta.get("last_seq", 0), *(lane.cursor for lane in lanes)])
        return Loaded(last, lanes, sessions, meta.get("alive_at", 0.0), is_clean)

    def mark_running(self, was_clean: bool) -> None:
        """Write that an end without ``close`` is a crash from now on. Nothing may be delivered before: after a crash
        what was delivered has to be known as suspect."""
        with _Transaction(self):
            if not was_clean:
                self._connection.execute("UPDATE lane SET suspects = ?", (UNSAVED,))
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0)")

    def mark_alive(self, at: float) -> None:
        """Write a sign of life, as of the Unix time ``at``."""
        with _Transaction(self):
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('alive_at', ?)", (at,))

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
            write("DELETE FROM dead WHERE number = ?", [(number,) for number in batch.dead_removed])
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

    def make_room(self) -> bool:
        """Give the reserve back on a full disk, use it to bring SQLite's own log into the file, and let the file not
        grow any more: from then on the store lives on the pages that deletions leave free. Return whether another try
        makes sense."""
        released = self.reserve.release()
        try:
            connection = self.sound()
            with _Reported(connection):
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
                pages = connection.execute("PRAGMA page_count").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        except StoreFull:
            return released
        was_capped, self.is_capped = self.is_capped, True
        return released or not was_capped

    def grow_again(self) -> None:
        """Let the file grow again if the disk has room again, and refill the reserve."""
        disk = os.statvfs(os.path.dirname(os.path.abspath(self.path)))
        if self.is_capped:
            enough = min(2 * _RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 4)
            if disk.f_bavail * disk.f_frsize < enough:
                return
            with _Reported(self._connection):
                self._connection.execute(f"PRAGMA max_page_count = {self._pages or _MAX_PAGES}").fetchone()
            self.is_capped = False
        self.reserve.fill()

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
        """The highest number that a dead letter ever had, 0 if there was none."""
        with _Reported(self._connection):
            found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'dead'").fetchone()
            return found[0] if found else 0

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
        """Return the connection to write with. After a fault of the disk what the system believes to be written may not
        be, so everything is written once more: what is committed after a hole would be lost with it."""
        if self.is_sound:
            return self._connection
        if self._is_made:
            self._connection.close()
        try:
            self._connection = self._open()
        except StartError as error:
            raise StoreFault(str(error)) from error
        self._is_made = True
        with _Reported(self._connection):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.is_sound = True
        return self._connection

    def close(self, clean: bool) -> None:
        """Write that the end was in order, if it was, and let go of the file. Raises StoreFault."""
        try:
            if clean:
                with _Transaction(self):
                    self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
        finally:
            self._connection.close()


class Reserve:
    """A file beside the store whose room is taken in advance, best effort.

    On a full disk SQLite cannot even delete, since its own log has to grow for that. Then ``release`` gives the room
    back (``Database.make_room``). The first part of the file stays, and is overwritten in place with a note of what
    would be lost if the process ended now.
    """

    SUFFIX = "-reserve"

    def __init__(self, path: str) -> None:
        self._path = path

    def fill(self) -> None:
        """Take the room, if the disk has a lot more than that."""
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                taken = os.fstat(descriptor).st_size
                disk = os.fstatvfs(descriptor)
                spare = (disk.f_bavail * disk.f_frsize + taken) // _RESERVE_PART
                wanted = _RESERVE_BYTES if spare >= _RESERVE_BYTES else _NOTE_BYTES if spare >= _NOTE_BYTES else 0
                if wanted > taken:
                    os.posix_fallocate(descriptor, 0, wanted)
            finally:
                os.close(descriptor)
        except OSError:
            pass  # a file system that cannot; the store works without

    def release(self) -> bool:
        """Give the room back; return whether there was any."""
        try:
            if os.stat(self._path).st_size <= _NOTE_BYTES:
                return False
            os.truncate(self._path, _NOTE_BYTES)
        except OSError:
            return False
        return True

    def note(self, numbered: Mapping[str, int]) -> bool:
        """Write down the last number given for each lane; return whether it was possible. Needs no room on the disk."""
        text = json.dumps(numbered).encode()
        if len(text) > _NOTE_BYTES:
            return False
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, text.ljust(_NOTE_BYTES, b"\0"), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True

    def noted(self) -> dict[str, int]:
        """Return the note, or an empty one."""
        try:
            with open(self._path, "rb") as file:
                text = file.read(_NOTE_BYTES).rstrip(b"\0")
            found = json.loads(text) if text else {}
        except (OSError, ValueError):
            return {}
        return {str(lane): number for lane, number in found.items() if isinstance(number, int)}


def unusable(path: str) -> str:
    """Return why this process could not open the store at ``path``, "" if nothing is known against it. A daemon may
    have it open: this only looks."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"{folder} is mounted read-only"
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            return f"uid {os.geteuid()} may not write in {folder}, where SQLite has to make files"
        if os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            return f"uid {os.geteuid()} may not write it"
        version = _version_in(path)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    if version is None:
        return "it is not an SQLite database; move the file away to begin with an empty store"
    return "" if version in (0, VERSION) else _of_version(version)


def _version_in(path: str) -> int | None:
    """Return the version in the head of the file, 0 for an empty or missing one, None if it is not of SQLite. Raises
    OSError."""
    try:
        with open(path, "rb") as file:
            head = file.read(_VERSION_OFFSET + 4)
    except FileNotFoundError:
        return 0
    if head and not head.startswith(_HEADER):
        return None
    return int.from_bytes(head[_VERSION_OFFSET:])


def _of_version(version: int) -> str:
    return (
        f"has version {version}, this rtmpd knows {VERSION}; "
        "use the rtmpd that wrote it, or let [store] path name another file"
    )


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _empty() -> sqlite3.Connection:
    """A store in memory, to answer questions until there is a file."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _create_tables(connection)
    return connection


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
