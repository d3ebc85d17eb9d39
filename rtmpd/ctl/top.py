"""``rtmpctl top``: a live view of the streams and their rates."""

from __future__ import annotations

import json
import os
import select
import sys
import termios
import time
import tty
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from .client import V1, Client
from .commands import Answer
from .text import age, rate, safe, shortened, size, table

_CLEAR: Final = "\x1b[H\x1b[J"
_OTHER_SCREEN: Final = "\x1b[?1049h\x1b[?25l"
_BACK: Final = "\x1b[?25h\x1b[?1049l"
_BOLD, _PLAIN = "\x1b[7m", "\x1b[0m"
_MAX_STREAMS: Final = 1000
_NO_TERMINAL: Final = (200, 10_000)
_HEADS: Final = ("STREAM", "PLAYERS", "IN", "VIDEO", "AUDIO", "PUBLISHER", "STALLED", "AGE")
_GAUGES: Final = {
    "rtmp_ingest_bytes_per_second": "in_bytes_per_s",
    "rtmp_egress_bytes_per_second": "out_bytes_per_s",
    "rtmp_process_cpu_percent": "cpu_percent",
    "process_resident_memory_bytes": "memory_bytes",
}


def top(client: Client, words: Namespace) -> Answer:
    """The server and its busiest streams: once, or until q or Ctrl-C."""
    view = _View(client)
    if words.once or not sys.stdout.isatty():
        document = view.look()
        return Answer(document, view.lines(document, *_terminal(words.once)))
    with _screen():
        while True:
            document = view.look()
            lines = [json.dumps(document)] if words.json else view.lines(document, *_terminal(False))
            lines[min(_ROW, len(lines) - 1)] = f"{_BOLD}{lines[min(_ROW, len(lines) - 1)]}{_PLAIN}"
            print(_CLEAR + "\n".join(lines), end="", flush=True)
            if _quits_within(words.interval):
                return Answer(None, [])


@contextmanager
def _screen() -> Iterator[None]:
    """Use the alternate screen, and read keys without Enter."""
    keys = termios.tcgetattr(sys.stdin) if sys.stdin.isatty() else None
    try:
        print(_OTHER_SCREEN, end="")
        if keys is not None:
            tty.setcbreak(sys.stdin)
        yield
    finally:
        if keys is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, keys)
        print(_BACK, end="", flush=True)


def _quits_within(seconds: float) -> bool:
    """Wait for ``seconds`` or until q is pressed; return whether it was pressed."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            pressed = os.read(sys.stdin.fileno(), 64)
            if not pressed or b"q" in pressed.lower():
                return True
    return False


_MIN_NAME: Final = 20
_OTHER_COLUMNS: Final = 88  # width of the columns after the name
_ROW: Final = 4  # row of the table's heading


def _terminal(whole: bool) -> tuple[int, int]:
    """Return the columns and rows of the terminal."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return _NO_TERMINAL
    return columns or 80, 10_000 if whole else rows or 24  # a serial line says 0


class _View:
    """Keeps the figures of the last look, to compute rates."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before: dict[str, int] = {}
        self._at = 0.0

    def look(self) -> dict[str, Any]:
        """Fetch the current figures; streams are sorted by incoming rate."""
        server = self._client.get(f"{V1}/server")
        streams = self._client.get(f"{V1}/streams", {"limit": _MAX_STREAMS})["streams"]
        now = time.monotonic()
        for stream in streams:
            stream["in_bytes_per_s"] = self._rate(stream["publisher"], now)
        publishers = [stream["publisher"] for stream in streams if stream["publisher"]]
        self._before = {one["session_id"]: one["total_bytes"] for one in publishers}
        self._at = now
        streams.sort(key=lambda stream: (-stream["in_bytes_per_s"], stream["key"]))
        return {"server": server, **_gauges(self._client.text("/metrics?format=prometheus")), "streams": streams}

    def _rate(self, publisher: dict[str, Any] | None, now: float) -> float:
        """Return bytes per second since the last look, or since the start of the publish."""
        if publisher is None:
            return 0.0
        before = self._before.get(publisher["session_id"])
        if before is None:
            return float(publisher["total_bytes"] / max(publisher["age_s"], 0.001))
        return float((publisher["total_bytes"] - before) / max(now - self._at, 0.001))

    def lines(self, document: dict[str, Any], columns: int, rows: int) -> list[str]:
        """Return the lines of the screen, cut to its size."""
        server = document["server"]
        lines = [
            f"rtmpd {server['version']}  {time.strftime('%H:%M:%S')}  up {age(server['uptime_s'])}  "
            f"pid {server['pid']}{'  STOPPING' if server['draining'] else ''}",
            f"connections {server['connections']}  streams {server['streams']}  "
            f"publishers {server['publishers']}  players {server['players']}",
            f"in {rate(document['in_bytes_per_s'])}  out {rate(document['out_bytes_per_s'])}  "
            f"cpu {document['cpu_percent']:.0f} %  memory {size(document['memory_bytes'])}  "
            f"loop late {server['hub_lag_ms']:.1f} ms",
            "",
        ]
        width = max(columns - _OTHER_COLUMNS, _MIN_NAME)
        lines += table(_HEADS, [_row(stream, width) for stream in document["streams"]])
        return [line[:columns] for line in lines[: max(rows - 1, _ROW + 1)]]


def _row(stream: dict[str, Any], width: int) -> tuple[object, ...]:
    name = shortened(stream["key"], width)
    publisher = stream["publisher"]
    if publisher is None:
        return name, stream["players"], "-", "-", "-", "nobody yet", "-", age(stream["age_s"])
    stalled_s = publisher["stalled_s"]
    return (
        name,
        stream["players"],
        rate(stream["in_bytes_per_s"]),
        publisher["video_codec"] or "-",
        publisher["audio_codec"] or "-",
        f"{safe(publisher['address'])} {publisher['conn_id']}",
        f"{stalled_s:.0f} s" if stalled_s >= 2 else "-",
        age(publisher["age_s"]),
    )


def _gauges(page: str) -> dict[str, float]:
    """Return the figures to show from the page of metrics; 0 for a missing one."""
    found = dict.fromkeys(_GAUGES.values(), 0.0)
    for line in page.splitlines():
        name, _, value = line.partition(" ")
        if name in _GAUGES:
            found[_GAUGES[name]] = float(value)
    return found
