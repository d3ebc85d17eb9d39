"""What hooks tell of themselves is held against the catalogue in every test here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtmpd.hook.manager import HookManager
from tests import contract


@pytest.fixture(autouse=True)
def told_as_promised(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    faults: list[str] = []
    tell = HookManager._emit_about

    def noting(self: HookManager, hook_id: str, type: str, data: dict[str, object]) -> None:
        body = {"type": type, "timestamp": 0, "conn_id": "", "stream_key": "", "data": data}
        faults.extend(contract.faults([body]))
        tell(self, hook_id, type, data)

    monkeypatch.setattr(HookManager, "_emit_about", noting)
    yield
    assert not faults, "\n".join(faults)
