"""Held against FFmpeg: what it decodes from our MP4 is what it decodes from the FLV."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.cmaf.muxing import AUDIOS, FFMPEG, VIDEOS, Clips, joined, mux_file, run_ffmpeg
from tests.support.mp4 import fragments


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


def hashes(path: Path, kind: str, *words: str) -> list[str]:
    """The MD5 of every frame as it is decoded, or as it is in the file with ``-c copy``."""
    command = ["-i", str(path), "-map", f"0:{kind}", *words, "-f", "framemd5", "-"]
    lines = run_ffmpeg(FFMPEG, *command).splitlines()
    rows = [line.replace(" ", "").split(",") for line in lines if not line.startswith("#")]
    return [row[5] for row in rows if row[4] != "0"]  # the end of a sequence is an empty packet


PAIRS = [*product(VIDEOS, AUDIOS), *product(VIDEOS, [""]), *product([""], AUDIOS)]


@pytest.mark.parametrize(("video", "audio"), PAIRS)
def test_every_pair_decodes_to_the_frames_of_the_flv(clips: Clips, tmp_path: Path, video: str, audio: str) -> None:
    flv = clips(video, audio)
    mp4 = tmp_path / "muxed.mp4"
    mp4.write_bytes(joined(mux_file(flv)))
    assert len(fragments(mp4.read_bytes())) >= 2
    if video:
        assert hashes(mp4, "v") == hashes(flv, "v")
    if audio:
        ours, theirs = (hashes(path, "a", "-c", "copy") for path in (mp4, flv))
        missing = len(theirs) - len(ours)
        assert 0 <= missing <= (2 if video else 0), "what comes before the first keyframe is left out"
        assert ours == theirs[missing:]
        if not missing:  # else the state of the decoder differs
            assert hashes(mp4, "a") == hashes(flv, "a")
