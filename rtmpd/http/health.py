"""How rtmpd does its work: the four figures that monitoring asks for, and every fault that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..metrics.fault import HOOK_HELD_UP, KINDS, Fault
from .tail import TailHook

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
MAX_FAULTS: Final = 100  # that are named; a thousand relays to one dead server are one thing to know


def health(
    stats: Mapping[str, Any], last_event_time: float | None, faults: Sequence[Fault], last_reload: str = ""
) -> dict[str, Any]:
    """Return the document from the counts of the hooks and the faults that there are.

    ``hook_manager_status`` is about events only, ``status`` about everything. ``hooks_held_up`` names those whose
    endpoint is only probed or given up; one that an operator paused is not among them. ``last_reload`` is what became
    of the last reload, "" if there was none.
    """
    hooks: dict[str, Mapping[str, Any]] = {id: counts for id, counts in stats["hooks"].items() if id != TailHook.id}
    return {
        "hook_manager_status": DEGRADED if any(KINDS[fault.kind].of_events for fault in faults) else HEALTHY,
        "active_hooks": len(hooks),
        "failed_deliveries": sum(counts["dropped"] + sum(counts["dead"].values()) for counts in hooks.values()),
        "last_event_time": last_event_time,
        "status": DEGRADED if faults else HEALTHY,
        "faults": [
            {
                "fault": fault.kind,
                "subject": fault.subject,
                "message": fault.message,
                "severity": KINDS[fault.kind].severity,
                "meaning": KINDS[fault.kind].meaning,
                "advice": KINDS[fault.kind].advice,
            }
            for fault in faults[:MAX_FAULTS]
        ],
        "hooks_held_up": [fault.subject for fault in faults if fault.kind == HOOK_HELD_UP],
        "last_reload": last_reload,
        "queued_events": sum(counts["queued"] for counts in hooks.values()),
        "dropped_events": sum(counts["dropped"] for counts in hooks.values()),
        "dead_letters": sum(sum(counts["dead"].values()) for counts in hooks.values()),
    }


def unready(faults: Sequence[Fault]) -> list[str]:
    """Return why clients should go elsewhere, as far as faults are why."""
    return [f"{KINDS[fault.kind].meaning} ({fault.message})" for fault in faults if KINDS[fault.kind].unready]
