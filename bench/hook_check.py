"""The checker of what a receiver of events gets: order, loss, duplicates and delay.

The driver numbers the events of each stream from 1 and says when it made them; both are the first fields of ``data``,
so that one regular expression finds them in every form that a body has.
"""

from __future__ import annotations

import re
import time
from typing import Any

MARK = re.compile(rb'"stream_key":"([^"]*)","data":\{"number":(\d+),"sent_ns":(\d+)')


class Checker:
    """Counts. An event that has been skipped and comes later is ``reordered``, one that comes again ``duplicated``."""

    def __init__(self) -> None:
        self.received = self.duplicated = self.reordered = self.unreadable = 0
        self.first_ns = self.last_ns = 0
        self.delays_ns: list[int] = []
        self._last: dict[bytes, int] = {}
        self._skipped: set[tuple[bytes, int]] = set()

    def take(self, body: bytes) -> None:
        """Take what one request or one read brought; a body without an event is ``unreadable``."""
        now = time.monotonic_ns()
        found = MARK.findall(body)
        if not found:
            self.unreadable += 1
            return
        self.first_ns = self.first_ns or now
        self.last_ns = now
        for stream, digits, sent_ns in found:
            self._take(stream, int(digits))
            if sent_ns != b"0":
                self.delays_ns.append(now - int(sent_ns))

    def figures(self) -> dict[str, Any]:
        """What was seen. ``unique`` counts each event once."""
        return {
            "received": self.received,
            "unique": self.received - self.duplicated,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "unreadable": self.unreadable,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "delays_ns": self.delays_ns,
        }

    def _take(self, stream: bytes, number: int) -> None:
        self.received += 1
        last = self._last.get(stream, 0)
        if number == last + 1:
            self._last[stream] = number
        elif number > last:
            self._skipped.update((stream, skipped) for skipped in range(last + 1, number))
            self._last[stream] = number
        elif (stream, number) in self._skipped:
            self._skipped.remove((stream, number))
            self.reordered += 1
        else:
            self.duplicated += 1
