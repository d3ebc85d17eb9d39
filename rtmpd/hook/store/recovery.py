"""The ends that a crash has kept from being told."""

from __future__ import annotations

import json

from ...event.pairing import End, end_by_crash
from .log import EventLog


def missing_ends(log: EventLog) -> list[End]:
    """An end for everything that the log saw begin and not end: what began last ends first. Never switches."""
    return [
        end_by_crash(
            row.type, row.timestamp, row.conn_id, row.stream_key, json.loads(row.body)["data"], log.alive_at
        )
        for row in log.left
    ]
