"""Clips made once, and a daemon for the tests that ask for nothing special."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.clips import Maker
from tests.functional.harness import Daemon


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with the default settings and JSON events."""
    with Daemon(tmp_path) as running:
        yield running
