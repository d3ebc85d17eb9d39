"""Checks an octal umask."""

from __future__ import annotations

import re
from collections.abc import Callable

from .values import BadValue, Text, text


def octal(value: Text) -> int | None:
    """Permissions as three octal digits, or nothing."""
    given = text(value).strip()
    if not given:
        return None
    if not re.fullmatch("0?[0-7]{3}", given):
        raise BadValue("is not an octal number of three digits", "write 027, or leave it empty")
    return int(given, 8)


CHECKS: dict[str, Callable[..., object]] = {"octal": octal}
