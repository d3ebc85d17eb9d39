"""The command line of ``rtmpctl``: one table of commands."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from typing import NoReturn

from .. import __version__
from ..exits import CONTROL
from . import commands, doctor, hooks, top
from .client import Client
from .commands import Answer

Run = Callable[[Client, argparse.Namespace], Answer]
Add = Callable[[argparse.ArgumentParser], object]

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Parser(argparse.ArgumentParser):
    """A parser that exits with the status of sysexits for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        self.print_usage()
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")


def _moment(text: str) -> float:
    """Return the Unix seconds of ``2h`` (ago), ``2026-11-22T10:00`` (local time, or with a zone) or Unix seconds."""
    from datetime import datetime

    if ago := _AGO.fullmatch(text):
        return time.time() - float(ago[1]) * _UNIT_S[ago[2]]
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError("write 2h, 2026-11-22T10:00 or Unix seconds") from None


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", nargs="?", metavar="STREAM", help="one stream, APP/NAME, with its players")


def _conn_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("conn_id", nargs="?", metavar="CONNECTION", help="one connection, c000001")


def _kick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="CONNECTION|STREAM", help="c000001, or APP/NAME")
    roles = ("publisher", "players", "all")
    parser.add_argument("--role", choices=roles, default="publisher", help="which clients of a stream (publisher)")


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print once; the default without a terminal")
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="refresh interval (2)")


def _tail(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--type", action="append", metavar="GLOB", help="only these types; may be repeated")
    parser.add_argument("--stream", action="append", metavar="GLOB", help="only these streams; may be repeated")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="exit after N events")
    text = "exit after SECONDS without events in total"
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help=text)


