"""The commands about the server, its streams and connections, its configuration and its log.

Each command returns an ``Answer``: the document for programs and lines for people. ``main`` prints one of the two.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..exits import NO
from .client import V1, Client, segment
from .text import age, facts, rate, safe, size, table


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: ``document`` for programs, ``lines`` for people, and the exit status."""

    document: Any
    lines: list[str]
    status: int = 0


def status(client: Client, words: Namespace) -> Answer:
    """The server at a glance."""
    server, ready, health = (
        client.get(f"{V1}/server"),
        client.get("/readyz", good=(200, 503)),
        client.get("/health", good=(200, 503)),
    )
    held_up = ", ".join(health["hooks_held_up"]) or "none"
    lines = [
        f"rtmpd {server['version']} is running, pid {server['pid']}, up {age(server['uptime_s'])}",
        f"ready        {'yes' if ready['ready'] else 'no: ' + '; '.join(ready['reasons'])}",
        f"listens on   {', '.join(server['listen']) or 'nothing'}",
        f"connections  {server['connections']}",
        f"streams      {server['streams']}, {server['publishers']} published, {server['players']} players",
        f"recordings   {server['recordings']}, {server['recordings_failed']} ended early",
        f"relays       {server['relays']}, {server['relays_connected']} connected",
        f"event loop   {server['hub_lag_ms']:g} ms late at most, recently",
        f"events       {health['hook_manager_status']}; {health['active_hooks']} hooks, held up: {held_up}; "
        f"{health['failed_deliveries']} failed deliveries; last event {_ago(health['last_event_time'])}",
        f"             {health['queued_events']} queued, {health['dropped_events']} dropped, "
        f"{health['dead_letters']} dead letters",
        f"last reload  {health['last_reload'] or 'none'}",
        f"health       {health['status']}",
        *(f"  {one['severity']:<8}  {_named(one)}" for one in health["faults"]),
    ]
    return Answer({"server": server, "ready": ready, "health": health}, lines)


def _named(fault: dict[str, Any]) -> str:
    return f"{fault['fault']} {safe(fault['subject'])}: {safe(fault['message'])}"


def _ago(moment: float | None) -> str:
    return "never" if moment is None else f"{age(max(time.time() - moment, 0))} ago"


def health(client: Client, words: Namespace) -> Answer:
    """The health of rtmpd and every fault; status 1 if there is one."""
    document = client.get("/health", good=(200, 503))
    return Answer(document, facts(document), 0 if document["status"] == "healthy" else NO)


def metrics(client: Client, words: Namespace) -> Answer:
    """Every metric, in the text format of Prometheus."""
    text = client.text("/metrics?format=prometheus")
    return Answer({"text": text}, text.splitlines())


def streams(client: Client, words: Namespace) -> Answer:
    """The streams, or one of them with its players."""
    if words.key:
        return _stream(client, words.key)
    found = list(_pages(client, "streams"))
    heads = ("STREAM", "PLAYERS", "LIVE", "PUBLISHER", "ADDRESS", "CODECS", "RATE", "AGE")
    return Answer({"streams": found}, table(heads, [_stream_row(one) for one in found]))


def _stream_row(one: dict[str, Any]) -> tuple[object, ...]:
    publisher = one["publisher"] or {}
    codecs = "+".join(name for name in (publisher.get("video_codec"), publisher.get("audio_codec")) if name)
    mean = rate(publisher["total_bytes"] / max(publisher["age_s"], 0.001)) if publisher else "-"
    live = "yes" if one["live"] else "no"
    who = publisher.get("conn_id"), publisher.get("address")
    return one["key"], one["players"], live, *who, codecs or "-", mean, age(one["age_s"])


