"""One rule for the small text files that people write."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd import textfile
from rtmpd.textfile import TextFileError


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", ["a", "b", ""]),
        (b"\xef\xbb\xbfa\r\nb", ["a", "b"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", ["\ufeffa"]),
        ("ä\x0c\u2028b\rc".encode(), ["ä\x0c\u2028b\rc"]),
        (b"", [""]),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "file").write_bytes(content)
    assert textfile.read(str(tmp_path / "file")).lines() == lines


@pytest.mark.parametrize(
    ("content", "reason", "line"),
    [
        ("a\nb".encode("utf-16"), "is UTF-16, not UTF-8", 1),
        ("a\nb".encode("utf-16-be"), "", 0),
        (b"a\nf\xfcr\n", "is not UTF-8 text", 2),
        (b"x" * 101, "is larger than 100 bytes", 0),
    ],
)
def test_what_is_not_such_a_text_is_refused_with_its_line(
    tmp_path: Path, content: bytes, reason: str, line: int
) -> None:
    (tmp_path / "file").write_bytes(content)
    if not reason:  # without a byte order mark it is text with NUL characters, which is for its reader to refuse
        assert "\0" in textfile.read(str(tmp_path / "file")).text
        return
    with pytest.raises(TextFileError, match=reason) as caught:
        textfile.read(str(tmp_path / "file"), 100)
    assert caught.value.line == line


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(TextFileError, match=r"cannot be read: No such file"):
        textfile.read(str(tmp_path / "none"))


def test_whether_everybody_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    file.chmod(0o644)
    assert textfile.read(str(file)).is_exposed
    file.chmod(0o640)
    assert not textfile.read(str(file)).is_exposed
