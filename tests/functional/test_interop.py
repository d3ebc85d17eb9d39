"""Every publisher into every player: elementary streams bit-exact, timestamps unchanged.

The players join before the publisher, so each must get the stream from its first frame to its last.
All publishers of one content run at once, each with all players; a test looks at one pairing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional import clips, pairing, peers
from tests.functional.clips import Maker
from tests.functional.control import NginxRtmp, server_under_test
from tests.functional.harness import Daemon


def carries(publisher: peers.Peer, player: peers.Peer, content: str) -> bool:
    return content in clips.CLASSIC or (publisher.publishes_enhanced and player.plays_enhanced)


PAIRINGS = [
    pytest.param(publisher, player, content, id=f"{publisher.name}-to-{player.name}-{content}")
    for content in clips.CLIPS
    for publisher in peers.PUBLISHERS
    for player in peers.PLAYERS
    if carries(publisher, player, content)
]


class Matrix:
    """Runs the pairings of one content when the first of them is asked for, and remembers the outcomes."""

    def __init__(self, server: Daemon | NginxRtmp, clip: Maker, home: Path) -> None:
        self.server = server
        self.clip = clip
        self.home = home
        self.outcomes: dict[str, dict[tuple[str, str], pairing.Outcome]] = {}

    def outcome(self, publisher: peers.Peer, player: peers.Peer, content: str) -> pairing.Outcome:
        if content not in self.outcomes:
            self.run(content)
        return self.outcomes[content][publisher.name, player.name]

    def run(self, content: str) -> None:
        there = [
            (one, other)
            for one in peers.PUBLISHERS
            for other in peers.PLAYERS
            if carries(one, other, content) and not one.missing() and not other.missing()
        ]
        self.outcomes[content] = pairing.run(self.server, self.home, content, self.clip(content), there)


@pytest.fixture(scope="module")
def matrix(clip: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    home = tmp_path_factory.mktemp("interop")
    with server_under_test(home) as running:
        yield Matrix(running, clip, home)


@pytest.mark.parametrize(("publisher", "player", "content"), PAIRINGS)
def test_every_frame_arrives_unchanged(
    matrix: Matrix, clip: Maker, publisher: peers.Peer, player: peers.Peer, content: str
) -> None:
    peers.need(publisher, player)
    outcome = matrix.outcome(publisher, player, content)
    outcome.assert_both_ended_well(player)
    sent = publisher.sends(clip(content))
    pairing.assert_same(sent, outcome, player)
    if content != "vp9":
        assert outcome.captured.video_header == sent.video_header
    assert outcome.captured.audio_header == sent.audio_header
    assert outcome.captured.metadata, "no onMetaData"


def test_no_client_that_behaves_is_told_of_as_an_error(matrix: Matrix) -> None:
    if not matrix.outcomes:
        matrix.run("h264_aac")
    for type_ in ("connection_error", "protocol_error", "stream_error"):
        assert matrix.server.of(type_) == []
