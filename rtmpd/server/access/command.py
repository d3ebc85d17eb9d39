"""``token issue`` and ``token check``: makes and checks signed keys on the command line.

Needs neither the daemon nor its libraries. The keys come from a configuration, which the caller reads, from a
file with one key a line, or from the environment; never from the command line, which everybody can see.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from ... import textfile
from ...clock import Clock
from ...errors import ConfigError, InvalidStreamKey
from ...identity import Applications, StreamId, segments
from ...settings import ACTIONS, PLAY, PUBLISH, AppsSettings, Settings
from ...textfile import TextFileError
from . import signed
from .question import Question, token_of

KEYS_VARIABLE: Final = "RTMPD_SIGNING_KEYS"

#: The settings of a configuration file. Raises ConfigError.
Read = Callable[[str], Settings]

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NO_KEYS: Final = f"a signing key is missing: name -c FILE, --key-file FILE or set {KEYS_VARIABLE}"


def main(words: Sequence[str], read: Read, program: str, usage_status: int) -> int:
    """Run ``issue`` or ``check`` with their words; return the exit status. ``program`` is what the user typed."""
    commands = {"issue": issue, "check": check}
    if not words or words[0] not in commands:
        print(f"usage: {program} issue|check, each with --help", file=sys.stderr)
        return usage_status
    try:
        return commands[words[0]](words[1:], read)
    except ConfigError as error:
        for problem in error.problems:
            print(f"{program.partition(' ')[0]}: {problem}", file=sys.stderr)
        return os.EX_CONFIG


def issue(argv: Sequence[str], read: Read, clock: Clock | None = None) -> int:
    """Print a signed key for one stream; the result is the exit status."""
    parser = _parser("issue", "Make a signed key for the access mode signed.")
    parser.add_argument("stream", help="what it is for, APP/NAME; both may be globs")
    parser.add_argument("--play", action="store_true", help="good for playing, not for publishing")
    parser.add_argument("--both", action="store_true", help="good for both")
    parser.add_argument("--ttl", type=_duration, default=86400, help="its life: 90s, 30m, 12h or 7d; default 1d")
    parser.add_argument("--identity", default="", help="whose it is, for the events")
    parser.add_argument("--address", type=_address, default="", help="the one IP address it is good for")
    parser.add_argument("--query", action="store_true", help="print NAME?token=KEY, as encoders want it")
    given = parser.parse_args(argv)
    keys, applications = _keys(parser, given, read)
    app, name = _stream(parser, applications, given.stream)
    actions = ACTIONS if given.both else (PLAY,) if given.play else (PUBLISH,)
    expires = (clock or Clock()).wall() + given.ttl
    key = signed.issue(keys, signed.Claims(app, name, actions, expires, given.identity, given.address))
    print(f"{name}?token={key}" if given.query else key)
    return os.EX_OK


def check(argv: Sequence[str], read: Read, clock: Clock | None = None) -> int:
    """Say what a signed key is good for, and whether it admits: exit status 0, or 1."""
    parser = _parser("check", "Say what a signed key is good for.")
    parser.add_argument("key", help="the key, or NAME?token=KEY; - reads it from standard input")
    parser.add_argument("stream", nargs="?", default="", help="also check it for this stream, APP/NAME")
    parser.add_argument("--play", action="store_true", help="check for playing instead of publishing")
    parser.add_argument("--address", type=_address, default="", help="check for this client address")
    given = parser.parse_args(argv)
    text = sys.stdin.read().strip() if given.key == "-" else given.key
    token = token_of(text.partition("?")[2]) or text
    keys, applications = _keys(parser, given, read)
    claims = signed.read(keys, token)
    if isinstance(claims, str):
        return _refused(claims)
    print(f"stream:   {claims.app}/{claims.name}")
    print(f"actions:  {', '.join(claims.actions)}")
    print(f"expires:  {datetime.fromtimestamp(claims.expires, UTC):%Y-%m-%dT%H:%M:%SZ}")
    print(f"identity: {claims.identity or '-'}")
    print(f"address:  {claims.address or 'any'}")
    stream = _stream(parser, applications, given.stream or f"{claims.app}/{claims.name}")
    action = PLAY if given.play else PUBLISH if given.stream else claims.actions[0]
    address = given.address or claims.address
    verdict = signed.check(keys, Question(action, stream, token, address, 0), (clock or Clock()).wall())
    return os.EX_OK if verdict.allowed else _refused(verdict.reason)


def _refused(reason: str) -> int:
    print(f"refused: {reason}", file=sys.stderr)
    return 1


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"rtmpd token {name}", description=description)
    parser.add_argument("-c", "--config", metavar="FILE", help="a configuration with signing_keys")
    parser.add_argument("--key-file", metavar="FILE", help="a file with one signing key a line, the newest first")
    return parser


def _stream(parser: argparse.ArgumentParser, applications: Applications, text: str) -> StreamId:
    try:
        return applications.identify(segments(text))
    except InvalidStreamKey:
        parser.error(f"{text!r} is not APP/NAME")


def _keys(
    parser: argparse.ArgumentParser, given: argparse.Namespace, read: Read
) -> tuple[Sequence[str], Applications]:
    """Return the signing keys, and the applications of the configuration if there is one."""
    apps = AppsSettings()
    keys: Sequence[str] = os.environ.get(KEYS_VARIABLE, "").split()
    try:
        if given.key_file:
            keys = [line.strip() for line in textfile.read(given.key_file).lines() if line.strip()]
        elif given.config:
            settings = read(given.config)
            keys, apps = settings.access.signing_keys, settings.apps
    except TextFileError as error:
        parser.error(f"{given.key_file}: {error}")
    if not keys:
        parser.error(_NO_KEYS)
    return keys, Applications(apps)


def _address(text: str) -> str:
    """Return the address in the form that the server uses."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _duration(text: str) -> int:
    number, unit = (text, "s") if text.isdigit() else (text[:-1], text[-1:])
    if not number.isdigit() or unit not in _UNITS_S or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 90s, 30m, 12h or 7d")
    return int(number) * _UNITS_S[unit]
