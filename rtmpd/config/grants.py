"""Check functions for access options: modes, tokens, keys. See ``values``."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..settings import ACTIONS, MODES, TokenSettings
from .values import BadValue, Text, conditions, names, nearest

TOKEN_HINT = "write IDENTITY:TOKEN, IDENTITY:TOKEN STREAMS or IDENTITY:TOKEN STREAMS ACTION"

_HASHED = "sha256:"
_BLANKS = re.compile("[ \t]+")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def modes(value: Text) -> tuple[str, ...]:
    """Access modes, at least one."""
    found = names(value)
    for name in found:
        if name not in MODES:
            raise BadValue(f"has {name}, which is not an access mode", nearest(name, list(MODES)))
    if not found:
        raise BadValue("names no access mode", "write open to admit everybody")
    return found


def texts(value: Text) -> tuple[str, ...]:
    """Texts as they stand. One that was quoted, or is from elsewhere, keeps its commas."""
    return conditions(value)


def tokens(value: Text) -> tuple[TokenSettings, ...]:
    """Tokens separated by commas."""
    return tuple(token(item) for item in texts(value))


def token(text: str) -> TokenSettings:
    """``IDENTITY:TOKEN [STREAMS [ACTION]]``. Says nothing about the token, which is a secret."""
    first, *more = _BLANKS.split(text.strip(" \t\r\n"))  # other spaces may be part of a stream's name
    identity, colon, secret = first.partition(":")
    if not colon or not identity or not secret or len(more) > 2:
        raise BadValue("is not a token", TOKEN_HINT)
    if secret.startswith(_HASHED) and not _DIGEST.fullmatch(secret.removeprefix(_HASHED)):
        raise BadValue(f"has a digest for {identity} that is not valid", "write sha256: and 64 hex digits")
    action = more[1] if len(more) > 1 else ""
    if action and action not in ACTIONS:
        raise BadValue(f"has an action for {identity} that is not valid", "write publish or play")
    return TokenSettings(identity, secret, more[0] if more else "*", (action,) if action else ACTIONS)


def token_of_stream(stream: str, secret: str) -> TokenSettings:
    """A token as go-rtmp has them: for one stream, both actions. It is named as the stream."""
    if not stream or not secret or secret.split() != [secret]:
        raise BadValue("is not a stream and its token", "write live/cam=TOKEN")
    identity = re.sub("[^A-Za-z0-9_.-]", "_", stream.rpartition("/")[2]) or "all"
    return TokenSettings(identity, secret, re.sub(r"([*?[])", r"[\1]", stream))


CHECKS: dict[str, Callable[..., object]] = {"modes": modes, "texts": texts, "tokens": tokens}
