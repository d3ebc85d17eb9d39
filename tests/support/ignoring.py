"""Make rtmpd ignore one option, in this process and in the daemons that it starts, to see who notices.

An ignored option has its default wherever it is set: what a file says of it is dropped after it was checked, and a
slice of the settings that is made without a file gets the default of its field.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VARIABLE = "RTMPD_TEST_IGNORE"

#: The slices of the settings that an option of a section can be a field of.
SLICES = {
    "server": ("ServerSettings", "TlsSettings"),
    "limits": ("LimitSettings",),
    "apps": ("AppSettings", "OutputSettings", "AppsSettings"),
    "quality": ("QualitySettings",),
    "access": ("AccessSettings",),
    "store": ("StoreSettings",),
    "hooks": ("HooksSettings",),
    "hooks.NAME": (
        "HookSettings FilterSettings RetrySettings DeliverySettings BodySettings HttpSettings WebhookSettings".split()
    ),
    "hooks.NAME.auth": ("AuthSettings",),
    "log": ("LogSettings",),
    "daemon": ("DaemonSettings",),
    "metrics": ("MetricsSettings",),
    "alerts": ("AlertSettings",),
    "http": ("ApiSettings", "HttpServerSettings"),
    "debug": ("DebugSettings",),
}


@contextmanager
def ignore(name: str) -> Iterator[None]:
    """Ignore the option ``name`` from here on; the daemons of tests that are started inside do so too."""
    install(name)
    before = {key: os.environ.get(key) for key in (VARIABLE, "PYTHONPATH")}
    folder = str(Path(__file__).with_name("ignored"))
    os.environ |= {VARIABLE: name, "PYTHONPATH": os.pathsep.join(filter(None, [folder, before["PYTHONPATH"]]))}
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)


def install(name: str) -> None:
    """Ignore the option ``name`` for the rest of this process. A flag is ignored where the command line is read."""
    if name.startswith("--"):
        sys.argv[1:] = without_flag(sys.argv[1:], name)
        _wrap_flags(name)
        return
    section, _, key = name.rpartition(".")
    from rtmpd.config import check

    _drop_when_checked(check.Checked, section.split("."), key)
    for slice_ in _slices(section):
        _give_default(slice_, _field(section, key))


def without_flag(arguments: list[str], name: str) -> list[str]:
    """Return the arguments without the flag ``name`` (two dashes) and its value, with one dash or two, or by its
    letter."""
    from rtmpd.config.flags import FLAGS

    flag = FLAGS[name.removeprefix("--")]
    names = {f"--{spelling.lstrip('-')}" for spelling in flag.spellings}
    kept, skip = [], False
    for argument in arguments:
        word = "--" + argument.lstrip("-").partition("=")[0]
        if skip and not argument.startswith("-"):
            skip = False
        elif argument.startswith("-") and word in names:
            skip = bool(flag.metavar) and "=" not in argument
        else:
            kept.append(argument)
            skip = False
    return kept


def _wrap_flags(name: str) -> None:
    from rtmpd.config import flags

    original = flags.parse

    @functools.wraps(original)
    def parse(arguments: Any, *others: Any, **named: Any) -> Any:
        return original(without_flag(list(arguments), name), *others, **named)

    for module in list(sys.modules.values()):
        if getattr(module, "parse", None) is original:
            module.parse = parse  # type: ignore[attr-defined]


def _drop_when_checked(checked: type, section: list[str], key: str) -> None:
    """Have every object of class ``checked`` forget what the file says of ``key`` in ``section``."""
    begin: Callable[..., None] = checked.__init__  # type: ignore[misc]

    class Values(dict[str, Any]):
        def __setitem__(self, given: str, value: Any) -> None:
            if key not in (given, "__many__"):
                super().__setitem__(given, value)

    class Given(dict[tuple[str, ...], Any]):
        def setdefault(self, path: tuple[str, ...], default: Any = None) -> Any:
            return super().setdefault(path, Values() if _is_in(path, section) else default)

    @functools.wraps(begin)
    def start(self: Any, *values: Any, **named: Any) -> None:
        begin(self, *values, **named)
        self.given = Given()

    checked.__init__ = start  # type: ignore[misc]


def _is_in(path: tuple[str, ...], section: list[str]) -> bool:
    if section[0] == "apps":
        return path[0] == "apps"  # an application takes what it does not say from the section
    same = zip(path, section, strict=False)
    return len(path) == len(section) and all(s in ("NAME", p.partition("-")[0]) for p, s in same)


def _field(section: str, key: str) -> str:
    from rtmpd.config.options import spec

    path = tuple("__many__" if part == "NAME" else part for part in section.split("."))
    found = spec().find(path)
    return found.options[key].field if found and key in found.options else key


def _slices(section: str) -> Iterator[type]:
    import rtmpd.settings

    names = SLICES.get(section, ())
    modules = [rtmpd.settings, *(module for name, module in sys.modules.items() if name.startswith("rtmpd.settings."))]
    found = {getattr(module, name) for module in modules for name in names if hasattr(module, name)}
    yield from sorted(found, key=lambda one: one.__name__)


def _give_default(slice_: type, field: str) -> None:
    """Have every new object of the slice keep the default in ``field``, if it has such a field with a default."""
    known = {one.name: one for one in dataclasses.fields(slice_)}  # type: ignore[arg-type]
    one = known.get(field)
    if one is None or one.default is one.default_factory is dataclasses.MISSING:
        return
    begin: Callable[..., None] = slice_.__init__  # type: ignore[misc]
    signature = inspect.signature(begin)

    @functools.wraps(begin)
    def start(self: Any, *values: Any, **named: Any) -> None:
        given = signature.bind(self, *values, **named).arguments
        given.pop("self", None)
        given.pop(field, None)
        begin(self, **given)

    slice_.__init__ = start  # type: ignore[misc]
