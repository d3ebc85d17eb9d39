"""docs/configuration.md, made of the tables of options and flags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .flags import GROUPS, Flag
from .options import Option, SectionSpec, spec

_KIND = {
    "burst": "number",
    "pairs": "NAME=VALUE, ...",
    "header": "name of a header",
    "count": "number",
    "endpoint": "HOST:PORT",
    "free": "text, or text, ...",
    "latencies": "durations WARNING, CRITICAL",
    "levels": "numbers WARNING, CRITICAL",
    "milliseconds": "duration",
    "modes": "`open`, `token`, `file`, `signed`, `jwt`, `callback`, ...",
    "rate": "events/window",
    "seconds": "duration",
    "switch": "yes or no",
    "texts": "text, ...",
    "tokens": "IDENTITY:TOKEN, ...",
}
_RELOAD = {"yes": "on reload", "restart": "after a restart"}

_PROCESS = """
## Signals

| signal | effect |
| --- | --- |
| `HUP` | read the configuration again: hooks are replaced, other changes wait for a restart |
| `TERM`, `INT` | take no new connections, wait for `drain`, stop; a second one stops at once |
| `USR1` | open the log file anew, after it was renamed |
| `USR2` | log what every greenlet is doing |

A configuration with a problem changes nothing when it is read again; the log names every problem.

## Exit statuses

| status | meaning |
| --- | --- |
| 0 | stopped by a signal, or what was asked for was printed |
| 2 | a flag is wrong |
| 69 | an address can not be listened on, or a certificate does not load |
| 70 | an error in rtmpd; the log has the traceback |
| 73 | the log file can not be created |
| 78 | a configuration file is wrong |
"""


def manual() -> str:
    """docs/configuration.md."""
    table = spec()
    rows = ["# Configuration", "", *_prose(table.help[1:])]
    rows += ["", "`rtmpd --print-defaults` prints all of this as a file, `rtmpd -t` tests one, `rtmpd -T` shows"]
    rows += ["what is in effect."]
    for name, section in table.sections.items():
        rows += ["", f"## [{name}]", "", *_prose(section.help), "", *_table(section)]
        if section.many:
            rows += ["", f"### [{name}] [[NAME]]", "", *_prose(section.many.help), ""]
            rows += [] if section.many.inherits else _table(section.many)
            for inner in section.many.inner.values():
                rows += ["", f"### [{name}] [[NAME]] [[[{inner.example}]]]", "", *_prose(inner.help), ""]
                rows += _table(inner)
    rows += ["", *_command_line(), _PROCESS]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(rows)).rstrip("\n") + "\n"


def _command_line() -> Iterator[str]:
    yield "## Command line"
    yield ""
    yield "Each flag takes one or two dashes, and its value after a space or `=`. Flags win over the file; hooks of"
    yield "both are used. EVENT is a name or a glob: `*` is every event."
    yield ""
    yield "| flag | sets | |"
    yield "| --- | --- | --- |"
    for flag in (flag for group in GROUPS.values() for flag in group):
        yield f"| {_spelling(flag)} | {_sets(flag)} | {_cell(flag.help)} |"


def _sets(flag: Flag) -> str:
    if flag.option:
        return "`[{}] {}`".format(*flag.option)
    if flag.auth:
        return "`[hooks] [[NAME]] " + (f"[[[auth]]] {flag.auth[1]}`" if flag.auth[0] else f"{flag.auth[1]}`")
    return f"`[hooks] [[NAME]] {flag.hook_option}`" if flag.hook_option else ""


def _spelling(flag: Flag) -> str:
    names = [*([f"-{flag.short}"] if flag.short else []), f"--{flag.name}"]
    return ", ".join(f"`{name} {flag.metavar}`" if flag.metavar else f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _prose(lines: tuple[str, ...]) -> list[str]:
    """Paragraphs; lines that are indented more than a paragraph are an example."""
    return ["    " + line.strip() if line.startswith("  ") else line for line in lines]


def _table(section: SectionSpec) -> Iterator[str]:
    yield "| key | value | default | takes effect | |"
    yield "| --- | --- | --- | --- | --- |"
    for option in section.options.values():
        default = "required" if option.default is None else f"`{option.default}`" if option.default else ""
        text = _cell(" ".join(option.help))
        yield f"| `{option.shown_key}` | {_values(option)} | {default} | {_RELOAD[option.reload]} | {text} |"


def _values(option: Option) -> str:
    """The kind of value and its bounds in words."""
    arguments = [part.strip() for part in option.arguments.split(",") if part.strip()]
    bounds = dict(part.split("=", 1) for part in arguments if "=" in part)
    if "min" in bounds:
        return f"{_KIND.get(option.kind, option.kind)}, {bounds['min']} to {bounds['max']}"
    if option.kind == "word":
        return ", ".join(f"`{word}`" for word in arguments if word != '""')
    return _KIND.get(option.kind, option.kind)
