"""Options that are taken over as they are, and the flags of the process."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from tests.support.proof import proves

from .conftest import Read


def test_what_is_made_of_a_stream_can_be_told_apart_by_application(read: Read, tmp_path: Path) -> None:
    text = f"[apps]\nrecord = all\nrecord_dir = {tmp_path}\npush = rtmps://a.example/x\n[[raw]]\nrecord_part = no\n"
    apps = read(text + "push_verify = no\n").settings.apps
    raw = dict(apps.named)["raw"]
    assert (apps.default.record_part, apps.default.push_verify) == (True, True)
    assert (raw.record, raw.record_part, raw.push_verify) == ("all", False, False)


@proves("server.watch_config")
def test_files_are_watched_as_often_as_is_said(read: Read) -> None:
    assert read("").settings.server.watch_config_s == 5.0
    assert read("[server]\nwatch_config = 0\n").settings.server.watch_config_s == 0.0


@proves("--user", "--group")
def test_who_to_be_is_said_by_flags(read: Read) -> None:
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    daemon = read("", "--user", user, "-group", group).settings.daemon
    assert (daemon.user, daemon.group) == (user, group)


@proves("store.durability", "hooks.NAME.adaptive")
def test_words_of_the_delivery_reach_it(read: Read, tmp_path: Path) -> None:
    hook = "[hooks]\n[[a]]\ntype = webhook\nurl = http://a/\nguarantee_level = at-least-once\nadaptive = yes\n"
    hooks = read(f"[store]\npath = {tmp_path}/e.db\ndurability = normal\n{hook}").settings.hooks
    assert hooks.store.durability == "normal"
    assert hooks.hooks[0].delivery.adaptive is True
