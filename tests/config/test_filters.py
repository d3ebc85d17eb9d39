"""Filters in files and on the command line."""

from __future__ import annotations

import pytest

from rtmpd.settings import FilterSettings, HookSettings, RateLimit
from tests.support.proof import proves

from .conftest import Read, Refuse

NONE = FilterSettings()
STDIO = "[hooks]\n[[a]]\ntype = stdio\n"


def filter_of(read: Read, lines: str) -> FilterSettings:
    (hook,) = read(f"{STDIO}{lines}\n").settings.hooks.hooks
    return hook.filter


# --- in a file ------------------------------------------------------------------------------------


def test_a_hook_has_the_filter_that_stands_below_its_name(read: Read) -> None:
    hooks = read(
        """[hooks]
[[a]]
type = stdio
event_types = publish_*
stream_patterns = live/premium/*, live/vip/*
conditions = data.codec_name == H264, data.bitrate gt 1000000
min_severity = warn
rate_limit = 100/1m
rate_burst = 5
on_missing = pass
[[b]]
type = stdio
"""
    ).settings.hooks.hooks
    assert hooks[0].filter == FilterSettings(
        ("live/premium/*", "live/vip/*"),
        ("data.codec_name == H264", "data.bitrate gt 1000000"),
        "warning",
        RateLimit(100, 60.0),
        5,
        "pass",
    )
    assert hooks[1].filter == NONE


@pytest.mark.parametrize(
    ("written", "conditions"),
    [
        ("data.a == 1", ("data.a == 1",)),
        ("data.a == 1, data.b ~ x", ("data.a == 1", "data.b ~ x")),
        ("'data.a == 1,2', data.b ~ x", ("data.a == 1,2", "data.b ~ x")),
        ("'data.title ~ ^a{2,3}'", ("data.title ~ ^a{2,3}",)),
        ("'data.title == \"a # b\"'", ('data.title == "a # b"',)),
        ('data.title == "007"', ('data.title == "007"',)),
        ('data.title == ""', ('data.title == ""',)),
        ("data.a>1", ("data.a>1",)),
        ("data.a=1", ("data.a=1",)),
        ("", ()),
    ],
)
def test_conditions_are_a_list_and_a_quoted_one_keeps_its_commas(
    read: Read, written: str, conditions: tuple[str, ...]
) -> None:
    assert filter_of(read, f"conditions = {written}").conditions == conditions


@proves("hooks.NAME.rate_limit")
@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("10/1m", RateLimit(10, 60.0)),
        ("10/s", RateLimit(10, 1.0)),
        ("10 / 1s", RateLimit(10, 1.0)),
        ("100/1h", RateLimit(100, 3600.0)),
        ("5/30", RateLimit(5, 30.0)),
        ("1/m", RateLimit(1, 60.0)),
        ("3/1m30s", RateLimit(3, 90.0)),
        ("3/500ms", RateLimit(3, 0.5)),
        ('""', None),
    ],
)
def test_a_rate_is_a_number_and_a_window(read: Read, written: str, limit: RateLimit | None) -> None:
    assert filter_of(read, f"rate_limit = {written}").rate_limit == limit


@pytest.mark.parametrize(
    ("lines", "key", "message", "hint"),
    [
        ("conditions = data.a like b", "conditions", "'data.a like b' is not a condition", "FIELD OPERATOR VALUE"),
        ("conditions = data.a > 1, bitrate > 1", "conditions", "no field 'bitrate'", "data.NAME"),
        ("conditions = data.a ~ (", "conditions", "pattern that", ""),
        ("min_severity = loud", "min_severity", "not one of the words", "info"),
        ("min_severity = warnin", "min_severity", "not one of the words", 'did you mean "warning"'),
        ("rate_limit = 10", "rate_limit", "not a rate", "10/1m"),
        ("rate_limit = 0/1m", "rate_limit", "too small", "10/1m"),
        ("rate_limit = 10/0", "rate_limit", "too small", "10/1m"),
        ("rate_limit = 10/25h", "rate_limit", "too large", "24h"),
        ("rate_limit = 1e9/s", "rate_limit", "not a whole number", "10/1m"),
        ("rate_limit = ten/m", "rate_limit", "not a whole number", "10/1m"),
        ("rate_limit = 10/week", "rate_limit", "not a duration", "10/1m"),
        ("rate_limit = 10/1m\nrate_burst = 0", "rate_burst", "too small", "the least is 1"),
        ("rate_burst = 5", "rate_burst", "needs a rate_limit", "rate_limit"),
        ("on_missing = keep", "on_missing", "not one of the words", "drop"),
        ("stream_pattern = a", "stream_pattern", "no such key", "stream_patterns"),
    ],
)
def test_a_wrong_filter_is_an_error_at_its_line_with_a_remedy(
    refuse: Refuse, lines: str, key: str, message: str, hint: str
) -> None:
    (problem,) = refuse(f"{STDIO}{lines}\n")
    assert problem.key == f"hooks.a.{key}"
    assert problem.where.endswith(f"rtmpd.ini:{4 + lines.count(chr(10))}")
    assert message in problem.message and hint in problem.hint


def test_every_condition_that_is_wrong_is_named(refuse: Refuse) -> None:
    problems = refuse(f"{STDIO}conditions = x, data.a > 1, y\n")
    assert [problem.message.partition(" ")[0] for problem in problems] == ["'x'", "'y'"]


# --- on the command line --------------------------------------------------------------------------

MIXED = """[hooks]
[[all]]
type = stdio
[[starry]]
type = stdio
event_types = *
[[some]]
type = stdio
event_types = play_*
"""
LINE = ("-hook-script", "publish_stop=/bin/sh", "-hook-webhook", "*=http://h/", "-hook-stdio-format", "json")


