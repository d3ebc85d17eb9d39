"""``rtmpctl doctor``: checks for the usual problems and suggests a remedy for each."""

from __future__ import annotations

import os
import re
import stat
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from .. import __version__
from ..exits import NO
from .client import V1, Client
from .commands import Answer
from .errors import CommandFailed
from .text import safe

OK, WARNING, BAD = "ok", "warning", "bad"

_LATE_MS: Final = 200
_FEW_DESCRIPTORS: Final = 4096
_SHORT_QUEUE: Final = 1024
_SPARE_DESCRIPTORS: Final = 128  # for files, hooks, HTTP and pending connections


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its ``level``, the observation, and the remedy unless it is ``OK``."""

    level: str
    seen: str
    advice: str = ""


def doctor(client: Client, words: Namespace) -> Answer:
    """Check for problems and suggest remedies; status 1 if something is bad."""
    findings = list(_findings(client))
    document = {"findings": [{"level": one.level, "seen": one.seen, "advice": one.advice} for one in findings]}
    lines: list[str] = []
    for one in findings:
        lines.append(f"{one.level:<8} {safe(one.seen)}")
        lines += [f"         -> {safe(one.advice)}"] if one.advice else []
    return Answer(document, lines, NO if any(one.level == BAD for one in findings) else 0)


def _findings(client: Client) -> Iterator[Finding]:
    if not client.url:
        yield from _socket(client.socket_path)
    try:
        server = client.get(f"{V1}/server")
    except CommandFailed as error:
        yield Finding(BAD, str(error), "start rtmpd, or read in its log why it ended")
        return
    yield from _server(server)
    yield from _readiness(client)
    yield from _faults(client)
    yield from _exposure(server)
    yield from _configuration(client)
    if not client.url:
        yield from _host(server["pid"])


def _socket(path: str) -> Iterator[Finding]:
    try:
        found = os.stat(path)
    except OSError as error:
        yield Finding(BAD, f"{path}: {error.strerror}", "check that [http] socket is set and that rtmpd is running")
        return
    if not stat.S_ISSOCK(found.st_mode):
        yield Finding(BAD, f"{path} is not a socket", "remove it and restart rtmpd")
    elif stat.S_IMODE(found.st_mode) & 0o007:
        yield Finding(WARNING, f"{path} has mode {stat.S_IMODE(found.st_mode):04o}", "chmod 0600 it")
    else:
        yield Finding(OK, f"control socket {path}, mode {stat.S_IMODE(found.st_mode):04o}, uid {found.st_uid}")


def _server(server: dict[str, Any]) -> Iterator[Finding]:
    if server["version"] == __version__:
        yield Finding(OK, f"rtmpd {server['version']} is running, pid {server['pid']}")
    else:
        text = f"rtmpd {server['version']} is running, but rtmpctl is {__version__}"
        yield Finding(WARNING, text, "restart rtmpd after an upgrade")
    if server["hub_lag_ms"] > _LATE_MS:
        text = f"the event loop was {server['hub_lag_ms']:g} ms late"
        yield Finding(WARNING, text, "reduce the load or use a faster processor; see docs/performance.md")
    else:
        yield Finding(OK, f"the event loop is on time (at most {server['hub_lag_ms']:g} ms late)")


def _readiness(client: Client) -> Iterator[Finding]:
    ready = client.get("/readyz", good=(200, 503))
    if ready["ready"]:
        yield Finding(OK, "clients are accepted")
    for reason in ready["reasons"]:
        yield Finding(BAD, f"not ready: {reason}", "send clients to another server until it is ready")


def _faults(client: Client) -> Iterator[Finding]:
    health = client.get("/health", good=(200, 503))
    if not health["active_hooks"]:
        yield Finding(WARNING, "there are no hooks, so events go nowhere", "add one to [hooks]")
    elif health["hook_manager_status"] == "healthy":
        yield Finding(OK, f"{health['active_hooks']} hooks, none held up")
    if health["status"] == "healthy":
        yield Finding(OK, "no faults in hooks, event store, recordings, relays or the last reload")
    for fault in health["faults"]:
        subject = safe(fault["subject"])
        seen = f"{fault['meaning']}: {subject}: {fault['message']}"
        advice = fault["advice"].replace("HOOK", subject).replace("STREAM", subject.partition(" ")[0])
        yield Finding(BAD, seen, advice)
    if dead := health["dead_letters"]:
        text = "rtmpctl dead-letters list, then dead-letters replay or purge"
        yield Finding(WARNING, f"{dead} events became dead letters since the start", text)
    if dropped := health["dropped_events"]:
        text = "rtmpctl hooks list shows the hook; look for events_dropped in the log"
        yield Finding(WARNING, f"{dropped} events were dropped since the start", text)


def _exposure(server: dict[str, Any]) -> Iterator[Finding]:
    """Warn about access that is wider than necessary."""
    if server["public"] and server["open_to_publish"]:
        apps = ", ".join(safe(app) for app in server["open_to_publish"])
        text = f"anyone may publish to {apps} on {', '.join(server['public'])}"
        yield Finding(WARNING, text, "set publish_access or publish_allow of [apps], see docs/access.md")
    if server["uid"] == 0:
        yield Finding(WARNING, "rtmpd runs as root", "set [daemon] user, or User= in the unit")
    limit, wanted = server["descriptors"], server["connections_limit"] + _SPARE_DESCRIPTORS
    if server["connections_limit"] and limit < wanted:
        text = f"rtmpd allows {server['connections_limit']} connections but may open only {limit} files"
        yield Finding(WARNING, text, f"set LimitNOFILE={wanted} in the unit, or lower [limits] connections")


def _configuration(client: Client) -> Iterator[Finding]:
    tested = client.post(f"{V1}/config/test")
    for problem in tested["problems"]:
        yield Finding(BAD, f"configuration: {problem}", "fix it: neither a reload nor a restart would work")
    for warning in tested["warnings"]:
        yield Finding(WARNING, f"configuration: {warning}")
    if tested["ok"]:
        changed = client.get(f"{V1}/config/diff")["text"]
        text, advice = "the settings in effect match the files", ""
        if changed:
            text, advice = "the files have changed since they were read", "rtmpctl config diff, then rtmpctl reload"
        yield Finding(WARNING if changed else OK, text, advice)


def _host(pid: int) -> Iterator[Finding]:
    """Check the limits of the machine. Files that cannot be read are skipped."""
    limit = re.search(r"^Max open files +(\d+)", _text(f"/proc/{pid}/limits"), re.MULTILINE)
    if limit and int(limit[1]) < _FEW_DESCRIPTORS:
        text = f"rtmpd may open only {limit[1]} files, and each connection needs one"
        yield Finding(WARNING, text, "set LimitNOFILE=65536 in the unit, or ulimit -n in /etc/default/rtmpd")
    elif limit:
        yield Finding(OK, f"rtmpd may open {limit[1]} files")
    queue = _text("/proc/sys/net/core/somaxconn").strip()
    if queue.isdigit() and int(queue) < _SHORT_QUEUE:
        text = f"net.core.somaxconn is {queue}, so bursts of connections are refused"
        yield Finding(WARNING, text, f"sysctl -w net.core.somaxconn={_SHORT_QUEUE}")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
