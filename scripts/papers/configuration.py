"""docs/configuration.md, made of the tables of options and flags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rtmpd import exits
from rtmpd.config.flags import GROUPS, Flag
from rtmpd.config.options import Option, SectionSpec, spec

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
    "octal": "octal number",
    "modes": "`open`, `token`, `file`, `signed`, `jwt`, `callback`, ...",
    "rate": "events/window",
    "seconds": "duration",
    "switch": "yes or no",
    "texts": "text, ...",
    "tokens": "IDENTITY:TOKEN, ...",
}
_RELOAD = {"yes": "on reload", "restart": "after a restart"}

#: What each signal does.
SIGNALS = {
    "HUP": "read the configuration again, and the certificates and files that it names",
    "TERM, INT": "accept no new connections, wait for `drain`, stop; a second signal stops at once",
    "USR1": "reopen the log file, after it was renamed",
    "USR2": "log what every greenlet is doing",
}
A_BAD_FILE = "A configuration with a problem changes nothing when it is read again; the log names every problem."

RELOAD = """\
## Reload

`SIGHUP`, `rtmpctl reload` and saving a file all trigger the same reload. **A saved file takes effect within twice
`watch_config`**, unless `watch_config = 0`, which is the setting of the packaged file. A changed file without any
section, or one that removes every hook, is not applied automatically; use `rtmpctl reload` or `SIGHUP` for that. The
whole configuration is read again, all new parts are created beside the old ones, and then they replace them in one
step. No session is closed and no event is lost, even if the listener of a client is removed.

If anything is wrong (an invalid value, a port in use, a certificate that cannot be loaded), nothing changes. The log
names each problem with its file, line and key, `config_reload` is emitted with `result = rejected`,
`rtmp_config_reloads_total` counts it, and `last_reload` of `/health` shows it.

- Options that take effect "after a restart" keep their values; the log and `config_reload` list those that changed.
- Limits on what one peer may send, the chunk size and the window apply to new connections. Limits on the numbers of
  connections, players and publishers, and access rules, apply to new requests. Everything else also applies to existing
  connections and streams. Access checks that are in progress finish with the old rules.
- If a certificate was replaced under the same path, the next reload loads it: send `SIGHUP` after a renewal. The same
  applies to other files (`token_file` of `[access]`, `${file:...}`). Only the configuration files themselves are
  watched.
- The port of a removed address is released at once; its clients stay connected. `:1935` and `127.0.0.1:1935` exclude
  each other: changing from one to the other needs a restart, or a reload with another port in between.
- A removed hook delivers its queue and ends. The same happens to a hook that was changed in more than its filter, while
  its successor gets all later events.
"""


def manual() -> str:
    """docs/configuration.md."""
    table = spec()
    rows = ["# Configuration", "", *_prose(table.help[1:])]
    rows += ["", "`rtmpd --print-defaults` prints all of this as a file, `rtmpd -t` tests a file, and `rtmpd -T`"]
    rows += ["prints the settings in effect."]
    for name, section in table.sections.items():
        rows += ["", f"## [{name}]", "", *_prose(section.help), "", *_table(section)]
        if section.many:
            rows += ["", f"### [{name}] [[NAME]]", "", *_prose(section.many.help), ""]
            rows += [] if section.many.inherits else _table(section.many)
            for inner in section.many.inner.values():
                rows += ["", f"### [{name}] [[NAME]] [[[{inner.example}]]]", "", *_prose(inner.help), ""]
                rows += _table(inner)
    rows += ["", *_command_line(), "", *_process()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(rows)).rstrip("\n") + "\n"


def _process() -> Iterator[str]:
    yield from ("## Signals", "", "| signal | effect |", "| --- | --- |")
    for names, effect in SIGNALS.items():
        yield f"| `{names.replace(', ', '`, `')}` | {effect} |"
    yield from ("", A_BAD_FILE, "", *RELOAD.splitlines(), "", "## Exit statuses", "")
    yield from ("| status | meaning |", "| --- | --- |")
    for status, meaning in exits.DAEMON.items():
        yield f"| {status} | {meaning} |"


def _command_line() -> Iterator[str]:
    yield "## Command line"
    yield ""
    yield "A flag may be written with one or two dashes; its value follows after a space or `=`. Flags override the"
    yield "file; hooks of both are used. EVENT is a name or a glob: `*` matches every event. `${VAR}` and"
    yield "`${file:PATH}` are expanded as in a file. Secrets do not show in the list of processes."
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
        yield f"| `{option.shown_key}` | {values_of(option)} | {default} | {_RELOAD[option.reload]} | {text} |"


def values_of(option: Option) -> str:
    """The kind of value and its bounds in words."""
    arguments = [part.strip() for part in option.arguments.split(",") if part.strip()]
    bounds = dict(part.split("=", 1) for part in arguments if "=" in part)
    if "min" in bounds:
        return f"{_KIND.get(option.kind, option.kind)}, {bounds['min']} to {bounds['max']}"
    if option.kind == "word":
        return ", ".join(f"`{word}`" for word in arguments if word != '""')
    return _KIND.get(option.kind, option.kind)
