"""The command line of the daemon.

Each flag takes one or two dashes, its value after ``=`` or as the next word, and is never
abbreviated: command lines of go-rtmp keep working when the program's name is changed. Those that set
an option land in the same tree as the files and go through the same checks.

argparse holds the flags and prints the help; words are first brought into the one form it can not
misread, because it stops at the first problem and takes ``-tls-lsten`` for ``-t`` with a value.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import Problem
from .entries import AuthFlag, Entry, HookFlag, HookOptionFlag, Origin, masked
from .options import spec
from .values import BadValue, go_duration, nearest

DEFAULT_CONFIG = "/etc/rtmpd/rtmpd.ini"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. ``metavar`` is "" for a switch; ``option`` the section and key that it sets, ``hook_option`` the
    key that it sets for hooks of the command line, ``auth`` the type and key of an [[[auth]]] of theirs (type "" for a
    key of the hook itself). What a ``secret`` flag was given is never shown."""

    name: str
    metavar: str
    help: str
    short: str = ""
    option: tuple[str, str] | None = None
    hook_option: str = ""
    repeats: bool = False
    auth: tuple[str, str] | None = None
    secret: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """With one dash first, as existing command lines have it."""
        return (*([f"-{self.short}"] if self.short else []), f"-{self.name}", f"--{self.name}")


def _sets(name: str, metavar: str, section: str, key: str) -> Flag:
    return Flag(name, metavar, " ".join(spec().option(section, key).help), option=(section, key))


def _delivers(name: str, metavar: str, key: str) -> Flag:
    return Flag(name, metavar, " ".join(spec().hook_option(key).help), hook_option=key)


def _filters(name: str, metavar: str, key: str, repeats: bool = False) -> Flag:
    return Flag(name, metavar, " ".join(spec().hook_option(key).help), hook_option=key, repeats=repeats)


def _proves(name: str, metavar: str, type: str, key: str, repeats: bool = False) -> Flag:
    option = spec().hook_option(key, *(["auth"] if type else []))
    help = _AUTH_HELP.get(name) or " ".join(option.help)
    return Flag(name, metavar, help, repeats=repeats, auth=(type, key), secret=option.secret)


_AUTH_HELP = {
    "hook-auth-api-key": "Send this key with each request.",
    "hook-auth-header": "The header of the API key. Default: X-API-Key.",
    "hook-auth-hmac-secret": "Sign the body with this secret.",
    "hook-auth-hmac-algorithm": "sha256 or sha1. Default: sha256.",
    "hook-auth-hmac-header": "The header of the signature. Default: X-Signature.",
    "hook-auth-jwt-secret": "Send a JSON Web Token that is signed with this secret.",
    "hook-auth-jwt-algorithm": "HS256, HS384 or HS512. Default: HS256.",
    "hook-auth-jwt-claim": "One more claim; may be repeated.",
    "hook-auth-jwt-ttl": "Life of a token. Default: 1h.",
    "hook-auth-oauth2-client-id": "Get tokens by OAuth2 client credentials, for this client.",
    "hook-header": "One header for each request, Name: value; may be repeated.",
}
HOOK_FLAG_TYPES = {"hook-script": ("script", "shell"), "hook-webhook": ("webhook", "webhook")}

