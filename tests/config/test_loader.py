"""Files, conf.d, references and flags become settings; everything wrong is reported at once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from rtmpd.config import flags, lines
from rtmpd.config.lines import header
from rtmpd.config.loader import load
from rtmpd.errors import ConfigError
from rtmpd.settings import Address, AppSettings, Settings
from tests.support.proof import proves

from .conftest import Read, Refuse


def test_an_empty_file_gives_the_defaults_of_the_slices(read: Read) -> None:
    assert read("").settings == Settings()


def test_no_file_gives_the_defaults_too() -> None:
    assert load(flags.parse([])).settings == Settings()


@proves("server.park_idle_players", "log.format")
def test_every_kind_of_value_arrives(read: Read) -> None:
    settings = read(
        """
[server]
listen = :1935, [::1]:19350
window_ack = 5M
park_idle_players = no
[limits]
message_size = 1M
ping_interval = 1m
[apps]
served = live, vod*
flush = window
flush_window = 20ms
[log]
level = warn
format = json
"""
    ).settings
    assert settings.server.listen == (Address("", 1935), Address("::1", 19350))
    assert settings.server.window_ack_bytes == 5 << 20
    assert settings.server.park_idle_players is False
    assert settings.limits == replace(Settings().limits, message_bytes=1 << 20, ping_interval_s=60.0)
    assert settings.apps.served == ("live", "vod*")
    assert settings.apps.default == AppSettings(flush="window", flush_window_ms=20)
    assert (settings.log.level, settings.log.format) == ("warning", "json")


def test_an_application_overrides_only_what_it_names(read: Read) -> None:
    apps = read("[apps]\nbacklog_size = 1M\n[[vod/eu]]\nplay_waits = no\n[[live]]\nbacklog_size = 2M").settings.apps
    assert apps.of("vod/eu") == AppSettings(backlog_bytes=1 << 20, play_waits=False)
    assert apps.of("live") == AppSettings(backlog_bytes=2 << 20)
    assert apps.of("else") == AppSettings(backlog_bytes=1 << 20)


# --- several files ------------------------------------------------------------------------------


def test_conf_d_is_read_in_name_order_and_the_later_wins(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tmp_path / "conf.d"
    parts.mkdir()
    (parts / "20.ini").write_text("[log]\nlevel = error\n")
    (parts / "10.ini").write_text("[log]\nlevel = debug\nformat = json\n[apps]\n[[live]]\nplay_waits = no\n")
    (parts / ".hidden.ini").write_text("nonsense")
    (parts / "30.ini.bak").write_text("nonsense")
    monkeypatch.setattr(os, "listdir", lambda _: ["30.ini.bak", "20.ini", ".hidden.ini", "10.ini"])
    settings = read("[log]\nlevel = info\nfile = x.log\n[apps]\n[[live]]\nmax_players = 3\n").settings
    assert (settings.log.level, settings.log.format) == ("error", "json")
    assert settings.log.file == str(tmp_path / "x.log")
    assert settings.apps.of("live") == AppSettings(max_players=3, play_waits=False)


def test_a_problem_names_the_file_that_won(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.ini").write_text("\n[log]\nlevel = loud\n")
    (problem,) = refuse("[log]\nlevel = info\n")
    assert problem.where == f"{tmp_path}/conf.d/a.ini:3"


def test_a_list_of_a_later_file_replaces_and_does_not_append(read: Read, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.ini").write_text("[apps]\nserved = c\n")
    assert read("[apps]\nserved = a, b\n").settings.apps.served == ("c",)


def test_a_relative_path_starts_from_the_file_that_names_it(read: Read, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "hook.sh").write_text("")
    (tmp_path / "conf.d" / "a.ini").write_text("[hooks]\n[[ops]]\ntype = script\npath = hook.sh\n")
    assert read("").settings.hooks.hooks[0].target == str(tmp_path / "conf.d" / "hook.sh")


def test_a_missing_file_is_an_error_and_not_an_empty_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.ini: cannot be read: No such file"):
        load(flags.parse(["-c", str(tmp_path / "none.ini")]))


def test_a_directory_is_not_a_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(flags.parse(["-c", str(tmp_path)]))


# --- all problems at once -----------------------------------------------------------------------


def test_every_problem_is_reported_with_its_place_text_and_hint(refuse: Refuse, tmp_path: Path) -> None:
    problems = refuse(
        """[server]
