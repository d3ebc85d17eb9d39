"""Routes and their parameters.

One table of routes answers requests, checks their parameters and becomes the OpenAPI file, so the three agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .guard import CONTROL
from .request import Request
from .response import JSON, HttpError, Response

V1 = "/api/v1"
PATH, QUERY, BODY = "path", "query", "body"

_NAMES: Final = {"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
_CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_WORDS: Final = {"true": True, "false": False}
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
MOST_ITEMS: Final = 500

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. ``type`` is the JSON type; with ``many`` it is a list of such. Bounds hold for
    numbers, which all have them; ``default`` None means that it may be left out, unless it is ``required``."""

    name: str
    where: str
    type: str
    meaning: str
    required: bool = False
    many: bool = False
    choices: tuple[str, ...] = ()
    minimum: float = 0
    maximum: float = 1
    default: Any = None
    chars: int = 1100  # what a stream key can have, and a little more

    def checked(self, value: object) -> Any:
        """Return the value if it is valid. Raises HttpError."""
        if not self.many:
            return self._one(value)
        if not isinstance(value, list) or not 0 < len(value) <= MOST_ITEMS:
            raise HttpError(400, f"{self.name} must be a list of 1 to {MOST_ITEMS} items")
        return [self._one(item) for item in value]

    def _one(self, value: object) -> Any:
        if self.type == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number
        is_other = isinstance(value, bool) != (self.type == "boolean")
        if is_other or not isinstance(value, _CLASSES[self.type]):
            raise HttpError(400, f"{self.name} must be {_NAMES[self.type]}")
        if isinstance(value, str):
            self._check_text(value)
        elif isinstance(value, (int, float)) and not self.minimum <= value <= self.maximum:
            raise HttpError(400, f"{self.name} must be from {self.minimum:g} to {self.maximum:g}")
        return value

    def _check_text(self, value: str) -> None:
        if self.choices and value not in self.choices:
            raise HttpError(400, f"{self.name} must be one of {', '.join(self.choices)}")
        if not 0 < len(value) <= self.chars or _CONTROL.search(value) or not _is_unicode(value):
            raise HttpError(400, f"{self.name} must have 1 to {self.chars} characters and no control characters")

    def read(self, text: str) -> Any:
        """Return the value of text from a path or a query. Raises HttpError."""
        try:
            value: object = text if self.type == "string" else _WORDS.get(text, text)
            if self.type == "integer":
                value = int(text) if text.isascii() and len(text) < 20 else text
            elif self.type == "number":
                value = float(text)
        except ValueError:
            value = text
        return self._one(value)


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a route: ``values`` has every parameter that was given or has a default, ``accept`` is the Accept
    header."""

    values: Values
    accept: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def get(self, name: str) -> Any:
        """Return the value, None if it was left out."""
        return self.values.get(name)


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` has ``{name}`` for one segment; at its end ``{name}`` takes all that is left, slashes too, if
    ``rest`` is set. ``handle`` is given the callables of ``api.Api`` and the call. ``answer`` is the JSON Schema of
    a good answer of type ``content_type``; ``errors`` are the statuses of its own refusals; ``scope`` says who may
    ask (see ``guard``). Of the parameters ``one_of`` there is exactly one. A good answer may
    also be one of ``more_types``."""

    method: str
    path: str
    handle: Callable[[Any, Call], Response]
    summary: str
    answer: Mapping[str, Any]
    params: tuple[Param, ...] = ()
    errors: tuple[int, ...] = ()
    scope: str = CONTROL
    content_type: str = JSON
    rest: bool = False
    also: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    more_types: tuple[str, ...] = ()

    def call(self, request: Request, found: Mapping[str, str]) -> Call:
        """Return the checked parameters of the request. Raises HttpError."""
        if not self.params and not request.query_string:
            return Call({}, request.headers.get("accept", ""))
        given: dict[str, Any] = {}
        for param in self.of(PATH):
            given[param.name] = param.read(found[param.name])
        given |= self._queried(request)
        given |= self._of_body(request)
        for param in self.params:
            if param.name not in given:
                if param.required:
                    raise HttpError(400, f"{param.name} is missing")
                if param.default is not None:
                    given[param.name] = param.default
        if self.one_of and sum(name in given for name in self.one_of) != 1:
            raise HttpError(400, f"give exactly one of {' and '.join(self.one_of)}")
        return Call(given, request.headers.get("accept", ""))

    def of(self, where: str) -> list[Param]:
        """Return the parameters of one place (path, query or body)."""
        return [param for param in self.params if param.where == where]

    def _queried(self, request: Request) -> dict[str, Any]:
        params = {param.name: param for param in self.of(QUERY)}
        given: dict[str, Any] = {}
        for name, text in request.args.items(multi=True):
            if name not in params:
                raise HttpError(400, _unknown(name, params))
            value = params[name].read(text)
            if params[name].many:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise HttpError(400, f"{name} is given twice")
            else:
                given[name] = value
        return given

    def _of_body(self, request: Request) -> dict[str, Any]:
        params = {param.name: param for param in self.of(BODY)}
        body = request.get_data()
        if not params or not body:
            return {}  # a body that the route does not use is read and ignored
        document = _document(request.mimetype, body)
        given = {}
        for name, value in document.items():
            if name not in params:
                raise HttpError(400, _unknown(name, params))
            given[name] = params[name].checked(value)
        return given


def _is_unicode(text: str) -> bool:
    """Return false for half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _document(mimetype: str, body: bytes) -> dict[str, Any]:
    if mimetype != JSON:
        raise HttpError(415, f"the body must be {JSON}")
    try:
        document = json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise HttpError(400, "the body is not a JSON document") from None
    if not isinstance(document, dict):
        raise HttpError(400, "the body is not a JSON object")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice")
    return found


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"parameter {name[:100]!r} is not known here; known: {', '.join(known) or 'none'}"