GENERAL = (
    Flag("config", "FILE", f"Configuration file. Default: {DEFAULT_CONFIG}, if it exists.", "c"),
    Flag("test", "", "Test the configuration and exit.", "t"),
    Flag("dump", "", "Test the configuration, print what is in effect and exit.", "T"),
    Flag("print-defaults", "", "Print a configuration file with every option at its default and exit."),
    Flag("print-schema", "", "Print the JSON Schema of the events and exit."),
    Flag("foreground", "", "Stay in the foreground, which is the default.", "f", option=("daemon", "background")),
    Flag("environment-file", "FILE", "Variables for ${VAR}, one NAME=VALUE a line."),
    Flag("version", "", "Print the version and exit.", "V"),
    Flag("help", "", "Print this help and exit.", "h"),
)
OPTIONS = (
    _sets("listen", "ADDRESS", "server", "listen"),
    _sets("chunk-size", "BYTES", "server", "chunk_size"),
    _sets("tls-listen", "ADDRESS", "server", "tls_listen"),
    _sets("tls-cert", "FILE", "server", "tls_cert"),
    _sets("tls-key", "FILE", "server", "tls_key"),
    _sets("reconnect-url", "URL", "server", "reconnect_url"),
    _sets("log-level", "LEVEL", "log", "level"),
    _sets("log-file", "FILE", "log", "file"),
    Flag("daemon", "", "Leave the terminal once the listeners are open.", "d", option=("daemon", "background")),
    _sets("pid-file", "FILE", "daemon", "pid_file"),
    _sets("user", "NAME", "daemon", "user"),
    _sets("group", "NAME", "daemon", "group"),
)
HOOKS = (
    Flag("hook-script", "EVENT=PATH", "Run a program for an event; may be repeated.", repeats=True),
    Flag("hook-webhook", "EVENT=URL", "Send an event in an HTTP POST; may be repeated.", repeats=True),
    _sets("hook-stdio-format", "FORMAT", "hooks", "stdio_format"),
    _sets("hook-timeout", "DURATION", "hooks", "timeout"),
    _sets("hook-concurrency", "N", "hooks", "concurrency"),
)
FILTERS = (
    Flag(
        "hook-filter-events",
        "EVENTS",
        "Events, names or globs separated by commas, for every hook that is bound to all events; may be repeated.",
        hook_option="event_types",
        repeats=True,
    ),
    _filters("hook-filter-streams", "GLOBS", "stream_patterns", repeats=True),
    _filters("hook-filter-condition", "CONDITION", "conditions", repeats=True),
    _filters("hook-rate-limit", "EVENTS/WINDOW", "rate_limit"),
    _filters("hook-rate-burst", "N", "rate_burst"),
    _filters("hook-min-severity", "SEVERITY", "min_severity"),
)
DELIVERY = (
    _delivers("hook-retry-max-attempts", "N", "max_attempts"),
    _delivers("hook-retry-initial-delay", "DURATION", "initial_delay"),
    _delivers("hook-retry-max-delay", "DURATION", "max_delay"),
    _delivers("hook-retry-backoff", "STRATEGY", "backoff_strategy"),
    _delivers("hook-retry-jitter", "", "jitter"),
    _delivers("hook-delivery-guarantee", "LEVEL", "guarantee_level"),
    _delivers("hook-delivery-timeout", "DURATION", "confirm_timeout"),
    _delivers("hook-dead-letter-url", "URL", "dead_letter_url"),
    _sets("hook-store", "FILE", "store", "path"),
)
AUTH = (
    _proves("hook-auth-api-key", "KEY", "api_key", "key"),
    _proves("hook-auth-header", "NAME", "api_key", "header"),
    _proves("hook-auth-hmac-secret", "SECRET", "hmac", "secret"),
    _proves("hook-auth-hmac-algorithm", "DIGEST", "hmac", "algorithm"),
    _proves("hook-auth-hmac-header", "NAME", "hmac", "header"),
    _proves("hook-auth-jwt-secret", "SECRET", "jwt", "secret"),
    _proves("hook-auth-jwt-algorithm", "NAME", "jwt", "algorithm"),
    _proves("hook-auth-jwt-issuer", "TEXT", "jwt", "issuer"),
    _proves("hook-auth-jwt-subject", "TEXT", "jwt", "subject"),
    _proves("hook-auth-jwt-audience", "TEXT", "jwt", "audience"),
    _proves("hook-auth-jwt-claim", "NAME=VALUE", "jwt", "claims", repeats=True),
    _proves("hook-auth-jwt-ttl", "DURATION", "jwt", "ttl"),
    _proves("hook-auth-oauth2-client-id", "TEXT", "oauth2", "client_id"),
    _proves("hook-auth-oauth2-client-secret", "SECRET", "oauth2", "client_secret"),
    _proves("hook-auth-oauth2-token-url", "URL", "oauth2", "token_url"),
    _proves("hook-auth-oauth2-scopes", "SCOPES", "oauth2", "scopes"),
    _proves("hook-auth-oauth2-client-auth", "WORD", "oauth2", "client_auth"),
    _proves("hook-header", "HEADER", "", "headers", repeats=True),
)
#: Every flag below the title it has in the help.
GROUPS = {
    "general": GENERAL,
    "options of the configuration file": OPTIONS,
    "hooks": HOOKS,
    "filters of the hooks of the command line": FILTERS,
    "authentication of the webhooks of the command line": AUTH,
    "retries of the webhooks of the command line, and delivery": DELIVERY,
}
FLAGS = {name: flag for group in GROUPS.values() for flag in group for name in (flag.name, flag.short) if name}

