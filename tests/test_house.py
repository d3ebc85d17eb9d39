"""The house rules: look down, never up, never into the neighbour's room.

Every rule is a function of the tree's root that returns what it found wrong, so that the rules
themselves are tested: each is run on a small tree with one fault planted in it.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Smells, not goals: a module is one thing told to its end and a function is as long as its story. A module or a
# function beyond these is usually two; a table of facts may be as long as it has to be.
MODULE_LINES = 600
FUNCTION_LINES = 100
TABLES = {"rtmpd/event/catalogue.py", "rtmpd/errors.py"}

FLOORS: list[set[str]] = [
    {"errors", "clock", "backoff", "settings", "change", "text", "exits", "bucket"},
    {"identity", "textfile", "jwtkeys"},
    {"protocol", "codec", "event", "metrics", "log"},
    {"net", "stream", "quality", "cmaf"},
    {"server", "output", "playback", "hook", "monitor", "http", "tool"},
    {"config", "daemon"},
    {"assembly"},
    {"reload"},
    {"run"},
    {"cli", "ctl"},
    {"__main__"},
]
STONES = FLOORS[0]
EVERY_ROOM = set[str]().union(*FLOORS[:6])

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "backoff": set(),
    "settings": set(),
    "change": set(),
    "text": set(),
    "exits": set(),
    "bucket": set(),
    "jwtkeys": {"errors"},
    "identity": {"errors", "settings", "text"},
    "textfile": {"errors"},
    "protocol": {"errors"},
    "codec": {"errors"},
    "cmaf": {"codec", "errors"},
    "event": set(),
    "metrics": {"settings", "clock"},
    "log": {"settings", "clock", "change", "text"},
    "net": {"protocol", "errors", "clock", "log"},
    "stream": {"protocol", "codec", "event", "metrics", "errors", "clock", "settings", "change", "identity", "log"},
    "quality": {"codec", "settings", "event", "errors"},
    "server": {"net", "stream", "quality", "protocol", "codec", "event", "metrics", "log", "identity", "textfile"}
    | {"jwtkeys", *STONES},
    "output": {"net", "stream", "cmaf", "protocol", "codec", "event", "metrics", "log"} | STONES,
    "playback": {"net", "stream", "cmaf", "protocol", "codec", "event", "metrics", "log", "identity"} | STONES,
    "hook": {"net", "event", "metrics", "log", "textfile", "jwtkeys"} | STONES,
    "monitor": {"net", "event", "metrics", "clock", "settings", "change", "log"},
    "http": {"net", "metrics", "settings", "event", "stream", "errors", "clock", "change", "log", "textfile"},
    "tool": {"net", "protocol", "codec", "log"} | STONES,
    "config": {"settings", "errors", "exits", "identity", "textfile"},
    "daemon": {"net", "settings", "errors", "log"},
    "assembly": EVERY_ROOM,
    "reload": EVERY_ROOM | {"assembly"},
    "run": EVERY_ROOM | {"assembly", "reload"},
    "cli": EVERY_ROOM | {"assembly", "reload", "run"},
    "ctl": EVERY_ROOM | {"assembly", "reload"},
    "__main__": {"cli"},
}

PURE_ROOMS = STONES - {"clock"} | {"identity", "protocol", "codec", "cmaf", "event", "quality"}
# Nothing here waits, tells the time, opens a file or writes to a log.
PURE_STANDARD_LIBRARY = set(
    """__future__ abc array base64 binascii bisect collections copy dataclasses enum fnmatch functools hashlib heapq
    hmac html itertools json math operator random re secrets string struct types typing urllib uuid zlib""".split()
)
IMPURE_BUILTINS = {"open", "print", "input", "breakpoint"}

# They fork in Python, which stops the hub for milliseconds; children come from os.posix_spawn.
FORKING = ("subprocess", "gevent.subprocess", "multiprocessing")

TOP_LEVEL = set(
    """rtmpd etc scripts tests bench docs .ci setup.py setup.cfg MANIFEST.in README.md CHANGELOG.md LICENSE .gitignore
    .ruff.toml PKG-INFO rtmpd.egg-info""".split()  # the last two are in a source distribution
)
OF_THE_PACKAGE = {"__version__", "accelerated"}  # what rtmpd/__init__.py says of itself, to every room
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME)\b")


# --- reading the tree ---------------------------------------------------------------------------


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package: its path below the root, and its syntax tree."""
    for path in sorted((root / "rtmpd").rglob("*.py")):
        yield path.relative_to(root).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: str) -> str:
    """``rtmpd/net/peer.py`` is of room net, ``rtmpd/cli.py`` of room cli, ``rtmpd/__init__.py`` of none."""
    parts = path.removesuffix(".py").split("/")
    return "" if parts[1] == "__init__" else parts[1]


