"""One stream has one (application, name), however its path is split between connect and publish or play."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtmpd.errors import InvalidStreamKey
from rtmpd.identity import Applications, StreamId, covers, is_clean, segments
from rtmpd.settings import AppSettings, AppsSettings


def applications(*named: str, served: tuple[str, ...] = ("*",)) -> Applications:
    return Applications(AppsSettings(served=served, named=tuple((name, AppSettings()) for name in named)))


def identify(known: Applications, app: str, name: str, query: str = "") -> StreamId | str:
    """What a client means that connects to ``app`` and publishes ``name``, or the reason why it is nothing."""
    try:
        return known.identify(segments(app, name), query)
    except InvalidStreamKey as error:
        return str(error)


# --- any split of one path is one stream ----------------------------------------------------------

_WORDS = ("live", "room", "vip", "cam", "a", "1", "..", ".", "Live", "%2F", "default", "x y", "می\u200cخواهم")
_word = st.sampled_from(_WORDS)
_path = st.lists(_word, min_size=1, max_size=6)
_app = st.lists(_word, min_size=1, max_size=4).map("/".join)
_glob = st.lists(st.one_of(_word, st.sampled_from(("*", "l*", "?", "[a-z]*"))), min_size=1, max_size=3).map("/".join)
_noise = st.sampled_from(("/", "//", "/_definst_/", "///_definst_//"))


@given(path=_path, named=st.lists(_app, max_size=5), served=st.lists(_glob, max_size=4), data=st.data())
@example(path=["live", "room", "cam2"], named=["live"], served=[], data=None)
@example(path=["vip", "cam", "1"], named=["vip/cam"], served=[], data=None)
def test_every_split_of_a_path_is_the_same_stream_of_the_same_application(
    path: list[str], named: list[str], served: list[str], data: st.DataObject | None
) -> None:
    known = applications(*dict.fromkeys(named), served=("*", *served))
    whole = identify(known, path[0], "/".join(path[1:]))
    for at in range(1, len(path) + 1):
        slash = data.draw(_noise) if data is not None else "/"
        app, name = slash.join(path[:at]) + slash, slash + slash.join(path[at:])
        assert identify(known, app, name) == whole, f"{app!r} + {name!r}"
    if isinstance(whole, StreamId):
        assert whole.key == "/".join(path)
        assert identify(known, whole.app, whole.name) == whole, "what is identified stays so"


@given(path=_path, named=st.lists(_app, min_size=1, max_size=5))
def test_the_application_is_the_longest_that_is_configured_or_the_first_segment(
    path: list[str], named: list[str]
) -> None:
    found = applications(*dict.fromkeys(named)).app_of(tuple(path))
    configured = [app for app in named if path[: len(app.split("/"))] == app.split("/")]
    assert found == max(configured, key=lambda app: app.count("/"), default=path[0])


@given(path=_path, named=st.lists(_app, max_size=4), served=st.lists(_glob, min_size=1, max_size=4))
@example(path=["live", "a", "1"], named=[], served=["[a-z]*/a"])
def test_connect_refuses_no_path_that_leads_to_a_stream_that_is_served(
    path: list[str], named: list[str], served: list[str]
) -> None:
    known = applications(*dict.fromkeys(named), served=tuple(served))
    stream = identify(known, "", "/".join(path))
    if isinstance(stream, StreamId) and known.serves(stream.app):
        assert all(known.may_serve(tuple(path[:count])) for count in range(1, len(path) + 1))


@given(path=_path, scope=st.tuples(_glob, _glob), named=st.lists(_app, max_size=4))
def test_a_scope_is_good_for_no_stream_of_an_application_that_it_does_not_name(
    path: list[str], scope: tuple[str, str], named: list[str]
) -> None:
    known = applications(*dict.fromkeys(named))
    stream = identify(known, "", "/".join(path))
    if isinstance(stream, StreamId) and covers(*scope, stream):
        text = "/".join(scope)
        assert covers(scope[0], "*", StreamId(stream.app, "x")) or text.startswith(f"{stream.app}/")


# --- each way of writing it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "name", "expected"),
    [
        ("live", "a", ("live", "a")),
        ("live/", "/a/", ("live", "a")),
        ("/live//", "a//b", ("live", "a/b")),
        ("live/_definst_", "a", ("live", "a")),
        ("live", "_definst_/a", ("live", "a")),
        ("_definst_/live", "a/_definst_", ("live", "a")),
        ("live", "_definst_a", ("live", "_definst_a")),
        ("live/room", "cam", ("live", "room/cam")),
        ("vip/cam", "1", ("vip/cam", "1")),
        ("vip", "cam/1", ("vip/cam", "1")),
        ("vip/cam/1", "", ("vip/cam", "1")),
        ("", "vip/cam/1", ("vip/cam", "1")),
        ("vip/cam/deep", "1", ("vip/cam", "deep/1")),
        ("vip", "camera/1", ("vip", "camera/1")),
        ("VIP", "cam/1", ("VIP", "cam/1")),
        ("vip", "Cam/1", ("vip", "Cam/1")),
        ("vip", "cam%2F1", ("vip", "cam%2F1")),
        ("vip", "./cam/1", ("vip", "./cam/1")),
        ("vip", "../vip/cam/1", ("vip", "../vip/cam/1")),
        ("vip/x", "../cam/1", ("vip", "x/../cam/1")),
        ("live", "..", ("live", "..")),
        ("live", " ", ("live", " ")),
        ("live", "mp4:a.f4v", ("live", "mp4:a.f4v")),
        ("eu/one", "a", ("eu/one", "a")),
        ("eu", "one/a", ("eu/one", "a")),
        ("eu", "one", "the stream name is missing after the application eu/one: "),
        ("eu", "one/two/a", ("eu/one", "two/a")),
        ("vip", "cam", "the stream name is missing after the application vip/cam: "),
        ("live", "", "the stream name is missing after the application live: "),
        ("live", "/_definst_/", "the stream name is missing after the application live: "),
        ("", "", "the stream name is missing after the application (none): "),
    ],
)
def test_what_a_client_means(app: str, name: str, expected: tuple[str, str] | str) -> None:
    known = applications("vip/cam", "live", served=("*", "eu/*"))
    found = identify(known, app, name)
    assert found.startswith(expected) if isinstance(found, str) else found == expected  # type: ignore[arg-type]


def test_a_key_that_is_only_a_query_has_a_name_and_an_empty_one_has_none() -> None:
    known = applications("vip/cam")
    assert identify(known, "live", "", "token=x") == ("live", "default")
    for app, name in (("vip/cam", ""), ("vip", "cam")):
        assert identify(known, app, name, "token=x") == ("vip/cam", "default")
    assert identify(known, "live", "a", "token=x") == ("live", "a")
    assert "stream key in OBS" in str(identify(known, "live", ""))
    assert isinstance(identify(known, "", "", "token=x"), str)


SCRIPTS = """می\u200cخواهم क्\u200dष 朝\u3000の番組 👨\u200d👩\u200d👧 a\u00a0b \ufeffa a\u00adb \u200fא
\U0001fae8 \uf8ff 🏴\U000e0067\U000e0062\U000e007f"""


@pytest.mark.parametrize("name", re.split("[ \n]", SCRIPTS))
def test_every_letter_of_every_script_can_be_in_a_name(name: str) -> None:
    assert identify(applications(), "live", name) == ("live", name)


@pytest.mark.parametrize("name", ["a\nb", "\x00", "\x85b", "a\u2028", "\u202e", "a\u2066b", "a\ufffd", "x" * 513])
def test_a_name_that_no_key_can_have_is_refused(name: str) -> None:
    assert "UTF-8 without control characters" in str(identify(applications(), "live", name))
    assert not is_clean(name)


def test_the_bound_is_that_of_the_name_whatever_the_split() -> None:
    half = "é" * 128
    assert identify(applications(), f"live/{half}", half[1:]) == ("live", f"{half}/{half[1:]}")
    assert isinstance(identify(applications(), f"live/{half}", half), str)
    assert isinstance(identify(applications(), "live", f"{half}/{half}"), str)


def test_an_application_that_is_named_but_not_served_is_not_the_one_above_it() -> None:
    known = applications("live/room", served=("live",))
    stream = known.identify(segments("live/room/a"))
    assert stream == ("live/room", "a") and not known.serves(stream.app)
    assert known.may_serve(("live",)) and not known.may_serve(("live", "room")) and not known.may_serve(("vod",))


def test_other_settings_identify_anew_but_leave_no_stream_without_a_name() -> None:
    before = applications().identify(segments("live/room/a"))
    rooms = applications("live/room", "live/room/a")
    assert applications("live/room").identify_again(before) == ("live/room", "a")
    assert rooms.identify_again(before) == before, "its key is an application by now"


# --- scopes of tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "stream", "good"),
    [
        (("live", "a"), ("live", "a"), True),
        (("live", "*"), ("live", "room/a"), True),
        (("live/room", "a"), ("live", "room/a"), True),
        (("live", "room/a"), ("live/room", "a"), True),
        (("live", "room/*"), ("live/room", "a"), True),
        (("live/room", "*"), ("live", "room/a/b"), True),
        (("/live/", "_definst_/a"), ("live", "a"), True),
        (("l*", "a"), ("live", "a"), True),
        (("live", "*"), ("live/room", "a"), False),
        (("live", "*/a"), ("live/room", "a"), False),
        (("*", "a"), ("live", "room/a"), False),
        (("l*", "a"), ("live", "room/a"), False),
        (("live", "a"), ("live", "ab"), False),
        (("live", "a"), ("live2", "a"), False),
        (("live/room", "*"), ("live", "roommate/a"), False),
    ],
)
def test_which_streams_a_scope_is_good_for(scope: tuple[str, str], stream: tuple[str, str], good: bool) -> None:
    assert covers(*scope, StreamId(*stream)) is good
