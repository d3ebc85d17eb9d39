"""Checks of several options of recordings and relays together."""

from __future__ import annotations

import os

from ..settings import AppsSettings
from ..settings.output import EXISTING_UNIQUE, FORMAT_MP4, RECORD_OFF, OutputSettings
from .check import Checked
from .entries import Path


def check(checked: Checked, apps: AppsSettings) -> None:
    """What only several values together tell. Looks at the directories of recordings."""
    _check_app(checked, ("apps",), apps.default)
    for name, app in apps.named:
        _check_app(checked, ("apps", name), app)


def _check_app(checked: Checked, path: Path, app: OutputSettings) -> None:
    if app.push_retry_max_s < app.push_retry_s:
        checked.problem((*path, "push_retry_max"), "is smaller than push_retry", "it is the longest wait")
    if app.record == RECORD_OFF:
        return
    if not app.record_dir:
        checked.problem((*path, "record"), "needs a directory", "write record_dir = /srv/recordings")
    elif not os.path.exists(app.record_dir) and _is_of_a_flag(checked, path):
        pass  # the recorder makes it, as go-rtmp does
    elif not os.path.isdir(app.record_dir):
        checked.problem((*path, "record_dir"), f"{app.record_dir} is not a directory", "make it, or name another one")
    elif not os.access(app.record_dir, os.W_OK | os.X_OK):
        checked.problem((*path, "record_dir"), f"rtmpd may not write to {app.record_dir}", "change its owner or mode")
    if app.segmented and app.record_existing != EXISTING_UNIQUE:
        checked.problem(
            (*path, "record_existing"), "would have segments go over each other", "write record_existing = unique"
        )
    elif app.record_format == FORMAT_MP4 and app.record_existing != EXISTING_UNIQUE:
        checked.problem(
            (*path, "record_existing"),
            "is for FLV only: where codecs change, another MP4 begins",
            "write record_existing = unique",
        )


def _is_of_a_flag(checked: Checked, path: Path) -> bool:
    entry = checked.tree.sections.get(path, {}).get("record_dir")
    return entry is not None and not entry.origin.directory
