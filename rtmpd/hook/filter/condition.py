"""Conditions on the fields of an event: ``FIELD OPERATOR VALUE``.

===================  ==================================================================================
``==`` ``=`` ``eq``  equal: as numbers if both are numbers, else as text, letter by letter
``!=`` ``ne``        not equal
``>`` ``gt``         greater; so ``>=`` ``gte``, ``<`` ``lt`` and ``<=`` ``lte``; both sides must be numbers
``*=`` ``contains``  the text has the value in it; a list has an item that is equal to it
``~`` ``matches``    the regular expression is found somewhere in the text
===================  ==================================================================================

FIELD is ``type``, ``timestamp``, ``conn_id``, ``stream_key``, ``severity`` or ``data.NAME``; further dots
go into objects, but a key that has the dots in its name comes first. A value in quotes is text, never a
number. A field that is absent or null is missing. Truth is ``true`` and ``false``.

A publisher chooses much of the text that ``matches`` searches, and a search that backtracks can hold the daemon for
hours. So the search is RE2's, whose time grows with the length of the text and not with what the text holds.

A condition is compiled once into closures. They never raise, whatever an event holds.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import re2

from ...errors import FilterError
from ...event.event import Event
from ...settings import MISSING_DROP, MISSING_PASS

CONDITION = "condition"
MISSING_FIELD = "missing_field"

PATH_KEYS = 8
PATTERN_CHARS = 256
SUBJECT_CHARS = 256

#: Why the event does not pass, "" if it does.
Check = Callable[[Event], str]
Get = Callable[[Event], object]
Test = Callable[[object], bool]

_SYMBOLS = {
    "==": "eq", "!=": "ne", ">=": "gte", "<=": "lte", "*=": "contains",
    "=": "eq", ">": "gt", "<": "lt", "~": "matches",
}  # fmt: skip
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip
_WORDS = ("eq", "ne", "gt", "gte", "lt", "lte", "contains", "matches")
_ROOTS = ("type", "timestamp", "conn_id", "stream_key", "severity", "data")

_LONGEST_FIRST = "|".join(map(re.escape, sorted(_SYMBOLS, key=len, reverse=True)))
_BY_SYMBOL = re.compile(rf"([^\s=!<>~*]+)\s*({_LONGEST_FIRST})\s*(.*)", re.DOTALL)
_BY_WORD = re.compile(rf"([^\s=!<>~*]+)\s+({'|'.join(_WORDS)})(?:\s+(.*))?", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]{1,64}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,64}\.?[0-9]{0,64}|\.[0-9]{1,64})(?:[eE][+-]?[0-9]{1,2})?")
_SHAPE_HINT = "write FIELD OPERATOR VALUE, like data.bitrate > 1000000"
_PATTERN_HINT = "patterns are those of RE2: without back references, look-around and possessive repeats"
_INTEGER_BITS = 1024


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition taken apart. ``operator`` is a word; ``quoted`` tells that the value is text in any case."""

    field: str
    operator: str
    value: str
    quoted: bool = False


def parse(text: str) -> Condition:
    """Take a condition apart. Raises FilterError if it has not the shape of one."""
    given = text.strip()
    found = _BY_SYMBOL.fullmatch(given) or _BY_WORD.fullmatch(given)
    if found is None:
        raise FilterError("is not a condition", _SHAPE_HINT)
    field, sign, value = found[1], found[2], (found[3] or "").strip()
    word = _SYMBOLS.get(sign, sign)
    if not value:
        raise FilterError("has no value", f'{_SHAPE_HINT}; "" is the empty text')
    if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
        return Condition(field, word, value[1:-1], quoted=True)
    if word != "matches" and value[0] in "=!<>~*":
        known = " ".join(_SYMBOLS)
        raise FilterError(f"has no operator {sign}{value[0]}", f"operators are {known}; or quote the value")
    return Condition(field, word, value)


def check(text: str) -> None:
    """Check the text of a condition. Raises FilterError."""
    compile_condition(text)


