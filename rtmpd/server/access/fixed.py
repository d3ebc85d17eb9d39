"""Fixed tokens, from the configuration and from the token file.

What is kept is a keyed digest of each token, under a key that is made at start. A lookup in a
dictionary takes a time that depends on the digest, which no client can know or steer, so it
reveals nothing about the token; the one that was found is then compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase

from ...settings import TokenSettings
from .question import MISSING, WRONG, Question, Verdict, refused

HASHED = "sha256:"


class FixedTokens:
    """Admits a client that sends one of ``tokens``, for the streams and actions of that token."""

    def __init__(self, tokens: Iterable[TokenSettings]) -> None:
        self._key = secrets.token_bytes(32)
        self._grants: dict[bytes, list[TokenSettings]] = {}
        for token in tokens:
            self._grants.setdefault(self._digest(_sha256_of(token.token)), []).append(token)

    def judge(self, question: Question) -> Verdict:
        """Return the verdict on the token."""
        if not question.token:
            return refused(MISSING)
        given = hashlib.sha256(question.token.encode("utf-8", "surrogateescape")).digest()
        grants = self._grants.get(self._digest(given), [])
        known = [grant for grant in grants if hmac.compare_digest(_sha256_of(grant.token), given)]
        for grant in known:
            if question.action in grant.actions and fnmatchcase(question.stream.key, grant.streams):
                return Verdict(True, identity=grant.identity)
        return refused("the token is for something else" if known else WRONG)

    def _digest(self, token: bytes) -> bytes:
        return hmac.digest(self._key, token, "sha256")


def _sha256_of(token: str) -> bytes:
    if token.startswith(HASHED):
        return bytes.fromhex(token.removeprefix(HASHED))
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
