"""``rtmpctl token``: signed keys, made and checked here and now; no daemon is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """``issue`` or ``check`` with their words; the result is the exit status."""
    from ..server.access import command

    commands = {"issue": command.issue, "check": command.check}
    if not words or words[0] not in commands:
        print("usage: rtmpctl token issue|check, each with --help", file=sys.stderr)
        return os.EX_USAGE
    return commands[words[0]](words[1:], _signing_keys)


def _signing_keys(path: str) -> tuple[str, ...]:
    from ..config import flags
    from ..config.loader import load
    from ..errors import ConfigError
    from .errors import CommandFailed

    try:
        return load(flags.parse(["-c", path])).settings.access.signing_keys
    except ConfigError as error:
        raise CommandFailed(str(error), os.EX_CONFIG) from None
