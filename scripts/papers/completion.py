"""Completion of ``rtmpd`` and ``rtmpctl`` for bash and zsh, made of their own tables of flags and commands."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rtmpd.config.flags import parser as daemon_parser
from rtmpd.config.options import spec
from rtmpd.ctl.parser import parser as control_parser

#: Metavars whose values are files.
_FILES = ("FILE", "PATH", "EVENT=PATH")
#: The flags of the daemon whose values are words of an option.
_WORDS = {"--log-level": ("log", "level"), "--hook-stdio-format": ("hooks", "stdio_format")}
_HOOK = "HOOK"
#: The names of the hooks, as long as the daemon answers at once.
_HOOKS = "rtmpctl --timeout 1 hooks list 2>/dev/null | awk 'NR > 1 { print $1 }'"
_ZSH_HOOKS = "_rtmpd_hooks"
_TOOLS = ("publish", "play", "token", "verify", "audit", "migrate", "files")


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its ``names``, its ``help``, and what follows it: nothing, one of ``choices``, a file or any text."""

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()

    @property
    def takes_hook(self) -> bool:
        """Whether its value is the name of a hook."""
        return self.metavar == _HOOK

    @property
    def takes_file(self) -> bool:
        """Whether its value is the name of a file."""
        return self.metavar in _FILES


@dataclass(frozen=True, slots=True)
class Command:
    """``path`` are its words after the program's name, () for the program; ``words`` those that can follow, each with
    its help; ``takes_hook`` if the name of a hook follows, which only the running daemon knows."""

    path: tuple[str, ...]
    flags: tuple[Flag, ...]
    words: tuple[tuple[str, str], ...]
    takes_hook: bool = False


def commands() -> dict[str, list[Command]]:
    """Both programs with all that can be said to them."""
    flags = tuple(replace(flag, names=_go_names(flag.names)) for flag in _flags(daemon_parser()))
    daemon = Command((), flags, tuple((tool, "") for tool in _TOOLS))
    tools = [Command((tool,), (), ()) for tool in _TOOLS]
    return {"rtmpd": [daemon, *tools], "rtmpctl": list(_commands(control_parser(), ()))}


def _go_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """With the spelling of Go, one dash before a long name, which the daemon takes too."""
    long = [name[1:] for name in names if name.startswith("--")]
    return (*names[:-1], *long, names[-1])


