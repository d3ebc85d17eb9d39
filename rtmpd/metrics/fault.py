"""What keeps rtmpd from doing its work now, as every instrument calls it.

A part that sees a fault yields ``Fault`` as long as it lasts. ``/health``, ``/readyz``, ``rtmpctl status`` and
``rtmpctl doctor``, the metric ``rtmp_faults`` and the alert rules all come from these and from the one table of kinds
here.
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
    """A fault that there is now. ``kind`` is one of ``KINDS``, ``subject`` what it is about, ``message`` what is known
    of the cause."""

    kind: str
    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. ``of_events`` is whether events are not accepted or delivered for it, ``unready`` whether
    clients had better go elsewhere, ``lasts`` for how long it must last until Prometheus alerts."""

    meaning: str
    advice: str
    severity: str
    of_events: bool = False
    unready: bool = False
    lasts: str = "0m"


#: Every kind, the worst first.
KINDS: Mapping[str, Kind] = MappingProxyType({
    STORE_NOT_WRITABLE: Kind(
        "the event store cannot be written: events wait in memory, and those beyond staged_events are given up",
        "make room on its file system, or mend its permissions; rtmpd goes on by itself; a restart gives up what waits",
        CRITICAL, of_events=True, unready=True,
    ),
    STORE_NOT_READABLE: Kind(
        "the event store cannot be read: hooks that are behind get nothing",
        "look at the disk (dmesg); if the file is damaged, move it away and restart",
        CRITICAL, of_events=True, unready=True,
    ),
    STORE_FULL: Kind(
        "the event store cannot grow: delivered events go early, and events for a hook that is behind are given up",
        "make room on its file system, or raise [store] size and reload; rtmpctl hooks list shows which hook is behind",
        CRITICAL, of_events=True,
    ),
    HOOK_HELD_UP: Kind(
        "the endpoint of a hook fails, and is only probed or given up",
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
        "make room on its file system, or mend its permissions",
        WARNING, of_events=True,
    ),
    RECORD_DIR: Kind(
        "a record_dir cannot be written, so that nothing is recorded there",
        "create the directory and give it to the user that rtmpd runs as",
        CRITICAL,
    ),
    RECORDING_FAILED: Kind(
        "the recording of a stream has ended early while the stream goes on",
        "make room; the recording begins again when the publisher does",
        CRITICAL,
    ),
    RELAY_FAILING: Kind(
        "a stream does not reach a server that it is pushed to",
        "rtmpctl streams STREAM says why; rtmpd goes on trying",
        WARNING, lasts="2m",
    ),
    RELOAD_REJECTED: Kind(
        "the last reload was rejected: what is in effect is not what is in the files",
        "rtmpctl config test, then rtmpctl reload",
        WARNING,
    ),
    DESCRIPTORS: Kind(
        "no descriptor is left for more connections",
        "raise LimitNOFILE in the unit, or ulimit -n in /etc/default/rtmpd, and restart",
        CRITICAL, unready=True,
    ),
})  # fmt: skip