def _stream(client: Client, key: str) -> Answer:
    document = client.get(f"{V1}/streams/{segment(key)}")
    heads = ("PLAYER", "ADDRESS", "SENT", "DROPPED", "BACKLOG", "PAUSED", "AGE")
    rows = [
        (one["conn_id"], one["address"], size(one["bytes_sent"]), one["frames_dropped"], one["backlog_frames"],
         "yes" if one["paused"] else "no", age(one["age_s"]))
        for one in document["playing"]
    ]  # fmt: skip
    about = {name: value for name, value in document.items() if name != "playing"}
    return Answer(document, [*facts(about), "", *table(heads, rows)])


def connections(client: Client, words: Namespace) -> Answer:
    """The connections, or one of them."""
    if words.conn_id:
        document = client.get(f"{V1}/connections/{segment(words.conn_id)}")
        return Answer(document, facts(document))
    found = list(_pages(client, "connections"))
    heads = ("CONNECTION", "ADDRESS", "ROLE", "STREAM", "RECEIVED", "SENT", "TLS", "AGE")
    rows = [
        (one["conn_id"], one["address"], one["role"] or one["phase"], one["stream_key"] or one["app"] or "-",
         size(one["bytes_received"]), size(one["bytes_sent"]), "yes" if one["tls"] else "no", age(one["age_s"]))
        for one in found
    ]  # fmt: skip
    return Answer({"connections": found}, table(heads, rows))


def _pages(client: Client, name: str) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        page = client.get(f"{V1}/{name}", {"limit": 1000, "after": after})
        yield from page[name]
        after = page["next"]
        if not after:
            return


def kick(client: Client, words: Namespace) -> Answer:
    """End a connection, or those of a stream."""
    is_stream = "/" in words.target
    asked = {"stream_key": words.target, "role": words.role} if is_stream else {"conn_id": words.target}
    document = client.post(f"{V1}/kick", asked)
    kicked = document["kicked"]
    line = f"ended {', '.join(kicked)}" if kicked else "no connection to end"
    return Answer(document, [line], 0 if kicked else NO)


# --- configuration and log ------------------------------------------------------------------------


def config_show(client: Client, words: Namespace) -> Answer:
    """The settings in effect, and where each was set."""
    document = client.get(f"{V1}/config")
    return Answer(document, document["text"].splitlines())


def config_diff(client: Client, words: Namespace) -> Answer:
    """What a reload would change."""
    document = client.get(f"{V1}/config/diff")
    lines = document["text"].splitlines() or ["nothing would change"]
    return _checked(document, lines)


def config_test(client: Client, words: Namespace) -> Answer:
    """Check whether the current files of the running daemon are valid."""
    document = client.post(f"{V1}/config/test")
    return _checked(document, [*_warnings(document), "the configuration is ok"])


def reload(client: Client, words: Namespace) -> Answer:
    """Read the configuration again and wait for the result."""
    document = client.post(f"{V1}/reload", good=(200, 422))
    lines = [*_warnings(document), f"reloaded: {', '.join(document['changed']) or 'nothing changed'}"]
    if document["restart"]:
        lines.append(f"waiting for a restart: {', '.join(document['restart'])}")
    return _checked(document, lines, "nothing was reloaded")


def _warnings(document: dict[str, Any]) -> list[str]:
    return [f"warning: {safe(warning)}" for warning in document["warnings"]]


def _checked(document: dict[str, Any], lines: list[str], verdict: str = "the configuration is not valid") -> Answer:
    if document["ok"]:
        return Answer(document, lines)
    return Answer(document, [*(safe(problem) for problem in document["problems"]), verdict], NO)


def log_level(client: Client, words: Namespace) -> Answer:
    """Show the log level, or set it until the next start."""
    path = f"{V1}/log/level"
    document = client.post(path, {"level": words.level}, method="PUT") if words.level else client.get(path)
    return Answer(document, [document["level"]])


def log_reopen(client: Client, words: Namespace) -> Answer:
    """Reopen the log file after it was renamed."""
    return Answer(client.post(f"{V1}/log/reopen"), ["the log file was reopened"])
