"""The players of one stream: a sample of them verified, all of them counted."""

from __future__ import annotations

from dataclasses import asdict

from .client import Client, Role
from .rig import Rig
from .verify import Faults
from .wire import AUDIO, VIDEO

SAMPLE = 20
"""Players that are parsed and compared byte for byte."""

Figures = dict[str, float]


def percentile_ms(values_ns: list[int], share: float) -> float:
    """The value below which ``share`` of them lie, in milliseconds; 0.0 of none."""
    ordered = sorted(values_ns)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6 if ordered else 0.0


class Audience:
    """``join``, then any number of windows: ``restart``, send, ``figures``; the publisher is silent and
    nothing is under way at both ends of a window."""

    def __init__(self, rig: Rig, count: int, sample: int = SAMPLE, stream: str = "bench") -> None:
        self._rig = rig
        self._faults = Faults()
        self._start_bytes: dict[Client, int] = {}
        self.players = [rig.client(Role.PLAY, stream) for _ in range(count)]
        step = max(1, -(-count // sample))
        for index, player in enumerate(self.players):
            player.counted = index % step != 0
        self._sample = [player for player in self.players if not player.counted]
        self._verifiers = [player.verifier for player in self._sample if player.verifier is not None]

    def join(self) -> None:
        """Open every player."""
        self._rig.open_all(self.players)

    def wait_for_media(self) -> None:
        """Until each player has had a key frame."""
        self._rig.wait(
            lambda: all(player.has_media or player.failure for player in self.players), "media", timeout_s=15.0
        )

    def restart(self, up_to: int) -> None:
        """Begin a window. Every message before number ``up_to`` was sent; faults so far are kept."""
        for verifier in self._verifiers:
            verifier.expect_up_to(up_to)
            self._faults.add(verifier.faults)
            verifier.restart()
        self._start_bytes = {player: player.received for player in self.players}

    def _received(self, player: Client) -> int:
        return player.received - self._start_bytes[player]

    def verified_messages(self) -> int:
        """Messages that the sample received in this window."""
        return sum(verifier.messages for verifier in self._verifiers)

    def delivered_bytes(self) -> int:
        """Bytes that all players read in this window."""
        return sum(map(self._received, self.players))

    def slowest_messages(self, message_bytes: int) -> int:
        """Messages of one size that every player has, at least, in this window."""
        sampled = self._verifiers[0].messages
        wire_bytes = self._received(self._sample[0]) / sampled if sampled else message_bytes * 1.05
        return int(min(map(self._received, self.players)) / wire_bytes)

    def latencies_ns(self, kind: int) -> list[int]:
        """The latencies of all messages of one type that the sample received in this window."""
        return [each for verifier in self._verifiers for each in verifier.latencies_ns[kind]]

    def latency(self) -> Figures:
        """Latency in this window, of the sample."""
        return latency_of([self])

    def faults(self, up_to: int) -> Figures:
        """Everything that was wrong since the players joined, when every message before number ``up_to``
        was sent."""
        total = Faults()
        total.add(self._faults)
        for verifier in self._verifiers:
            verifier.expect_up_to(up_to)
            total.add(verifier.faults)
        reference = self._received(self._sample[0])
        counts: Figures = {name.replace("_", " "): count for name, count in asdict(total).items()}
        counts["miscounted"] = sum(self._received(player) != reference for player in self.players)
        counts["failed"] = sum(bool(player.failure) for player in self.players)
        return counts


def latency_of(audiences: list[Audience]) -> Figures:
    """Latency in their windows, of the samples of all of them."""
    video = [each for audience in audiences for each in audience.latencies_ns(VIDEO)]
    audio = [each for audience in audiences for each in audience.latencies_ns(AUDIO)]
    return {
        "video p50 ms": percentile_ms(video, 0.5),
        "video p99 ms": percentile_ms(video, 0.99),
        "audio p50 ms": percentile_ms(audio, 0.5),
        "audio p99 ms": percentile_ms(audio, 0.99),
    }
