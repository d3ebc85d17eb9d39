"""Where things stand, and what must not reach the parser."""

from __future__ import annotations

import pytest
from configobj import ConfigObj
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.config.lines import Line, Lint, lint, quoted, scan, without_comment


def fault(value: str) -> Lint | None:
    return lint(Line(1, ("a",), "key", value))


def test_every_key_and_section_has_its_line() -> None:
    text = """# top
a = 1
[one]   # comment
  "b c" = 2
[[two]]
'd' = '''
e = not a key
'''
f = 3
[[three]]
[four]
g=
"""
    found = [(line.number, line.path, line.key) for line in scan(text.split("\n"))]
    assert found == [
        (2, (), "a"),
        (3, ("one",), ""),
        (4, ("one",), "b c"),
        (5, ("one", "two"), ""),
        (6, ("one", "two"), "d"),
        (9, ("one", "two"), "f"),
        (10, ("one", "three"), ""),
        (11, ("four",), ""),
        (12, ("four",), "g"),
    ]


@pytest.mark.parametrize("value", ["abc#1", "http://h/#top", "a, b#c", '"a", b#', "a# comment"])
def test_a_value_that_would_be_cut_at_a_hash_is_found(value: str) -> None:
    found = fault(value)
    assert found and "cut at the #" in found.message


@pytest.mark.parametrize(
    "value", ["abc # comment", '"abc#1"', "'a#b' # c", '"a#b", "c#d"', "", "# comment", "a, # c", '"x"# c', "'''a#b"]
)
def test_a_hash_in_quotes_or_after_a_space_is_fine(value: str) -> None:
    assert fault(value) is None


@pytest.mark.parametrize("value", ['"abc', "a, 'b", '"a" b', "a,,b", "a,,", ",a", "'a'b, c"])
def test_a_value_that_would_not_parse_is_found_before(value: str) -> None:
    assert fault(value) is not None


def test_a_long_list_that_ends_in_an_open_quote_never_reaches_the_parser() -> None:
    """configobj's pattern takes time that doubles with each item: this one would run for years."""
    assert fault(", ".join(f"event_{n}" for n in range(60)) + ', "open') is not None


@pytest.mark.parametrize("value", ["'a' # like 'b', 'c'", '"a"#x", "', "a, 'b' # it's, so", "a # b#c", "a"])
def test_a_comment_is_taken_off_whatever_it_says(value: str) -> None:
    row = f"  key = {value}  "
    (line,) = scan([row])
    assert "#" not in without_comment(row, line)
    assert without_comment(row, line).startswith(f"  key = {value[:1]}")


@given(st.text("ab ,'\"#=[]", max_size=20))
def test_what_passes_the_lint_parses(value: str) -> None:
    row = f"key = {value}"
    found = list(scan([row]))
    if len(found) == 1 and not lint(found[0]) and not found[0].text.startswith(("'''", '"""')):
        ConfigObj([without_comment(row, found[0])], interpolation=False, raise_errors=True)


@pytest.mark.parametrize(
    "text", ["", " a ", "a,b", "a#b", "it's", 'a "b"', """it's "b" x""", "'a", 'a"', "a\nb", "''' x", "= x", "[a]"]
)
def test_a_quoted_text_is_read_back_as_it_is(text: str) -> None:
    rows = f"key = {quoted(text)}  # it's a, comment".split("\n")
    for line in scan(list(rows)):
        assert lint(line) is None
        rows[line.number - 1] = without_comment(rows[line.number - 1], line)
    assert ConfigObj(rows, interpolation=False)["key"] == text