def _commands(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[Command]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    helps = {choice.dest: choice.help or "" for action in below for choice in action._choices_actions}
    names = {name: parser for action in below for name, parser in action.choices.items()}
    values = [(str(value), "") for action in _positionals(parser) for value in action.choices or ()]
    words = (*((name, helps.get(name, "")) for name in names), *values)
    takes_hook = any(action.metavar == _HOOK for action in _positionals(parser))
    yield Command(path, tuple(_flags(parser)), words, takes_hook)
    for name, inner in names.items():
        yield from _commands(inner, (*path, name))


def _positionals(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    named = (action for action in parser._actions if not action.option_strings)
    return [action for action in named if not isinstance(action, argparse._SubParsersAction)]


def _flags(parser: argparse.ArgumentParser) -> Iterator[Flag]:
    for action in parser._actions:
        if action.option_strings:
            takes_value = action.nargs != 0
            metavar = str(action.metavar or "VALUE") if takes_value else ""
            names = tuple(action.option_strings)
            yield Flag(names, (action.help or "").replace("%%", "%"), metavar, _choices(action, names[-1]))


def _choices(action: argparse.Action, name: str) -> tuple[str, ...]:
    if name in _WORDS:
        return tuple(re.split(r",\s*", spec().option(*_WORDS[name]).arguments))
    return tuple(str(choice) for choice in action.choices or ())


# --- bash ---------------------------------------------------------------------------------------

_BASH = """\
# Completion of {programs} for bash. Generated: scripts/gen_docs writes it from the tables of flags and commands.
# shellcheck shell=bash disable=SC2207

{functions}

{completes}
"""

_BASH_FUNCTION = """\
_{program}() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} path="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "$path ${{COMP_WORDS[index]}}" in
            {paths}) path="$path ${{COMP_WORDS[index]}}" ;;
        esac
    done
    COMPREPLY=()
    case ${{COMP_WORDS[COMP_CWORD - 1]}} in
{values}
    esac
    case $path in
{words}
    esac
}}"""


def bash() -> str:
    """etc/completion/rtmpd.bash."""
    programs = commands()
    functions = "\n\n".join(_bash_function(program, known) for program, known in programs.items())
    completes = "\n".join(f"complete -o default -F _{program} {program}" for program in programs)
    return _BASH.format(programs=" and ".join(programs), functions=functions, completes=completes)


def _bash_function(program: str, known: list[Command]) -> str:
    paths = " | ".join(f'"{_bash_path(command)}"' for command in known if command.path)
    flags = {flag.names: flag for command in known for flag in command.flags if flag.metavar}
    values = []
    for flag in flags.values():
        names = " | ".join(flag.names)
        if flag.choices:
            reply = f'COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" -- "$word"))'
            values.append(f"        {names}) {reply}; return ;;")
        elif flag.takes_file:
            values.append(f'        {names}) COMPREPLY=($(compgen -f -- "$word")); return ;;')
        elif flag.takes_hook:
            values.append(f'        {names}) COMPREPLY=($(compgen -W "$({_HOOKS})" -- "$word")); return ;;')
        else:
            values.append(f"        {names}) return ;;")
    words = []
    for command in known:
        all_words = [word for word, _ in command.words]
        all_words += [name for flag in command.flags for name in flag.names if len(name) > 2]
        if command.takes_hook:
            all_words.append(f"$({_HOOKS})")
        reply = f'COMPREPLY=($(compgen -W "{" ".join(all_words)}" -- "$word"))'
        words.append(f'        "{_bash_path(command)}") {reply} ;;')
    return _BASH_FUNCTION.format(program=program, paths=paths, values="\n".join(values), words="\n".join(words))


def _bash_path(command: Command) -> str:
    return "".join(f" {word}" for word in command.path)


# --- zsh ----------------------------------------------------------------------------------------

_ZSH = """\
#compdef {programs}
# Completion of {programs} for zsh. Generated: scripts/gen_docs writes it from the tables of flags and commands.

_rtmpd_hooks() {{
    local -a hooks=(${{(f)"$({hooks})"}})
    compadd -a hooks
}}

{functions}

case $service in
{services}
esac
"""


def zsh() -> str:
    """etc/completion/_rtmpd."""
    programs = commands()
    functions = [_zsh_function(program, command, known) for program, known in programs.items() for command in known]
    services = "\n".join(f'    {program}) _{program}_cmd "$@" ;;' for program in programs)
    return _ZSH.format(hooks=_HOOKS, programs=" ".join(programs), functions="\n\n".join(functions), services=services)


def _zsh_function(program: str, command: Command, known: list[Command]) -> str:
    name = _zsh_name(program, command.path)
    below = [one for one in known if one.path[:-1] == command.path and one.path]
    specs = [_zsh_flag(flag, name) for flag in command.flags for name in flag.names if len(name) > 2]
    if below:
        specs += ["'1: :->command'", "'*:: :->rest'"]
    elif command.takes_hook:
        specs.append(f"'*:hook:{_ZSH_HOOKS}'")
    elif command.words:
        specs.append(f"'*:word:({' '.join(word for word, _ in command.words)})'")
    else:
        specs.append("'*:word:_default'")
    rows = [f"{name}() {{", "    local state line"]
    rows += ["    _arguments -C \\", *(f"        {spec} \\" for spec in specs[:-1]), f"        {specs[-1]}"]
    if below:
        described = " ".join(f"'{word}:{_zsh_text(help)}'" for word, help in command.words)
        rows += ["    case $state in"]
        rows += [f"        command) local -a words=({described})", "            _describe command words ;;"]
        rows += ["        rest) case $line[1] in"]
        rows += [f"            {one.path[-1]}) {_zsh_name(program, one.path)} ;;" for one in below]
        rows += ["        esac ;;", "    esac"]
    return "\n".join([*rows, "}"])


def _zsh_name(program: str, path: tuple[str, ...]) -> str:
    return "_".join(["", program, "cmd", *path])


def _zsh_flag(flag: Flag, name: str) -> str:
    value = ""
    if flag.metavar:
        action = f"({' '.join(flag.choices)})" if flag.choices else "_files" if flag.takes_file else ""
        action = _ZSH_HOOKS if flag.takes_hook else action
        value = f":{_zsh_text(flag.metavar)}:{action}"
    return f"'*{name}[{_zsh_text(flag.help)}]{value}'"


def _zsh_text(text: str) -> str:
    """Inside of a quoted specification."""
    return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")
