"""Streams whose timestamps pass 2**24 ms (a chunk's 24-bit field) and 2**32 ms (RTMP's clock) play through.

The captures are compared modulo 2**32. Measured with nginx-rtmp as the control: over a wrap the two
ffmpegs unwrap what they read and their FLV muxer then moves the whole file so that it starts at 0;
rtmpdump takes the last timestamp for the position and says "may be incomplete" (status 2). The
frames and the distances between them are the same in every capture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.functional import pairing, peers
from tests.functional.clips import Maker
from tests.functional.control import NginxRtmp, server_under_test
from tests.functional.harness import Daemon
from tests.support import flv

CLOCK = 1 << 32
BEFORE_24_BITS_MS = 16_777_000
BEFORE_THE_WRAP_MS = CLOCK - 1500
# ffmpeg would send the wrapped clip from 0 on; the others send what stands in the file.
STARTS = {
    BEFORE_24_BITS_MS: (peers.FFMPEG_DEBIAN, peers.FFMPEG_CURRENT, peers.LIBRTMP_PEER, peers.RTMPD),
    BEFORE_THE_WRAP_MS: (peers.LIBRTMP_PEER, peers.RTMPD),
}
CASES = [
    pytest.param(start_ms, publisher, player, id=f"{publisher.name}-to-{player.name}-from-{start_ms}")
    for start_ms, publishers in STARTS.items()
    for publisher in publishers
    for player in peers.PLAYERS
]
CONTENT = "bframes"


class Runs:
    """The runs of one start, made when the first is asked for."""

    def __init__(self, server: Daemon | NginxRtmp, home: Path, source: Path) -> None:
        self.server = server
        self.home = home
        self.source = source
        self.outcomes: dict[int, dict[tuple[str, str], pairing.Outcome]] = {}

    def clip(self, start_ms: int) -> Path:
        path = self.home / f"from-{start_ms}.flv"
        if not path.exists():
            path.write_bytes(flv.shifted(self.source.read_bytes(), start_ms))
        return path

    def outcome(self, start_ms: int, publisher: peers.Peer, player: peers.Peer) -> pairing.Outcome:
        if start_ms not in self.outcomes:
            pairs = [(one, other) for one in STARTS[start_ms] for other in peers.PLAYERS]
            there = [(one, other) for one, other in pairs if not one.missing() and not other.missing()]
            self.outcomes[start_ms] = pairing.run(self.server, self.home, str(start_ms), self.clip(start_ms), there)
        return self.outcomes[start_ms][publisher.name, player.name]


@pytest.fixture(scope="module")
def runs(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    home = tmp_path_factory.mktemp("timestamps")
    with server_under_test(home) as server:
        yield Runs(server, home, clip(CONTENT))


@pytest.mark.parametrize(("start_ms", "publisher", "player"), CASES)
def test_a_stream_plays_through_the_end_of_the_clock(
    runs: Runs, start_ms: int, publisher: peers.Peer, player: peers.Peer
) -> None:
    peers.need(publisher, player)
    outcome = runs.outcome(start_ms, publisher, player)
    assert outcome.publisher_status == 0, outcome.report
    assert outcome.player_status in ((0, 2) if player is peers.RTMPDUMP else (0,)), outcome.report
    sent = flv.read(runs.clip(start_ms))
    moved_ms = 0
    if start_ms == BEFORE_THE_WRAP_MS and isinstance(player, peers.Ffmpeg):
        moved_ms = CLOCK - start_ms
    video, audio = (tuple(flv.moved(frame, moved_ms) for frame in sent.stream(name)) for name in ("video", "audio"))
    pairing.assert_same(replace(sent, video=video, audio=audio), outcome, player)
