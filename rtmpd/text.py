"""Detects characters in text from the network that are unsafe in a name, a log line or a terminal.

``str.isprintable`` is not the question: it refuses the joiners of Persian and Hindi words (U+200C, U+200D), every space
but U+0020, and each letter and emoji that is younger than Python's tables.
"""

from __future__ import annotations

import re
from typing import Final

#: Control characters (general category Cc), separators of lines, overrides of the direction of text, and surrogates:
#: what moves a cursor, breaks a line, makes a line read as another one, or has no encoding.
_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


#: Return the first character that keeps a text from being shown as it is, on one line; None if it may be.
find_unshowable: Final = _UNSHOWABLE.search


def escaped(text: str) -> str:
    """Return ``text`` with an escape in the place of every character that may not be shown."""
    return _UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def without_control(text: str) -> str:
    """Return ``text`` without the characters that may not be shown."""
    return _UNSHOWABLE.sub("", text)
