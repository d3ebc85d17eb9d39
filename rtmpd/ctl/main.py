"""The front door of ``rtmpctl``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..http.place import existing
from .client import Client
from .errors import CommandFailed
from .parser import parser

if TYPE_CHECKING:
    from ..settings import Settings

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit status (see the package)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["token"]:
            from ..server.access import command  # with libraries that nothing else here needs

            return command.main(words[1:], _settings_of, "rtmpctl token", os.EX_USAGE)
        if words[:1] == ["verify"]:
            from ..hook import verify_command

            return verify_command.main(words[1:], program="rtmpctl verify")
        asked = parser().parse_args(words)
        client = Client(asked.socket or existing(), asked.url, asked.token_file, asked.timeout)
        told = asked.run(client, asked)
        if asked.json and told.document is not None:
            print(json.dumps(told.document, indent=2 if sys.stdout.isatty() else None))
        elif not asked.json:
            print("".join(f"{line}\n" for line in told.lines), end="")
        sys.stdout.flush()
        return int(told.status)
    except CommandFailed as error:
        print(f"rtmpctl: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit complains once more
        return 0


def _settings_of(path: str) -> Settings:
    from ..config import flags
    from ..config.loader import load

    return load(flags.parse(["-c", path])).settings


if __name__ == "__main__":
    sys.exit(main())
