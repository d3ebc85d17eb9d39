"""The tables of the log, and the rows that go in and out of them.

====================  ==================================================================================================
table                 holds
====================  ==================================================================================================
``event``             each event once, with the hooks it goes to and its number for each of them
``lane``              how far each hook is: what it has settled, and the few exceptions beyond that
``dead``              events that a hook will not get, with the reason
``gap``               ranges that had to be given up unseen, because there was no room
``session``           what has begun and not ended: after a crash the missing ends are made of it
``meta``              the version of these tables, the last number given, the last sign of life
====================  ==================================================================================================

``event.seq`` is never used twice. What is under way is not written down: after a start, everything a lane
has not settled is to be delivered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

VERSION = 1

#: So many events of a lane may be sent twice after a crash: what was handed out since the lane was last written down.
UNSAVED = 2048

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, timestamp INTEGER NOT NULL, conn_id TEXT NOT NULL,
    stream_key TEXT NOT NULL, stream_seq INTEGER NOT NULL, severity TEXT NOT NULL, doubt TEXT NOT NULL,
    routes TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX event_id ON event (id);
CREATE TABLE lane (
    id TEXT PRIMARY KEY, read INTEGER NOT NULL, numbered INTEGER NOT NULL, settled INTEGER NOT NULL,
    pending TEXT NOT NULL, suspects INTEGER NOT NULL, shed TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, at REAL NOT NULL, reason TEXT NOT NULL,
    attempts INTEGER NOT NULL, error TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, timestamp INTEGER NOT NULL,
    conn_id TEXT NOT NULL, stream_key TEXT NOT NULL, seq INTEGER NOT NULL, severity TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX dead_lane ON dead (lane, number);
CREATE INDEX dead_id ON dead (id);
CREATE TABLE gap (
    number INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, at REAL NOT NULL, from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL, lost INTEGER NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE session (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, timestamp INTEGER NOT NULL, conn_id TEXT NOT NULL,
    stream_key TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
"""


class Row(NamedTuple):
    """One event of the log. ``routes`` is a JSON object: the hooks it goes to, and its number for each. ``doubt`` is
    why it may have been received before, mostly "" (``redelivery.DOUBTS``)."""

    seq: int
    id: str
    type: str
    timestamp: int
    conn_id: str
    stream_key: str
    stream_seq: int
    severity: str
    doubt: str
    routes: str
    body: bytes


class LaneRow(NamedTuple):
    """How far a lane is. Up to ``cursor`` (a seq; the column is ``read``) everything is settled but what ``pending``
    names: a JSON object of seqs and the attempts made. ``numbered`` is the last number given, ``settled`` how many came
    to an end. ``suspects`` of those above the cursor may have been delivered by a process that died. ``shed`` is a JSON
    list of the ranges of numbers that were given up before they had a place in the log, as far as they have not been
    passed."""

    id: str
    cursor: int
    numbered: int
    settled: int
    pending: str
    suspects: int
    shed: str


class DeadRow(NamedTuple):
    """One dead letter. ``number`` is None before it is written; ``seq`` is the event's number for the lane."""

    number: int | None
    lane: str
    at: float
    reason: str
    attempts: int
    error: str
    id: str
    type: str
    timestamp: int
    conn_id: str
    stream_key: str
    seq: int
    severity: str
    body: bytes


class GapRow(NamedTuple):
    """The numbers ``from_seq`` to ``to_seq`` of a lane, ``lost`` of which it will not get for want of room."""

    lane: str
    at: float
    from_seq: int
    to_seq: int
    lost: int
    reason: str


class SessionRow(NamedTuple):
    """The event with which something began that has not ended. ``id`` sorts by time."""

    key: str
    id: str
    type: str
    timestamp: int
    conn_id: str
    stream_key: str
    body: bytes


@dataclass(slots=True)
class Batch:
    """What one transaction writes. ``sessions`` has a row for what began and None for what ended. A batch that
    ``may_be_written`` was tried before, and nobody knows whether it is in the file."""

    events: list[Row] = field(default_factory=list)
    lanes: list[LaneRow] = field(default_factory=list)
    dead: list[DeadRow] = field(default_factory=list)
    dead_removed: list[int] = field(default_factory=list)  # numbers of dead letters: replayed, or purged
    gaps: list[GapRow] = field(default_factory=list)
    sessions: dict[str, SessionRow | None] = field(default_factory=dict)
    alive_at: float = 0.0
    may_be_written: bool = False


class Loaded(NamedTuple):
    """What a start finds. ``is_clean`` is whether the last end was in order."""

    last_seq: int
    lanes: list[LaneRow]
    sessions: list[SessionRow]
    alive_at: float
    is_clean: bool


class Page(NamedTuple):
    """Events of one lane in order. ``read_to`` is the seq up to which there are no others."""

    rows: list[Row]
    read_to: int
