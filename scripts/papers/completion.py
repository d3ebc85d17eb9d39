"""Completion of ``rtmpd`` and ``rtmpctl`` for bash and zsh: shtab makes it of the parsers of their command lines."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import shtab

from rtmpd.config.flags import parser as daemon_parser
from rtmpd.config.options import spec
from rtmpd.ctl.parser import parser as control_parser

#: Metavars whose values are files.
_FILES = ("FILE", "PATH", "EVENT=PATH")
#: The flags of the daemon whose values are words of an option.
_WORDS = {"--log-level": ("log", "level"), "--hook-stdio-format": ("hooks", "stdio_format")}
_TOOLS = ("publish", "play", "token", "verify", "audit", "migrate", "files")
_LIST = "rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }'"
#: Offers the names of the hooks, as long as the daemon answers at once; by shell, in the form that shtab calls.
_HOOKS = {
    "bash": f'_rtmpctl_hooks() {{\n  compgen -W "$({_LIST})" -- "$1"\n}}\n',
    "zsh": f'_rtmpctl_hooks() {{\n  local -a hooks=(${{(f)"$({_LIST})"}})\n  compadd -a hooks\n}}\n',
}


def daemon(shell: str) -> str:
    """Return the completion of ``rtmpd`` for ``bash`` or ``zsh``. It knows each long flag with one dash as well, which
    is how Go writes it, and the words of the tools."""
    parser = daemon_parser()
    for action in parser._actions:
        names = action.option_strings
        action.option_strings = [*(name[1:] for name in names if name.startswith("--")), *names]
    parser.add_argument("tool", nargs="?", choices=_TOOLS)
    return _completion(parser, shell)


def control(shell: str) -> str:
    """Return the completion of ``rtmpctl`` for ``bash`` or ``zsh``."""
    return _completion(control_parser(), shell, _HOOKS[shell])


def _completion(parser: argparse.ArgumentParser, shell: str, preamble: str = "") -> str:
    for action in _actions(parser):
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
        elif action.metavar == "HOOK":
            action.complete = dict.fromkeys(_HOOKS, "_rtmpctl_hooks")  # type: ignore[attr-defined]
        for name in action.option_strings:
            if name in _WORDS:
                action.choices = re.split(r",\s*", spec().option(*_WORDS[name]).arguments)
    return shtab.complete(parser, shell, preamble=preamble).rstrip() + "\n"


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                yield from _actions(inner)
