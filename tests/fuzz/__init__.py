"""Fuzz targets: one module ``fuzz_<what>.py`` for each decoder that reads what a peer sent.

A target module defines

- ``one_input(data)``: feeds the decoder and lets nothing out but AssertionError; errors that the
  decoder's contract allows end it quietly;
- ``SEEDS``: well-formed inputs to start from;
- ``if __name__ == "__main__": fuzz(one_input, SEEDS)``.

``python -m tests.fuzz.fuzz_amf0 -max_total_time=60`` runs one under atheris (further arguments are
libFuzzer's). ``test_fuzz_smoke.py`` runs all of them for a moment without it.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType

MAX_LEN = 65536


def fuzz(one_input: Callable[[bytes], None], seeds: Sequence[bytes]) -> None:
    """Run a target under atheris until it finds something or libFuzzer's limits end it."""
    import atheris

    # Only our functions: instrumenting the standard library takes longer than a short run.
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and (function.__module__ or "").startswith("rtmpd."):
            atheris.instrument_func(function)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, f"-max_len={MAX_LEN}", corpus], one_input)
        atheris.Fuzz()


def smoke_inputs(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Each seed, then ``count`` inputs that are mutations of the seeds or noise; the same every time."""
    yield from seeds
    rng = random.Random(seed)
    for _ in range(count):
        yield _mutated(rng, rng.choice(seeds)) if seeds and rng.random() < 0.8 else rng.randbytes(rng.randrange(200))


def _mutated(rng: random.Random, data: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 1, 1, 1, 2, 4, 50)))
        piece = rng.choice((b"", b"\0", b"\xff", b"\x7f\xff\xff\xff", data[start:end] * 2, rng.randbytes(end - start)))
        data = data[:start] + piece + data[end:]
    return data
