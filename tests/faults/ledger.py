"""Lines that are appended to a file, and what sender and receiver have agreed on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACCEPTED = "accepted.jsonl"
DELIVERED = "delivered.jsonl"
STORE = "events.db"

WEBHOOK_SECRET = "whsec_" + "TWFueSBieXRlcyBvZiBhIHNlY3JldCBmb3IgdGVzdHMh"
TOKEN_SECRET = "a secret for tokens, of thirty-two bytes and more"
AUDIENCE = "the ledger"

Line = dict[str, Any]


class Ledger:
    """Appends to ``path``. A line is one write with O_APPEND, so several processes can share the file, and one that is
    killed leaves no half line."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, *lines: Line) -> None:
        """Write the lines, in one piece."""
        data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
        if os.write(self._file, data) != len(data):
            raise OSError("the ledger has no room")

    def close(self) -> None:
        os.close(self._file)


def lines_of(path: Path) -> Iterator[Line]:
    """What was appended, none if the file is not there."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                yield json.loads(line)


def digest(body: bytes) -> str:
    """What tells one body from another."""
    return hashlib.sha256(body).hexdigest()[:32]
