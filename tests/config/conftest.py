"""A directory with configuration files, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rtmpd.config import flags
from rtmpd.config.loader import Loaded, load
from rtmpd.errors import ConfigError, Problem
from rtmpd.hook.build import check_auth, check_template
from rtmpd.hook.filter import condition
from rtmpd.hook.sink.plugin import check_plugin

EVENT_TYPES = ("connection_accept", "play_start", "publish_start", "publish_stop")

Read = Callable[..., Loaded]
Refuse = Callable[..., list[Problem]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """``read(text, *words)``: the settings of rtmpd.ini with ``text`` and of a command line."""

    def run(text: str, *words: str, environ: dict[str, str] | None = None) -> Loaded:
        file = tmp_path / "rtmpd.ini"
        file.write_bytes(text.encode())
        line = flags.parse(["-c", str(file), *words])
        return load(
            line, EVENT_TYPES, environ or {}, condition.check, check_auth, check_template=check_template,
            check_plugin=check_plugin,
        )

    return run


@pytest.fixture
def refuse(read: Read) -> Refuse:
    """The problems of what ``read`` does not accept."""

    def run(text: str, *words: str, environ: dict[str, str] | None = None) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            read(text, *words, environ=environ)
        return caught.value.problems

    return run
