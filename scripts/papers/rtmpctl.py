"""The page rtmpctl(8), made of the table of commands, in mdoc(7)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rtmpd.ctl.parser import COMMANDS, parser
from rtmpd.exits import CONTROL

from .roff import example, exit_status, head, prose, tagged, word

_ENVIRONMENT = {
    "RTMPCTL_SOCKET": "As --socket.",
    "RTMPCTL_URL": "As --url.",
    "RTMPCTL_TOKEN_FILE": "As --token-file.",
    "XDG_RUNTIME_DIR": "Directory that is searched for the control socket after /run/rtmpd.",
}
_EXAMPLES = """\
rtmpctl top
rtmpctl reload && echo in effect
rtmpctl events tail --type 'publish_*' --json
rtmpctl hooks why evt_01KABC
rtmpctl dead-letters replay --hook office
"""


def page() -> str:
    """etc/man/rtmpctl.8."""
    whole = parser()
    rows = head("rtmpctl", 8, "control a running rtmpd")
    rows += [".Sh SYNOPSIS", ".Nm", ".Op Ar options", ".Ar command", ".Op Ar arguments", ".Sh DESCRIPTION"]
    rows += prose("Queries and controls a running rtmpd over its control socket or over HTTP.")
    rows += prose("Options may be given before or after the command.")
    rows += [".Ss Options", *tagged(_arguments(whole))]
    rows += [".Ss Commands", *tagged(_commands())]
    rows += [".Sh ENVIRONMENT", *tagged((f"Ev {word(name)}", prose(text)) for name, text in _ENVIRONMENT.items())]
    rows += [".Sh FILES", *tagged([("Pa /run/rtmpd/control.sock", prose("The control socket."))])]
    rows += exit_status((status, f"{meaning[:1].upper()}{meaning[1:]}.") for status, meaning in CONTROL.items())
    rows += [".Sh EXAMPLES", *example(_EXAMPLES), ".Sh SEE ALSO", ".Xr rtmpd.ini 5 ,", ".Xr rtmpd 8"]
    return "\n".join(rows) + "\n"


def _commands() -> Iterator[tuple[str, Iterator[str]]]:
    for words, (run, add) in COMMANDS.items():
        made = argparse.ArgumentParser(add_help=False)
        add(made)
        arguments = [part for one in made._actions for part in _synopsis(one)]
        text = (run.__doc__ or "").partition("\n")[0]
        yield " ".join(["Cm", *(word(one) for one in words), *arguments]), _said(text, made)
    yield "Cm token issue | check", prose("Make and check signed keys, without a running rtmpd.")


def _said(text: str, made: argparse.ArgumentParser) -> Iterator[str]:
    yield from prose(text)
    arguments = [(term, lines) for term, lines in _arguments(made) if term]
    if arguments:
        yield from tagged(arguments)


def _synopsis(action: argparse.Action) -> Iterator[str]:
    if not action.option_strings:
        yield f"Ar {word(_name(action))}"


def _arguments(made: argparse.ArgumentParser) -> Iterator[tuple[str, Iterator[str]]]:
    """Options, and arguments that are explained."""
    for action in made._actions:
        name = f"Ar {word(_name(action))}" if action.nargs != 0 else ""
        if isinstance(action, argparse._SubParsersAction) or not (action.help or action.option_strings):
            continue
        flags = [f"Fl {flag.removeprefix('-')}{' ' + name if name else ''}" for flag in action.option_strings]
        yield " , ".join(flags) or name, prose(_sentence(action.help or ""))


def _name(action: argparse.Action) -> str:
    if action.choices:
        return "|".join(str(choice) for choice in action.choices)
    return str(action.metavar or action.dest)


def _sentence(text: str) -> str:
    """Help of argparse as a sentence; names and URLs keep their letters."""
    first = text.partition(" ")[0].rstrip(",.")
    start = text[:1].upper() if first.isalpha() else text[:1]
    return start + text[1:] + ("" if text.endswith(".") or not text else ".")
