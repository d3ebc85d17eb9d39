"""A recording's path cannot be led out of its directory by a name from the network."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.output.path import Name, render, safe, with_suffix

USUAL = "{app}/{name}-{time:%Y%m%d-%H%M%S}.flv"
HOSTILE = [
    "..",
    ".",
    "",
    "/",
    "../../etc/passwd",
    "a/../b",
    "\x00",
    ".hidden",
    "-rf",
    "~",
    "a\\b",
    "x" * 512,
    "\u202e",
    "é" * 300,
]


def name(app: str = "live", stream: str = "a", wall: float = 1_700_000_000.0, segment: int = 1) -> Name:
    return Name(app, stream, "s1", wall, segment)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_value_is_a_plain_part_of_a_file_name(text: str) -> None:
    part = safe(text)
    assert part and "/" not in part and "\0" not in part and not part.startswith((".", "-", "~"))
    assert len(part.encode()) <= 96


@given(st.text(), st.text())
def test_no_name_leads_out_of_the_directory(app: str, stream: str) -> None:
    path = render(USUAL, name(app, stream))
    assert os.path.normpath(os.path.join("/srv/rec", path)) == f"/srv/rec/{path}"
    assert path.count("/") == 1 and all(len(part.encode("utf-8", "replace")) < 240 for part in path.split("/"))


def test_ordinary_names_stay_as_they_are() -> None:
    assert safe("Café 2_b-1.x") == "Café 2_b-1.x"


def test_every_field_of_the_template_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    path = render("{time:%Y/%m}/{app}_{name}_{session}_{segment:03d}_{time}.flv", name(segment=7))
    assert path == "2023/11/live_a_s1_007_20231114-221320.flv"


@pytest.mark.parametrize(
    ("path", "expected"), [("d/a.flv", "d/a-2.flv"), ("d.x/a", "d.x/a-2"), ("a.b.flv", "a.b-2.flv"), (".flv", ".flv-2")]
)
def test_a_number_stands_before_the_extension(path: str, expected: str) -> None:
    assert with_suffix(path, 2) == expected and with_suffix(path, 0) == path
