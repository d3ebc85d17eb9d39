"""``rtmpd migrate`` as it is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtmpd import cli

NGINX = "rtmp { server { listen 1935; application live { live on; exec_publish /bin/echo $name; pull rtmp://x/y; } } }"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf"
    path.write_text(NGINX)
    return path


def test_the_result_passes_the_test_of_rtmpd(conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rtmpd.ini"
    assert cli.main(["migrate", "nginx", str(conf), "-o", str(out)]) == 1
    told = capsys.readouterr().err
    assert f"rtmpd migrate: {conf}:1: pull: no equivalent: " in told
    assert told.splitlines()[-1].endswith("1 differ, 1 have no equivalent")
    assert cli.main(["-t", "-c", str(out)]) == os.EX_OK
    assert os.access(tmp_path / "scripts" / "live-exec_publish.sh", os.X_OK)
    assert os.stat(out).st_mode & 0o007 == 0


def test_without_a_file_all_of_it_goes_to_standard_output(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "nginx", str(conf)]) == 1
    out = capsys.readouterr().out
    assert "[[live-exec_publish]]" in out
    assert '# exec "/bin/echo" "${name}"' in out


def test_flags_come_after_two_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "flags", "--", "-hook-webhook", "publish_start=https://a.example/"]) == os.EX_OK
    assert "url = https://a.example/  # -hook-webhook" in capsys.readouterr().out


def test_a_file_that_is_there_is_not_written_over(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "nginx", str(conf), "-o", str(conf)]) == os.EX_CANTCREAT
    assert conf.read_text() == NGINX
    assert capsys.readouterr().err == f"rtmpd migrate: {conf}: File exists\n"


def test_a_file_that_is_wrong_is_an_error_of_configuration(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text("rtmp {")
    assert cli.main(["migrate", "nginx", str(conf)]) == os.EX_CONFIG
    assert capsys.readouterr().err == f"rtmpd migrate: {conf}:1: has a {{ that nothing closes\n"


def test_what_the_check_refuses_is_noted_at_the_line_of_the_source(
    conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf.write_text("rtmp { server {\n  application a { live on; record all;\n    record_path /none; }\n} }\n")
    out = tmp_path / "rtmpd.ini"
    assert cli.main(["migrate", "nginx", str(conf), "-o", str(out)]) == os.EX_OK
    said = capsys.readouterr().err.splitlines()
    assert f"{conf}:3: apps.a.record_dir: differs: rtmpd -t refuses the file: /none is not a directory" in said[0]
    assert "rtmpd -t refuses the file: /none is not a directory" in out.read_text()
    assert cli.main(["-t", "-c", str(out)]) == os.EX_CONFIG


def test_a_variable_of_a_template_is_a_reference(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text("rtmp { server { listen ${RTMP_TEST_PORT}; application live { live on; } } }\n")
    assert cli.main(["migrate", "nginx", str(conf)]) == os.EX_OK
    said = capsys.readouterr()
    assert "listen = :${RTMP_TEST_PORT}  #" in said.out
    assert f"{conf}:1: listen: differs: takes RTMP_TEST_PORT from the environment of rtmpd" in said.err


@pytest.mark.parametrize("words", [["migrate"], ["migrate", "apache", "x"], ["migrate", "nginx"]])
def test_a_wrong_command_line_is_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
