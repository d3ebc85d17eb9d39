"""Every piece of configuration and every command on the pages of docs/ and in the README is real: rtmpd takes it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.hook.build import check_auth, check_template
from rtmpd.hook.filter import condition
from rtmpd.server.access.webtoken import check_key
from tests.support.authority import Authority

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_INDENTED = re.compile(r"(?m)(?:^ {4}.*\n(?:^\n(?= {4}))?)+")
_FENCED = re.compile(r"(?ms)^```(?:ini[^\n]*)\n(.*?)^```$")


def pieces() -> list[tuple[str, str]]:
    """Files on the pages, by page and number; those that a shell reads or another program are left out."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        unfenced = re.sub(r"(?ms)^```.*?^```$", "", text)
        indented = [_configuration(re.sub("(?m)^ {4}", "", block)) for block in _INDENTED.findall(unfenced)]
        blocks = [*indented, *_FENCED.findall(text)]
        files = [block for block in blocks if re.match(r"\[[a-z]+\]\n", block)]
        found += [(f"{page.name}-{number}", block) for number, block in enumerate(files, 1)]
    return found


def _configuration(block: str) -> str:
    """The paragraphs of a block that are no commands."""
    return "\n\n".join(one for one in block.split("\n\n") if re.match(r"\s*(\[|\w+ =|#)", one)).rstrip() + "\n"


def commands() -> list[str]:
    """Command lines of the daemon with flags."""
    lines = [line.strip() for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]
    return sorted({line.partition("  #")[0] for line in lines if re.match(r"rtmpd -[\w-]", line) and "|" not in line})


def test_the_pieces_are_found() -> None:
    pages = {name.partition("-")[0] for name, _ in pieces()}
    assert len(pieces()) >= 35 and {"README.md", "hooks.md", "access.md", "cookbook.md", "security.md"} <= pages


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in pieces()])
def test_a_piece_of_configuration_is_usable(tmp_path: Path, text: str) -> None:
    authority = Authority(tmp_path)
    for name in ("client", "jwt", "our-ca"):
        authority.issue(name)
    for name in re.findall(r"\$\{file:([\w.-]+)\}", text):
        if not (tmp_path / name).exists():
            (tmp_path / name).write_text('{"a": "{{ type }}"}' if name.endswith(".json") else WHSEC)
    (tmp_path / "tokens").write_text("studio:0123456789abcdef\n")
    (tmp_path / "tokens").chmod(0o600)
    public = (tmp_path / "jwt.key").read_text() if "ES256" not in text else _public_key()
    (tmp_path / "cms-public.pem").write_text(public)
    text = re.sub(r"(?m)^(\s*path = )(?!.*\.(?:db|jsonl)\b).*", r"\1/bin/sh", text)
    text = re.sub(r"(?m)^(\s*\w+ = )(/(?:etc|var|srv|run)/\S*/)(\S+)", rf"\1{tmp_path}/\3", text)
    (tmp_path / "recordings").mkdir()
    text = re.sub(r"(?m)^(\s*record_dir = ).*", rf"\1{tmp_path}/recordings", text)
    file = tmp_path / "rtmpd.ini"
    file.write_text(text)
    variables = re.findall(r"\$\{(\w+)\}", text)
    environ = {name: "https://chat.example.com/" if "URL" in name else WHSEC for name in variables}
    loaded = load(
        flags.parse(["-c", str(file)]), EVENT_TYPES, environ, condition.check, check_auth, check_key, check_template
    )
    assert not [warning for warning in loaded.warnings if "no event is called" in warning.message]


@pytest.mark.parametrize("line", commands())
def test_a_command_of_a_page_is_understood(line: str) -> None:
    assert not flags.parse(shlex.split(line.replace("...", ""))[1:]).problems


def _public_key() -> str:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ec = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ec")
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, form)
    return pem.decode()
