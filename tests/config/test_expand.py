"""References in values."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config.expand import MAX_FILE_BYTES, expand
from rtmpd.config.values import BadValue

from .conftest import Read


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${HOST}:1935", "media:1935"),
        ("${HOST}${HOST}", "mediamedia"),
        ("${NONE:-x y}", "x y"),
        ("${NONE:-}", ""),
        ("${EMPTY:-used}", "used"),
        ("${EMPTY}", ""),
        ("${HOST:-unused}", "media"),
        ("$$5 and $${HOST}", "$5 and ${HOST}"),
        ("$HOST costs $5", "$HOST costs $5"),
        ("${DOLLAR}", "${HOST}"),
    ],
)
def test_a_reference_is_replaced_once(text: str, expanded: str) -> None:
    environ = {"HOST": "media", "EMPTY": "", "DOLLAR": "${HOST}"}
    assert expand(text, environ, "/") == expanded


@pytest.mark.parametrize("text", ["${NONE}", "${HOST", "${}", "${1A}", "${A B}", "${a-b}"])
def test_a_reference_to_nothing_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadValue) as caught:
        expand(text, {"HOST": "x"}, "/")
    assert caught.value.hint


def test_a_file_is_read_without_the_line_end_an_editor_adds(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a,b#c ${X}\r\n")
    assert expand("Bearer ${file:secret}", {}, str(tmp_path)) == "Bearer a,b#c ${X}"
    assert expand(f"${{file:{tmp_path}/secret}}", {}, "/nowhere") == "a,b#c ${X}"


def test_a_file_that_is_missing_large_or_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "large", "binary", "."):
        with pytest.raises(BadValue, match=name if name != "." else "directory"):
            expand(f"${{file:{name}}}", {}, str(tmp_path))


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbftop-secret\r\n")
    assert expand("${file:key}", {}, str(tmp_path)) == "top-secret"


def test_a_secret_that_everybody_can_read_is_warned_of(read: Read, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "key").chmod(0o644)
    loaded = read("[access]\nsigning_keys = ${file:key}\n[metrics]\nstatsd_prefix = ${file:key}\n")
    (warning,) = [str(one) for one in loaded.warnings if "everybody" in one.message]
    assert f"access.signing_keys: {tmp_path}/key holds a secret, and everybody can read it" in warning
    (tmp_path / "key").chmod(0o600)
    assert not read("[access]\nsigning_keys = ${file:key}\n").warnings
