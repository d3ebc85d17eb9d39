"""Faults: conditions that keep rtmpd from doing its work now, with one name for each in every report.

A part that detects a fault yields a ``Fault`` while it lasts. ``/health``, ``/readyz``, ``rtmpctl status`` and
``rtmpctl doctor``, the metric ``rtmp_faults`` and the alert rules all use these and the one table of kinds here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

WARNING = "warning"
CRITICAL = "critical"

STORE_NOT_WRITABLE = "store_not_writable"
STORE_NOT_READABLE = "store_not_readable"
STORE_FULL = "store_full"
HOOK_HELD_UP = "hook_held_up"
HOOK_BEHIND = "hook_behind"
RECORD_NOT_WRITTEN = "record_not_written"
RECORD_DIR = "record_dir"
RECORDING_FAILED = "recording_failed"
RELAY_FAILING = "relay_failing"
RELOAD_REJECTED = "reload_rejected"
DESCRIPTORS = "descriptors"


class Fault(NamedTuple):
    """A current fault. ``kind`` is one of ``KINDS``, ``subject`` is the affected object, ``message`` the known
    cause."""

    kind: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. ``of_events`` means that events are not accepted or delivered, ``unready`` that clients should
    be sent elsewhere; ``lasts`` is how long the fault must last before Prometheus alerts."""

    meaning: str
    advice: str
    severity: str
    of_events: bool = False
    unready: bool = False
    lasts: str = "0m"


#: Every kind, the worst first.
KINDS: Mapping[str, Kind] = MappingProxyType({
    STORE_NOT_WRITABLE: Kind(
        "the event store cannot be written: events wait in memory, and events beyond staged_events are dropped",
        "free space on its file system, or fix its permissions; rtmpd recovers by itself; a restart drops what waits",
        CRITICAL, of_events=True, unready=True,
    ),
    STORE_NOT_READABLE: Kind(
        "the event store cannot be read: hooks that are behind get nothing",
        "check the disk (dmesg); if the file is damaged, move it away and restart",
        CRITICAL, of_events=True, unready=True,
    ),
    STORE_FULL: Kind(
        "the event store is full: delivered events are deleted early, and events for a slow hook are dropped",
        "free space on its file system, or raise [store] size and reload; rtmpctl hooks list shows the slow hook",
        CRITICAL, of_events=True,
    ),
    HOOK_HELD_UP: Kind(
        "the endpoint of a hook fails; it is only probed, or the hook is disabled",
        "rtmpctl hooks show HOOK, then rtmpctl hooks test HOOK",
        WARNING, of_events=True, lasts="5m",
    ),
    HOOK_BEHIND: Kind(
        "an event has waited for a hook for more than five minutes",
        "rtmpctl hooks show HOOK: is the endpoint too slow, or the hook paused?",
        WARNING, of_events=True, lasts="5m",
    ),
    RECORD_NOT_WRITTEN: Kind(
        "the log of attempts or the audit trail cannot be written",
        "free space on its file system, or fix its permissions",
        WARNING, of_events=True,
    ),
    RECORD_DIR: Kind(
        "a record_dir cannot be written, so nothing is recorded there",
        "create the directory and make it writable for the user that rtmpd runs as",
        CRITICAL,
    ),
    RECORDING_FAILED: Kind(
        "the recording of a stream ended early while the stream goes on",
        "free space; recording starts again with the next publish",
        CRITICAL,
    ),
    RELAY_FAILING: Kind(
        "a stream does not reach a push destination",
        "rtmpctl streams STREAM shows the reason; rtmpd keeps trying",
        WARNING, lasts="2m",
    ),
    RELOAD_REJECTED: Kind(
        "the last reload was rejected: the settings in effect differ from the files",
        "rtmpctl config test, then rtmpctl reload",
        WARNING,
    ),
    DESCRIPTORS: Kind(
        "no descriptor is left for more connections",
        "raise LimitNOFILE in the unit, or ulimit -n in /etc/default/rtmpd, and restart",
        CRITICAL, unready=True,
    ),
})  # fmt: skip
