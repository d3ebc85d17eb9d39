"""The options of recordings and relays."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.errors import ConfigError

from .conftest import Read


def problems(read: Read, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def test_a_recording_and_its_destinations_are_read(read: Read, tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    apps = read(
        "[apps]\n[[live]]\nrecord = keyframes\nrecord_dir = rec\nsegment_size = 64M\nsegment_duration = 10m\n"
        "record_path = {app}/{time:%Y}/{name}_{segment:04d}.flv\n"
        "push = rtmp://a/live, rtmps://b:1443/x/{app}-{name}?k=v\n"
    ).settings.apps
    live = apps.of("live")
    assert (live.record, live.record_dir) == ("keyframes", str(tmp_path / "rec"))
    assert (live.segment_bytes, live.segment_duration_s, live.segmented) == (64 * 1024**2, 600.0, True)
    assert live.push == ("rtmp://a/live", "rtmps://b:1443/x/{app}-{name}?k=v")
    assert apps.of("other").record == "off" and not apps.of("other").push


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/srv/{name}.flv", "is not a path below record_dir"),
        ("../{name}.flv", "is not a path below record_dir"),
        ("{name}/", "is not a path below record_dir"),
        ("all.flv", "is the same for every stream"),
        ("{nmae}.flv", "stands for nothing"),
        ("{name.__class__}.flv", "stands for nothing"),
        ("{name!r}.flv", "takes none"),
        ("{name:>10}.flv", "takes none"),
        ("{name}{", "has a { or } on its own"),
        ("{name}-{segment:s}.flv", "cannot be used"),
    ],
)
def test_a_path_that_can_not_be_is_a_problem(read: Read, tmp_path: Path, path: str, message: str) -> None:
    text = f'[apps]\nrecord = all\nrecord_dir = {tmp_path}\nrecord_path = "{path}"\n'
    assert message in problems(read, text)


@pytest.mark.parametrize(
    "url",
    ["http://h/a/s3cret", "rtmp://h", "rtmp://h/", "rtmp://h/s3cret/", "rtmp://u:s3cret@h/a/b", "rtmp://{app}/a/b",
     "rtmp://h:0/a/s3cret", "rtmp://h/a/{key}", "rtmp://h/a/{name:s3cret}", "rtmp://h:x/a/s3cret", "s3cret"],
)  # fmt: skip
def test_a_destination_that_can_not_be_is_a_problem_that_shows_no_secret(read: Read, url: str) -> None:
    text = problems(read, f"[apps]\npush = {url}\n")
    assert "apps.push" in text and "s3cret" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("record = all\n", "apps.record: needs a directory"),
        ("record = all\nrecord_dir = nowhere\n", "is not a directory"),
        ("record = all\nrecord_dir = .\nsegment_size = 1M\nrecord_existing = append\n", "go over each other"),
        (
            "record = all\nrecord_dir = .\nrecord_format = mp4\nrecord_existing = append\n",
            "apps.record_existing: is for FLV only: where codecs change, another MP4 begins",
        ),
        ("push_retry = 1m\n", "push_retry_max: is smaller"),
    ],
)
def test_what_does_not_go_together_is_a_problem(read: Read, text: str, message: str) -> None:
    assert message in problems(read, f"[apps]\n{text}")
