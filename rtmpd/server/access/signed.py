"""Signed expiring keys: tokens that contain their own permissions, made by anyone with a signing key.

Nothing about a key is stored here. It is JSON, the time it was made and an HMAC-SHA256, in the form of
itsdangerous' ``URLSafeTimedSerializer``; its text needs no escaping in a URL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from itsdangerous import BadData, URLSafeTimedSerializer

from .question import MISSING, Question, Verdict, out_of_scope, refused

_SALT: Final = "rtmpd.access"
_HOW: Final = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a signed key is good for: ``app`` and ``name`` (globs), ``actions``, until ``expires`` (Unix
    seconds), for clients from ``address`` ("": from anywhere). ``identity`` is whose it is."""

    app: str
    name: str
    actions: tuple[str, ...]
    expires: float
    identity: str = ""
    address: str = ""


def issue(keys: Sequence[str], claims: Claims) -> str:
    """Return a signed key, made with the first of ``keys``. Raises ValueError without a key."""
    body: dict[str, Any] = {
        "app": claims.app,
        "name": claims.name,
        "act": list(claims.actions),
        "exp": int(claims.expires),
    }
    body |= {"id": claims.identity} if claims.identity else {}
    body |= {"ip": claims.address} if claims.address else {}
    signed: str = _serializer(keys[:1]).dumps(body)
    return signed


def read(keys: Sequence[str], token: str) -> Claims | str:
    """Return what a signed key says, or why it is not valid. Expiry is not looked at."""
    try:
        body, made = _serializer(keys).loads(token, return_timestamp=True)
    except BadData:
        return "bad signature"
    try:
        claims = Claims(
            body["app"], body["name"], tuple(body["act"]), body["exp"], body.get("id", ""), body.get("ip", "")
        )
    except (TypeError, KeyError, AttributeError):
        return "the signed key is incomplete"
    texts = (claims.app, claims.name, claims.identity, claims.address, *claims.actions)
    if not all(isinstance(text, str) for text in texts) or type(claims.expires) is not int:
        return "the signed key is incomplete"
    return claims if made.timestamp() <= claims.expires else "the signed key ended before it was made"


def check(keys: Sequence[str], question: Question, now: float) -> Verdict:
    """Return whether the token in the question is a signed key for it at ``now`` (Unix seconds)."""
    if not question.token:
        return refused(MISSING)
    claims = read(keys, question.token)
    if isinstance(claims, str):
        return refused(claims)
    if now > claims.expires:
        return refused("expired")
    if reason := out_of_scope([claims.app], [claims.name], question.stream):
        return refused(reason)
    if question.action not in claims.actions:
        return refused("wrong action")
    if claims.address and not _is_same_address(claims.address, question.address):
        return refused("wrong address")
    return Verdict(True, identity=claims.identity)


def _is_same_address(claimed: str, address: str) -> bool:
    """Return whether both are the same IP address, however they are written."""
    try:
        return ip_address(claimed) == ip_address(address.partition("%")[0])
    except ValueError:
        return False


def _serializer(keys: Iterable[str]) -> URLSafeTimedSerializer:
    """It signs with the last of its keys, and verifies with any."""
    secrets = [key.encode("utf-8", "surrogateescape") for key in keys]
    if not secrets:
        raise ValueError("a key to sign with is missing")
    return URLSafeTimedSerializer(secrets, salt=_SALT, signer_kwargs=dict(_HOW))
