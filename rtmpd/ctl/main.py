"""The entry point of ``rtmpctl``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..http.place import CONTROL_SOCKET, existing
from .client import Client
from .errors import CommandFailed
from .parser import parser

if TYPE_CHECKING:
    from ..settings import Settings

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status (``rtmpd.exits``)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["token"]:
            from ..server.access import command  # with libraries that nothing else here needs

            return command.main(words[1:], _settings_of, "rtmpctl token", os.EX_USAGE)
        if words[:1] == ["verify"]:
            from ..hook import verify_command

            return verify_command.main(words[1:], program="rtmpctl verify")
        asked = parser().parse_args(words)
        path = asked.socket or (_socket_of(asked.config) if asked.config else existing())
        client = Client(path, asked.url, asked.token_file, asked.timeout)
        answer = asked.run(client, asked)
        if asked.json and answer.document is not None:
            print(json.dumps(answer.document, indent=2 if sys.stdout.isatty() else None))
        elif not asked.json:
            print("".join(f"{line}\n" for line in answer.lines), end="")
        sys.stdout.flush()
        return int(answer.status)
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


def _socket_of(config: str) -> str:
    """Return the control socket of the daemon with this configuration file. Raises CommandFailed."""
    from ..config.loader import one_value  # with a library that nothing else here needs

    try:
        path = one_value(config, "http", "socket")
    except ConfigError as error:
        raise CommandFailed("; ".join(str(problem) for problem in error.problems), os.EX_CONFIG) from None
    if not path:
        raise CommandFailed(f"{config}: [http] socket is empty, so rtmpd has no control socket", os.EX_UNAVAILABLE)
    return existing() if path == CONTROL_SOCKET else str(path)


if __name__ == "__main__":
    sys.exit(main())
