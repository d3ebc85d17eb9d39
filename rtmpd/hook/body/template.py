"""Templates: request bodies in the format of the receiver, for chats and pagers.

    {"text": "{{ stream_key }} is live", "bitrate": {{ data.bitrate | default 0 }}}

A placeholder is a field, or a text or number of its own, and filters, each of which gets what the one before made.
The content type says what a value becomes, so that no name that a publisher chose can break out of its place:

=====================  ====================================================================================
content type           a value
=====================  ====================================================================================
JSON                   inside of quotes the text of the value, escaped; elsewhere the value as JSON
a form (urlencoded)    its text, percent-encoded
HTML, XML              its text, with ``& < > " '`` as entities
anything else          its text on one line: control characters become spaces
=====================  ====================================================================================

A JSON template must be JSON whatever stands in its placeholders, which is seen when it is compiled.
"""

from __future__ import annotations

import difflib
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

from ...errors import TemplateError
from ...event.event import Event
from .schema import encode_json, time_of

JSON_TYPE = "application/json"
OPEN = "{{"

_TOKEN = re.compile(
    r"""[ \t]*(?:(?P<end>\}\})|(?P<bar>\|)|(?P<name>[A-Za-z_][\w-]*(?:\.[\w-]+)*)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'[^'\n]*')|(?P<number>-?\d{1,15}(?:\.\d{1,15})?(?![\w.])))""",
    re.ASCII,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_FIELDS: dict[str, Callable[[Event, str], object]] = {
    "type": lambda event, node: event.type,
    "timestamp": lambda event, node: event.timestamp,
    "conn_id": lambda event, node: event.conn_id,
    "stream_key": lambda event, node: event.stream_key,
    "data": lambda event, node: event.data,
    "id": lambda event, node: event.id,
    "seq": lambda event, node: event.seq,
    "severity": lambda event, node: event.severity,
    "time": lambda event, node: time_of(event),
    "node": lambda event, node: node,
}


# --- values ---------------------------------------------------------------------------------------


def _text(value: object) -> str:
    """A value as somebody reads it: nothing for nothing, objects as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _json(value)


def _json(value: object) -> str:
    return encode_json(_copied(value))


def _copied(value: object) -> object:
    """``data`` of an event is a read-only mapping, which JSON does not know."""
    return dict(value) if isinstance(value, Mapping) else value


def _truncate(value: object, length: Any) -> str:
    text = _text(value)
    return text if len(text) <= length else text[: max(int(length) - 1, 0)] + "…"


def _slack(value: object) -> str:
    """Slack's own markup is in ``& < >``; without these nobody is called by ``<!channel>``."""
    return html.escape(_text(value), quote=False)


_PLAIN: dict[str, Callable[[object], object]] = {
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "url": lambda value: quote(_text(value), safe="", errors="replace"),
    "slack": _slack,
    "json": lambda value: _Json(_json(value)),
}
_WITH_ARGUMENT: dict[str, Callable[[object, object], object]] = {
    "default": lambda value, other: other if value is None or value == "" else value,
    "truncate": _truncate,
}
_FILTERS = [*_PLAIN, *_WITH_ARGUMENT]


class _Json(str):
    """A text that is JSON already."""

    __slots__ = ()


def _as_json(value: object) -> str:
    return value if isinstance(value, _Json) else _json(value)


def _in_json_text(value: object) -> str:
    return encode_json(_text(value))[1:-1]


def _on_one_line(value: object) -> str:
    return _CONTROL.sub(" ", _text(value))


def _in_a_form(value: object) -> str:
    return quote(_text(value), safe="", errors="replace")


def _in_markup(value: object) -> str:
    return html.escape(_on_one_line(value))


def _writer(content_type: str) -> Callable[[object], str] | None:
    """What writes a value, None for JSON, where it depends on the place."""
    name = content_type.partition(";")[0].strip().lower()
    if name == JSON_TYPE or name.endswith("+json"):
        return None
    if name == "application/x-www-form-urlencoded":
        return _in_a_form
    return _in_markup if name in ("text/html", "text/xml", "application/xml") or name.endswith("+xml") else _on_one_line


# --- templates ------------------------------------------------------------------------------------


class _Placeholder(NamedTuple):
    """Where it stands in the text, and what gives its value."""

    start: int
    end: int
    value: Callable[[Event, str], object]


class Template:
    """A compiled template. Raises TemplateError."""

    def __init__(self, text: str, content_type: str = "") -> None:
        self.content_type = content_type or JSON_TYPE
        self._parts: list[tuple[str, Callable[[Event, str], object], Callable[[object], str]]] = []
        placeholders = list(_Parser(text).placeholders())
        write = _writer(self.content_type)
        inside = _inside_of_quotes(text, placeholders) if write is None else []
        at = 0
        for number, (start, end, value) in enumerate(placeholders):
            writer = write or (_in_json_text if inside[number] else _as_json)
            self._parts.append((text[at:start], value, writer))
            at = end
        self._rest = text[at:]

    def render(self, event: Event, node: str) -> bytes:
        """The body for an event of the server ``node``. Never raises."""
        written = [before + write(value(event, node)) for before, value, write in self._parts]
        return "".join([*written, self._rest]).encode("utf-8", "replace")


def _inside_of_quotes(text: str, placeholders: list[_Placeholder]) -> list[bool]:
    """Return for each placeholder whether it is inside a JSON string. Raises TemplateError if the template is not
    JSON."""
    found, stand_in, at, quoted = [], [], 0, False
    for start, end, _ in placeholders:
        literal = text[at:start]
        quoted ^= len(re.findall(r'"', re.sub(r"\\.", "", literal, flags=re.DOTALL))) % 2 == 1
        found.append(quoted)
        stand_in += [literal, "x" * (end - start) if quoted else "null".ljust(end - start)]
        at = end
    try:
        json.loads("".join([*stand_in, text[at:]]), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        words = f"is not valid JSON: {error.msg[0].lower()}{error.msg[1:]}"
        raise _error(text, error.pos, words, _JSON_HINT) from error
    except (ValueError, RecursionError) as error:
        raise _error(text, 0, f"is not valid JSON: {error}", _JSON_HINT) from error
    return found


_HINT = "write {{ stream_key }} or {{ data.app | default 'x' | upper }}, on one line"
_JSON_HINT = "a placeholder stands where a value may, or inside of quotes; other text takes a content_type of its own"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"there is no {name}")


def _error(text: str, at: int, message: str, hint: str = "") -> TemplateError:
    before = text[:at]
    return TemplateError(message, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1, hint)


class _Parser:
    """Finds placeholders in a text. Errors say where."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def placeholders(self) -> Iterator[_Placeholder]:
        while (start := self._text.find(OPEN, self._at)) >= 0:
            self._at = start + len(OPEN)
            value = self._operand()
            while self._next("bar", "}} or |") == "bar":
                value = self._filter(value)
            yield _Placeholder(start, self._at, value)

    def _next(self, wanted: str, expected: str) -> str:
        """Go past the next token, which is the end of the placeholder or ``wanted``."""
        token = self._token(expected)
        if token.lastgroup not in (wanted, "end"):
            raise self._fail(token, f"{token[0].strip()} is out of place, {expected} is to follow", _HINT)
        self._at = token.end()
        return token.lastgroup or ""

    def _token(self, expected: str) -> re.Match[str]:
        token = _TOKEN.match(self._text, self._at)
        if token is None:
            raise _error(self._text, self._at, f"the placeholder is not closed, {expected} is to follow", _HINT)
        return token

    def _fail(self, token: re.Match[str], message: str, hint: str = "") -> TemplateError:
        return _error(self._text, token.start(token.lastgroup or 0), message, hint)

    def _operand(self) -> Callable[[Event, str], object]:
        token = self._token("a field")
        self._at = token.end()
        if token["name"]:
            return self._field(token)
        value = self._literal(token, "a field like data.app, a text or a number is to stand here")
        return lambda event, node: value

    def _field(self, token: re.Match[str]) -> Callable[[Event, str], object]:
        first, *rest = names = token["name"].split(".")
        if names == ["event"]:
            return _whole
        if first == "event":
            first, *rest = rest
        get = _FIELDS.get(first)
        if get is None or (rest and first != "data"):
            raise self._fail(token, f"no field is called {token['name']}", _nearest(first, [*_FIELDS, "event"]))
        if not rest:
            return get
        return lambda event, node: _inner(event.data, rest)

    def _literal(self, token: re.Match[str], message: str) -> object:
        if token["number"]:
            return json.loads(token["number"]) if not re.match(r"-?0\d", token["number"]) else token["number"]
        if not token["text"]:
            raise self._fail(token, message, _HINT)
        quoted = token["text"]
        if quoted.startswith("'"):
            return quoted[1:-1]
        try:
            return json.loads(quoted, strict=False)
        except json.JSONDecodeError as error:
            raise self._fail(token, f"the text is not valid: {error.msg}", "write \\\\ for a backslash") from error

    def _filter(self, value: Callable[[Event, str], object]) -> Callable[[Event, str], object]:
        token = self._token("a filter")
        self._at = token.end()
        name = token["name"]
        if plain := _PLAIN.get(name or ""):
            return lambda event, node: plain(value(event, node))
        take = _WITH_ARGUMENT.get(name or "")
        if take is None:
            raise self._fail(token, f"no filter is called {name or token[0].strip()}", _nearest(name or "", _FILTERS))
        wanted = f"{name} takes a {'number' if name == 'truncate' else 'text or a number'}"
        follows = self._token(wanted)
        self._at = follows.end()
        argument = self._literal(follows, wanted)
        if name == "truncate" and not (isinstance(argument, int) and argument > 0):
            raise self._fail(follows, wanted, "write truncate 80")
        return lambda event, node: take(value(event, node), argument)


def _whole(event: Event, node: str) -> object:
    """The event in schema 2."""
    names = ("type", "timestamp", "conn_id", "stream_key", "data", "id", "seq", "severity", "time", "node")
    return {name: _copied(_FIELDS[name](event, node)) for name in names}


def _inner(data: Mapping[str, object], path: list[str]) -> object:
    """``a.b`` of ``data``: the field with that name, else b of the object a; None if there is none."""
    found: object = data
    if (name := ".".join(path)) in data:
        return data[name]
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(known)}"
