"""Patterns that strangers' text is searched with: none that is accepted can take long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmpd.errors import FilterError
from rtmpd.hook.filter import pattern
from rtmpd.hook.filter.pattern import PATTERN_CHARS, SUBJECT_CHARS, compile_pattern

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
    "(a{1,40}){1,40}b",
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


@pytest.fixture
def without_re2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "re2", None)


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize("text", KILLERS)
def test_a_pattern_that_could_take_for_ever_is_refused(text: str) -> None:
    re.compile(text)
    with pytest.raises(FilterError) as caught:
        compile_pattern(text)
    assert "google-re2" in caught.value.hint


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize("text", USUAL)
def test_a_usual_pattern_is_accepted_and_finds_what_re_finds(text: str) -> None:
    found, search = compile_pattern(text), re.compile(text).search
    subjects = ["live/cam7", "vod/cam12", "a.example.net", "OBS-Studio 30", "10.0.0.1", "a-b-1", "me@x.y", *HOSTILE]
    for subject in subjects:
        assert found(subject) is (search(subject[:SUBJECT_CHARS]) is not None)


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize("text", [r"(a)\1", "(?=a)", "(?<!a)b", "(a)?(?(1)b)", "a(?i:b)", "(?>a)", "a++"])
def test_what_no_linear_search_offers_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="back reference, a look-around or flags"):
        compile_pattern(text)


@pytest.mark.usefixtures("without_re2")
@pytest.mark.parametrize("text", ["[", "(", "*", "a{2,1}", "(" * 250])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        compile_pattern(text)


def test_the_length_of_pattern_and_subject_is_capped() -> None:
    compile_pattern("a" * PATTERN_CHARS)
    with pytest.raises(FilterError, match="longer than"):
        compile_pattern("a" * (PATTERN_CHARS + 1))
    assert compile_pattern("b")("a" * (SUBJECT_CHARS - 1) + "b")
    assert not compile_pattern("b")("a" * SUBJECT_CHARS + "b")


pieces = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", "^", "$", r"\b"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{3}", "{2,40}"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
    ),
    max_leaves=8,
)


@pytest.mark.timeout(60)
@given(pieces)
@settings(max_examples=150, deadline=None)
def test_whatever_is_accepted_ends_on_hostile_text(text: str) -> None:
    try:
        tree = pattern._parser.parse(text)
        pattern._Steps(tree.state.flags).check(tree)
    except (FilterError, re.error):
        return
    search = re.compile(text).search
    for unit, end in (("a", ""), ("ab", ""), ("a", "\n"), ("b", "!")):
        search((unit * SUBJECT_CHARS)[: SUBJECT_CHARS - 1] + end)


# --- with google-re2 ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [killer for killer in KILLERS if "{1,40}" not in killer])
def test_re2_takes_the_killers_and_answers_on_hostile_text(text: str) -> None:
    pytest.importorskip("re2")
    found = compile_pattern(text)
    for subject in HOSTILE:
        assert found(subject) in (True, False)


@pytest.mark.parametrize("text", USUAL)
def test_re2_finds_what_re_finds(text: str) -> None:
    pytest.importorskip("re2")
    found, search = compile_pattern(text), re.compile(text).search
    for subject in ["live/cam7", "a.example.net", "OBS-Studio 30", "10.0.0.1", "x/y/z", "me@x.y", *HOSTILE]:
        assert found(subject) is (search(subject[:SUBJECT_CHARS]) is not None)


def test_re2_survives_a_lone_surrogate_and_names_what_it_refuses() -> None:
    pytest.importorskip("re2")
    assert compile_pattern("a")("\ud800a")
    with pytest.raises(FilterError, match="RE2 cannot read"):
        compile_pattern(r"(a)\1")
