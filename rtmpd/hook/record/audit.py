"""The audit trail: results of deliveries and actions of operators, in a tamper-evident file.

The writer (``batches``) chains the records (``chain``), writes them and waits for the disk. What cannot be written, or
is more than can be, is counted, and the next record that is written says how much it was: the trail has no silent
gaps. A head is signed every ``HEAD_RECORDS`` records, at least every ``HEAD_S`` seconds if there are new records, and
at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping

from ...clock import Clock
from ...errors import StartError
from ...log import logger
from ...settings import AUDIT_ALL, AuditSettings
from . import chain
from .batches import BatchWriter
from .chain import Chain

DELIVERED = "delivered"
DEAD = "dead"
GAP = "gap"

HEAD_RECORDS = 1000
HEAD_S = 60.0

_TAIL_BYTES = 1 << 20

#: A kind, a Unix time, and facts.
_Entry = tuple[str, float, Mapping[str, object]]

_log = logger("hook.audit")


class AuditTrail:
    """The trail in ``settings.file``, which is continued if it is there. Raises StartError if it cannot be."""

    __slots__ = ("_clock", "_everything", "_file", "_writer")

    def __init__(self, settings: AuditSettings, clock: Clock) -> None:
        self._clock = clock
        self._everything = settings.scope == AUDIT_ALL
        self._file = _File(settings.file, settings.key, clock)
        self._writer: BatchWriter[_Entry] = BatchWriter("audit-trail", self._file.write, self._report, HEAD_S)

    def record(self, kind: str, /, **facts: object) -> None:
        """Note what happened; ``delivered`` only if the trail is for everything. Facts are of the kinds that JSON has.
        Never waits, never raises."""
        if kind != DELIVERED or self._everything:
            self._writer.add((kind, self._clock.wall(), facts))

    def reopen(self) -> None:
        """Go on in a new file under the same name, after the old one was renamed. Never waits."""
        self._file.is_renamed = True
        self._writer.wake()

    def close(self) -> None:
        """Write what has gathered, sign it, and end. May switch greenlets."""
        self._writer.close(self._file.close)

    @property
    def path(self) -> str:
        """Where it is."""
        return self._file.path

    @property
    def fault(self) -> str:
        """Why it could not be written the last time, "" if it could."""
        return self._writer.fault

    def _report(self, problem: str) -> None:
        """Log a fault once, and its end."""
        if problem and not self.fault:
            _log.error("Audit trail", file=self._file.path, problem=problem)
        elif self.fault and not problem:
            _log.warning("Audit trail works again", file=self._file.path)


class _File:
    """The file. After construction everything but ``is_renamed`` is for the writer's thread. ``is_renamed`` is true
    from when the old file may have got another name until the new one is open."""

    def __init__(self, path: str, key: str, clock: Clock) -> None:
        self.path = path
        self.is_renamed = False
        self._clock = clock
        self._lost = 0
        self._since_head = 0
        self._signed_at = clock.monotonic()
        try:
            self._fd = _opened(path)
            last, torn = _tail(self._fd)
        except OSError as error:
            hint = "set audit_file to a file that rtmpd may write, and no other daemon does"
            raise StartError(f"audit trail {path}: {error.strerror}; {hint}") from error
        record = _parsed(last)
        self._chain = Chain(key, *((_number(record), chain.hash_of(last)) if last else ()))
        entries: list[_Entry] = [(chain.TORN, clock.wall(), {"bytes": torn})] if torn else []
        if torn:
            _log.warning("Audit trail ended in the middle of a record", file=path, bytes=torn)
        clean = None if not last else not torn and record.get("kind") == chain.CLOSE
        entries.append((chain.OPEN, clock.wall(), {"clean": clean}))
        try:
            self._append(entries)
        except OSError as error:
            os.close(self._fd)
            raise StartError(f"audit trail {path}: {error}") from error

    def write(self, entries: list[_Entry], refused: int) -> str:
        """Chain the entries and bring them to the disk, all or none of them (``BatchWriter``). Raises OSError."""
        self._lost += refused
        problem = self._reopen() if self.is_renamed else ""
        is_due = self._since_head and self._clock.monotonic() - self._signed_at >= HEAD_S
        self._append([*entries, (chain.HEAD, self._clock.wall(), {})] if is_due else entries)
        return problem

    def close(self) -> None:
        """Sign the end. Raises OSError; the file is closed all the same."""
        try:
            self._append([(chain.CLOSE, self._clock.wall(), {})])
        finally:
            os.close(self._fd)

    def _append(self, entries: list[_Entry]) -> None:
        if not (entries or self._lost):
            return
        start, mark = (self._chain.number, self._chain.hash, self._since_head), os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, b"".join(self._lines(entries)))
            os.fsync(self._fd)
        except Exception as error:  # a full disk, or a fact that cannot be written
            self._chain.number, self._chain.hash, self._since_head = start
            os.ftruncate(self._fd, mark)
            self._lost += len(entries)
            raise OSError(f"{error}; {self._lost} records are lost so far") from error
        self._lost = 0
        if not self._since_head:
            self._signed_at = self._clock.monotonic()

    def _lines(self, entries: list[_Entry]) -> list[bytes]:
        if self._lost:
            entries = [(chain.LOST, self._clock.wall(), {"records": self._lost}), *entries]
        lines = []
        for kind, wall, facts in entries:
            lines.append(self._chain.line(kind, wall, facts))
            self._since_head = 0 if kind in chain.SIGNED else self._since_head + 1
            if self._since_head >= HEAD_RECORDS:
                lines.append(self._chain.line(chain.HEAD, wall, {}))
                self._since_head = 0
        return lines

    def _reopen(self) -> str:
        """Close the old file with a signed head and continue its chain in the new one. Return what went wrong, ""
        if nothing did; while the new file cannot be opened each batch tries again."""
        try:
            new = _opened(self.path)
        except BlockingIOError:
            self.is_renamed = False  # nothing was renamed: the lock on the file is our own
            return ""
        except OSError as error:
            return f"cannot be opened anew: {error.strerror}; the old file goes on"
        self.is_renamed = False
        problem = self._tried([(chain.HEAD, self._clock.wall(), {})])
        os.close(self._fd)
        self._fd = new
        return problem or self._tried([(chain.OPEN, self._clock.wall(), {"continues": self._chain.number})])

    def _tried(self, entries: list[_Entry]) -> str:
        try:
            self._append(entries)
        except OSError as error:
            return str(error)
        return ""


def _opened(path: str) -> int:
    """The file, locked: two writers would break the chain. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


def _tail(fd: int) -> tuple[bytes, int]:
    """The last whole line, and the size of what followed it and is cut off now."""
    size = os.fstat(fd).st_size
    tail = os.pread(fd, min(size, _TAIL_BYTES), max(size - _TAIL_BYTES, 0))
    whole, _, torn = tail.rpartition(b"\n")
    if torn:
        os.ftruncate(fd, size - len(torn))
    return whole.rpartition(b"\n")[2], len(torn)


def _parsed(line: bytes) -> dict[str, object]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _number(record: Mapping[str, object]) -> int:
    number = record.get("n")
    return number if isinstance(number, int) else 0


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
