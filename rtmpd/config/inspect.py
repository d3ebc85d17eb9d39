"""The configuration for operators: the settings in effect, the files now, and the difference."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from . import sample
from .loader import Loaded


def test(read: Callable[[], Loaded]) -> dict[str, Any]:
    """Whether the files can be used as they are now: ``ok``, ``problems``, ``warnings``."""
    problems, loaded = _read(read)
    warnings = [str(warning) for warning in loaded.warnings] if loaded else []
    return {"ok": not problems, "problems": problems, "warnings": warnings}


def diff(current: Loaded, read: Callable[[], Loaded]) -> dict[str, Any]:
    """What a reload would change: ``ok``, ``problems``, and as ``text`` a unified diff, empty if nothing."""
    problems, loaded = _read(read)
    text = ""
    if loaded:
        before, after = (sample.effective(one.checked).splitlines(keepends=True) for one in (current, loaded))
        text = "".join(difflib.unified_diff(before, after, "in effect", "in the files"))
    return {"ok": not problems, "problems": problems, "text": text}


def _read(read: Callable[[], Loaded]) -> tuple[list[str], Loaded | None]:
    try:
        return [], read()
    except ConfigError as error:
        return [str(problem) for problem in error.problems], None
