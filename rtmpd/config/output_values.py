"""Check functions of the configspec for outputs: templates of paths and of destinations."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from string import Formatter
from typing import Final
from urllib.parse import urlsplit

from ..settings.output import DESTINATION_FIELDS, PATH_FIELDS
from .values import BadValue, Text, names, nearest, text

_FORM: Final = "write rtmp://HOST/APP/NAME"
_SCHEMES: Final = ("rtmp", "rtmps")


def record_path(value: Text) -> str:
    """The template of a path below the directory of recordings."""
    given = text(value).strip()
    fields = _fields(given, PATH_FIELDS)
    if given.startswith("/") or given.endswith("/") or ".." in given.split("/"):
        raise BadValue("is not a path below record_dir", "write one like {app}/{name}-{time:%Y%m%d-%H%M%S}.flv")
    if not fields:
        raise BadValue("is the same for every stream", "write {app} and {name} into it")
    for field, spec in fields:
        _check_format(field, spec)
    return given


def _check_format(field: str, spec: str) -> None:
    try:
        if field == "time":
            time.strftime(spec, time.gmtime(0))
        elif field == "segment":
            format(1, spec)
        elif spec:
            raise BadValue(f"has a format for {field}, which takes none", f"write {{{field}}}")
    except ValueError as error:
        raise BadValue(f"has a format of {field} that cannot be used: {error}", "write {segment:03d}") from error


def destinations(value: Text) -> tuple[str, ...]:
    """Templates of URLs to publish to. Says nothing about what is in them, which may be secret."""
    found = names(value)
    for template in found:
        _check_destination(template)
    return found


def sources(value: Text) -> tuple[str, ...]:
    """Templates of URLs to play, separated by ``|``; the next one is tried when one fails."""
    given = text(value) if isinstance(value, str) else ",".join(value)
    found = tuple(part.strip() for part in given.split("|") if part.strip())
    for template in found:
        _check_destination(template)
    return found


def _check_destination(template: str) -> None:
    _fields(template, DESTINATION_FIELDS, formats=False)
    try:
        parts = urlsplit(template, allow_fragments=False)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadValue("has a destination that is not a URL", _FORM) from error
    if parts.scheme not in _SCHEMES or not host or port == 0 or "{" in parts.netloc:
        raise BadValue("has a destination that is not the URL of an RTMP server", _FORM)
    if "@" in parts.netloc:
        raise BadValue(
            "has a destination with a user name, and rtmpd does not log in (authmod=adobe, authmod=llnw)",
            "put a token into the query or the name if the service takes one, else push with ffmpeg from a script",
        )
    if not parts.path.strip("/") or parts.path.endswith("/"):
        raise BadValue("has a destination without an application or a stream", _FORM)


def _fields(template: str, known: Collection[str], formats: bool = True) -> list[tuple[str, str]]:
    """The fields of a template with their formats."""
    try:
        parsed = [(field, spec or "", how) for _, field, spec, how in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise BadValue("has a { or } on its own", "write {name}") from error
    for field, spec, conversion in parsed:
        if field not in known:
            raise BadValue(f"has {{{field}}}, which stands for nothing", nearest(field, list(known)))
        if conversion or (spec and not formats):
            raise BadValue(f"has a format for {field}, which takes none", f"write {{{field}}}")
    return [(field, spec) for field, spec, _ in parsed]


CHECKS: dict[str, Callable[..., object]] = {
    "destinations": destinations,
    "sources": sources,
    "record_path": record_path,
}
