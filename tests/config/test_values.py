"""What one value may look like."""

from __future__ import annotations

import pytest

from rtmpd.config import values
from rtmpd.config.values import BadValue
from rtmpd.settings import Address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("1.5h", 5400), ("1m30s", 90), ("30", 30), ("0.25", 0.25), ("0", 0), (".5s", 0.5), ("1us", 1e-6)],
)
def test_a_duration_is_go_style_or_a_plain_number_of_seconds(text: str, seconds: float) -> None:
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 s", "5d", "-5s", "5ss", "1e3", "abc", "5s,"])
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(BadValue) as caught:
        values.duration(text)
    assert "300ms" in caught.value.hint


def test_a_go_duration_has_a_unit_except_zero() -> None:
    assert values.go_duration("0") == 0.0
    assert values.go_duration("90s") == 90.0
    with pytest.raises(BadValue):
        values.go_duration("30")


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("64k", 65536), ("4M", 4 << 20), ("1G", 1 << 30), ("1.5k", 1536), ("2MiB", 2 << 20)],
)
def test_a_size_may_have_a_unit_of_1024(text: str, size: int) -> None:
    assert values.bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5", "4X", "4 4"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        values.bytes_of(text)


def test_bounds_are_inclusive_and_named_in_the_hint() -> None:
    assert values.seconds("10s", min="1s", max="10s") == 10.0
    with pytest.raises(BadValue) as caught:
        values.milliseconds("50", min="1ms", max="2s")
    assert caught.value.hint == "the most is 2s"
    with pytest.raises(BadValue) as caught:
        values.count("3", min="4", max="9")
    assert caught.value.hint == "the least is 4"


def test_milliseconds_are_whole() -> None:
    assert values.milliseconds("0.05", min="0", max="1s") == 50


@pytest.mark.parametrize("text", ["-1", "1.5", "٣", "", "ten"])
def test_a_count_is_digits_only(text: str) -> None:
    with pytest.raises(BadValue):
        values.whole(text)


@pytest.mark.parametrize("text", ["yes", "TRUE", "on", "1"])
def test_a_switch_can_be_on(text: str) -> None:
    assert values.switch(text) is True


def test_a_switch_is_nothing_but_on_or_off() -> None:
    assert values.switch("off") is False
    with pytest.raises(BadValue):
        values.switch("maybe")


def test_a_word_has_a_nearest_neighbour() -> None:
    assert values.word("window", "immediate", "window") == "window"
    with pytest.raises(BadValue) as caught:
        values.word("imediate", "immediate", "window")
    assert caught.value.hint == 'did you mean "immediate"?'


def test_warn_is_short_for_warning_where_there_is_a_warning() -> None:
    assert values.word("warn", "info", "warning") == "warning"
    with pytest.raises(BadValue):
        values.word("warn", "info")


def test_names_are_trimmed_and_kept_once_in_order() -> None:
    assert values.names("b, a , b,") == ("b", "a")
    assert values.names(["b", " a"]) == ("b", "a")
    assert values.names("") == ()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":1935", Address("", 1935)),
        ("*:1935", Address("", 1935)),
        ("10.0.0.1:80", Address("10.0.0.1", 80)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address) -> None:
    assert values.address(text) == address


@pytest.mark.parametrize("text", ["1935", "::1:1935", ":65536", ":", "a b:1", "rtmp://h:1", "[::1]", ":19x"])
def test_what_is_no_address_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(BadValue) as caught:
        values.address(text)
    assert caught.value.hint == values.ADDRESS_HINT


def test_a_url_needs_http_and_a_host() -> None:
    assert values.url("https://u:p@h.example:8443/x?a=b") == "https://u:p@h.example:8443/x?a=b"
    for text in ("ftp://h/", "h.example/x", "http://", "http:///x", "http://h:99999/", "http://h/a b", "http://[::1/"):
        with pytest.raises(BadValue):
            values.url(text)


def test_a_list_where_one_string_is_meant_says_to_quote() -> None:
    with pytest.raises(BadValue) as caught:
        values.url(["http://h/?a=1", "2"])
    assert caught.value.hint == "quote values that contain a comma"
