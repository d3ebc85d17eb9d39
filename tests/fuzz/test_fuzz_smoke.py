"""Every fuzz target for a moment, so that it runs, and keeps running, where there is no atheris."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.fuzz import smoke_inputs

TARGETS = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))
INPUTS = 400


@pytest.mark.parametrize("name", TARGETS)
def test_the_target_survives_its_seeds_their_mutations_and_noise(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    assert target.SEEDS, "a target without seeds sees little but noise"
    for data in smoke_inputs(target.SEEDS, INPUTS, seed=20):
        try:
            target.one_input(data)
        except BaseException:
            print(f"{name}.one_input(bytes.fromhex({data.hex()!r}))")
            raise


def test_the_inputs_are_the_same_every_time_and_keep_the_seeds() -> None:
    seeds = [b"one", b"two"]
    first, second = (list(smoke_inputs(seeds, 50, seed=1)) for _ in range(2))
    assert first == second and first[:2] == seeds and len(set(first)) > 40
