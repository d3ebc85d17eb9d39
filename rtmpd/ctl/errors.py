"""Failures of a command, and their exit statuses."""

from __future__ import annotations

import os

from ..exits import NO


class CommandFailed(Exception):
    """The command ends with ``status``; the message is for the operator."""

    def __init__(self, message: str, status: int = NO) -> None:
        super().__init__(message)
        self.status = status


def status_of(http_status: int) -> int:
    """Return the exit status for an HTTP status."""
    if http_status in (401, 403):
        return os.EX_NOPERM
    if http_status in (408, 429, 503):
        return os.EX_TEMPFAIL
    return os.EX_SOFTWARE if http_status == 500 else NO
