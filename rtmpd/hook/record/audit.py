"""The audit trail: what became of deliveries and what operators did, in a file that shows whether it was changed.

Recording is a list append. A greenlet hands what has gathered to a thread of the trail's own, which chains the
records (``chain``), writes them and waits for the disk. What cannot be written, or is more than can be, is counted,
and the next record that is written says how much it was: the trail has no silent gaps. A head is signed every
``HEAD_RECORDS`` records or ``HEAD_S`` seconds, and at the end.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping

import gevent
from gevent.event import Event as Signal
from gevent.threadpool import ThreadPool

from ...clock import Clock
from ...errors import StartError
from ...log import logger
from ...settings import AUDIT_ALL, AuditSettings
from . import chain
from .chain import Chain

DELIVERED = "delivered"
DEAD = "dead"
GAP = "gap"

HEAD_RECORDS = 1000
HEAD_S = 60.0

_BATCH_S = 0.1
_RETRY_S = 1.0
_PENDING_RECORDS = 20_000
_TAIL_BYTES = 1 << 20

#: A kind, a Unix time, and facts; the kind "" is the wish to open the file anew.
_Entry = tuple[str, float, Mapping[str, object]]

_log = logger("hook.audit")


class AuditTrail:
    """The trail in ``settings.file``, which is continued if it is there. Raises StartError if it cannot be. ``fault``
    is why it could not be written the last time, "" if it could."""

    __slots__ = (
        "_clock",
        "_closed",
        "_everything",
        "_file",
        "_lost",
        "_pending",
        "_runner",
        "_thread",
        "_wake",
        "fault",
    )

    def __init__(self, settings: AuditSettings, clock: Clock) -> None:
        self._clock = clock
        self._everything = settings.scope == AUDIT_ALL
        self._file = _File(settings.file, settings.key, clock)
        self._pending: list[_Entry] = []
        self._lost = 0
        self.fault = ""
        self._closed = False
        self._wake = Signal()
        self._thread = ThreadPool(1)
        self._runner = gevent.spawn(self._run)
        self._runner.name = "audit-trail"

    def record(self, kind: str, /, **facts: object) -> None:
        """Note what happened; ``delivered`` only if the trail is for everything. Facts are of the kinds that JSON has.
        Never waits, never switches, never raises."""
        if kind == DELIVERED and not self._everything:
            return
        if len(self._pending) >= _PENDING_RECORDS or self._closed:
            self._lost += 1
            return
        self._pending.append((kind, self._clock.wall(), facts))
        self._wake.set()

    def reopen(self) -> None:
        """Go on in a new file under the same name, after the old one was renamed. Never waits."""
        if not self._closed:
            self._pending.append(("", 0.0, {}))
            self._wake.set()

    def close(self) -> None:
        """Write what has gathered, sign it, and end. May switch greenlets."""
        if self._closed:
            return
        self._closed = True
        self._runner.kill()
        self._flush()
        self._tell(self._thread.apply(self._file.close))
        self._thread.kill()

    def _run(self) -> None:
        while True:
            if not self._wake.wait(_RETRY_S if self.fault else HEAD_S):
                step: Callable[[], str] = (lambda: self._file.write([], 0)) if self.fault else self._file.sign
                self._tell(self._thread.apply(step))
                continue
            gevent.sleep(_BATCH_S)
            self._wake.clear()
            self._flush()

    def _flush(self) -> None:
        entries, self._pending = self._pending, []
        lost, self._lost = self._lost, 0
        if entries or lost:
            self._tell(self._thread.apply(self._file.write, (entries, lost)))

    def _tell(self, problem: str) -> None:
        """Note how the last write went; log a trouble once, and its end."""
        if problem and not self.fault:
            _log.error("Audit trail", file=self._file.path, problem=problem)
        elif self.fault and not problem:
            _log.warning("Audit trail works again", file=self._file.path)
        self.fault = problem

    @property
    def path(self) -> str:
        """Where it is."""
        return self._file.path


class _File:
    """The file; after construction everything is for the thread. Methods return what is wrong, "" if nothing is."""

    def __init__(self, path: str, key: str, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._lost = 0
        self._since_head = 0
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
        if problem := self.write(entries, 0):
            os.close(self._fd)
            raise StartError(f"audit trail {path}: {problem}")

    def write(self, entries: list[_Entry], lost: int) -> str:
        """Chain the entries and bring them to the disk, all or none of them."""
        at = 0
        for number, (kind, _, _) in enumerate(entries):
            if not kind:
                problem = self._append(entries[at:number], lost) or self._reopen()
                at, lost = number + 1, 0
                if problem:
                    return problem
        return self._append(entries[at:], lost)

    def sign(self) -> str:
        """A head, if there is anything to sign."""
        return self._append([(chain.HEAD, self._clock.wall(), {})], 0) if self._since_head else ""

    def close(self) -> str:
        problem = self._append([(chain.CLOSE, self._clock.wall(), {})], 0)
        os.close(self._fd)
        return problem

    def _append(self, entries: list[_Entry], lost: int) -> str:
        self._lost += lost
        if not (entries or self._lost):
            return ""
        start, mark = (self._chain.number, self._chain.hash, self._since_head), os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, b"".join(self._lines(entries)))
            os.fsync(self._fd)
        except Exception as error:  # noqa: BLE001  a full disk, or a fact that cannot be written
            self._chain.number, self._chain.hash, self._since_head = start
            os.ftruncate(self._fd, mark)
            self._lost += len(entries)
            return f"{error}; {self._lost} records are lost so far"
        self._lost = 0
        return ""

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
        """Close the old file with a signed head and continue its chain in the new one."""
        try:
            new = _opened(self.path)
        except BlockingIOError:
            return ""  # it has not been renamed: the lock on it is our own
        except OSError as error:
            return f"cannot be opened anew: {error.strerror}; the old file goes on"
        problem = self._append([(chain.HEAD, self._clock.wall(), {})], 0)
        os.close(self._fd)
        self._fd = new
        return problem or self._append([(chain.OPEN, self._clock.wall(), {"continues": self._chain.number})], 0)


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
