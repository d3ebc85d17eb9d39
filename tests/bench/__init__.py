"""Tests of the benches: small runs, and the checks that judge them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from bench.servers import ROOT


def run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a bench to its end; after ``timeout_s`` it is killed with all that it has started, which otherwise would hold
    the pipes of its output open, and us with them. Raises subprocess.TimeoutExpired then."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as bench:
        try:
            out, errors = bench.communicate(timeout=timeout_s)
        except BaseException:
            os.killpg(bench.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, bench.returncode, out, errors)