def imports_of(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, wherever in the module, relative names resolved.
    ``from a import b`` gives ``a.b``, for only the tree would tell whether b is a module."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# --- the rules ----------------------------------------------------------------------------------


def upward_imports(root: Path) -> list[str]:
    found = []
    for path, tree in modules(root):
        room = room_of(path)
        if room and room not in MAY_IMPORT:
            found.append(f"{path}: room {room!r} is not in the table")
        for line, name in imports_of(path, tree):
            parts = name.split(".")
            if parts[0] != "rtmpd" or len(parts) == 1 or parts[1] in OF_THE_PACKAGE:
                continue
            if parts[1] != room and parts[1] not in MAY_IMPORT.get(room, set()):
                found.append(f"{path}:{line}: {room or 'the package'} may not import {name}")
    return found


def impurities(root: Path) -> list[str]:
    found = []
    for path, tree in modules(root):
        if room_of(path) not in PURE_ROOMS:
            continue
        for line, name in imports_of(path, tree):
            if name.split(".")[0] not in PURE_STANDARD_LIBRARY | {"rtmpd"}:
                found.append(f"{path}:{line}: a pure floor imports {name}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS:
                found.append(f"{path}:{node.lineno}: a pure floor calls {node.func.id}()")
    return found


def forking_imports(root: Path) -> list[str]:
    found = []
    for path, tree in modules(root):
        for line, name in imports_of(path, tree):
            if name.startswith(FORKING):
                found.append(f"{path}:{line}: {name} forks")
    return found


def patches_outside_main(root: Path) -> list[str]:
    """The standard library is patched once, first, in one place."""
    found = []
    for path, tree in modules(root):
        if room_of(path) == "__main__":
            continue
        imported = [(line, name.rpartition(".")[2]) for line, name in imports_of(path, tree) if "monkey" in name]
        used = [(node.lineno, node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        found += [f"{path}:{line}: {name}" for line, name in imported + used if name.startswith("patch_")]
    return found


def long_modules(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "rtmpd").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines >= MODULE_LINES and name not in TABLES:
            found.append(f"{name}: {lines} lines, {MODULE_LINES} are too many")
    return found


def long_functions(root: Path) -> list[str]:
    """Lines from ``def`` to the end, the docstring not counted: explaining costs nothing."""
    found = []
    for path, tree in modules(root):
        for function in functions(tree):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            first = function.body[0]
            if ast.get_docstring(function) is not None:
                lines -= (first.end_lineno or first.lineno) - first.lineno + 1
            if lines >= FUNCTION_LINES:
                found.append(f"{path}:{function.lineno}: {function.name} has {lines} lines")
    return found


def modules_named_for_nothing(root: Path) -> list[str]:
    names = {"util", "utils", "helper", "helpers", "common", "misc"}
    return [path for path, _ in modules(root) if names & set(path.removesuffix(".py").split("/"))]


def strangers_at_the_top(root: Path) -> list[str]:
    ignored = [".git"]
    if (root / ".gitignore").exists():
        ignored += [line.strip().strip("/") for line in (root / ".gitignore").read_text().splitlines() if line.strip()]
    return sorted(
        entry.name
        for entry in root.iterdir()
        if entry.name not in TOP_LEVEL and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored)
    )


def rings_that_lean_on_each_other(root: Path) -> list[str]:
    """A test imports from its own ring and from tests/support."""
    found = []
    for path in sorted((root / "tests").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        ring = name.split("/")[1]
        for line, imported in imports_of(name, ast.parse(path.read_text(encoding="utf-8"))):
            parts = imported.split(".")
            if parts[0] == "tests" and parts[1:2] not in ([ring], ["support"], ["contract"], ["conftest"]):
                found.append(f"{name}:{line}: {ring} imports {imported}")
    return found


def unfinished_work(root: Path) -> list[str]:
    found = []
    for folder in ("rtmpd", "tests", "bench", "scripts", "docs", "etc", ".ci"):
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or path.suffix in {".flv", ".pyc", ".so"}:
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if UNFINISHED.search(line):
                    found.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
    return found


RULES: list[Callable[[Path], list[str]]] = [
    upward_imports,
    impurities,
    forking_imports,
    patches_outside_main,
    long_modules,
    long_functions,
    modules_named_for_nothing,
    strangers_at_the_top,
    rings_that_lean_on_each_other,
    unfinished_work,
]


# --- the house keeps the rules ------------------------------------------------------------------


def test_the_table_itself_only_looks_down() -> None:
    floor_of = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    assert set(floor_of) == set(MAY_IMPORT)
    for room, rooms in MAY_IMPORT.items():
        assert [below for below in rooms if floor_of[below] >= floor_of[room]] == [], room


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_has_no(rule: Callable[[Path], list[str]]) -> None:
    assert list(modules(ROOT)), "the package was not found, so nothing was checked"
    assert rule(ROOT) == []


# --- and the rules see what breaks them ---------------------------------------------------------

LONG_FUNCTION = "def f() -> None:\n" + "    pass\n" * (FUNCTION_LINES - 1)
SHORT_WITH_A_LONG_DOCSTRING = 'def f() -> None:\n    """Says.\n' + "\n" * FUNCTION_LINES + '    """\n'

FAULTS: list[tuple[Callable[[Path], list[str]], str, str]] = [
    (upward_imports, "rtmpd/protocol/bad.py", "from rtmpd.net import peer\n"),
    (upward_imports, "rtmpd/protocol/bad.py", "from ..net.peer import Peer\n"),
    (upward_imports, "rtmpd/protocol/bad.py", "from .. import net\n"),
    (upward_imports, "rtmpd/protocol/bad.py", "from rtmpd import net\n"),
    (upward_imports, "rtmpd/protocol/deep/bad.py", "from ...codec import tag\n"),
    (upward_imports, "rtmpd/net/bad.py", "import rtmpd.stream.registry\n"),
    (upward_imports, "rtmpd/net/bad.py", "def late() -> None:\n    import rtmpd.server\n"),
    (upward_imports, "rtmpd/hook/bad.py", "from rtmpd.server import listener\n"),
    (upward_imports, "rtmpd/errors.py", "from rtmpd import clock\n"),
    (upward_imports, "rtmpd/__init__.py", "from rtmpd import cli\n"),
    (upward_imports, "rtmpd/attic/bad.py", ""),
    (impurities, "rtmpd/protocol/bad.py", "import gevent\n"),
    (impurities, "rtmpd/codec/bad.py", "from time import monotonic\n"),
    (impurities, "rtmpd/event/bad.py", "import logging.handlers\n"),
    (impurities, "rtmpd/codec/bad.py", "import os\n"),
    (impurities, "rtmpd/codec/bad.py", "data = open('x').read()\n"),
    (impurities, "rtmpd/settings/server.py", "import socket\n"),
    (forking_imports, "rtmpd/hook/bad.py", "from gevent.subprocess import Popen\n"),
    (forking_imports, "rtmpd/hook/bad.py", "import subprocess\n"),
    (patches_outside_main, "rtmpd/cli.py", "from gevent import monkey\nmonkey.patch_all()\n"),
    (patches_outside_main, "rtmpd/net/bad.py", "from gevent.monkey import patch_socket\n"),
    (long_modules, "rtmpd/net/bad.py", "\n" * MODULE_LINES),
    (long_functions, "rtmpd/net/bad.py", LONG_FUNCTION),
    (long_functions, "rtmpd/net/bad.py", "class C:\n" + LONG_FUNCTION.replace("    ", "\t\t").replace("def", "\tdef")),
    (modules_named_for_nothing, "rtmpd/net/utils.py", ""),
    (modules_named_for_nothing, "rtmpd/utils/text.py", ""),
    (strangers_at_the_top, "notes.md", ""),
    (strangers_at_the_top, "pyproject.toml", ""),
    (rings_that_lean_on_each_other, "tests/net/test_bad.py", "from tests.hook import certificates\n"),
    (unfinished_work, "scripts/bad", "# TO" "DO: later\n"),
    (unfinished_work, "tests/test_bad.py", "# FIX" "ME\n"),
]

BLAMELESS: list[tuple[str, str]] = [
    ("rtmpd/__init__.py", '__version__ = "1"\n'),
    ("rtmpd/errors.py", "class RtmpdError(Exception):\n    pass\n" + "\n" * MODULE_LINES),
    ("rtmpd/protocol/chunk.py", "import struct\nfrom ..errors import RtmpdError\nfrom .message import Message\n"),
    ("rtmpd/protocol/message.py", "class Message:\n    pass\n"),
    ("rtmpd/net/peer.py", "import gevent\nimport time\nfrom rtmpd.protocol import chunk\nfrom rtmpd import errors\n"),
    ("rtmpd/net/long.py", "\n" * (MODULE_LINES - 1)),
    ("rtmpd/net/said.py", SHORT_WITH_A_LONG_DOCSTRING),
    ("rtmpd/cli.py", "from rtmpd import __version__\nfrom rtmpd.assembly import House\n"),
    ("rtmpd/__main__.py", "from gevent import monkey\nmonkey.patch_all()\nfrom rtmpd import cli\n"),
    ("rtmpd/net/raw.py", "from gevent import monkey\nRAW = monkey.get_original('socket', 'socket')\n"),
    ("README.md", ""),
    ("tests/net/test_good.py", "from tests.net.fakes import Peer\nfrom tests.support import waiting\n"),
    (".gitignore", "build/\n*.egg-info/\n"),
    ("build/scratch.py", "import rtmpd.cli\n"),
    ("rtmpd.egg-info/x", ""),
]


def plant(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for path, text in BLAMELESS:
        plant(tmp_path, path, text)
    return tmp_path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_blameless_house_passes(rule: Callable[[Path], list[str]], house: Path) -> None:
    assert rule(house) == []


@pytest.mark.parametrize(("rule", "path", "text"), FAULTS)
def test_a_planted_fault_is_found(rule: Callable[[Path], list[str]], path: str, text: str, house: Path) -> None:
    plant(house, path, text)
    assert len(rule(house)) == 1


def test_every_rule_has_a_fault_planted_against_it() -> None:
    assert {rule for rule, _, _ in FAULTS} == set(RULES)
