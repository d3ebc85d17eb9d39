"""Which test proves which option: what a test must have in it to be called a proof.

A test reaches its own text and that of the functions, classes and constants of its module that it names, and theirs. It
can prove an option if it reaches the key (as in a file) or the field of the settings, and something of the section: the
header as in a file, or the settings it becomes; names of two words that are there only once do without. It can prove a
flag if it reaches the flag.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from rtmpd.config.flags import GROUPS, Flag
from rtmpd.config.options import Option, SectionSpec, spec

ROOT = Path(__file__).parents[1]

#: What else a test must reach, by the first two parts of a section.
CONTEXT = {
    "server": r"\[server\]|ServerSettings|\.server\b|server=",
    "limits": r"\[limits\]|LimitSettings|\.limits\b|limits[=(]",
    "apps": r"\[apps\]|AppSettings|\.apps\b|apps?=|\"app\"|Rig\(",
    "quality": r"\[quality\]|QualitySettings|\.quality\b|quality=|Thresholds",
    "access": r"\[access\]|AccessSettings|\.access\b|access=",
    "store": r"\[store\]|StoreSettings|\.store\b|store=|managed\(",
    "hooks": r"\[hooks\]|Hooks?Settings|\.hooks\b|hooks=",
    "hooks.NAME": r"\[\[|Hook\w*Settings|(Delivery|Retry|Filter|Body|Http)Settings|\.hooks\b",
    "hooks.NAME.options": r"\[\[\[options",
    "hooks.NAME.auth": r"\[\[\[auth|AuthSettings|\.auth\b|[aA]uth",
    "log": r"\[log\]|LogSettings|\.log\b|log=",
    "metrics": r"\[metrics\]|MetricsSettings|\.metrics\b|metrics=",
    "alerts": r"\[alerts\]|AlertSettings|\.alerts\b|alerts=",
    "http": r"\[http\]|ApiSettings|\.http\b|http=|Desk\(",
}


def options() -> Iterator[tuple[str, Option]]:
    """Every option by its dotted name; those that a subsection only overrides stand once."""
    for first in spec().sections.values():
        for section in first.family():
            if not section.inherits:
                yield from ((f"{_name(section)}.{key}", option) for key, option in section.options.items())


def flags() -> Iterator[tuple[str, Flag]]:
    """Every flag by its name with two dashes."""
    for group in GROUPS.values():
        yield from ((f"--{flag.name}", flag) for flag in group)


def _name(section: SectionSpec) -> str:
    return ".".join("NAME" if part == "__many__" else part for part in section.path)


def mentions(name: str, option: Option | None, flag: Flag | None, reach: str) -> bool:
    """Whether a test with that reach can prove it."""
    if flag:
        bare = [flag.name] if "-" in flag.name else []
        return any(re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", reach) for one in (*flag.spellings, *bare))
    assert option is not None
    own = re.search(rf"(?<!\w)(?:{'|'.join({option.key, option.field})})(?!\w)", reach)
    if own and is_distinct(option.key):
        return True
    section = name.rpartition(".")[0]
    context = CONTEXT.get(section, rf"\[{re.escape(section)}\]|\.{section}\b|{section}=|{section.capitalize()}Settings")
    key = "|".join(map(re.escape, {option.key, option.field} - {"__many__"})) or r"\w"
    return bool(re.search(rf"(?<!\w)(?:{key})(?!\w)", reach) and re.search(context, reach))


@cache
def is_distinct(key: str) -> bool:
    """Whether nothing else is called so: two words, in one section."""
    return "_" in key and key != "__many__" and [option.key for _, option in options()].count(key) == 1


@cache
def reaches() -> dict[str, str]:
    """The reach of every test, by ``path::name``."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        parts = dict(_definitions(text))
        for name in parts:
            if name.startswith("test_"):
                found[f"{path.relative_to(ROOT).as_posix()}::{name}"] = _reach(name, parts)
    return found


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    lines = text.split("\n")
    for node in ast.parse(text).body:
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(one.lineno for one in decorators)])
        source = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, source
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, source


def _reach(name: str, parts: dict[str, str]) -> str:
    seen, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            named = set(re.findall(r"\w+", parts[one]))
            waiting += [other for other in named & set(parts) if not other.startswith("test_")]
    return "\n".join(parts[one] for one in sorted(seen)).replace("\\n", "\n")  # a key may stand behind one


def proofs() -> dict[str, str]:
    """The test of each option and flag, from ``proofs.txt``."""
    lines = (ROOT / "tests" / "proofs.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ") for line in lines)


def page() -> str:
    """docs/options-proof.md."""
    known = proofs()
    rows = ["# Options and their proofs", "", *_INTRODUCTION, "", "## Keys of the configuration", ""]
    rows += ["| key | test |", "| --- | --- |"]
    rows += [f"| `{_shown(name, option)}` | {_link(known.get(name, ''))} |" for name, option in options()]
    rows += ["", "## Flags", "", "| flag | test |", "| --- | --- |"]
    rows += [f"| `{name}` | {_link(known.get(name, ''))} |" for name, _ in flags()]
    return "\n".join(rows) + "\n"


_INTRODUCTION = (
    "For each option the test that shows what it does. The table is `tests/proofs.txt`; a test checks that each of",
    "these is there and uses the option, and that no option is missing. Run one with `scripts/test TEST`.",
)


def _shown(name: str, option: Option) -> str:
    section, _, _ = name.rpartition(".")
    parts = section.split(".")
    return " ".join("[" * depth + part + "]" * depth for depth, part in enumerate(parts, 1)) + f" {option.shown_key}"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{path.removeprefix('tests/')}](../{path}) `{name}`"
