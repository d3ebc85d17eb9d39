"""Stream URLs: their parts, and what is said about those that are none."""

from __future__ import annotations

import pytest

from rtmpd.errors import UrlError
from rtmpd.protocol.url import RtmpUrl, parse_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("rtmp://h/live/demo", RtmpUrl("rtmp", "h", 1935, "live", "demo")),
        ("RTMPS://h/live/demo", RtmpUrl("rtmps", "h", 443, "live", "demo")),
        ("rtmp://h:19350/app/instance/demo", RtmpUrl("rtmp", "h", 19350, "app/instance", "demo")),
        ("rtmp://[2001:db8::1]:1936/live/demo", RtmpUrl("rtmp", "2001:db8::1", 1936, "live", "demo")),
        ("rtmp://h/live/demo?token=a/b&x=?", RtmpUrl("rtmp", "h", 1935, "live", "demo", "token=a/b&x=?")),
        ("rtmp://h//live/de#mo", RtmpUrl("rtmp", "h", 1935, "live", "de#mo")),
    ],
)
def test_a_url_has_an_application_and_a_stream_name(url: str, parts: RtmpUrl) -> None:
    assert parse_url(url) == parts


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h/live/demo", "rtmp://"),
        ("h/live/demo", "rtmp://"),
        ("", "rtmp://"),
        ("rtmp:/live/demo", "rtmp://"),
        ("rtmp:///live/demo", "no host"),
        ("rtmp://h", "no application and no stream"),
        ("rtmp://h/", "no application and no stream"),
        ("rtmp://h/demo", "only 'demo'"),
        ("rtmp://h/live/", "names no stream"),
        ("rtmp://h/live/?token=1", "names no stream"),
        ("rtmp://h:99999/live/demo", "cannot be read"),
        ("rtmp://h:x/live/demo", "cannot be read"),
        ("rtmp://h:0/live/demo", "port 0"),
        ("rtmp://[::1/live/demo", "cannot be read"),
        ("rtmp://me:hunter2@h/live/demo", "user name"),
    ],
)
def test_the_error_names_what_is_missing(url: str, reason: str) -> None:
    with pytest.raises(UrlError, match=reason) as raised:
        parse_url(url)
    assert "hunter2" not in str(raised.value)


def test_the_query_goes_with_the_stream_name_and_is_never_printed() -> None:
    url = parse_url("rtmp://h/live/demo?token=1")
    assert url.stream_name == "demo?token=1"
    assert str(url) == "rtmp://h/live/demo"


def test_tc_url_leaves_out_a_default_port_and_keeps_brackets() -> None:
    assert parse_url("rtmps://[::1]:443/live/demo").tc_url == "rtmps://[::1]/live"
    assert parse_url("rtmp://[::1]:1936/live/demo").tc_url == "rtmp://[::1]:1936/live"