def compile_condition(text: str, on_missing: str = MISSING_DROP) -> Check:
    """The condition as a function of an event. Raises FilterError."""
    condition = parse(text)
    get, test = _getter(condition.field), _TESTS[condition.operator](condition)
    if_missing = "" if on_missing == MISSING_PASS else MISSING_FIELD

    def judge(event: Event) -> str:
        value = get(event)
        if value is None:
            return if_missing
        return "" if test(value) else CONDITION

    return judge


# --- the field ------------------------------------------------------------------------------------


def _getter(path: str) -> Get:
    root, dot, rest = path.partition(".")
    if root not in _ROOTS or bool(dot) != (root == "data"):
        close = get_close_matches(f"data.{path}", [f"data.{root}" for root in _ROOTS[:-1]], 1, 0.9)
        hint = f"write {close[0][5:]}" if close else f"fields are {', '.join(_ROOTS[:-1])} and data.NAME"
        raise FilterError(f"has no field {path!r}", hint)
    if root != "data":
        return operator.attrgetter(root)
    keys = rest.split(".")
    if len(keys) > PATH_KEYS or not all(keys):
        raise FilterError(f"has no field {path!r}", f"write data.NAME, with at most {PATH_KEYS} names")
    if len(keys) == 1:
        return lambda event: event.data.get(rest)
    return lambda event: _walk(event.data, keys)


def _walk(value: object, keys: list[str]) -> object:
    """What the dotted name stands for, its longest literal key first; None if there is nothing."""
    if not keys:
        return value
    if not isinstance(value, Mapping):
        return None
    for length in range(len(keys), 0, -1):
        key = ".".join(keys[:length])
        if key in value and (found := _walk(value[key], keys[length:])) is not None:
            return found
    return None


# --- the test -------------------------------------------------------------------------------------


def _equal(condition: Condition) -> Test:
    wanted, number = condition.value, None if condition.quoted else _number(condition.value)
    if number is None:
        return lambda value: _text(value) == wanted

    def test(value: object) -> bool:
        given = _number(value)
        return _text(value) == wanted if given is None else given == number

    return test


def _not_equal(condition: Condition) -> Test:
    equal = _equal(condition)
    return lambda value: not equal(value)


def _ordered(condition: Condition) -> Test:
    limit = None if condition.quoted else _number(condition.value)
    if limit is None:
        raise FilterError(f"compares with {condition.value!r}, which is not a number", "use = and != for text")
    compare = _COMPARE[condition.operator]
    bound: float = limit

    def test(value: object) -> bool:
        given = _number(value)
        return given is not None and compare(given, bound)

    return test


def _contains(condition: Condition) -> Test:
    wanted, equal = condition.value, _equal(condition)

    def test(value: object) -> bool:
        if isinstance(value, str):
            return wanted in value
        return isinstance(value, list | tuple) and any(equal(item) for item in value)

    return test


def _matches(condition: Condition) -> Test:
    search = _compiled(condition.value)

    def test(value: object) -> bool:
        text = _text(value)
        # RE2 reads UTF-8, which has nothing for a lone surrogate.
        return text is not None and search(text[:SUBJECT_CHARS].encode("utf-8", "replace")) is not None

    return test


def _compiled(pattern: str) -> Callable[[bytes], object]:
    """The search of ``pattern``. Raises FilterError."""
    if len(pattern) > PATTERN_CHARS:
        raise FilterError(f"has a pattern longer than {PATTERN_CHARS} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        search: Callable[[bytes], object] = re2.compile(pattern, options).search
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error, re2.error) else "a lone surrogate"
        raise FilterError(f"has a pattern that is not valid: {reason}", _PATTERN_HINT) from None
    return search


_TESTS: dict[str, Callable[[Condition], Test]] = {
    "eq": _equal,
    "ne": _not_equal,
    "contains": _contains,
    "matches": _matches,
    **dict.fromkeys(_COMPARE, _ordered),
}


def _number(value: object) -> int | float | None:
    """Return the value as a number, None if it is not one. Text must be a plain, short decimal number."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        return int(value) if _INTEGER.fullmatch(value) else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value


def _text(value: object) -> str | None:
    """The value as JSON writes it, text without its quotes; None for lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _INTEGER_BITS):
        return repr(value)
    return None