def hooks_of(read: Read, text: str, *words: str) -> dict[str, HookSettings]:
    return {hook.id: hook for hook in read(text, *words).settings.hooks.hooks}


def test_the_list_of_events_restricts_hooks_bound_to_all_and_no_others(read: Read) -> None:
    hooks = hooks_of(read, MIXED, *LINE, "--hook-filter-events", "publish_start, play_*")
    assert {id: hook.event_types for id, hook in hooks.items()} == {
        "all": ("publish_start", "play_*"),
        "starry": ("publish_start", "play_*"),
        "some": ("play_*",),
        "shell_0": ("publish_stop",),
        "webhook_0": ("publish_start", "play_*"),
        "stdio": ("publish_start", "play_*"),
    }
    assert all(hook.filter == NONE for hook in hooks.values())


@proves("--hook-rate-limit", "--hook-rate-burst")
@pytest.mark.parametrize(
    ("words", "filter"),
    [
        (("--hook-filter-streams", "live/premium/*,live/vip/*"), FilterSettings(("live/premium/*", "live/vip/*"))),
        (("-hook-filter-streams=a/*", "-hook-filter-streams=b/*"), FilterSettings(("a/*", "b/*"))),
        (("--hook-filter-condition", "data.bitrate>1000000"), FilterSettings(conditions=("data.bitrate>1000000",))),
        (
            ("--hook-filter-condition=data.codec_name=H264", "--hook-filter-condition", "data.title ~ a,b"),
            FilterSettings(conditions=("data.codec_name=H264", "data.title ~ a,b")),
        ),
        (("-hook-rate-limit", "10/1m"), FilterSettings(rate_limit=RateLimit(10, 60.0))),
        (
            ("--hook-rate-limit", "10/1m", "--hook-rate-burst", "5"),
            FilterSettings(rate_limit=RateLimit(10, 60.0), rate_burst=5),
        ),
        (("--hook-rate-limit=1/s", "--hook-rate-limit=2/s"), FilterSettings(rate_limit=RateLimit(2, 1.0))),
        (("--hook-min-severity", "warn"), FilterSettings(min_severity="warning")),
        (("--hook-min-severity", "info", "--hook-min-severity", "error"), FilterSettings(min_severity="error")),
    ],
)
def test_the_other_kinds_are_for_every_hook_of_the_command_line(
    read: Read, words: tuple[str, ...], filter: FilterSettings
) -> None:
    hooks = hooks_of(read, MIXED, *LINE, *words)
    assert {id: hook.filter for id, hook in hooks.items()} == {
        "all": NONE, "starry": NONE, "some": NONE, "shell_0": filter, "webhook_0": filter, "stdio": filter,
    }  # fmt: skip
    assert hooks["webhook_0"].event_types == ("*",)


def test_standard_output_that_the_file_asks_for_is_no_hook_of_the_command_line(read: Read) -> None:
    hooks = hooks_of(read, "[hooks]\nstdio_format = json\n", "-hook-script", "*=/bin/sh", "-hook-min-severity", "error")
    assert (hooks["stdio"].filter, hooks["shell_0"].filter) == (NONE, FilterSettings(min_severity="error"))


def test_an_old_binding_and_a_new_list_of_events_work_together(read: Read) -> None:
    hooks = hooks_of(
        read, "", "--hook-script", "connection_accept=/bin/sh", "--hook-stdio-format", "json",
        "--hook-filter-events", "publish_start",
    )  # fmt: skip
    assert hooks["shell_0"] == HookSettings("shell_0", "script", "/bin/sh", ("connection_accept",))
    assert hooks["stdio"] == HookSettings("stdio", "stdio", "json", ("publish_start",))


@proves("--hook-filter-condition")
@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("--hook-filter-condition", "data.bitrate"), "is not a condition", "FIELD OPERATOR VALUE"),
        (("--hook-rate-limit", "10"), "not a rate", "10/1m"),
        (("--hook-rate-burst", "0", "--hook-rate-limit", "1/s"), "too small", "least is 1"),
        (("--hook-rate-burst", "5"), "needs a rate limit", "-hook-rate-limit"),
        (("--hook-min-severity", "loud"), "not one of the words", "warning"),
    ],
)
def test_a_wrong_filter_flag_is_an_error_at_the_flag(
    refuse: Refuse, words: tuple[str, ...], message: str, hint: str
) -> None:
    (problem,) = refuse("", "-hook-script", "*=/bin/sh", *words)
    assert (problem.where, problem.key, problem.text) == (words[0], "", words[1])
    assert message in problem.message and hint in problem.hint


@proves("--hook-min-severity")
def test_a_flag_that_restricts_no_hook_is_a_warning(read: Read) -> None:
    text = "[hooks]\n[[a]]\ntype = stdio\nevent_types = play_start\n"
    loaded = read(text, "-hook-filter-events", "publish_start", "-hook-min-severity", "error")
    assert [(w.where, w.message) for w in loaded.warnings] == [
        ("-hook-filter-events", "restricts no hook"),
        ("-hook-min-severity", "restricts no hook"),
    ]


def test_an_unknown_event_in_the_list_is_a_warning_with_the_nearest_name(read: Read) -> None:
    (warning,) = read("", "-hook-stdio-format", "json", "-hook-filter-events", "publish_strat,play_*").warnings
    assert warning.where == "-hook-filter-events" and 'did you mean "publish_start"' in warning.hint


def test_without_filters_nothing_is_filtered(read: Read) -> None:
    hooks = hooks_of(read, MIXED, *LINE, "-hook-filter-events", "", "-hook-filter-streams", "", "-hook-rate-limit", "")
    assert hooks == hooks_of(read, MIXED, *LINE)
    assert all(hook.filter == NONE for hook in hooks.values())
