"""Check functions of the configspec: the text of one value becomes what a settings slice holds.

Each takes the text (or the list that an unquoted comma made of it) and the arguments that
``rtmpd.spec`` gives, and raises ``BadValue``. Nothing here knows sections or files; the command
line goes through the same functions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TypeVar
from urllib.parse import urlsplit

from ..settings import Address, Levels, RateLimit, SigningSecret

Text = str | list[str]
N = TypeVar("N", int, float)

_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_OUR_HEADERS = ("connection", "content-length", "transfer-encoding")
_SIZE_FACTOR = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SWITCH = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}

DURATION_HINT = "write a duration like 300ms, 30s or 1m30s; a plain number is seconds"
SIZE_HINT = "write a number of bytes, or one with k, M, G or T"
COMMA_HINT = "quote values that contain a comma"
LEVELS_HINT = "write WARNING, CRITICAL, like 80, 95; 0 is never"
RATE_HINT = "write EVENTS/WINDOW, like 10/1m, 100/s or 5/30"
HEADER_HINT = "write 'Name: value'"
NETWORK_HINT = "write 10.0.0.0/8, an address, public, private or loopback"
ADDRESS_HINT = "write :PORT, HOST:PORT or [IPV6]:PORT"


class BadValue(ValueError):
    """A value that an option cannot take. ``hint`` says what it could take."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def nearest(word: str, known: list[str]) -> str:
    """``did you mean "listen"?``, or what there is to choose from."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known here: {', '.join(known)}" if known else ""


# --- text ---------------------------------------------------------------------------------------


def text(value: Text) -> str:
    """One string. An unquoted comma made a list of it, which is an error here."""
    if isinstance(value, list):
        raise BadValue("has a comma outside quotes, so it reads as a list", COMMA_HINT)
    return value


def word(value: Text, *words: str) -> str:
    """One of ``words``; ``warn`` is accepted for ``warning``."""
    given = text(value).strip()
    if given in words:
        return given
    if given == "warn" and "warning" in words:
        return "warning"
    raise BadValue("is not one of the words this option takes", nearest(given, [w for w in words if w]))


def switch(value: Text) -> bool:
    """yes, true, on, 1 or no, false, off, 0."""
    given = _SWITCH.get(text(value).strip().lower())
    if given is None:
        raise BadValue("is not a switch", "write yes or no")
    return given


def names(value: Text) -> tuple[str, ...]:
    """Names or globs separated by commas, each once, in the order given."""
    return tuple(dict.fromkeys(_parts(value)))


def conditions(value: Text) -> tuple[str, ...]:
    """Conditions as they stand. One that was quoted keeps its commas."""
    return tuple(_items(value))


def _parts(value: Text) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [stripped for part in parts if (stripped := part.strip())]


def url(value: Text) -> str:
    """An absolute http or https URL with a host, or nothing."""
    given = text(value).strip()
    if not given:
        return ""
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadValue(f"is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise BadValue("is not an http or https URL with a host", "write https://HOST/PATH")
    if any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in given):
        raise BadValue("has a space or a control character", "write it as %20")
    return given


# --- HTTP ---------------------------------------------------------------------------------------


def free(value: Text) -> str | tuple[str, ...]:
    """Whatever it is: text, or a list where there are commas outside quotes."""
    return value if isinstance(value, str) else tuple(value)


def _items(value: Text) -> list[str]:
    """The items of a list. What was quoted, or came from a reference or a flag, keeps its commas."""
    given = [value] if isinstance(value, str) else value
    return [stripped for part in given if (stripped := part.strip())]


def header(value: Text) -> str:
    """The name of a header, or nothing."""
    given = text(value).strip()
    if given and not _HEADER_NAME.fullmatch(given):
        raise BadValue("is not a header name", "write one like X-API-Key")
    return given


def headers(value: Text) -> tuple[tuple[str, str], ...]:
    """Names and values of ``Name: value``. Says nothing about the values, which may be secrets."""
    found = []
    for item in _items(value):
        name, colon, content = (part.strip() for part in item.partition(":"))
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise BadValue("is not a header", HEADER_HINT)
        if not (content.isascii() and content.isprintable()):
            raise BadValue(f"has a value for {name} that no header can have", "use letters, digits and signs of ASCII")
        if name.lower() in _OUR_HEADERS or name.lower().startswith("x-rtmp-"):
            raise BadValue(f"has {name}, which is written by rtmpd", "leave it out")
        found.append((name, content))
    return tuple(found)


def pairs(value: Text) -> tuple[tuple[str, str], ...]:
    """Names and values of ``NAME=VALUE``."""
    found = []
    for item in _items(value):
        name, equals, content = (part.strip() for part in item.partition("="))
        if not equals or not name:
            raise BadValue("is not NAME=VALUE", "write NAME=VALUE")
        found.append((name, content))
    return tuple(found)


def secrets(value: Text) -> tuple[SigningSecret, ...]:
    """Secrets, each with its end or without: ``SECRET until 2026-12-01``. A date is its first moment in UTC."""
    found = []
    for item in _items(value):
        secret, word, end = (part.strip() for part in item.partition(" until "))
        found.append(SigningSecret(secret, _unix_time(end) if word else None))
    return tuple(found)


def _unix_time(date: str) -> float:
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise BadValue("has an until without a date", "write until 2026-12-01 or until 2026-12-01T12:00Z") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def networks(value: Text) -> tuple[str, ...]:
    """Networks in CIDR form, addresses, or the words public, private and loopback."""
    found = names(value)
    for name in found:
        try:
            if name not in ("public", "private", "loopback"):
                ip_network(name)
        except ValueError as error:
            raise BadValue(f"has {name}, which is not a network: {error}", NETWORK_HINT) from error
    return found


# --- numbers ------------------------------------------------------------------------------------


def go_duration(value: str) -> float:
    """Seconds of a Go duration (``300ms``, ``1m30s``, ``0``); a bare number has no unit and is an error."""
    given = value.strip()
    if given == "0":
        return 0.0
    total_s, at = 0.0, 0
    while at < len(given):
        part = _DURATION_PART.match(given, at)
        if part is None:
            raise BadValue("is not a duration", DURATION_HINT.partition(";")[0])
        total_s += float(part[1]) * _UNIT_S[part[2]]
        at = part.end()
    if not given:
        raise BadValue("is empty", DURATION_HINT)
    return total_s


def duration(value: Text) -> float:
    """Seconds of a Go duration or of a plain number."""
    given = text(value).strip()
    if _NUMBER.fullmatch(given):
        return float(given)
    try:
        return go_duration(given)
    except BadValue as error:
        raise BadValue(str(error), DURATION_HINT) from error


def seconds(value: Text, min: str = "0", max: str = "0") -> float:
    """A duration within bounds, in seconds."""
    return _bounded(duration(value), min, max, duration)


def milliseconds(value: Text, min: str = "0", max: str = "0") -> int:
    """A duration within bounds, in whole milliseconds."""
    return round(_bounded(duration(value), min, max, duration) * 1000)


def delays(value: Text, max: str = "0") -> tuple[float, ...]:
    """Durations separated by commas, in seconds, each at most ``max``."""
    return tuple(seconds(part, "0", max) for part in _parts(value))


def bytes_of(value: Text) -> int:
    """Bytes of ``4096``, ``64k``, ``4M`` or ``1G``; k is 1024."""
    match = _SIZE.fullmatch(text(value).strip())
    if match is None:
        raise BadValue("is not a size", SIZE_HINT)
    number = float(match[1]) * _SIZE_FACTOR[match[2].lower()]
    if number != int(number):
        raise BadValue("is not a whole number of bytes", SIZE_HINT)
    return int(number)


def size(value: Text, min: str = "0", max: str = "0") -> int:
    """A size within bounds, in bytes."""
    return _bounded(bytes_of(value), min, max, bytes_of)


def whole(value: Text) -> int:
    """A number without a unit, not negative."""
    given = text(value).strip()
    if not given.isascii() or not given.isdigit():
        raise BadValue("is not a whole number", "write digits only")
    return int(given)


def count(value: Text, min: str = "0", max: str = "0") -> int:
    """A number within bounds."""
    return _bounded(whole(value), min, max, whole)


def _bounded(number: N, least: str, most: str, read: Callable[[Text], N]) -> N:
    if number < read(least):
        raise BadValue("is too small", f"the least is {least}")
    if number > read(most):
        raise BadValue("is too large", f"the most is {most}")
    return number


def levels(value: Text, max: str = "0") -> Levels | None:
    """``WARNING, CRITICAL`` or ``WARNING``, or nothing; 0 is never."""
    return _levels(value, lambda part: _bounded(_decimal(part), "0", max, _decimal))


def latencies(value: Text, max: str = "0") -> Levels | None:
    """The same in durations, as milliseconds."""
    return _levels(value, lambda part: seconds(part, "0", max) * 1000)


def _levels(value: Text, read: Callable[[str], float]) -> Levels | None:
    parts = _parts(value)
    if len(parts) > 2:
        raise BadValue("has more than two thresholds", LEVELS_HINT)
    numbers = [read(part) for part in parts]
    if len(numbers) == 2 and 0 < numbers[1] < numbers[0]:
        raise BadValue("is critical before it is worth a warning", LEVELS_HINT)
    return Levels(*numbers) if numbers else None


def _decimal(value: Text) -> float:
    given = text(value).strip()
    if not _NUMBER.fullmatch(given):
        raise BadValue("is not a number", LEVELS_HINT)
    return float(given)


# --- rates --------------------------------------------------------------------------------------


def rate(value: Text, max: str = "0", longest: str = "0") -> RateLimit | None:
    """``EVENTS/WINDOW``, or nothing. The window is a duration, a unit of one (``10/s``) or seconds."""
    given = text(value).strip()
    if not given:
        return None
    number, slash, window = (part.strip() for part in given.partition("/"))
    if not slash:
        raise BadValue("is not a rate", RATE_HINT)
    try:
        events = count(number, "1", max)
        window_s = seconds(f"1{window}" if window in _UNIT_S else window, "1ms", longest)
    except BadValue as error:
        raise BadValue(str(error), error.hint if "most" in error.hint else RATE_HINT) from error
    return RateLimit(events, window_s)


def burst(value: Text, min: str = "1", max: str = "0") -> int:
    """How many at once, within bounds; empty is 0, for as many as the rate has."""
    given = text(value).strip()
    return count(given, min, max) if given else 0


# --- addresses ----------------------------------------------------------------------------------


def addresses(value: Text) -> tuple[Address, ...]:
    """Addresses separated by commas."""
    return tuple(address(part) for part in _parts(value))


def endpoint(value: Text) -> Address | None:
    """``HOST:PORT`` or ``[IPV6]:PORT`` to send something to, or nothing."""
    given = text(value).strip()
    if not given:
        return None
    found = address(given)
    if not found.host or not found.port:
        raise BadValue("has no host or no port", "write HOST:PORT")
    return found


def address(value: str) -> Address:
    """``:PORT``, ``HOST:PORT`` or ``[IPV6]:PORT``; ``*`` is the same as no host."""
    host, colon, port = value.rpartition(":")
    if not colon:
        raise BadValue("has no port", ADDRESS_HINT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadValue("is an IPv6 address without brackets", ADDRESS_HINT)
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadValue("has no port number from 0 to 65535", ADDRESS_HINT)
    if any(letter.isspace() or letter in "/[]" for letter in host):
        raise BadValue("is not an address", ADDRESS_HINT)
    return Address("" if host == "*" else host, int(port))


CHECKS: dict[str, Callable[..., object]] = {
    "addresses": addresses,
    "burst": burst,
    "conditions": conditions,
    "count": count,
    "delays": delays,
    "endpoint": endpoint,
    "free": free,
    "header": header,
    "headers": headers,
    "latencies": latencies,
    "levels": levels,
    "milliseconds": milliseconds,
    "names": names,
    "networks": networks,
    "pairs": pairs,
    "path": text,
    "rate": rate,
    "seconds": seconds,
    "secrets": secrets,
    "size": size,
    "switch": switch,
    "text": text,
    "url": url,
    "word": word,
}
