"""The interface of the API to the other rooms: callables that the assembly fills in.

Facts are plain dicts for JSON. A KeyError means that an object does not exist, Refused that the request cannot be met
now; both become answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..metrics.fault import HOOK_HELD_UP, KINDS, Fault
from .tail import Tail, TailHook

HEALTHY: Final = "healthy"
DEGRADED: Final = "degraded"
MAX_FAULTS: Final = 100  # that are named; a thousand relays to one dead server are one thing to know

Facts = dict[str, Any]
Rows = list[Facts]
Numbers = list[int] | None  # None is all of them
Ids = list[str] | None


class Refused(Exception):
    """The request cannot be met; the message gives the reason. ``status`` is the status of the answer."""

    def __init__(self, detail: str, status: int = 409) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class Page:
    """Some of ``total`` facts; ``next`` continues after them, "" if these were the last."""

    items: list[Facts]
    total: int
    next: str = ""


class HookControl(Protocol):
    """The operations on hooks. An unknown hook, event or dead letter is a KeyError. Methods may switch; iterators yield
    a progress record at each step."""

    def list(self) -> Rows: ...

    def show(self, hook_id: str) -> Facts: ...

    def test(self, hook_id: str, event_type: str) -> Facts:
        """Send an example event and wait for the result."""

    def pause(self, hook_id: str) -> None: ...

    def resume(self, hook_id: str) -> None: ...

    def why(self, event_id: str) -> Facts:
        """For each hook: the filter's verdict on the event, and the attempts."""

    def attempts(self, hook_id: str, event_id: str, limit: int) -> Rows: ...

    def dead_letters(self, hook_id: str, after: int, limit: int) -> Rows:
        """The dead letters with a number above ``after``; ``hook_id`` "" means every hook."""

    def dead_letter(self, number: int) -> Facts: ...

    def replay_dead(self, hook_id: str, numbers: Numbers) -> Iterator[Facts]: ...

    def purge_dead(self, hook_id: str, numbers: Numbers) -> Iterator[Facts]: ...

    def replay(
        self, hook_id: str, *, event_ids: Ids, since: float | None, until: float | None
    ) -> Iterator[Facts]: ...


class TokenControl(Protocol):
    """Tokens for publishers and players. Raise Refused."""

    def issue(self, action: str, app: str, name: str, ttl_s: float) -> Facts: ...

    def check(self, token: str, action: str, app: str, name: str) -> Facts: ...


class ConfigControl(Protocol):
    """The configuration, in effect and on disk. May wait for files."""

    def show(self) -> Facts:
        """``text``: the settings in effect, with secrets masked."""

    def diff(self) -> Facts:
        """``text``: the changes that a reload would make, as a unified diff; ``ok`` and ``problems`` of the files."""

    def test(self) -> Facts:
        """``ok``, ``problems`` and ``warnings`` of the current files."""

    def reload(self) -> Facts:
        """Reload, as SIGHUP does, and wait: ``ok``, ``changed``, ``restart``, ``problems``, ``warnings``."""


class LogControl(Protocol):
    """The log of the daemon."""

    def level(self) -> str: ...

    def set_level(self, level: str) -> None: ...

    def reopen(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Api:
    """``ready`` gives the reasons for which the server is not, ``hub_lag_ms`` the recent maximum delay of the event
    loop.

    ``streams`` and ``connections`` take where to go on ("" is the beginning) and how many. ``kick`` ends a
    connection and ``kick_stream`` those of a stream that have a role; they give the ids of what they ended.
    ``refusals`` are the errors that say that something is not there or cannot be done now.
    """

    server: Callable[[], Facts]
    streams: Callable[[str, int], Page]
    stream: Callable[[str], Facts]
    connections: Callable[[str, int], Page]
    connection: Callable[[str], Facts]
    kick: Callable[[str], list[str]]
    kick_stream: Callable[[str, str], list[str]]
    ready: Callable[[], list[str]]
    hub_lag_ms: Callable[[], float]
    health: Callable[[], Facts]
    metrics: Callable[[bool], bytes]
    hooks: HookControl
    tail: Tail
    config: ConfigControl
    log: LogControl
    tokens: TokenControl
    refusals: tuple[type[Exception], ...] = (KeyError, Refused)


# --- how rtmpd does its work: four figures that monitoring asks for, and every fault that there is ---


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
