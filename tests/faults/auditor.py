"""The judge: joins what was accepted with what was received, what is dead and what was given up.

It imports nothing of rtmpd. Every accepted event must have come to one of three ends at every hook that it was routed
to: taken (an answer of 2xx), dead, or in a gap. Of the copies of one event at most one may be silent about
being a copy. Events of one key must have come in the order of their numbers, and no number may be missing.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .ledger import ACCEPTED, DELIVERED, STORE, Line, lines_of

LABELS = ("timeout", "error", "recovery", "replay")
PAST_THE_STORE = ("resource_alert", "events_dropped")  # what says that the store is in trouble does not wait for it

At = tuple[str, str]  # a hook and the id of an event


@dataclass
class Ends:
    """Deliveries that have come to an end without being taken: ``dead`` by hook and id, with their numbers;
    ``gaps`` as hook, first number, last number, how many are lost."""

    dead: dict[At, int] = field(default_factory=dict)
    gaps: list[tuple[str, int, int, int]] = field(default_factory=list)


@dataclass
class Verdict:
    """What was counted, and every fault that was found, in words."""

    accepted: int = 0
    deliveries: int = 0
    taken: int = 0
    dead: int = 0
    gap: int = 0
    copies: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)

    FAULTS = ("lost", "unexplained", "disorder", "forged", "corrupt", "holes")

    @property
    def faults(self) -> dict[str, int]:
        """How many there are of each kind, of those kinds of which there is one."""
        return {name: len(found) for name in self.FAULTS if (found := getattr(self, name))}

    @property
    def is_good(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        words = [f"accepted {self.accepted} deliveries {self.deliveries} taken {self.taken} dead {self.dead}"]
        words.append(f"gap {self.gap} copies {dict(self.copies)}")
        words += [f"{name} {count}: {'; '.join(getattr(self, name)[:4])}" for name, count in self.faults.items()]
        return " | ".join(words)


def audit(
    accepted: Iterable[Line], received: Iterable[Line], ends: Ends, orders: Mapping[str, str] = {}
) -> Verdict:
    """Judge one run that has come to its end. ``orders`` is that of each hook, ``key`` if it names none."""
    verdict = Verdict()
    received = list(received)
    by_event: dict[At, list[Line]] = defaultdict(list)
    for line in received:
        by_event[line["hook"], line["id"]].append(line)
    hashes = _judge_accepted(accepted, by_event, ends, verdict)
    for (hook, id), copies in by_event.items():
        _judge_copies(hook, id, copies, hashes.get(id), verdict)
    numbered = [line for line in received if line["seq"] or line.get("type") not in PAST_THE_STORE]
    _judge_order(numbered, orders, verdict)
    _judge_numbers(numbered, ends, verdict)
    return verdict


def _judge_accepted(
    accepted: Iterable[Line], by_event: Mapping[At, list[Line]], ends: Ends, verdict: Verdict
) -> dict[str, str]:
    hashes: dict[str, str] = {}
    gaps = defaultdict(set)
    for hook, first, last, _ in ends.gaps:
        gaps[hook].update(range(first, last + 1))
    seen = set()
    for line in accepted:
        hashes[line["id"]] = line["hash"]
        if line["seq"] in seen:
            continue
        seen.add(line["seq"])
        verdict.accepted += 1
        for hook, number in line["routes"].items():
            verdict.deliveries += 1
            at = hook, line["id"]
            if any(200 <= copy["status"] < 300 for copy in by_event.get(at, ())):
                verdict.taken += 1
            elif at in ends.dead:
                verdict.dead += 1
            elif number in gaps[hook]:
                verdict.gap += 1
            else:
                verdict.lost.append(f"{hook} {number} {line['id']}")
    return hashes


def _judge_copies(hook: str, id: str, copies: list[Line], right: str | None, verdict: Verdict) -> None:
    silent = 0
    for copy in copies:
        if copy["bad"]:
            verdict.forged.append(f"{hook} {id} {copy['bad']}")
        if copy["hash"] and right is not None and copy["hash"] != right:
            verdict.corrupt.append(f"{hook} {id}")
        if copy["doubt"] in LABELS:
            verdict.copies[copy["doubt"]] += 1
        else:
            silent += 1
    if silent > 1:
        verdict.unexplained.append(f"{hook} {id} came {len(copies)} times, {silent} of them silent")


def _judge_order(received: Iterable[Line], orders: Mapping[str, str], verdict: Verdict) -> None:
    """By the first time that each came, and by the first time that each was taken."""
    for way in ("came", "taken"):
        last: dict[tuple[str, str], int] = {}
        seen: set[At] = set()
        for line in received:
            hook, order = line["hook"], orders.get(line["hook"], "key")
            key = line["key"] if order == "key" else order
            if order == "none" or not key or line["doubt"] == "replay" or (hook, line["id"]) in seen:
                continue
            if way == "taken" and not 200 <= line["status"] < 300:
                continue
            seen.add((hook, line["id"]))
            if line["seq"] <= last.get((hook, key), 0):
                verdict.disorder.append(f"{hook} {key} {line['seq']} {way} after {last[hook, key]}")
            last[hook, key] = max(line["seq"], last.get((hook, key), 0))


def _judge_numbers(received: Iterable[Line], ends: Ends, verdict: Verdict) -> None:
    owner: dict[tuple[str, int], str] = {}
    known: dict[str, set[int]] = defaultdict(set)
    for line in received:
        known[line["hook"]].add(line["seq"])
        if owner.setdefault((line["hook"], line["seq"]), line["id"]) != line["id"]:
            verdict.holes.append(f"{line['hook']} {line['seq']} is the number of two events")
    tops = {hook: max(numbers) for hook, numbers in known.items()}
    for (hook, _), number in ends.dead.items():
        known[hook].add(number)
    for hook, first, last, _ in ends.gaps:
        known[hook].update(range(first, last + 1))
    for hook, top in tops.items():
        missing = sorted(set(range(1, top + 1)) - known[hook])
        verdict.holes += [f"{hook} {number} is nowhere" for number in missing]


def ends_of(path: Path) -> Ends:
    """What the store at ``path``, which nobody uses any more, says of dead events and gaps."""
    ends = Ends()
    with sqlite3.connect(path) as store:
        for hook, id, number in store.execute("SELECT lane, id, seq FROM dead"):
            ends.dead[hook, id] = number
        ends.gaps = store.execute("SELECT lane, from_seq, to_seq, lost FROM gap").fetchall()
    store.close()
    return ends


def audit_folder(folder: Path, orders: Mapping[str, str] = {}) -> Verdict:
    """Judge what a run has left in ``folder``."""
    return audit(lines_of(folder / ACCEPTED), lines_of(folder / DELIVERED), ends_of(folder / STORE), orders)


def main(folder: str, orders: str = "{}") -> int:
    verdict = audit_folder(Path(folder), json.loads(orders))
    print(verdict)
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