_ACCESS = "is set up in the configuration file, [access] and [apps]: see docs/access.md"
_OUTPUTS = "is set up in the configuration file, [apps]"
_NEVER = "is not offered by rtmpd"
# Flags of go-rtmp that have no part here: whether they take a value, and what to say.
_ABSENT = {
    "record-all": (False, f"recording {_OUTPUTS}"),
    "record-dir": (True, f"recording {_OUTPUTS}"),
    "segment-duration": (True, f"recording {_OUTPUTS}"),
    "segment-pattern": (True, f"recording {_OUTPUTS}"),
    "relay-to": (True, f"relaying {_OUTPUTS}"),
    "auth-mode": (True, f"authentication {_ACCESS}"),
    "auth-token": (True, f"authentication {_ACCESS}"),
    "auth-file": (True, f"authentication {_ACCESS}"),
    "auth-callback": (True, f"authentication {_ACCESS}"),
    "auth-callback-timeout": (True, f"authentication {_ACCESS}"),
    "metrics-addr": (True, "the metrics endpoint is set up in the configuration file, [http] listen"),
    "srt-listen": (True, f"SRT {_NEVER}"),
    "srt-latency": (True, f"SRT {_NEVER}"),
    "srt-passphrase": (True, f"SRT {_NEVER}"),
    "srt-passphrase-file": (True, f"SRT {_NEVER}"),
    "srt-pbkeylen": (True, f"SRT {_NEVER}"),
}
_SWITCHES = {"daemon": "yes", "foreground": "no"}
_TRUE = ("1", "t", "true")
_FALSE = ("0", "f", "false")


@dataclass(frozen=True, slots=True)
class Override:
    """An option set by a flag."""

    section: str
    key: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked for, and every problem with how. ``config`` None means no file was named."""

    config: str | None = None
    environment_file: str | None = None
    test: bool = False
    dump: bool = False
    print_defaults: bool = False
    print_schema: bool = False
    version: bool = False
    help: bool = False
    overrides: tuple[Override, ...] = ()
    hooks: tuple[HookFlag, ...] = ()
    hook_options: tuple[HookOptionFlag, ...] = ()
    auth: tuple[AuthFlag, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Words:
    """The words of a command line, sorted out: flag, spelling and value of each, and problems."""

    given: list[tuple[Flag, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, where: str, message: str, text: str = "", hint: str = "") -> None:
        self.problems.append(Problem(where, "", message, masked(text), hint))


def parse(argv: Sequence[str]) -> CommandLine:
    """Read the words after the program's name. Never raises; problems are in the result."""
    words = _sort_out(argv)
    plain = [f"--{flag.name}={value}" if flag.metavar else f"--{flag.name}" for flag, _, value in words.given]
    arguments = parser().parse_args(plain)
    overrides = []
    for flag, spelling, value in words.given:
        if flag.option:
            text = _compatible(flag.name, spelling, value if flag.metavar else _SWITCHES[flag.name], words)
            if text is not None:
                overrides.append(Override(*flag.option, Entry(text, Origin(spelling, value))))
    hook_options = [
        HookOptionFlag(flag.hook_option, Entry(value if flag.metavar else "yes", Origin(spelling, value)))
        for flag, spelling, value in words.given
        if flag.hook_option
    ]
    return CommandLine(
        config=arguments.config,
        environment_file=arguments.environment_file,
        test=arguments.test,
        dump=arguments.dump,
        print_defaults=arguments.print_defaults,
        print_schema=arguments.print_schema,
        version=arguments.version,
        help=arguments.help,
        overrides=tuple(overrides),
        hooks=tuple(_hooks(words)),
        hook_options=tuple(hook_options),
        auth=tuple(_auth(words)),
        problems=tuple(words.problems),
    )