def _hook(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("hook", metavar="HOOK")


def _test(parser: argparse.ArgumentParser) -> None:
    _hook(parser)
    parser.add_argument("--event", default="server_start", metavar="TYPE", help="type of the example (server_start)")


def _event(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event_id", metavar="EVENT", help="id of the event, evt_...")


def _why(parser: argparse.ArgumentParser) -> None:
    _event(parser)
    parser.add_argument("--verbose", action="store_true", help="all details, including the payload")


def _attempts(parser: argparse.ArgumentParser) -> None:
    _hook(parser)
    _event(parser)
    parser.add_argument("--limit", type=int, default=100, metavar="N")


def _letters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hook", default="", metavar="HOOK", help="only dead letters of this hook")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="only dead letters after this number")
    parser.add_argument("--limit", type=int, default=100, metavar="N")


def _letter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", type=int, metavar="NUMBER")


def _chosen(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("numbers", nargs="*", type=int, default=[], metavar="NUMBER")
    which.add_argument("--hook", default="", metavar="HOOK", help="all dead letters of this hook")
    which.add_argument("--all", action="store_true", help="all dead letters")


def _replay(parser: argparse.ArgumentParser) -> None:
    _hook(parser)
    parser.add_argument("event_ids", nargs="*", metavar="EVENT", help="ids, evt_...")
    text = "since this time: 2h (ago), 2026-11-22T10:00 or Unix seconds"
    parser.add_argument("--since", type=_moment, metavar="TIME", help=text)
    parser.add_argument("--until", type=_moment, metavar="TIME", help="until this time")


def _level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("level", nargs="?", choices=("debug", "info", "warning", "error"))


def _nothing(parser: argparse.ArgumentParser) -> None:
    """Add no argument."""


#: The words of each command, its function and its arguments. The help text is the first line of the function's
#: docstring.
COMMANDS: dict[tuple[str, ...], tuple[Run, Add]] = {
    ("status",): (commands.status, _nothing),
    ("top",): (top.top, _top),
    ("health",): (commands.health, _nothing),
    ("doctor",): (doctor.doctor, _nothing),
    ("metrics",): (commands.metrics, _nothing),
    ("streams",): (commands.streams, _key),
    ("connections",): (commands.connections, _conn_id),
    ("kick",): (commands.kick, _kick),
    ("events", "tail"): (hooks.events_tail, _tail),
    ("hooks", "list"): (hooks.listing, _nothing),
    ("hooks", "show"): (hooks.show, _hook),
    ("hooks", "test"): (hooks.test, _test),
    ("hooks", "pause"): (hooks.pause, _hook),
    ("hooks", "resume"): (hooks.resume, _hook),
    ("hooks", "why"): (hooks.why, _why),
    ("hooks", "attempts"): (hooks.attempts, _attempts),
    ("dead-letters", "list"): (hooks.letters, _letters),
    ("dead-letters", "show"): (hooks.letter, _letter),
    ("dead-letters", "replay"): (hooks.letters_replay, _chosen),
    ("dead-letters", "purge"): (hooks.letters_purge, _chosen),
    ("replay",): (hooks.replay, _replay),
    ("config", "show"): (commands.config_show, _nothing),
    ("config", "diff"): (commands.config_diff, _nothing),
    ("config", "test"): (commands.config_test, _nothing),
    ("reload",): (commands.reload, _nothing),
    ("log-level",): (commands.log_level, _level),
    ("log-reopen",): (commands.log_reopen, _nothing),
}

_GROUPS = {
    "events": "Events as they happen.",
    "hooks": "Hooks: state, tests, pauses, and which of them got an event.",
    "dead-letters": "Events that could not be delivered.",
    "config": "The configuration of the running daemon.",
}
_EPILOG = "exit status: " + "; ".join(f"{status}: {meaning}" for status, meaning in CONTROL.items())


def parser() -> Parser:
    """Return the parser of the whole command line."""
    whole = Parser(prog="rtmpctl", description="Controls a running rtmpd.", epilog=_EPILOG)
    whole.add_argument("--version", action="version", version=f"rtmpctl {__version__}")
    _common(whole, defaults=True)
    top_level = whole.add_subparsers(metavar="COMMAND", required=True)
    places: dict[tuple[str, ...], argparse._SubParsersAction[Parser]] = {(): top_level}
    for words, (run, add) in COMMANDS.items():
        group = words[:-1]
        if group not in places:
            text = _GROUPS[group[0]]
            below = top_level.add_parser(group[0], help=text, description=text)
            places[group] = below.add_subparsers(metavar="COMMAND", required=True)
        text = (run.__doc__ or "").partition("\n")[0]
        command = places[group].add_parser(words[-1], help=text, description=text)
        _common(command, defaults=False)
        add(command)
        command.set_defaults(run=run)
    text = "Make and check signed keys of publishers and players, without a running rtmpd: issue or check --help."
    top_level.add_parser("token", help=text, description=text)
    text = "Check the signature of a received request and name the mistake, without a running rtmpd: verify --help."
    top_level.add_parser("verify", help=text, description=text)
    return whole


def _common(parser: argparse.ArgumentParser, defaults: bool) -> None:
    """Add the options that may stand before or after the command."""

    def default(value: object) -> object:
        return value if defaults else argparse.SUPPRESS

    own = os.environ.get
    where = parser.add_argument_group("connection to rtmpd")
    where.add_argument("--socket", metavar="PATH", default=default(own("RTMPCTL_SOCKET", "")), help="control socket")
    text = "use the control socket from this configuration file"
    where.add_argument("-c", "--config", metavar="FILE", default=default(""), help=text)
    where.add_argument("--url", metavar="URL", default=default(own("RTMPCTL_URL", "")), help="http://HOST:PORT instead")
    text = "file with the token for --url"
    where.add_argument("--token-file", metavar="FILE", default=default(own("RTMPCTL_TOKEN_FILE", "")), help=text)
    text = "timeout for an answer (30)"
    where.add_argument("--timeout", type=float, metavar="SECONDS", default=default(30.0), help=text)
    parser.add_argument("--json", action="store_true", default=default(False), help="print JSON for programs")
