"""The records of the audit trail: JSON lines, each with the hash of the line before it.

::

    {"n":7,"at":"2026-11-22T10:00:00.123Z","kind":"dead","event_id":"evt_01...","prev":"5f70bf..."}
    {"n":8,"at":"2026-11-22T10:00:00.200Z","kind":"head","token":"8:9b74c9...","prev":"9b74c9..."}

``prev`` is the SHA-256 of the whole line before, without its line break; the first of all has zeros. So nothing can
be changed without all that follows being written anew, and that shows at the next head: its token is the
number and ``prev`` of its record, signed with the key. A token that is kept elsewhere vouches for all records before
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from itsdangerous import BadSignature, Signer

from ...clock import rfc3339

START = "0" * 64

OPEN = "open"
CLOSE = "close"
HEAD = "head"
LOST = "lost"
TORN = "torn"
SIGNED = (HEAD, CLOSE)

_OURS = frozenset({"n", "at", "kind", "prev", "token"})


def hash_of(line: bytes) -> str:
    """What the next record says of a line, which is given without its line break."""
    return hashlib.sha256(line).hexdigest()


class Chain:
    """Makes records. ``number`` and ``hash`` are those of the last one."""

    __slots__ = ("_signer", "hash", "number")

    def __init__(self, key: str, number: int = 0, hash: str = START) -> None:
        self._signer = _signer([key])
        self.number = number
        self.hash = hash

    def line(self, kind: str, wall: float, facts: Mapping[str, object]) -> bytes:
        """The next record, with its line break. Facts whose names are taken get a ``_``; None is left out."""
        number = self.number + 1
        record: dict[str, object] = {"n": number, "at": rfc3339(wall), "kind": kind}
        for name, value in facts.items():
            if value is not None:
                record[f"{name}_" if name in _OURS else name] = value
        if kind in SIGNED:
            record["token"] = self._signer.sign(f"{number}:{self.hash}").decode()
        record["prev"] = self.hash
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":"), default=str).encode()
        self.number, self.hash = number, hash_of(line)
        return line + b"\n"


def head_of(token: str, keys: Sequence[str]) -> tuple[int, str] | None:
    """Number and ``prev`` of the record that a token was made for; None if none of the keys has signed it."""
    try:
        number, _, prev = _signer(keys).unsign(token).decode().partition(":")
        return int(number), prev
    except (BadSignature, ValueError):
        return None


def _signer(keys: Sequence[str]) -> Signer:
    return Signer(list(keys), salt="rtmpd.audit", key_derivation="hmac", digest_method=hashlib.sha256)
