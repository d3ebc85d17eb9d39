"""The words of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.errors import ConfigError
from rtmpd.settings import Address
from tests.support.proof import proves

from .conftest import Read, Refuse


def complaints(*words: str) -> list[str]:
    return [str(problem) for problem in flags.parse(words).problems]


@pytest.mark.parametrize(
    "words", [("-listen", ":7"), ("--listen", ":7"), ("-listen=:7",), ("--listen=:7",)]
)
def test_a_flag_takes_one_or_two_dashes_and_a_space_or_an_equals_sign(read: Read, words: tuple[str, ...]) -> None:
    assert read("[server]\nlisten = :8\n", *words).settings.server.listen == (Address("", 7),)


@proves("--tls-listen", "--tls-cert", "--tls-key", "--log-level")
def test_the_flags_of_the_existing_server_set_the_same_things(read: Read, tmp_path: object) -> None:
    settings = read(
        "", "-listen", "[::1]:1", "-log-level", "warn", "-chunk-size", "60000",
        "-tls-listen", ":2", "-tls-cert", "/dev/null", "-tls-key", "/dev/null",
    ).settings  # fmt: skip
    assert settings.server.listen == (Address("::1", 1), Address("", 2, tls=True))
    assert settings.server.tls.cert == "/dev/null"
    assert settings.server.chunk_size_bytes == 60000
    assert settings.log.level == "warning"


def test_the_last_of_two_equal_flags_wins(read: Read) -> None:
    assert read("", "-log-level", "debug", "-log-level", "error").settings.log.level == "error"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("-t",), "test"), (("--test",), "test"), (("-T",), "dump"), (("-V",), "version"), (("-version",), "version"),
        (("--version",), "version"), (("-version=true",), "version"), (("--print-defaults",), "print_defaults"),
        (("--print-schema",), "print_schema"),
        (("-h",), "help"), (("-help",), "help"), (("--help",), "help"),
    ],
)  # fmt: skip
@proves("--test", "--dump", "--help")
def test_what_is_asked_for_is_known_by_each_of_its_names(words: tuple[str, ...], name: str) -> None:
    command_line = flags.parse(words)
    switches = ("test", "dump", "version", "print_defaults", "print_schema", "help")
    asked = {switch for switch in switches if getattr(command_line, switch)}
    assert asked == {name} and not command_line.problems


def test_a_switch_can_be_switched_off() -> None:
    assert flags.parse(["-version=false", "-daemon=false"]) == flags.CommandLine()


@proves("daemon.background", "--daemon", "--foreground")
@pytest.mark.parametrize(
    ("words", "background"),
    [([], False), (["-d"], True), (["--daemon"], True), (["--daemon", "-f"], False), (["-foreground"], False)],
)
def test_the_last_word_on_the_background_wins(read: Read, words: list[str], background: bool) -> None:
    assert read("", *words).settings.daemon.background is background
    assert read("[daemon]\nbackground = yes", *words).settings.daemon.background is (background or not words)


@proves("--config")
def test_the_configuration_file_is_named_by_c_or_config() -> None:
    assert flags.parse(["-c", "a.ini"]).config == "a.ini"
    assert flags.parse(["--config=b.ini"]).config == "b.ini"


@pytest.mark.parametrize("word", ["-tls-lsten", "-list", "-ca.ini", "-tT", "--demon", "-x", "---listen"])
def test_there_are_no_abbreviations_and_no_bundles(word: str) -> None:
    (complaint,) = complaints(word)
    assert complaint.startswith(f"{word}: no such flag; ")


def test_a_typing_error_gets_its_nearest_name() -> None:
    assert complaints("-tls-lsten=:1") == ['-tls-lsten: no such flag; did you mean "tls-listen"?']


def test_a_value_that_is_missing_is_not_taken_from_the_next_flag() -> None:
    assert complaints("-listen", "-log-level", "debug", "-c") == [
        "-listen: needs a value; write -listen ADDRESS",
        "-c: needs a value; write -c FILE",
    ]


def test_a_value_may_begin_with_a_dash() -> None:
    assert flags.parse(["-c", "-odd.ini"]).config == "-odd.ini"


def test_parts_that_do_not_exist_yet_say_so() -> None:
    assert complaints("-srt-listen", ":1", "--srt-latency=5", "-record-all", "maybe", "-auth-mode", "x") == [
        "-srt-listen: SRT is not offered by rtmpd",
        "--srt-latency: SRT is not offered by rtmpd",
        "-record-all: is neither true nor false (found 'maybe'); write -record-all true",
        "-auth-mode: is not a mode of access (found 'x'); write none, token, file or callback",
        "-auth-mode: is not a mode of access (found 'x'); write none, token, file or callback",
    ]


def test_a_word_that_is_no_flag_is_an_error_with_advice() -> None:
    assert complaints("my.ini", "-f", "publish", "--", "-listen") == [
        '"my.ini" is not a flag; write -c my.ini',
        '"publish" is not a flag; publish comes first: rtmpd publish ...',
        '"-listen" is not a flag; rtmpd takes flags only; see rtmpd --help',
    ]


def test_a_switch_takes_no_value() -> None:
    assert complaints("-t=maybe") == ["-t: is a switch and takes no value (found 'maybe')"]


@proves("--chunk-size")
def test_problems_of_flags_and_files_come_together(refuse: Refuse) -> None:
    problems = refuse("[log]\nlevel = loud\n", "-nope", "-chunk-size", "0")
    assert [p.where.rpartition("/")[2] for p in problems] == ["-nope", "-chunk-size", "rtmpd.ini:2"]


def test_the_help_names_every_flag_with_the_help_of_its_option() -> None:
    text = flags.parser().format_help()
    assert all(f"--{flag.name}" in text for flag in flags.FLAGS.values())
    assert "Size of the chunks that rtmpd sends." in text


@proves("--record-all", "--record-dir", "--segment-duration", "--segment-pattern", "--relay-to")
def test_recording_and_relay_as_go_rtmp_has_them(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = read("", "-record-all", "true").settings.apps.default
    assert (app.record, app.record_dir, app.segment_duration_s) == ("all", "recordings", 0.0)
    assert app.record_path == "{app}_{name}_{time:%Y%m%d_%H%M%S}.flv"
    assert read("", "-record-all", "no").settings.apps.default.record == "off"
    words = ["-record-all=1", "-record-dir", str(tmp_path), "-segment-duration", "2h"]
    words += ["-segment-pattern", "%s/%D-%03d%%"]
    app = read("", *words, "--relay-to", "rtmp://a/x/y,rtmp://b/x", "--relay-to=rtmp://c/x").settings.apps.default
    assert (app.record_dir, app.segment_duration_s) == (str(tmp_path), 7200.0)
    assert app.record_path == "{app}_{name}/{time:%d}-{segment:03d}%.flv"
    assert app.push == ("rtmp://a/x/y", "rtmp://b/x", "rtmp://c/x")


@proves("--auth-mode", "--auth-token", "--auth-file", "--auth-callback", "--auth-callback-timeout", "--metrics-addr")
def test_access_and_metrics_as_go_rtmp_has_them(read: Read, tmp_path: Path) -> None:
    apps = read("", "-auth-mode", "token", "-auth-token", "live/[a]=t=1", "--auth-token=live/b=u").settings.apps.default
    assert apps.publish_access == apps.play_access == ("token",)
    assert [(one.token, one.streams) for one in apps.play_tokens] == [("t=1", "live/[[]a]"), ("u", "live/b")]
    (tmp_path / "tokens.json").write_text('{"live/a": "s3cret"}')
    settings = read("", "-auth-mode", "file", "-auth-file", str(tmp_path / "tokens.json")).settings
    assert [(one.token, one.streams, one.actions) for one in settings.access.file_tokens] == [
        ("s3cret", "live/a", ("publish", "play"))
    ]
    words = ["-auth-mode", "callback", "-auth-callback", "http://h/may", "-auth-callback-timeout", "2s"]
    settings = read("", *words, "-metrics-addr", "127.0.0.1:8080").settings
    assert (settings.apps.default.callback_url, settings.access.callback_timeout_s) == ("http://h/may", 2.0)
    assert [str(address) for address in settings.http.listen] == ["127.0.0.1:8080"]


def test_a_file_of_yaml_is_refused_with_the_way_to_migrate_it() -> None:
    with pytest.raises(ConfigError, match=r"hooks\.yaml is YAML.*rtmpd migrate hooks-yaml hooks\.yaml -o rtmpd\.ini"):
        load(flags.parse(["-c", "hooks.yaml"]))


def test_what_others_must_not_see_is_known() -> None:
    words = ["-hook-auth-api-key", "one", "--auth-token=live/a=two", "-listen", ":1"]
    words += ["-hook-webhook", "*=http://u:three@h/"]
    assert flags.parse(words).secrets == ("one", "live/a=two", "*=http://u:three@h/")
