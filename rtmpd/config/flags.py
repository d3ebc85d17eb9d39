"""The command line of the daemon.

Each flag takes one or two dashes, its value after ``=`` or as the next word, and is never
abbreviated: command lines of go-rtmp keep working when the program's name is changed. Those that set
an option land in the same tree as the files and go through the same checks.

argparse holds the flags and prints the help; words are first brought into the one form it cannot
misread, because it stops at the first problem and takes ``-tls-lsten`` for ``-t`` with a value.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import Problem
from .entries import AuthFlag, Entry, HookFlag, HookOptionFlag, Origin, masked
from .grants import token_of_stream
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
OF_GO_RTMP = (
    Flag("record-all", "YES", "Record every stream as FLV: true or false."),
    Flag("record-dir", "DIRECTORY", "Where recordings go. Default: recordings."),
    Flag("segment-duration", "DURATION", "Begin another file after so much media."),
    Flag("segment-pattern", "PATTERN", "Names of these files: %s stream, %03d number, %T time, %Y %m %D %H %M %S."),
    Flag("relay-to", "URL", "Send a copy of each stream there; may be repeated.", repeats=True),
    Flag("auth-mode", "MODE", "Who may publish and play: none, token, file or callback."),
    Flag("auth-token", "STREAM=TOKEN", "A token for publish and play; may be repeated.", repeats=True, secret=True),
    Flag("auth-file", "FILE", "Tokens: a JSON object of streams and tokens, or lines as in token_file."),
    Flag("auth-callback", "URL", "Where the mode callback asks."),
    Flag("auth-callback-timeout", "DURATION", "How long it waits for its answer. Default: 5s."),
    Flag("metrics-addr", "ADDRESS", "Where metrics and health are served over HTTP."),
)
#: Every flag below the title it has in the help.
GROUPS = {
    "general": GENERAL,
    "options of the configuration file": OPTIONS,
    "hooks": HOOKS,
    "filters of the hooks of the command line": FILTERS,
    "authentication of the webhooks of the command line": AUTH,
    "retries of the webhooks of the command line, and delivery": DELIVERY,
    "recording, relay, access and metrics, as go-rtmp has them": OF_GO_RTMP,
}
FLAGS = {name: flag for group in GROUPS.values() for flag in group for name in (flag.name, flag.short) if name}

_NEVER = "SRT is not offered by rtmpd"
# Flags of go-rtmp that have no part here, all with a value, and what to say.
_ABSENT = dict.fromkeys(("srt-listen", "srt-latency", "srt-passphrase", "srt-passphrase-file", "srt-pbkeylen"), _NEVER)
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
    """What was asked for, and every problem with how. ``config`` None means no file was named; ``secrets`` are the
    values that others must not see: of secret flags, and URLs with a password or a query."""

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
    secrets: tuple[str, ...] = ()
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
    overrides += _of_go_rtmp(words)
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
        secrets=tuple(value for flag, _, value in words.given if flag.secret or masked(value) != value),
        problems=tuple(words.problems),
    )


def parser() -> argparse.ArgumentParser:
    """The flags as argparse knows them; also what manual page and completion are made of."""
    made = argparse.ArgumentParser(
        prog="rtmpd",
        usage="rtmpd [flags]\n       rtmpd publish FILE URL\n       rtmpd play URL\n"
        "       rtmpd migrate SOURCE FILE\n       rtmpd token issue|check KEY\n"
        "       rtmpd verify --headers FILE --body FILE\n       rtmpd audit FILE ...",
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
                words.problem("", f'"{masked(extra)}" is not a flag', hint=_positional_hint(extra))
            if word == "--":
                break
            continue
        spelling, equals, value = word.partition("=")
        name = spelling.removeprefix("-").removeprefix("-")
        if name in _ABSENT:
            words.problem(spelling, _ABSENT[name])
            if not equals and rest and not _is_flag(rest[0]):
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
    if word.endswith((".yaml", ".yml")):
        return f"rtmpd reads INI files: rtmpd migrate hooks-yaml {word} -o rtmpd.ini writes one"
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


def _of_go_rtmp(words: _Words) -> Iterator[Override]:
    """What the flags of go-rtmp for recording, relay, access and metrics say, in our options."""
    given: dict[str, list[tuple[str, str]]] = {}
    for flag, spelling, value in words.given:
        if flag in OF_GO_RTMP:
            given.setdefault(flag.name, []).append((spelling, value))

    def one(name: str, section: str, key: str, change: Callable[[str], str] = str) -> Iterator[Override]:
        for spelling, value in given.get(name, [])[-1:]:
            try:
                yield Override(section, key, Entry(change(value), Origin(spelling, value)))
            except BadValue as error:
                words.problem(spelling, str(error), value, error.hint)

    def many(name: str, key: str, change: Callable[[str], list[str]], secret: bool = False) -> Iterator[Override]:
        found = given.get(name, [])
        try:
            values = [item for _, value in found for item in change(value)]
        except BadValue as error:
            words.problem(found[0][0], str(error), "", error.hint)
            return
        if values:
            shown = "***" if secret else ", ".join(value for _, value in found)
            yield Override("apps", key, Entry(values, Origin(found[0][0], shown)))

    yield from one("record-all", "apps", "record", lambda value: "all" if _is_true(value) else "off")
    yield from one("record-dir", "apps", "record_dir")
    records = given.get("record-all", [])[-1:]
    if records and _is_true(records[0][1], quiet=True):
        origin = Origin(*records[0])
        if "record-dir" not in given:
            yield Override("apps", "record_dir", Entry("recordings", origin))
        pattern = "%s_%T_seg%03d" if any(value for _, value in given.get("segment-duration", ())) else "%s_%T"
        yield Override("apps", "record_path", Entry(_record_path(pattern), origin))
    yield from one("segment-pattern", "apps", "record_path", _record_path)
    yield from one("segment-duration", "apps", "segment_duration", lambda value: value or "0")
    yield from many("relay-to", "push", lambda value: [url.strip() for url in value.split(",") if url.strip()])
    for action in ("publish", "play"):
        yield from one("auth-mode", "apps", f"{action}_access", _mode)
        yield from many("auth-token", f"{action}_tokens", lambda value: [_token(value)], secret=True)
    yield from one("auth-file", "access", "token_file")
    yield from one("auth-callback", "apps", "callback_url")
    yield from one("auth-callback-timeout", "access", "callback_timeout")
    yield from one("metrics-addr", "http", "listen")


def _is_true(value: str, quiet: bool = False) -> bool:
    if value.lower() not in ("true", "1", "yes", "false", "0", "no") and not quiet:
        raise BadValue("is neither true nor false", "write -record-all true")
    return value.lower() in ("true", "1", "yes")


def _mode(value: str) -> str:
    if value not in ("none", "token", "file", "callback"):
        raise BadValue("is not a mode of access", "write none, token, file or callback")
    return "open" if value == "none" else value


def _token(value: str) -> str:
    """``STREAM=TOKEN`` as a token of ours, which has a name; that of the stream is taken."""
    stream, equals, secret = value.partition("=")
    found = token_of_stream(stream, secret if equals else "")
    return f"{found.identity}:{found.token} {found.streams}"


def _record_path(pattern: str) -> str:
    """A pattern of go-rtmp for the names of files as a record_path."""
    times = {"Y": "%Y", "m": "%m", "D": "%d", "H": "%H", "M": "%M", "S": "%S", "T": "%Y%m%d_%H%M%S"}

    def field(match: re.Match[str]) -> str:
        sign = match[0][-1]
        if sign in times:
            return f"{{time:{times[sign]}}}"
        if sign == "d":
            return f"{{segment:0{match[1]}d}}" if match[1] else "{segment}"
        return {"%": "%", "s": "{app}_{name}"}.get(sign) or match[0]

    plain = pattern.replace("{", "{{").replace("}", "}}")
    return re.sub(r"%(?:0(\d+))?[a-zA-Z%]", field, plain) + ".flv"


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
