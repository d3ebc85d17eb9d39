"""The pages rtmpd(8) and rtmpd.ini(5), made of the tables of options and flags, in mdoc(7)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator

from rtmpd import exits
from rtmpd.config.flags import DEFAULT_CONFIG, GROUPS, Flag
from rtmpd.config.options import Option, SectionSpec, spec

from .configuration import A_BAD_FILE, SIGNALS, values_of

DATE = "November 22, 2026"

_WIDTH = 78
_SENTENCE = re.compile(r"(?<=[a-z0-9)\]}\"'][.!?]) +(?=[A-Z0-9(])|(?<=[A-Z]{2}[.]) +(?=[A-Z])")
_RELOAD = {"yes": "takes effect on reload", "restart": "takes effect after a restart"}
_MACRO_SAFE = re.compile(r"[A-Za-z0-9_/:=*,.@<>|()-]*")

_DAEMON = """\
Encoders publish to rtmpd, players watch from it, and everything that happens on the way becomes an event that reaches
the scripts, webhooks and programs that subscribe to it. A flag may be written with one or two dashes; its value follows
after a space or an equals sign. Flags override the file; hooks of both are used. EVENT is a name or a glob: * matches
every event."""
_EACH_OPTION = """\
Each option is listed with its default and when a new value takes effect: on a reload (SIGHUP or rtmpctl reload) or
after a restart."""
_TOOLS = {
    "publish FILE URL": "Publish an FLV file to a server.",
    "play URL": "Play a stream and print the progress.",
    "token issue|check": "Make and check signed keys of publishers and players.",
    "verify": "Check the signature of a webhook that was saved to files.",
    "audit FILE": "Check an audit trail.",
    "migrate SOURCE FILE": "Convert the configuration of another server.",
}
_FILES = {
    DEFAULT_CONFIG: "The default configuration file. See rtmpd.ini(5).",
    "/etc/rtmpd/conf.d/*.ini": "Further configuration files, read in name order; later files override earlier ones.",
    "/run/rtmpd/control.sock": "The control socket of rtmpctl(8).",
    "/var/lib/rtmpd/events.db": "The event log of hooks with guarantee_level = at-least-once.",
}
_ENVIRONMENT = {
    "STATE_DIRECTORY": "Directory of the event log, if the configuration does not set a path.",
    "XDG_RUNTIME_DIR": "Directory of the control socket, if the default directory cannot be written.",
    "NOTIFY_SOCKET": "Socket for reports to the service manager, see sd_notify(3).",
    "WATCHDOG_USEC": "Watchdog timeout of the service manager.",
}
_EXAMPLES = {
    "Take streams on port 1935 and write every event to standard output:": "rtmpd -hook-stdio-format json",
    "Run a program whenever a stream starts:": "rtmpd -hook-script publish_start=/usr/local/lib/on-publish.sh",
    "Test a configuration, then reload it in the running daemon:": "rtmpd -t -c /etc/rtmpd/rtmpd.ini && rtmpctl reload",
    "Convert the configuration of nginx:": "rtmpd migrate nginx /etc/nginx/nginx.conf -o /etc/rtmpd/rtmpd.ini",
}
_FILE_EXAMPLE = """\
[server]
listen = :1935
[apps]
publish_access = token
publish_tokens = studio:${STUDIO_TOKEN}
[hooks]
  [[office]]
  type = webhook
  url = https://example.org/rtmp
  event_types = publish_*
    [[[auth]]]
    type = standard
    secret = ${file:webhook.key}
