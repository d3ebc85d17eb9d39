"""A file of ours made of somebody else's, and what rtmpd makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rtmpd.config import flags
from rtmpd.config.loader import Loaded, load
from rtmpd.config.migrate.draft import Draft
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.hook.build import check_auth, check_template
from rtmpd.hook.filter import condition
from rtmpd.hook.sink.plugin import check_plugin

Read = Callable[..., Loaded]


@pytest.fixture
def usable(tmp_path: Path) -> Read:
    """``usable(draft)``: its file as ``rtmpd -t`` reads it, without a problem or a warning of an unknown event."""

    def run(draft: Draft, environ: dict[str, str] | None = None) -> Loaded:
        folder = tmp_path / "out"
        for path, text in draft.scripts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        folder.mkdir(exist_ok=True)
        (folder / "rtmpd.ini").write_text(draft.ini())
        return read(["-c", str(folder / "rtmpd.ini")], environ)

    return run


def read(words: list[str], environ: dict[str, str] | None = None) -> Loaded:
    loaded = load(
        flags.parse(words), EVENT_TYPES, environ or {}, condition.check, check_auth, check_template=check_template,
        check_plugin=check_plugin,
    )  # fmt: skip
    assert not [warning for warning in loaded.warnings if "no event is called" in warning.message]
    return loaded


def told(draft: Draft) -> list[str]:
    """Notes as line numbers and what they are about, with ! for what has no equivalent."""
    return [
        f"{note.where.rpartition(':')[2]} {note.what}{'!' if note.verdict == 'no equivalent' else ''}"
        for note in draft.notes
    ]
