"""The input and the output of an access check: Question and Verdict. The rules are in ``access``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from typing import Final, Protocol
from urllib.parse import unquote

from ...identity import StreamId, covers

TOKEN_CHARS: Final = 8192

MISSING: Final = "token missing"
WRONG: Final = "invalid credentials"


@dataclass(frozen=True, slots=True)
class Question:
    """``action`` is publish or play; ``token`` is "" if none was sent."""

    action: str
    stream: StreamId
    token: str = field(repr=False)
    address: str
    port: int

    @property
    def remote_addr(self) -> str:
        """``ip:port``, IPv6 in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` says why not, in words that hold no secret. The rest is what an admitted client gets:
    ``identity`` the user, ``name`` the stream it is really for ("": the one it asked for), ``lease_s``
    how long it may stay and ``max_bps`` how many bits per second it may send (0: no limit)."""

    allowed: bool
    reason: str = ""
    identity: str = ""
    name: str = ""
    lease_s: float = 0.0
    max_bps: float = 0.0


ADMITTED: Final = Verdict(True)


def refused(reason: str) -> Verdict:
    """Return a refusal because of ``reason``."""
    return Verdict(False, reason)


class Mode(Protocol):
    """One access mode: judges every question of the applications that use it."""

    def judge(self, question: Question) -> Verdict:
        """Return the verdict. Never raises; only the callback may switch greenlets."""


def token_of(*queries: str) -> str:
    """Return the first ``token=`` of these queries that is not empty, "" without one or over ``TOKEN_CHARS``. A plus
    sign stays a plus sign: tokens are pasted, not typed into forms."""
    for query in queries:
        for part in query.split("&"):
            name, _, value = part.partition("=")
            if name == "token" and value:
                return unquote(value) if len(value) <= TOKEN_CHARS else ""
    return ""


def out_of_scope(apps: Iterable[str], names: Iterable[str], stream: StreamId) -> str:
    """Return why a token with these globs of applications and of names is not good for a stream, "" if it is."""
    globs = tuple(apps), tuple(names)
    if any(covers(app, name, stream) for app, name in product(*globs)):
        return ""
    return "wrong name" if any(fnmatchcase(stream.app, app) for app in globs[0]) else "wrong application"


def any_of(reasons: Iterable[tuple[str, str]]) -> str:
    """Return one reason for the refusals of several modes; with one mode its own."""
    given = tuple(reasons)
    return given[0][1] if len(given) == 1 else "; ".join(f"{mode}: {reason}" for mode, reason in given)
