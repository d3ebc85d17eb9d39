"""The words of the command line."""

from __future__ import annotations

import pytest

from rtmpd.config import flags
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


@proves("--tls-cert", "--tls-key")
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
def test_what_is_asked_for_is_known_by_each_of_its_names(words: tuple[str, ...], name: str) -> None:
    command_line = flags.parse(words)
    switches = ("test", "dump", "version", "print_defaults", "print_schema", "help")
    asked = {switch for switch in switches if getattr(command_line, switch)}
    assert asked == {name} and not command_line.problems


def test_a_switch_can_be_switched_off() -> None:
    assert flags.parse(["-version=false", "-daemon=false"]) == flags.CommandLine()


@proves("daemon.background")
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


@proves("--tls-listen")
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
    assert complaints("-record-all", "-record-dir", "x", "--relay-to=rtmp://h/a", "-srt-listen", ":1") == [
        "-record-all: recording is set up in the configuration file, [apps]",
        "-record-dir: recording is set up in the configuration file, [apps]",
        "--relay-to: relaying is set up in the configuration file, [apps]",
        "-srt-listen: SRT is not offered by rtmpd",
    ]


@proves("--foreground")
def test_a_word_that_is_no_flag_is_an_error_with_advice() -> None:
    assert complaints("my.ini", "-f", "publish", "--", "-listen") == [
        '"my.ini" is no flag; write -c my.ini',
        '"publish" is no flag; publish comes first: rtmpd publish ...',
        '"-listen" is no flag; rtmpd takes flags only; see rtmpd --help',
    ]


@proves("--test")
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
