"""Where a copy goes, and what is shown of it."""

from __future__ import annotations

import pytest

from rtmpd.errors import UrlError
from rtmpd.protocol.destination import destination


@pytest.mark.parametrize(
    ("template", "tc_url", "stream_name", "shown"),
    [
        ("rtmp://h/live/{name}", "rtmp://h/live", "cam", "rtmp://h/live/cam"),
        ("rtmp://h/live", "rtmp://h/live", "cam", "rtmp://h/live/cam"),
        ("rtmp://h/live?k=v", "rtmp://h/live", "cam?k=v", "rtmp://h/live/cam"),
        ("rtmps://h:1443/{app}/x/{app}_{name}", "rtmps://h:1443/studio/x", "studio_cam", "rtmps://h:1443/studio/x/studio_cam"),
        ("rtmps://h/live2/abcd-1234", "rtmps://h/live2", "abcd-1234", "rtmps://h/live2/***"),
        ("rtmp://h/live/{name}?token=s3cret", "rtmp://h/live", "cam?token=s3cret", "rtmp://h/live/cam"),
        ("rtmp://h/live/k-{name}", "rtmp://h/live", "k-cam", "rtmp://h/live/***"),
    ],
)  # fmt: skip
def test_a_template_is_filled_and_shown_without_secrets(
    template: str, tc_url: str, stream_name: str, shown: str
) -> None:
    one = destination(template, "studio", "cam")
    assert (one.url.tc_url, one.url.stream_name, one.shown) == (tc_url, stream_name, shown)
    assert "s3cret" not in repr(one) and "abcd" not in repr(one)


@pytest.mark.parametrize("name", ["a/../../b", "a?x=y", "a#b", "{app}", "a@evil", "//evil/x", "a&k=v"])
def test_a_stream_name_can_not_lead_the_copy_elsewhere(name: str) -> None:
    one = destination("rtmp://h/live/{name}?of={name}", "studio", name)
    assert (one.url.host, one.url.port, one.url.app, one.url.name) == ("h", 1935, "live", name)
    assert one.url.query.count("&") == 0


def test_what_a_server_repeats_is_cleaned() -> None:
    one = destination("rtmp://h/live2/key-1234?sign=abc", "studio", "cam")
    said = "Stream key-1234?sign=abc (key-1234, sign=abc) is busy"
    assert one.clean(said) == "Stream *** (***, ***) is busy"


@pytest.mark.parametrize("template", ["http://h/live/x", "rtmp://h", "rtmp://", "rtmp://me:pw@h/live/x", "h/live"])
def test_what_is_no_destination_is_refused(template: str) -> None:
    with pytest.raises(UrlError):
        destination(template, "studio", "cam")
