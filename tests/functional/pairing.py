"""Publishers and players run together, and what became of each pairing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.functional import peers
from tests.functional.control import NginxRtmp
from tests.functional.harness import Daemon
from tests.support import flv
from tests.support.child import Child
from tests.support.waiting import wait_until

START_S = 20.0
END_S = 15.0
K = TypeVar("K")
Pairing = tuple[peers.Peer, peers.Peer]


@dataclass(frozen=True)
class Outcome:
    """A status of None is a process that had to be ended. ``report`` holds both command lines and logs."""

    publisher_status: int | None
    player_status: int | None
    report: str
    captured: flv.Media

    def assert_both_ended_well(self, player: peers.Peer) -> None:
        assert self.publisher_status == 0, self.report
        assert self.player_status in player.good_ends, self.report


def statuses(children: Mapping[K, Child], end_s: float = END_S) -> dict[K, int | None]:
    """The exit status of each; one that is still there after ``end_s`` for all together is ended, and None."""
    deadline = time.monotonic() + end_s
    result: dict[K, int | None] = {}
    for name, child in children.items():
        try:
            result[name] = child.wait(max(0.0, deadline - time.monotonic()))
        except AssertionError:
            child.close()
            result[name] = None
    return result


def run(
    server: Daemon | NginxRtmp, home: Path, label: str, clip: Path, pairings: Sequence[Pairing]
) -> dict[tuple[str, str], Outcome]:
    """Publish ``clip`` from every publisher at once, each to a key of its own whose players wait for it.

    Returns when all have ended, by (publisher's name, player's name)."""
    captures = {pair: home / f"{label}-{pair[0].name}-to-{pair[1].name}.flv" for pair in pairings}
    urls = {one: server.url(f"live/{label}-{one.name}") for one, _ in pairings}
    players = {pair: pair[1].play(urls[pair[0]], captures[pair]) for pair in pairings}
    publishers: dict[peers.Peer, Child] = {}
    try:
        for one, url in urls.items():
            mine = [child for (publisher, _), child in players.items() if publisher is one]
            _wait_for_players(server, f"live/{label}-{one.name}", mine)
            publishers[one] = one.publish(clip, url, home / f"{label}-{one.name}.log")
        published = statuses(publishers)
        played = statuses(players)
    finally:
        for child in [*players.values(), *publishers.values()]:
            child.close()
    return {
        (one.name, other.name): Outcome(
            published[one],
            played[one, other],
            f"publisher: {publishers[one].describe()}\nplayer: {players[one, other].describe()}",
            flv.read(captures[one, other]),
        )
        for one, other in pairings
    }


def _wait_for_players(server: Daemon | NginxRtmp, key: str, players: Sequence[Child]) -> None:
    """Until all are attached, but for those that have given up: their own pairing will say so."""
    wait_until(
        lambda: len(server.of("play_start", key)) >= sum(player.running() for player in players),
        f"the players of {key} are attached",
        START_S,
    )


def assert_same(sent: flv.Media, outcome: Outcome, player: peers.Peer) -> None:
    """The capture has every frame that was sent, with its payload, its timestamps and its place."""
    missing = 0
    for name in ("video", "audio"):
        expected, captured = sent.stream(name), outcome.captured.stream(name)
        assert captured == expected[: len(captured)], first_difference(expected, captured)
        missing += len(expected) - len(captured)
    assert missing <= player.may_miss_at_the_end, f"{missing} frames are missing at the end\n{outcome.report}"


def first_difference(expected: Sequence[flv.Frame], captured: Sequence[flv.Frame]) -> str:
    for index, (one, other) in enumerate(zip(expected, captured, strict=False)):
        if one != other:
            what = "payload" if one.digest != other.digest else "timestamps or key flag"
            return f"frame {index} differs in {what}: {one} became {other}"
    return f"{len(captured)} frames captured, {len(expected)} were sent"
