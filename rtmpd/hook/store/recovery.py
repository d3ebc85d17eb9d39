"""Emits the ends that a crash prevented."""

from __future__ import annotations

import json
import os

from ...event.birth import time_of
from ...event.pairing import End, end_by_crash
from .log import EventLog
from .schema import SessionRow

_PART = ".part"  # what a recording is called while it is written


def missing_ends(log: EventLog) -> list[End]:
    """Return an end for everything that the log saw begin and not end: what began last ends first."""
    return [_end(row, log.alive_at) for row in log.left]


def _end(row: SessionRow, alive_at: float) -> End:
    data = json.loads(row.body)["data"]
    if row.type == "recording_start":
        data["path"] = _left_at(str(data["path"]))
    began_at = time_of(row.id) or row.timestamp
    return end_by_crash(row.type, began_at, row.conn_id, row.stream_key, data, alive_at)


def _left_at(path: str) -> str:
    """Where the crash left the recording. The name that it was to get is not there yet if it was being written."""
    return path + _PART if not os.path.exists(path) and os.path.exists(path + _PART) else path
