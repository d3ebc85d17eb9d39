"""Formats answers as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..text import escaped

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def safe(value: object) -> str:
    """Return printable text: a name from a client could contain control sequences for the terminal."""
    if value is None:
        return "-"
    return escaped(str(value))


def shortened(value: object, width: int) -> str:
    """Return printable text of at most ``width`` characters. A longer text loses its middle, because names often differ
    at their ends."""
    text = safe(value)
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}\u2026{text[len(text) - (width - 1 - head):]}"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return lines in columns; numbers are aligned right."""
    raw = [list(row) for row in rows]
    cells = [[safe(value) for value in row] for row in raw]
    widths = [max([len(head), *(len(row[at]) for row in cells)]) for at, head in enumerate(heads)]
    right = [bool(raw) and all(isinstance(row[at], int | float) for row in raw) for at in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        aligned = (t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True))
        return "  ".join(aligned).rstrip()

    return [line(heads), *(line(row) for row in cells)]


def facts(document: dict[str, Any], indent: str = "") -> list[str]:
    """Return lines of keys and values; nested values are indented."""
    width = max([len(key) for key in document], default=0)
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{safe(key)}", *facts(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{indent}{safe(key)}")
            for item in value:
                first, *rest = facts(item, indent + "    ")
                lines += [f"{indent}  - {first.strip()}", *rest]
        else:
            lines.append(f"{indent}{safe(key).ljust(width)}  {plain(value)}")
    return lines


def plain(value: object) -> str:
    """Return one value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(safe(item) for item in value) or "-"
    if isinstance(value, dict):
        return "-"
    return safe(value)


def age(seconds: float) -> str:
    """Return a duration in its two largest units: ``3d 4h``, ``12m 5s``."""
    left = int(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def rate(bytes_per_s: float) -> str:
    """Return bytes per second as text in bits per second."""
    bits = bytes_per_s * 8
    for size, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bits >= size:
            return f"{bits / size:.1f} {unit}"
    return f"{bits:.0f} bit/s"


def size(count: float) -> str:
    """Return a number of bytes as text."""
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
