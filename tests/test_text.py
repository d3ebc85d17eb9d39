"""What of a text from the network is shown, and what is not."""

from __future__ import annotations

import pytest

from rtmpd import text
from rtmpd.ctl.text import safe
from rtmpd.output import path

NAMES = ["می\u200cخواهم", "朝\u3000の番組", "👨\u200d👩", "a\u00a0b", "\U0001fae8", "naïve é"]


@pytest.mark.parametrize("name", NAMES)
def test_letters_of_every_script_are_shown_as_they_are_everywhere(name: str) -> None:
    assert not text.find_unshowable(name) and text.escaped(name) == text.without_control(name) == name
    assert safe(name) == name, "rtmpctl"
    assert path.safe(name) == name, "the name of a recording"


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\n", "\\n"), ("\x00", "\\x00"), ("\x1b", "\\x1b"), ("\x7f", "\\x7f"), ("\x9b", "\\x9b"),
        ("\u2028", "\\u2028"), ("\u202e", "\\u202e"), ("\u2066", "\\u2066"), ("\ud800", "\\ud800"),
    ],
)
def test_what_moves_a_cursor_or_turns_the_text_is_escaped(char: str, shown: str) -> None:
    assert text.find_unshowable(f"a{char}b")
    assert text.escaped(f"a{char}b") == safe(f"a{char}b") == f"a{shown}b"
    assert text.without_control(f"a{char}b") == "ab"
    assert path.safe(f"a{char}b") == "a_b"
