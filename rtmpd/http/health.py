"""The delivery of events in the four figures that monitoring asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .tail import TailHook

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"

_HELD_UP: Final = ("open", "disabled")


def health(stats: Mapping[str, Any], last_event_time: float | None, last_reload: str = "") -> dict[str, Any]:
    """From the counts of the hooks. ``hooks_held_up`` names those whose endpoint is only probed or given up; one
    that an operator paused is not among them. ``last_reload`` is what became of the last reload, "" if there was
    none."""
    hooks: dict[str, Mapping[str, Any]] = {id: counts for id, counts in stats["hooks"].items() if id != TailHook.id}
    held_up = [id for id, counts in hooks.items() if counts["state"] in _HELD_UP]
    return {
        "hook_manager_status": DEGRADED if held_up else HEALTHY,
        "active_hooks": len(hooks),
        "failed_deliveries": sum(counts["failed"] for counts in hooks.values()),
        "last_event_time": last_event_time,
        "hooks_held_up": held_up,
        "last_reload": last_reload,
        "queued_events": sum(counts["queued"] for counts in hooks.values()),
    }
