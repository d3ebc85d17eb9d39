"""``start`` starts houses; behind each test they must be as empty as before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtmpd.settings import Address, TlsSettings
from tests.support import certificates
from tests.support.house import Running

Start = Callable[..., Running]


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start a house with settings; it is stopped and checked when the test is over."""
    houses: list[Running] = []

    def begin(**settings: object) -> Running:
        houses.append(Running(**settings))  # type: ignore[arg-type]
        return houses[-1]

    yield begin
    for house in reversed(houses):
        house.finish()


@pytest.fixture
def logs() -> Iterator[None]:
    """The log as it was, whatever was set."""
    root, ours = logging.getLogger(), logging.getLogger("rtmpd")
    before, levels = list(root.handlers), (root.level, ours.level)
    yield
    for handler in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsSettings:
    """A certificate for localhost, made for this run."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def make_certificate(home: Path) -> TlsSettings:
    """A new certificate for localhost, and its key, as the settings name them."""
    return TlsSettings(*certificates.make_certificate(home))


@pytest.fixture
def rtmps(certificate: TlsSettings) -> dict[str, object]:
    """Settings of a house that listens with TLS first and without it second."""
    return {
        "listen": (Address("127.0.0.1", 0, tls=True), Address("127.0.0.1", 0)),
        "server": {"tls": certificate},
    }
