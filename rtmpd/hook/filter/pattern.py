"""Regular expressions of operators that run on text of strangers.

A publisher chooses the text that a ``matches`` condition searches, and a search that backtracks holds the
whole daemon. With google-re2 (the extra ``re2``) every search is linear. Without it ``re`` does the work,
and a pattern is taken only if it cannot need more than ``STEPS`` steps on any text of
``SUBJECT_CHARS``; longer text is searched as far as that.

The count goes through the parsed pattern from right to left, as the cost of a piece is what may follow
it as often as the piece can end differently. Where two ways to go on cannot begin with the same character,
one of them fails at once, so they cost no more than the longer one: ``[a-z]*/`` is cheap, ``.*/`` is not. Under
a repeat without a small bound only such clear choices are allowed; that rules out ``(a+)+`` and
``(a|aa)+``, whose ways double with each character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from re import _parser  # type: ignore[attr-defined]  # the one parser that is sure to read what re reads
from typing import Any, NamedTuple

from ...errors import FilterError

re2: Any = import_module("re2") if find_spec("re2") else None

PATTERN_CHARS = 256
SUBJECT_CHARS = 256
STEPS = 1 << 20

_UNROLLED = 32
_TOO_SLOW_HINT = (
    "begin it with ^, write [^/]* instead of .*, make it two conditions, or install google-re2, which takes any pattern"
)

# Characters as bits: one for each of ASCII, one for all others, one for the end of the text.
_ASCII = (1 << 128) - 1
_OTHER = 1 << 128
_END = 1 << 129
_NEWLINE = 1 << ord("\n")


def compile_pattern(text: str) -> Callable[[str], bool]:
    """A function that tells whether the pattern is found anywhere in a text. Raises FilterError if it is
    no pattern, or one that could take too long. Never switches."""
    if len(text) > PATTERN_CHARS:
        raise FilterError(f"has a pattern longer than {PATTERN_CHARS} characters")
    return _with_re(text) if re2 is None else _with_re2(text)


def _with_re2(text: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(text, options).search
    except (re2.error, UnicodeEncodeError) as error:
        raise FilterError(f"has a pattern that RE2 cannot read: {_words(error)}") from error

    # RE2 reads UTF-8, which has nothing for a lone surrogate.
    return lambda subject: search(subject[:SUBJECT_CHARS].encode("utf-8", "replace")) is not None


def _words(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _with_re(text: str) -> Callable[[str], bool]:
    try:
        search = re.compile(text).search
        tree = _parser.parse(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise FilterError(f"has a pattern that cannot be read: {error}") from error
    _Steps(tree.state.flags).check(tree)
    return lambda subject: search(subject[:SUBJECT_CHARS]) is not None


class _Ways(NamedTuple):
    """What is ahead at one place of a pattern: the most ``steps`` to its end, the characters it may begin with,
    and whether there is never more than one way to go on (``clear``)."""

    steps: int
    first: int
    clear: bool


class _Steps:
    """Counts the steps that backtracking may take. ``rounds`` is how often a repeat without a bound goes on."""

    def __init__(self, flags: int, rounds: int = SUBJECT_CHARS) -> None:
        self.flags = flags
        self.rounds = rounds

    def check(self, tree: Any) -> None:
        """Raises FilterError if a search may take more than ``STEPS``."""
        anchored = len(tree) and str(tree[0][1]).startswith("AT_BEGINNING") and not self.flags & re.MULTILINE
        ways = self._sequence(tree, _Ways(1, _END, True))
        self._bounded(ways.steps * (1 if anchored else self.rounds))

    def _sequence(self, pieces: Iterable[Any], ahead: _Ways) -> _Ways:
        for kind, argument in reversed(list(pieces)):
            ahead = self._piece(kind.name, argument, ahead)
            self._bounded(ahead.steps)
        return ahead

    def _piece(self, kind: str, argument: Any, ahead: _Ways) -> _Ways:
        match kind:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return _Ways(ahead.steps + 1, self._characters(kind, argument), ahead.clear)
            case "AT":
                at_end = str(argument).startswith("AT_END")
                first = _NEWLINE | ahead.first & _END if at_end else ahead.first
                return _Ways(ahead.steps + 1, first, ahead.clear)
            case "BRANCH":
                return self._choice([self._sequence(branch, ahead) for branch in argument[1]])
            case "SUBPATTERN" if not (argument[1] or argument[2]):
                return self._sequence(argument[3], ahead)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, body = argument
                repeat = self._unrolled if most <= _UNROLLED else self._loop
                return repeat(int(least), int(most), body, ahead)
        raise FilterError(
            "has a pattern with a back reference, a look-around or flags inside",
            "use plain groups, classes, alternatives and repeats",
        )

    def _choice(self, ways: list[_Ways]) -> _Ways:
        together, apart = 0, True
        for way in ways:
            apart = apart and not together & way.first
            together |= way.first
        steps = [way.steps for way in ways]
        clear = apart and all(way.clear for way in ways)
        return _Ways(len(ways) + (max(steps) if apart else sum(steps)), together, clear)

    def _unrolled(self, least: int, most: int, body: Any, after: _Ways) -> _Ways:
        ahead = after
        for number in range(most, 0, -1):
            again = self._sequence(body, ahead)
            ahead = again if number <= least else self._choice([again, after])
        return ahead

    def _loop(self, least: int, most: int, body: Any, after: _Ways) -> _Ways:
        first = self._sequence(body, _Ways(1, _END, True)).first
        # Loops within count once: as every choice is clear, all rounds together pass the text once.
        once = _Steps(self.flags, 1)._sequence(body, _Ways(1, first | after.first, True))
        if first & _END or not once.clear:
            raise FilterError(
                "has a pattern with a repeat within a repeat, or with alternatives that begin alike within one, "
                "which could take for ever",
                _TOO_SLOW_HINT,
            )
        rounds = min(most, self.rounds)
        clear = least == most or not first & after.first
        ends = 1 if clear else max(rounds - least, 0) + 1
        begin = first if least else first | after.first
        return _Ways(rounds * once.steps + ends * after.steps, begin, clear and after.clear)

    def _characters(self, kind: str, argument: Any) -> int:
        match kind:
            case "ANY":
                every = _ASCII | _OTHER
                return every if self.flags & re.DOTALL else every & ~_NEWLINE
            case "NOT_LITERAL":
                return _negated(self._cased(_range(argument, argument)))
            case "LITERAL":
                return self._cased(_range(argument, argument))
        negated = argument[0][0].name == "NEGATE"
        bits = 0
        for item, value in argument:
            match item.name:
                case "LITERAL":
                    bits |= _range(value, value)
                case "RANGE":
                    bits |= _range(*value)
                case "CATEGORY":
                    bits |= _CATEGORIES[str(value).removeprefix("CATEGORY_")]
        bits = self._cased(bits)
        return _negated(bits) if negated else bits

    def _cased(self, bits: int) -> int:
        """With the other case of each letter, if case is ignored; some letters have a third outside ASCII."""
        if not self.flags & re.IGNORECASE:
            return bits
        letters = [code for code in range(128) if chr(code).isalpha() and bits >> code & 1]
        return bits | sum({1 << ord(chr(code).swapcase()) for code in letters}) | (_OTHER if letters else 0)

    def _bounded(self, steps: int) -> None:
        if steps > STEPS:
            raise FilterError("has a pattern that could take too long on some text", _TOO_SLOW_HINT)


def _range(low: int, high: int) -> int:
    bits = (1 << min(high, 127) + 1) - (1 << low) if low < 128 else 0
    return bits | _OTHER if high > 127 else bits


def _negated(bits: int) -> int:
    """Of the characters outside ASCII some always remain."""
    return _ASCII & ~bits | _OTHER


def _ascii(test: Callable[[str], bool]) -> int:
    return sum(1 << code for code in range(128) if test(chr(code)))


_DIGIT, _SPACE = _ascii(str.isdigit), _ascii(str.isspace)
_WORD = _ascii(str.isalnum) | 1 << ord("_")
_CATEGORIES = {
    "DIGIT": _DIGIT | _OTHER,
    "SPACE": _SPACE | _OTHER,
    "WORD": _WORD | _OTHER,
    "NOT_DIGIT": _negated(_DIGIT),
    "NOT_SPACE": _negated(_SPACE),
    "NOT_WORD": _negated(_WORD),
}
