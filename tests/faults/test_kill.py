"""Processes that are killed, at random and at the worst moments. ``scripts/reliability`` does the same more often."""

from __future__ import annotations

import pytest

from . import trials
from .failpoints import FAILPOINTS


def test_what_was_accepted_survives_kills_under_load(tmp_path):
    trial = trials.kills(tmp_path, 8, seed=1)
    assert trial.verdict.is_good, trial.verdict
    assert trial.verdict.accepted > 100 and trial.verdict.copies["recovery"] > 0


def test_what_was_accepted_survives_kills_during_reloads_and_clean_up(tmp_path):
    trial = trials.reloads_and_kills(tmp_path, 4, seed=5)
    assert trial.verdict.is_good, trial.verdict


@pytest.mark.parametrize("name", FAILPOINTS)
def test_what_was_accepted_survives_a_death_at(name, tmp_path):
    trial = trials.failpoint(tmp_path, name, (3,) if name != "shutdown" else (1,))
    assert trial.verdict.is_good, trial.verdict