listen = 1935
chunk_siez = 4096
[limit]
x = 1
[log]
level = loud
format = "json
[[part]]
""",
        "-chunk-size",
        "big",
    )
    file = tmp_path / "rtmpd.ini"
    assert {(p.where, p.key, p.text) for p in problems} == {
        (f"{file}:2", "server.listen", "1935"),
        (f"{file}:3", "server.chunk_siez", "4096"),
        (f"{file}:4", "limit", "[limit]"),
        (f"{file}:7", "log.level", "loud"),
        (f"{file}:8", "log.format", '"json'),
        (f"{file}:9", "log.part", "[[part]]"),
        ("-chunk-size", "server.chunk_size", "big"),
    }
    assert all(p.hint or p.key == "log.part" for p in problems)
    hints = {p.key: p.hint for p in problems}
    assert hints["server.chunk_siez"] == 'did you mean "chunk_size"?'
    assert hints["limit"] == 'did you mean "limits"?'


def test_problems_come_file_by_file_and_line_by_line(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.ini").write_text("[nope]\n")
    (tmp_path / "conf.d" / "a.ini").write_text("\n\n\n\n\n\n\n\n[nope]\n[none]\n")
    problems = refuse("[log]\nfile = ${X}\n[server]\nlisten = a#b\ntls_key = x\n")
    places = [p.where.removeprefix(f"{tmp_path}/") for p in problems]
    assert places == ["conf.d/a.ini:10", "conf.d/b.ini:1", "rtmpd.ini:2", "rtmpd.ini:4", "rtmpd.ini:5", "rtmpd.ini:5"]


def test_no_problem_shows_the_secrets_of_a_url(refuse: Refuse) -> None:
    url = "https://me:s3cret@h/x?token=s3cret&x=s3cret"
    text = f"[hooks]\n[[a]]\ntype = webhook\nurl = {url},b\nurl2 = {url}#x\n[log]\nfile = x\nfile = {url}\nhttps://me:s3cret@h\n"
    problems = refuse(text, "-hook-webhook", url, "-hook-script", f"={url}", url)
    assert len(problems) == 7
    assert "s3cret" not in str([str(p) for p in problems])


def test_lines_that_do_not_parse_are_all_reported(refuse: Refuse, tmp_path: Path) -> None:
    problems = refuse("[log]\nnonsense\nlevel = info\nlevel = debug\n[log]\nlevel = loud\n[[[deep]]]\n")
    found = {(p.where.rpartition(":")[2], p.message.split(" (")[0]) for p in problems}
    assert found == {
        ("2", "invalid line"),
        ("4", "duplicate keyword name"),
        ("5", "duplicate section name"),
        ("6", "duplicate keyword name"),
        ("7", "section too nested"),
    }


def test_a_key_below_a_header_that_did_not_parse_is_not_counted_to_the_section_above(refuse: Refuse) -> None:
    problems = refuse("[log]\n[[[hooks]]]\ntimeout = 3s\n")
    assert [p.message for p in problems] == ["section too nested"]


def test_a_key_outside_every_section_is_an_error(refuse: Refuse) -> None:
    (problem,) = refuse("listen = :1935\n[log]\n")
    assert problem.hint == "put it below a [section]"


def test_a_default_section_has_no_special_meaning(refuse: Refuse) -> None:
    (problem,) = refuse("[DEFAULT]\nlevel = info\n")
    assert problem.message == "no such section"


def test_a_section_and_a_key_are_not_mixed_up(refuse: Refuse) -> None:
    problems = refuse("server = :1935\n[limits]\n[[connections]]\nx = 1\n")
    hints = {problem.key: problem.hint for problem in problems}
    assert hints == {"server": "write [server]", "limits.connections": "write connections = ..."}


def test_an_unknown_key_of_an_application_is_an_error(refuse: Refuse) -> None:
    problems = refuse("[apps]\n[[live]]\nflsh = window\nserved = x\n[[[deep]]]\n")
    assert [p.key for p in problems] == ["apps.live.flsh", "apps.live.served", "apps.live.deep"]


# --- what configobj would read otherwise than meant ---------------------------------------------


def test_a_hash_without_a_space_before_it_is_not_cut_off_silently(refuse: Refuse) -> None:
    (problem,) = refuse("[log]\nfile = /var/log/a#1.log\n")
    assert problem.text == "/var/log/a#1.log"
    assert "#" in problem.message and "quote" in problem.hint


def test_a_quoted_hash_and_a_comment_are_read_as_meant(read: Read) -> None:
    assert read('[log]\nfile = "/var/log/a#1.log" # c\n').settings.log.file == "/var/log/a#1.log"


def test_an_unquoted_comma_in_one_string_is_an_error_that_says_to_quote(refuse: Refuse) -> None:
    (problem,) = refuse("[hooks]\n[[a]]\ntype = webhook\nurl = http://h/?a=1,2\n")
    assert problem.key == "hooks.a.url"
    assert problem.text == "http://h/?a=***"
    assert problem.hint == "quote values that contain a comma"


def test_a_quoted_comma_is_part_of_the_string(read: Read) -> None:
    text = '[hooks]\n[[a]]\ntype = webhook\nurl = "http://h/?a=1,2"\n'
    assert read(text).settings.hooks.hooks[0].target == "http://h/?a=1,2"


def test_no_interpolation_but_our_own(read: Read, refuse: Refuse) -> None:
    settings = read("[log]\nfile = %(level)s-$level-${NAME:-x}-$$\n", environ={"NAME": "n"}).settings
    assert os.path.basename(settings.log.file) == "%(level)s-$level-n-$"
    (problem,) = refuse("[log]\nfile = ${NONE}\n")
    assert problem.key == "log.file" and problem.text == "${NONE}"


def test_the_content_of_a_file_may_hold_commas_and_is_not_shown_in_problems(
    read: Read, refuse: Refuse, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("http://h/?token=a,b#c\n")
    text = "[hooks]\n[[a]]\ntype = webhook\nurl = ${file:url}\n"
    assert read(text).settings.hooks.hooks[0].target == "http://h/?token=a,b#c"
    (tmp_path / "url").write_text("s3cret\n")
    (problem,) = refuse(text)
    assert "s3cret" not in str(problem) and "${file:url}" in str(problem)


def test_a_line_over_4_kb_never_reaches_the_parser(refuse: Refuse) -> None:
    (problem,) = refuse("[log]\n" + "[" * 5000 + "\n")
    assert problem.where.endswith(":2") and "longer than" in problem.message


def test_a_file_over_1_mb_is_refused(refuse: Refuse) -> None:
    (problem,) = refuse("# comment\n" * (lines.MAX_FILE_BYTES // 10 + 1))
    assert "larger than" in problem.message


def test_a_long_list_with_an_open_quote_is_an_error_and_not_a_hang(refuse: Refuse) -> None:
    names = ", ".join(f"name_{n}" for n in range(40))
    (problem,) = refuse(f'[apps]\nserved = {names}, "open\n')
    assert problem.message == "has a quote that is not closed"


def test_5000_applications_are_read(read: Read) -> None:
    text = "[apps]\n" + "".join(f"[[app{n}]]\nmax_players = {n}\n" for n in range(5000))
    assert read(text).settings.apps.of("app4999").max_players == 4999


def test_text_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_bytes(b"[log]\nfile = \xff\n")
    with pytest.raises(ConfigError, match=rf"{file}:2: is not UTF-8 text"):
        load(flags.parse(["-c", str(file)]))


def test_a_byte_order_mark_windows_line_ends_and_form_feeds_are_harmless(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_bytes("\ufeff[log]\r\nlevel = error # ü\x0c no line\r\n".encode())
    assert load(flags.parse(["-c", str(file)])).settings.log.level == "error"


def test_a_value_over_several_lines_does_not_shift_the_numbers(refuse: Refuse) -> None:
    (problem,) = refuse("[log]\nfile = '''/a\n/b'''\nlevel = loud\n")
    assert problem.where.endswith(":4")


# --- values that must fit together --------------------------------------------------------------


@proves("server.tls_key")
def test_tls_takes_listener_certificate_and_key_or_none(refuse: Refuse, read: Read, tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    tls = {"tls_listen": ":1936", "tls_cert": "cert.pem", "tls_key": "key.pem"}
    for missing in tls:
        text = "[server]\n" + "".join(f"{key} = {value}\n" for key, value in tls.items() if key != missing)
        (problem,) = refuse(text)
        assert missing in problem.message
    settings = read("[server]\n" + "".join(f"{key} = {value}\n" for key, value in tls.items())).settings
    assert settings.server.listen == (Address(), Address("", 1936, tls=True))
    assert settings.server.tls.cert == str(tmp_path / "cert.pem")


@pytest.mark.parametrize("section", ["server", "http", "playback"])
def test_a_private_key_that_everybody_can_read_is_a_warning(read: Read, tmp_path: Path, section: str) -> None:
    key = tmp_path / "key.pem"
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    text = f"[{section}]\ntls_listen = 127.0.0.1:1\ntls_cert = cert.pem\ntls_key = key.pem\n"
    key.chmod(0o640)
    assert read(text).warnings == ()
    key.chmod(0o644)
    (warning,) = read(text).warnings
    assert (warning.key, warning.hint) == (f"{section}.tls_key", f"chmod o-r {key}")
    assert warning.message == f"{key} holds a private key, and everybody can read it"


@proves("server.tls_listen", "server.tls_cert")
def test_a_certificate_must_be_readable(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("")
    (problem,) = refuse("[server]\ntls_listen = :1936\ntls_cert = none.pem\ntls_key = key.pem\n")
    assert problem.key == "server.tls_cert" and "No such file" in problem.message


@pytest.mark.parametrize(
    "listen", [":1935, :1935", ":1935, 127.0.0.1:1935", "h:1, h:1", "[::1]:5, *:5"]
)
def test_two_listeners_do_not_share_an_address(refuse: Refuse, listen: str) -> None:
    (problem,) = refuse(f"[server]\nlisten = {listen}\n")
    assert "twice" in problem.message


def test_free_ports_and_different_hosts_are_not_the_same_address(read: Read) -> None:
    assert len(read("[server]\nlisten = h:0, h:0, a:1, b:1\n").settings.server.listen) == 4


@proves("server.listen")
def test_there_is_something_to_listen_on(refuse: Refuse) -> None:
    (problem,) = refuse('[server]\nlisten = ""\n')
    assert problem.key == "server.listen"


@proves("limits.reassembly_size")
def test_one_message_fits_into_the_reassembly_limit(refuse: Refuse) -> None:
    (problem,) = refuse("[limits]\nmessage_size = 2M\nreassembly_size = 1M\n")
    assert problem.key == "limits.reassembly_size"


def test_an_application_is_named_exactly(refuse: Refuse) -> None:
    (problem,) = refuse("[apps]\n[[live*]]\nflush = window\n")
    assert "served" in problem.hint


@pytest.mark.parametrize(
    "name", ["record", "served", "push", "publish_access", "a b", "a#b", "a]b", "it's", 'a "b"', "a=b", "[x", "\u0436"]
)
def test_an_application_may_bear_any_name(read: Read, name: str) -> None:
    text = f"[apps]\nserved = *\nrecord = off\n{header(name, 2)}  # it's [\nmax_players = 3\n[log]\nlevel = debug\n"
    settings = read(text).settings
    assert [(app, one.max_players) for app, one in settings.apps.named] == [(name, 3)]
    assert (settings.apps.default.max_players, settings.log.level) == (0, "debug")


def test_a_section_that_stands_twice_is_shown_as_it_was_written(refuse: Refuse) -> None:
    (problem,) = refuse("[apps]\n[[live]]\nmax_players = 1\n[[live]]\n")
    assert problem.where.endswith(":4") and problem.text == "[[live]]"
