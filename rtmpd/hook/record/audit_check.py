"""``rtmpd audit FILE...``: checks whether an audit trail was changed.

Files are walked in the order of their first records, so a shell's glob will do; ``.gz`` is read as it is. The first
broken place is named. Needs neither gevent nor a running rtmpd: ``python -m rtmpd.hook.record.audit_check``.

===========  =======================================================
exit status
===========  =======================================================
0            the trail is whole
1            it is not
2            a flag is wrong, or a file or key cannot be read
===========  =======================================================
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Sequence
from typing import IO, Any, cast

from ... import textfile
from ...textfile import TextFileError
from . import chain
from .chain import hash_of, head_of

KEY_VARIABLE = "RTMPD_AUDIT_KEY"


class Broken(Exception):
    """The trail is not what was written; the text says where and how."""


class Walk:
    """Goes through records in order. ``keys`` are those that may have signed; none leaves signatures unchecked."""

    def __init__(self, keys: Sequence[str], tokens: Sequence[str] = ()) -> None:
        self._keys = keys
        self._kept = dict(filter(None, (head_of(token, keys) for token in tokens)))
        self._number: int | None = None
        self._hash = ""
        self._where = ""
        self.records = self.heads = self.unsigned = 0
        self.first = self.last = ""
        self.kind = ""

    def take(self, line: bytes, where: str) -> None:
        """The next line, without its line break. Raises Broken."""
        record = _record(line, where)
        number = record["n"]
        if self._number is not None:
            self._check_link(number, record["prev"], where)
        elif number == 1 and record["prev"] != chain.START:
            raise Broken(f"{where}: record 1 was edited, or is not the first")
        self._check_kept(number, record["prev"], where)
        self.unsigned += 1
        if record["kind"] in chain.SIGNED:
            self._check_head(record, where)
        self._number, self._hash, self._where = number, hash_of(line), where
        self.records += 1
        self.first = self.first or str(record["at"])
        self.last, self.kind = str(record["at"]), record["kind"]

    def finish(self) -> None:
        """There are no more. Raises Broken if a token proves that there were more."""
        if self._kept:
            number = max(self._kept)
            raise Broken(f"{self._where}: the tail was cut off: a kept token is of record {number}")

    def _check_link(self, number: int, prev: str, where: str) -> None:
        expected = (self._number or 0) + 1
        if number > expected:
            raise Broken(f"{where}: {number - expected} removed before record {number}: {expected} should be here")
        if number < expected:
            raise Broken(f"{self._where}: a record was inserted: the next one is {number}, not {expected}")
        if prev != self._hash:
            raise Broken(f"{self._where}: record {self._number} was edited: the next one knows another hash of it")

    def _check_kept(self, number: int, prev: str, where: str) -> None:
        kept = self._kept.pop(number, prev)
        if kept != prev:
            raise Broken(f"{where}: all before record {number} was rewritten: a kept token knows another hash")

    def _check_head(self, record: dict[str, Any], where: str) -> None:
        if not self._keys:
            return
        head = head_of(str(record.get("token", "")), self._keys)
        if head is None:
            raise Broken(f"{where}: record {record['n']} is signed with another key, or by somebody else")
        if head != (record["n"], record["prev"]):
            raise Broken(f"{where}: what stands before record {record['n']} was rewritten: it is signed for other text")
        self.heads += 1
        self.unsigned = 0


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if isinstance(record, dict) and isinstance(record.get("n"), int) and {"prev", "kind", "at"} <= set(record):
        return record
    raise Broken(f"{where}: is not a record: it was edited, or something else wrote to the file")


def verify(argv: Sequence[str]) -> int:
    """Check the files that the words name; the result is the exit status."""
    parser = argparse.ArgumentParser(prog="rtmpd audit", description="Check that an audit trail was not changed.")
    parser.add_argument("file", nargs="+", help="the files of one trail, in any order")
    parser.add_argument("--key-file", help=f"file with the audit keys, one a line; else the variable {KEY_VARIABLE}")
    parser.add_argument("--head", action="append", default=[], help="a token that was kept elsewhere; may be repeated")
    arguments = parser.parse_args(argv)
    try:
        keys = _keys(arguments.key_file)
    except TextFileError as error:
        print(f"rtmpd: {arguments.key_file}: {error}", file=sys.stderr)
        return 2
    try:
        walk = Walk(keys, arguments.head)
        _walk(walk, arguments.file)
    except Broken as broken:
        print(f"rtmpd: {broken}", file=sys.stderr)
        return 1
    except (OSError, EOFError) as error:
        print(f"rtmpd: {error}", file=sys.stderr)
        return 2
    print(_summary(walk, len(arguments.file)))
    return 0


def _keys(path: str | None) -> list[str]:
    if path is None:
        key = os.environ.get(KEY_VARIABLE, "")
        return [key] if key else []
    return [line.strip() for line in textfile.read(path).lines() if line.strip()]


def _walk(walk: Walk, paths: Sequence[str]) -> None:
    for path in sorted(paths, key=_first_number):
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    raise Broken(f"{path}:{number}: the last record is cut off in the middle")
                walk.take(line[:-1], f"{path}:{number}")
    walk.finish()


def _open(path: str) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.endswith(".gz") else open(path, "rb")


def _first_number(path: str) -> int:
    with _open(path) as file:
        try:
            return int(_record(file.readline(), path)["n"])
        except Broken:
            return 0


def _summary(walk: Walk, files: int) -> str:
    rows = [f"{walk.records} records in {files} files from {walk.first} to {walk.last}: the chain is whole"]
    if not walk.heads:
        rows.append("no signature was checked: anybody could have written the whole chain")
    elif walk.unsigned:
        rows.append(f"{walk.heads} signatures fit; the last {walk.unsigned} records are not signed yet")
    else:
        rows.append(f"{walk.heads} signatures fit, the last one at the end")
    if walk.kind != chain.CLOSE:
        rows.append("the trail has no end: rtmpd is running, was killed, or the last records were removed")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(verify(sys.argv[1:]))
