"""Waiting for a condition: the only way in which a test lets time pass without measuring it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: How long a machine with every processor busy may take for what takes milliseconds on a quiet one.
PATIENCE_S = 20.0


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = PATIENCE_S, poll_s: float = 0.01) -> T:
    """Return the first true result of ``condition``. Raises AssertionError that names ``what`` if none comes in time.
    May switch greenlets: the standard library is patched."""
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(poll_s)
    return result
