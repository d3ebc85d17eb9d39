"""``rtmpctl token``: signed keys, made and checked here and now; no daemon is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings import Settings


def main(words: Sequence[str]) -> int:
    """``issue`` or ``check`` with their words; the result is the exit status."""
    from ..server.access import command

    commands = {"issue": command.issue, "check": command.check}
    if not words or words[0] not in commands:
        print("usage: rtmpctl token issue|check, each with --help", file=sys.stderr)
        return os.EX_USAGE
    return commands[words[0]](words[1:], _read)


def _read(path: str) -> Settings:
    from ..config import flags
    from ..config.loader import load
    from ..errors import ConfigError
    from .errors import CommandFailed

    try:
        return load(flags.parse(["-c", path])).settings
    except ConfigError as error:
        raise CommandFailed(str(error), os.EX_CONFIG) from None
