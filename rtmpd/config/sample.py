"""Files made of the table of options: the sample with every option, and what is in effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .check import Checked
from .entries import Entry, Path, hidden, masked
from .lines import header, quoted
from .options import MANY, Option, SectionSpec, spec

# What the file that comes with rtmpd sets: a first run shows its events, and a file that is being edited has no effect
# until somebody asks for a reload.
SHIPPED = {("hooks", "stdio_format"): "json", ("server", "watch_config"): "0"}

RESTART = "Takes a restart."


# --- the sample file ----------------------------------------------------------------------------


def sample(active: Mapping[tuple[str, str], str] | None = None) -> str:
    """A complete configuration file: every option with its help, commented out at its default, except
    those of ``active``, by section and key, which are set."""
    table = spec()
    rows = [_comment(line) for line in table.help]
    for name, section in table.sections.items():
        rows += ["", *(_comment(line) for line in section.help), f"[{name}]"]
        rows += _sample_options(section, active or {})
        if section.many:
            rows += ["", *(_comment(line) for line in section.many.help), f"#[[{section.many.example}]]"]
            rows += _sample_options(section.many, {})
            for inner in section.many.inner.values():
                rows += ["", *(_comment(line) for line in inner.help), f"#[[[{inner.example}]]]"]
                rows += _sample_options(inner, {})
    return "\n".join(rows) + "\n"


def _sample_options(section: SectionSpec, active: Mapping[tuple[str, str], str]) -> Iterator[str]:
    for key, option in section.options.items():
        if not section.inherits:
            yield ""
            yield from (_comment(line) for line in option.help)
            if option.example and option.default is not None:
                yield _comment(f"For example: {option.shown_key} = {option.example}")
            if option.reload == "restart":
                yield _comment(RESTART)
        if (section.path[0], key) in active:
            yield f"{key} = {active[section.path[0], key]}"
        else:
            shown = option.example if option.default is None else option.default
            yield f"#{option.shown_key} = {_default_text(shown)}"


def _default_text(default: str) -> str:
    return default or '""'


def _comment(line: str) -> str:
    return f"# {line}".rstrip()


# --- what is in effect --------------------------------------------------------------------------


def effective(checked: Checked) -> str:
    """Every option with its value and where that was set; secrets are masked."""
    rows: list[str] = []
    for name, section in spec().sections.items():
        rows += ["", f"[{name}]"]
        rows += [_effective_option(checked, (name,), option) for option in section.options.values()]
        for sub in checked.subsections(name):
            rows.append(header(sub, 2))
            rows += _given_options(checked, (name, sub))
            for inner in checked.inner((name, sub)):
                rows.append(header(inner[-1], 3))
                rows += _given_options(checked, inner)
        if name == "hooks":
            rows += _of_command_line(checked)
    return "\n".join(rows[1:]) + "\n"


def _of_command_line(checked: Checked) -> Iterator[str]:
    """The hooks of the flags, and what the flags say for all of these."""
    line, find = checked.command_line, checked.spec.hook_option
    for hook in line.hooks if line else ():
        where = hook.origin.where
        yield header(hook.id, 2)
        yield f"type = {hook.type}  # {where}"
        yield f"event_types = {_legible(hook.event_type)}  # {where}"
        yield f"{'path' if hook.type == 'script' else 'url'} = {_legible(masked(hook.target))}  # {where}"
    if not line or not (line.hook_options or line.auth):
        return
    yield "# For hooks of the command line, as far as they are of the type:"
    for flag in line.hook_options:
        yield f"# {flag.key} = {_shown(flag.entry, find(flag.key).secret)}  # {flag.entry.origin.where}"
    for auth in line.auth:
        secret = find(auth.key, *(["auth"] if auth.type else [])).secret
        place = f"[[[auth]]] of type = {auth.type}: " if auth.type else ""
        yield f"# {place}{auth.key} = {_shown(auth.entry, secret)}  # {auth.entry.origin.where}"


def _given_options(checked: Checked, path: Path) -> list[str]:
    section = checked.spec.find(path)
    given = checked.tree.sections.get(path, {})
    options = section.options if section else {}
    known = [option for key, option in options.items() if key in given]
    if MANY in options:
        known += [replace(options[MANY], key=key) for key in given if key not in options]
    return [_effective_option(checked, path, option) for option in known]


def _effective_option(checked: Checked, path: Path, option: Option) -> str:
    entry = checked.tree.sections.get(path, {}).get(option.key)
    if entry is None:
        return f"{option.key} = {_default_text(option.default or '')}"
    return f"{option.key} = {_shown(entry, option.secret)}  # {entry.origin.where}"


def _shown(entry: Entry, secret: bool) -> str:
    """As it was written: what ``${...}`` stands for may be a secret. Of a secret only such a reference is shown."""
    items = entry.value if isinstance(entry.value, list) else [entry.value]
    return ", ".join(_legible(hidden(item) if secret else masked(item)) for item in items)


def _legible(text: str) -> str:
    try:
        return quoted(text)
    except ValueError:  # only a flag can hold such a text
        return repr(text)
