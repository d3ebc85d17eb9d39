"""Patterns that strangers' text is searched with: none can take long."""

from __future__ import annotations

import re

import pytest

from rtmpd.errors import FilterError
from rtmpd.event.event import Event
from rtmpd.hook.filter.condition import PATTERN_CHARS, SUBJECT_CHARS, check, compile_condition

KILLERS = [
    "(a+)+$",
    "(a|aa)+$",
    "(a|a)*b",
    "(a*)*b",
    "(.*a){12}",
    "(a?){30}a{30}",
    "a?" * 30 + "a" * 30,
    "([a-zA-Z]+)*$",
    r"(\w+\s?)*$",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(x+x+)+y",
    "(a|b|ab)*c",
    "(ab|a|b)+!",
    ".*.*=.*",
    ".*a.*b",
    "a*a*a*b",
    "[ab].*b+c",
    "(?i)(k1|\N{KELVIN SIGN}1)+!",
    "(?i)(a1|A1)+!",
    "(\\d1|\N{ARABIC-INDIC DIGIT ONE}1)+!",
    "(é|[^a])+!",
    "(a*?)*?b",
]
USUAL = [
    "",
    "^$",
    "premium",
    "^live/",
    "^(live|vod)/cam[0-9]+$",
    "^(live|local)/",
    r"\.example\.(com|net|org)$",
    "(?i)obs[ -]studio",
    "^H26[45]$",
    "foo.*bar",
    "^foo.*bar.*baz$",
    r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$",
    "[a-z]+-[a-z]+-[0-9]+$",
    "^([a-z]+/)+[0-9]+$",
    "(ab|cd)+$",
    "[^/]*/[^/]*/[^/]*$",
    r"\s+$",
    r"[\w.]+@[\w.]+",
    "[0-9a-f]{8}-[0-9a-f]{4}",
    "(?P<name>a)+b",
    "^.*a.*b$",
    "x*?y",
    r"\bcam\b",
]
HOSTILE = [part * 400 for part in ("a", "ab", "1", "live/", "x", "foobar", "A \N{KELVIN SIGN}")] + ["a" * 255 + "!"]


def finds(pattern: str, subject: str) -> bool:
    """Whether the condition passes an event with this title."""
    return (
        compile_condition(f"data.title ~ '{pattern}'")(Event("codec_detected", 1, "c1", "live/a", {"title": subject}))
        == ""
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", KILLERS)
def test_what_backtracking_would_never_end_is_answered(pattern: str) -> None:
    re.compile(pattern)
    for subject in HOSTILE:
        assert finds(pattern, subject) in (True, False)


@pytest.mark.parametrize("pattern", USUAL)
def test_a_usual_pattern_finds_what_re_finds(pattern: str) -> None:
    search = re.compile(pattern).search
    subjects = ["live/cam7", "vod/cam12", "a.example.net", "OBS-Studio 30", "10.0.0.1", "a-b-1", "me@x.y", *HOSTILE]
    for subject in subjects:
        assert finds(pattern, subject) is (search(subject[:SUBJECT_CHARS]) is not None)


@pytest.mark.parametrize(
    "pattern",
    [r"(a)\1", "(?=a)", "(?<!a)b", "(a)?(?(1)b)", "(?>a)", "a++", "[", "(", "*", "a{2,1}", "(a{1,40}){1,40}", "\ud800"],
)
def test_what_re2_does_not_read_is_refused_and_the_reason_is_named(pattern: str) -> None:
    with pytest.raises(FilterError, match=r"pattern that is not valid: .") as caught:
        check(f"data.title ~ '{pattern}'")
    assert "RE2" in caught.value.hint


def test_a_lone_surrogate_in_the_text_is_searched() -> None:
    assert finds("a", "\ud800a")


def test_the_length_of_pattern_and_subject_is_capped() -> None:
    check(f"data.title ~ {'a' * PATTERN_CHARS}")
    with pytest.raises(FilterError, match="longer than"):
        check(f"data.title ~ {'a' * (PATTERN_CHARS + 1)}")
    assert finds("b", "a" * (SUBJECT_CHARS - 1) + "b")
    assert not finds("b", "a" * SUBJECT_CHARS + "b")
