"""The event log of the hooks that may count on their events."""

from __future__ import annotations

from dataclasses import dataclass

DURABILITY_FULL = "full"
DURABILITY_NORMAL = "normal"
DURABILITY_OFF = "off"

STORE_DROP_OLDEST = "drop_oldest"
STORE_DROP_NEWEST = "drop_newest"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the log is (``path``) and how far it can be relied on (``durability``, a ``DURABILITY_*`` word).

    Settled events are kept for ``retention_s``, all events in ``size_bytes``; beyond that ``full`` says what
    is given up (a ``STORE_*`` word). ``dead_letters`` is how many of these are kept. While the file can
    not be written, ``staged_events`` events of ``staged_bytes`` wait in memory. ``pages`` is a limit of SQLite's own on
    the file, 0 for none.
    """

    path: str = ""
    durability: str = DURABILITY_FULL
    retention_s: float = 86400.0
    size_bytes: int = 1 << 30
    full: str = STORE_DROP_OLDEST
    dead_letters: int = 10_000
    staged_events: int = 10_000
    staged_bytes: int = 64 << 20
    pages: int = 0
