"""The examples of docs/hooks.md are real: the files can be read, the commands run, the code works."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest

from rtmpd.config import flags
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.event.event import Event
from rtmpd.hook.auth.signing import StandardSigner
from rtmpd.settings import AuthSettings
from tests.support.authority import Authority

from .conftest import Read

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
BLOCKS = [re.sub("(?m)^ {4}", "", block) for block in re.findall(r"(?m)(?:^ {4}.*\n(?:^\n(?= {4}))?)+", PAGE)]
FILES = [block for block in BLOCKS if block.startswith("[")]
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("rtmpd -")]
PAGER = next(block for block in BLOCKS if '"routing_key"' in block)
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_examples_are_found() -> None:
    assert len(FILES) >= 4 and len(COMMANDS) >= 5


@pytest.mark.parametrize("text", FILES)
def test_a_file_can_be_read_without_a_warning(read: Read, tmp_path: Path, text: str) -> None:
    authority = Authority(tmp_path)
    for name in ("client", "jwt", "our-ca"):
        authority.issue(name)
    for name in ("new.key", "old.key"):
        (tmp_path / name).write_text(WHSEC)
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    text = re.sub(r"(?m)^(\s*path = ).*", r"\1/bin/sh", text)
    (tmp_path / "pager.json").write_text(PAGER)
    urls = {"CHAT_URL": "https://chat.example.com/", "GAME_URL": "https://game.example.com/"}
    loaded = read(text, environ={"OFFICE_KEY": "k", "CLOUD_SECRET": "s"} | urls)
    assert len(loaded.settings.hooks.hooks) == len(re.findall(r"(?m)^\s*\[\[\w", text))
    assert not [warning for warning in loaded.warnings if "no event is called" not in warning.message]
    for hook in loaded.settings.hooks.hooks:
        assert {name for name in hook.event_types if "*" not in name} <= set(EVENT_TYPES)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(read: Read, line: str) -> None:
    words = shlex.split(line)[1:]
    assert not flags.parse(words).problems
    assert read("", *words).settings.hooks.hooks


def test_the_receiver_accepts_what_is_signed_and_says_what_is_wrong() -> None:
    (code,) = [block for block in BLOCKS if "import VerificationError" in block]
    names: dict[str, object] = {}
    exec(code, names)
    receive = names["receive"]
    event = Event("publish_start", 1, id="evt_01")
    headers = StandardSigner(AuthSettings("standard", secret=WHSEC)).headers(event.json(), event, time.time())
    assert receive(headers, event.json()) == (204, "")  # type: ignore[operator]
    status, message = receive({}, event.json())  # type: ignore[operator]
    assert status == 401 and "webhook-id is missing" in message
