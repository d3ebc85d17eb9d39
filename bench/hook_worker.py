"""A worker (``type = worker``) that checks and acknowledges what it gets. At the end of its input it writes its
figures as JSON to the file that it was given."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from .hook_check import Checker

READ_BYTES = 1 << 18
ID = re.compile(rb'^\{"id":"([^"]*)"', re.MULTILINE)


def work(figures: Path) -> None:
    """Answer until the input ends."""
    checker = Checker()
    tail = b""
    while piece := os.read(0, READ_BYTES):
        lines, _, tail = (tail + piece).rpartition(b"\n")
        if lines:
            checker.take(lines)
            answers = b"".join([b"ack %b\n" % id for id in ID.findall(lines)])
            while answers:
                answers = answers[os.write(1, answers) :]
    figures.write_text(json.dumps(checker.figures()))


if __name__ == "__main__":
    work(Path(sys.argv[1]))
