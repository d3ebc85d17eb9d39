"""Waiting for a condition: the only way in which a test lets time pass without measuring it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How long a machine with every processor busy may take for what takes milliseconds on a quiet one.
PATIENCE_S = 30.0


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S, poll_s: float = 0.005) -> T:
    """Return the first true result of ``condition``. Raises AssertionError that names ``what`` (or, if that is "",
    the text of the condition) if none comes in time. May switch greenlets: the standard library is patched."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or _text(condition)}"
        time.sleep(poll_s)
    return result


def until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Return when the condition, which says by itself what is awaited, holds. May switch greenlets."""
    wait_until(condition, "", timeout_s)


def _text(condition: Callable[[], object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
