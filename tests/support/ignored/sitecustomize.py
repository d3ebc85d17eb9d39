"""Lets a daemon that a test starts ignore the option of ``$RTMPD_TEST_IGNORE`` (tests/support/ignoring.py)."""

import importlib.util
import os
from pathlib import Path

spec = importlib.util.spec_from_file_location("ignoring", Path(__file__).parents[1] / "ignoring.py")
ignoring = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ignoring)
ignoring.install(os.environ[ignoring.VARIABLE])