def parser() -> argparse.ArgumentParser:
    """The flags as argparse knows them; also what manual page and completion are made of."""
    made = argparse.ArgumentParser(
        prog="rtmpd",
        usage="rtmpd [flags]\n       rtmpd publish FILE URL\n       rtmpd play URL\n"
        "       rtmpd migrate SOURCE FILE",
        description="RTMP live-streaming daemon whose events can be trusted.",
        epilog="Each flag takes one or two dashes and its value after a space or =. Flags win over the file; "
        "hooks of both are used. Signals: HUP reads the hooks of the configuration again, TERM drains and stops "
        "(again: at once), USR1 opens the log file anew, USR2 logs what every greenlet is doing.",
        add_help=False,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=100),
    )
    for title, flags in GROUPS.items():
        group = made.add_argument_group(title)
        for flag in flags:
            text = flag.help.replace("%", "%%")
            names = (*([f"-{flag.short}"] if flag.short else []), f"--{flag.name}")
            if flag.metavar:
                action = "append" if flag.repeats else "store"
                group.add_argument(*names, metavar=flag.metavar, action=action, help=text)
            else:
                group.add_argument(*names, action="store_true", help=text)
    return made


# --- words --------------------------------------------------------------------------------------


def _sort_out(argv: Sequence[str]) -> _Words:
    words = _Words()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--" or word == "-" or not word.startswith("-"):
            for extra in rest if word == "--" else [word]:
                words.problem("", f'"{masked(extra)}" is no flag', hint=_positional_hint(extra))
            if word == "--":
                break
            continue
        spelling, equals, value = word.partition("=")
        name = spelling.removeprefix("-").removeprefix("-")
        if name in _ABSENT:
            takes_value, message = _ABSENT[name]
            words.problem(spelling, message)
            if takes_value and not equals and rest and not _is_flag(rest[0]):
                rest.pop(0)
        elif name not in FLAGS:
            words.problem(spelling, "no such flag", hint=_unknown_hint(name))
        elif not FLAGS[name].metavar:
            _switch(FLAGS[name], spelling, value if equals else "true", words)
        elif equals:
            words.given.append((FLAGS[name], spelling, value))
        elif rest and not _is_flag(rest[0]):
            words.given.append((FLAGS[name], spelling, rest.pop(0)))
        else:
            words.problem(spelling, "needs a value", hint=f"write {spelling} {FLAGS[name].metavar}")
    return words


def _switch(flag: Flag, spelling: str, value: str, words: _Words) -> None:
    if value.lower() in _TRUE:
        words.given.append((flag, spelling, ""))
    elif value.lower() not in _FALSE:
        words.problem(spelling, "is a switch and takes no value", value)


def _is_flag(word: str) -> bool:
    name = word.partition("=")[0].removeprefix("-").removeprefix("-")
    return word.startswith("-") and (name in FLAGS or name in _ABSENT)


def _unknown_hint(name: str) -> str:
    hint = nearest(name, [flag.name for flag in FLAGS.values()])
    return hint if hint.startswith("did") else "see rtmpd --help"


def _positional_hint(word: str) -> str:
    if word.endswith((".ini", ".conf")):
        return f"write -c {word}"
    if word in ("publish", "play"):
        return f"{word} comes first: rtmpd {word} ..."
    return "rtmpd takes flags only; see rtmpd --help"


# --- flags whose grammar is older than ours -----------------------------------------------------


def _compatible(name: str, spelling: str, value: str, words: _Words) -> str | None:
    """The value as the option understands it; None if there is nothing to set."""
    if name == "hook-timeout":
        try:
            timeout_s = go_duration(value)
        except BadValue as error:
            words.problem(spelling, str(error), value, error.hint)
            return None
        return f"{timeout_s:f}" if timeout_s else None  # 0 has always meant the default
    if name == "hook-concurrency" and (value == "0" or (value[:1] == "-" and value[1:].isdigit())):
        return None  # so have 0 and less
    return value


def _auth(words: _Words) -> Iterator[AuthFlag]:
    for flag, spelling, value in words.given:
        if flag.auth:
            yield AuthFlag(*flag.auth, Entry(value, Origin(spelling, "***" if flag.secret else value)))


def _hooks(words: _Words) -> list[HookFlag]:
    hooks: list[HookFlag] = []
    counts = dict.fromkeys(HOOK_FLAG_TYPES, 0)
    for flag, spelling, value in words.given:
        if flag.name not in HOOK_FLAG_TYPES:
            continue
        type, prefix = HOOK_FLAG_TYPES[flag.name]
        event_type, equals, target = value.partition("=")
        if not equals or not event_type.strip() or not target.strip():
            words.problem(spelling, "is not an event and its hook", value, f"write {flag.metavar}")
        else:
            id = f"{prefix}_{counts[flag.name]}"
            hooks.append(HookFlag(id, type, event_type.strip(), target, Origin(spelling, value)))
        counts[flag.name] += 1
    return hooks