"""


# --- words of mdoc ------------------------------------------------------------------------------


def head(name: str, section: int, what: str) -> list[str]:
    """The top of a page."""
    return [f".Dd {DATE}", f".Dt {name.upper()} {section}", ".Os", ".Sh NAME", f".Nm {name}", f".Nd {escaped(what)}"]


def prose(text: str) -> Iterator[str]:
    """Text as lines of input: a line for each sentence, cut where it gets long."""
    for sentence in _SENTENCE.split(text):
        rows = textwrap.wrap(sentence, _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield from (_line(row) for row in rows)


def tagged(rows: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    """A list of terms, each an ``.It`` line without it, and what is said of them."""
    yield ".Bl -tag -width Ds"
    for term, lines in rows:
        yield f".It {term}"
        yield from lines
    yield ".El"


def word(text: str) -> str:
    """One argument of a macro."""
    quoted = f'"{escaped(text)}"' if not _MACRO_SAFE.fullmatch(text) or not text else escaped(text)
    return f"\\&{quoted}" if len(text) == 2 and not quoted.startswith('"') else quoted


def example(text: str) -> Iterator[str]:
    """Lines as they are."""
    yield ".Bd -literal -offset indent"
    yield from (_line(line) if line else "" for line in text.rstrip("\n").split("\n"))
    yield ".Ed"


def escaped(text: str) -> str:
    """Text without anything that would be an order."""
    return text.replace("\\", "\\e").replace('"', "\\(dq")


def _line(text: str) -> str:
    row = escaped(text)
    return f"\\&{row}" if row.startswith((".", "'")) else row


# --- rtmpd(8) -----------------------------------------------------------------------------------


def daemon_page() -> str:
    """etc/man/rtmpd.8."""
    rows = head("rtmpd", 8, "RTMP live-streaming daemon whose events can be trusted")
    rows += [".Sh SYNOPSIS", ".Nm", ".Op Ar flags"]
    for tool in _TOOLS:
        name, _, arguments = tool.partition(" ")
        rows += [".Nm", f".Cm {name}" + "".join(f" Ar {word(argument)}" for argument in arguments.split())]
    rows += [".Sh DESCRIPTION"]
    rows += prose(_DAEMON)
    for title, flags in GROUPS.items():
        rows += [f".Ss {title.capitalize()}", *tagged((_flag(flag), prose(flag.help)) for flag in flags)]
    rows += [".Ss Tools", *tagged((f"Cm {word(tool)}", prose(text)) for tool, text in _TOOLS.items())]
    rows += [".Ss Signals", *tagged((f"Dv {word(names)}", prose(text)) for names, text in _plain(SIGNALS.items()))]
    rows += [".Pp", *prose(A_BAD_FILE)]
    rows += [".Sh ENVIRONMENT", *tagged((f"Ev {word(name)}", prose(text)) for name, text in _ENVIRONMENT.items())]
    rows += [".Sh FILES", *tagged((f"Pa {word(name)}", prose(text)) for name, text in _FILES.items())]
    rows += exit_status(exits.DAEMON.items())
    rows += [".Sh EXAMPLES"]
    for number, (text, line) in enumerate(_EXAMPLES.items()):
        rows += [*([".Pp"] if number else []), *prose(text), *example(line)]
    rows += [".Sh SEE ALSO", ".Xr rtmpd.ini 5 ,", ".Xr rtmpctl 8"]
    return "\n".join(rows) + "\n"


def exit_status(statuses: Iterable[tuple[int, str]]) -> list[str]:
    """The section of that name."""
    return [".Sh EXIT STATUS", *tagged((str(status), prose(text)) for status, text in statuses)]


def _flag(flag: Flag) -> str:
    names = [*([flag.short] if flag.short else []), f"-{flag.name}"]
    argument = f" Ar {word(flag.metavar)}" if flag.metavar else ""
    return " , ".join(f"Fl {name}{argument}" for name in names)


def _plain(rows: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, text in rows:
        yield name, text.replace("`", "")


# --- rtmpd.ini(5) -------------------------------------------------------------------------------


def file_page() -> str:
    """etc/man/rtmpd.ini.5."""
    rows = head("rtmpd.ini", 5, "configuration file of rtmpd")
    rows += [".Sh DESCRIPTION", *prose(" ".join(line.strip() for line in spec().help[2:]))]
    rows += [".Pp", *prose(_EACH_OPTION)]
    for section in spec().sections.values():
        for one in section.family():
            rows += _section(one)
    rows += [".Sh FILES", *tagged((f"Pa {word(name)}", prose(text)) for name, text in list(_FILES.items())[:2])]
    rows += [".Sh EXAMPLES", *example(_FILE_EXAMPLE)]
    rows += [".Sh SEE ALSO", ".Xr rtmpctl 8 ,", ".Xr rtmpd 8"]
    return "\n".join(rows) + "\n"


def _section(section: SectionSpec) -> Iterator[str]:
    names = ["NAME" if name == "__many__" else name for name in section.path]
    yield ".Ss " + " ".join("[" * depth + name + "]" * depth for depth, name in enumerate(names, 1)) + "\\&"
    text = [line for line in section.help if line.strip() and not line.startswith("  ")]
    yield from prose(" ".join(text))
    if section.options and not section.inherits:
        yield from tagged((f"Ic {word(option.shown_key)}", _option(option)) for option in section.options.values())


def _option(option: Option) -> Iterator[str]:
    yield from prose(" ".join(option.help))
    default = "Required" if option.default is None else f"Default: {option.default or 'empty'}"
    yield from prose(f"Value: {values_of(option).replace('`', '')}.")
    yield from prose(f"{default}; {_RELOAD[option.reload]}.")
