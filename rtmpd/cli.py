"""The front door: ``rtmpd [flags]`` is the daemon; ``publish``, ``play``, ``token``, ``verify``, ``audit``, ``migrate``
and ``files`` are tools.

Exit statuses are in ``exits.DAEMON``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module

from . import __version__, accelerated, exits
from .config import flags, sample
from .config.environment import environment
from .config.flags import CommandLine
from .config.loader import Loaded, load
from .daemon import privileges, process
from .errors import ConfigError, Problem, StartError
from .event import schema
from .event.catalogue import EVENT_TYPES
from .hook.filter import condition
from .http.place import CONTROL_SOCKET
from .run import Daemon, complain, read_as_user, tried
from .settings import Settings

EXIT_USAGE = exits.WRONG_FLAG


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the result is its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _TOOLS:
        return _run_tool(words[0], words[1:])
    command_line = flags.parse(words)
    process.hide(command_line.secrets)
    for asked, text in _printed(command_line):
        if asked:
            sys.stdout.write(text())
            return os.EX_OK
    return _with_settings(_with_default_file(command_line))


def _settings_of(path: str) -> Settings:
    return load(flags.parse(["-c", path])).settings


def _problems_of(path: str, text: str) -> list[Problem]:
    try:
        tried(_load(flags.parse(["-c", path]), text))
    except ConfigError as error:
        return error.problems
    return []


#: The first word of each tool: module and function, and what the function is given after the other words.
_TOOLS: dict[str, tuple[str, *tuple[object, ...]]] = {
    "publish": ("tool.publish:main",),
    "play": ("tool.play:main",),
    "token": ("server.access.command:main", _settings_of, "rtmpd token", EXIT_USAGE),
    "verify": ("hook.verify_command:main",),
    "audit": ("hook.record.audit_check:verify",),
    "migrate": ("config.migrate.command:main", _problems_of),
    "files": ("tool.files:main",),
}


def _run_tool(name: str, words: list[str]) -> int:
    """Import what this tool needs, and nothing that only others or the daemon need, and run it."""
    place, *given = _TOOLS[name]
    module, _, function = place.partition(":")
    return int(getattr(import_module(f".{module}", __package__), function)(words, *given))


def _printed(command_line: CommandLine) -> list[tuple[bool, Callable[[], str]]]:
    return [
        (command_line.help, lambda: flags.parser().format_help()),
        (command_line.version, _version),
        (command_line.print_defaults, sample.sample),
        (command_line.print_schema, schema.text),
    ]


def _version() -> str:
    return f"rtmpd {__version__}{' (accelerated)' if accelerated() else ''}\n"


def _with_default_file(command_line: CommandLine) -> CommandLine:
    if command_line.config is None and os.path.exists(flags.DEFAULT_CONFIG):
        return replace(command_line, config=flags.DEFAULT_CONFIG)
    return command_line


def _with_settings(command_line: CommandLine) -> int:
    def read() -> Loaded:
        return _load(command_line)

    tests_only = command_line.test or command_line.dump
    name = command_line.config or "built-in defaults"
    try:
        loaded = read()
        if tests_only:
            loaded = tried(_as_its_user(loaded, read))
    except ConfigError as error:
        complain(str(problem) for problem in error.problems)
        if tests_only:
            complain([f"configuration {name} is not usable"])
        return EXIT_USAGE if _is_usage(command_line, error) else os.EX_CONFIG
    except StartError as error:
        complain(str(error).splitlines())
        complain([f"configuration {name} is not usable"])
        return error.status
    if not tests_only:
        directory = os.path.dirname(CONTROL_SOCKET) if loaded.settings.http.socket == CONTROL_SOCKET else ""
        return process.run(loaded.settings.daemon, Daemon(loaded, read, command_line.config).run, directory)
    complain(f"warning: {warning}" for warning in loaded.warnings)
    if command_line.dump:
        sys.stdout.write(sample.effective(loaded.checked))
    complain([f"configuration {name} is ok"])
    return os.EX_OK


def _as_its_user(loaded: Loaded, read: Callable[[], Loaded]) -> Loaded:
    """What the user that rtmpd becomes reads in the same files: root can read more. This process stays that user, so
    call it where nothing else follows. Raises StartError."""
    settings = loaded.settings.daemon
    wanted = privileges.identity(settings.user, settings.group) if os.geteuid() == 0 else None
    if wanted is None:
        return loaded
    privileges.become(wanted)
    return read_as_user(read, settings)


def _load(command_line: CommandLine, text: str | None = None) -> Loaded:
    from .hook.build import check_auth, check_template  # with requests and its kin, which help and version do without
    from .hook.sink.plugin import check_plugin
    from .server.access.webtoken import check_key

    return load(
        command_line,
        EVENT_TYPES,
        environment(command_line.environment_file, os.environ),
        check_condition=condition.check,
        check_auth=check_auth,
        check_jwt_key=check_key,
        check_template=check_template,
        check_plugin=check_plugin,
        text=text,
    )


def _is_usage(command_line: CommandLine, error: ConfigError) -> bool:
    return bool(command_line.problems) or any(problem.where.startswith("-") for problem in error.problems)
