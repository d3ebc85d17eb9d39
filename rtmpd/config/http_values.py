"""Check functions for values in HTTP requests. See ``values``."""

from __future__ import annotations

import re
from collections.abc import Callable

from .values import BadValue, Text, names, text

_WORD = r"[\w!#$&^.+-]+"
_CONTENT_TYPE = re.compile(rf'{_WORD}/{_WORD}(\s*;\s*[\w-]+=("[^"\\\x00-\x1f]*"|{_WORD}))*', re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", re.ASCII)
_NODE = re.compile(r"[\w.-]{0,255}", re.ASCII)


def content_type(value: Text) -> str:
    """A media type, with parameters or without, or nothing."""
    given = text(value).strip()
    if given and not _CONTENT_TYPE.fullmatch(given):
        raise BadValue("is not a content type", "write one like application/json or text/plain; charset=utf-8")
    return given


def node(value: Text) -> str:
    """The name of a server, or nothing."""
    given = text(value).strip()
    if not _NODE.fullmatch(given):
        raise BadValue("is not a valid name for a server", "use letters, digits, dots, _ and -, at most 255")
    return given


def origins(value: Text) -> tuple[str, ...]:
    """Origins of web pages as browsers send them (RFC 6454, 6.2), in small letters; ``*`` is every origin."""
    found = tuple(name.lower().removesuffix("/") for name in names(value))
    for origin in found:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise BadValue(f"has {origin}, which is not an origin", "write one like https://www.example.net, or *")
    return found


CHECKS: dict[str, Callable[..., object]] = {"content_type": content_type, "node": node, "origins": origins}
