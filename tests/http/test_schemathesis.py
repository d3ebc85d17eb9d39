"""Requests made from the OpenAPI file, good ones and bad ones, by a tool that knows nothing else of us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.desk import TOKEN, Desk

ROOT = Path(__file__).resolve().parents[2]
END_S = 100
WITHOUT_AN_END = "/api/v1/events"


def test_no_request_made_from_the_openapi_file_is_answered_otherwise_than_it_says(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    desk = Desk(tmp_path, request_timeout_s=5.0)
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(ROOT / "docs" / "openapi.json"),
        "--url", f"http://127.0.0.1:{desk.port}", "--header", f"Authorization: Bearer {TOKEN}",
        "--exclude-path", WITHOUT_AN_END, "--phases", "coverage,fuzzing", "--max-examples", "2", "--seed", "1",
        "--generation-database", "none", "--no-color",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=END_S, cwd=tmp_path, env={**os.environ, "COLUMNS": "120"}
        )
    finally:
        desk.close()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "Tested: " in done.stdout
