"""Log lines."""

import io
import json
import logging
import os
import re

import pytest

from rtmpd import log
from rtmpd.clock import FakeClock
from rtmpd.log import JsonFormatter, TextFormatter, Throttle, configure, logger, redact
from rtmpd.settings import LogSettings


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def lines(tmp_path, clock):
    """Configures the log to a file; gives what configures it anew and what reads its lines."""
    path = tmp_path / "rtmpd.log"
    root, ours = logging.getLogger(), logging.getLogger("rtmpd")
    before = root.level, ours.level

    def start(**settings):
        configure(LogSettings(file=str(path), **settings), clock)
        return lambda: path.read_text().splitlines()

    yield start
    for handler in [handler for handler in root.handlers if isinstance(handler, log._Output)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(before[0])
    ours.setLevel(before[1])


def text(message="happened", fields=None, name="rtmpd.server", created=1795341600.1239):
    record = logging.LogRecord(name, logging.INFO, "", 0, message, (), None)
    record.created = created
    record.fields = fields or {}
    return record


def test_a_text_line_is_time_level_source_message_and_fields():
    record = text("connection registered", {"conn_id": "c000001", "peer_addr": "192.0.2.7:50123"})
    assert TextFormatter().format(record) == (
        "2026-11-22T10:00:00.123Z INFO server: connection registered conn_id=c000001 peer_addr=192.0.2.7:50123"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("live/ü", "live/ü"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("a=b", '"a=b"'),
        ("back\\slash", '"back\\\\slash"'),
        ("a\nFAKE line", '"a\\nFAKE line"'),
        ("\x1b[31mred\x00\x7f\x85", '"\\x1b[31mred\\x00\\x7f\\x85"'),
        ("\u2028\u202e", '"\\u2028\\u202e"'),
        ("\ud800", '"\\ud800"'),
        (True, "true"),
        (1.5, "1.5"),
        (12, "12"),
        ("x" * 2000, "x" * 1024 + "..."),
    ],
)
def test_values_are_quoted_only_when_they_need_it(value, written):
    assert TextFormatter().format(text(fields={"key": value})).partition(" key=")[2] == written


def test_a_field_that_is_none_is_left_out():
    assert TextFormatter().format(text(fields={"a": None, "b": 1})).endswith(": happened b=1")


def test_a_json_line_holds_the_same():
    record = text("it\n", {"conn_id": "c000001", "count": 3, "ok": True, "level": "high", "size": 1.5, "none": None})
    assert json.loads(JsonFormatter().format(record)) == {
        "time": "2026-11-22T10:00:00.123Z",
        "level": "info",
        "logger": "server",
        "message": "it\n",
        "conn_id": "c000001",
        "count": 3,
        "ok": True,
        "level_": "high",
        "size": "1.5",
    }


def test_a_logger_writes_what_its_level_lets_pass(lines):
    read = lines(level="warning")
    logger("server").info("not this")
    logger("server").warning("this", conn_id="c000001")
    assert [line.partition(" ")[2] for line in read()] == ["WARNING server: this conn_id=c000001"]


def test_where_logging_is_switched_off_errors_are_not_written_either(lines):
    read = lines(level="debug")
    part = logger("server")
    logging.disable(logging.CRITICAL)
    try:
        for say in (part.debug, part.info, part.warning, part.error, part.exception):
            say("not this")
    finally:
        logging.disable(logging.NOTSET)
    assert read() == []


def test_an_exception_brings_its_traceback_and_forges_no_line(lines):
    read = lines()
    try:
        raise ValueError("bad\n2026-11-22T10:00:00.123Z INFO server: forged")
    except ValueError:
        logger("server").exception("failed", conn_id="c000001")
    first, *trace = read()
    assert first.endswith("ERROR server: failed conn_id=c000001")
    assert all(line.startswith("    ") for line in trace)
    assert any("ValueError: bad" in line for line in trace)


def test_an_exception_in_json_stays_on_one_line(lines):
    read = lines(format="json")
    try:
        raise ValueError("bad")
    except ValueError:
        logger("server").exception("failed")
    [line] = read()
    assert "ValueError: bad" in json.loads(line)["traceback"]


def test_records_of_others_come_out_in_the_same_form_without_queries(lines):
    read = lines(level="debug")
    logging.getLogger("urllib3.connectionpool").warning("Retrying: %s", "/hook?token=secret")
    logging.getLogger("urllib3.connectionpool").debug("POST /hook?token=secret")
    assert [line.partition(" ")[2] for line in read()] == [
        "WARNING urllib3.connectionpool: Retrying: /hook?..."
    ]


def test_configuring_again_replaces_the_output(lines):
    lines()
    read = lines(format="json")
    logger("server").info("once")
    assert len(read()) == 1


@pytest.mark.parametrize(
    ("name", "clean"),
    [("live/a?token=x", "live/a"), ("https://h/p?a=b?c", "https://h/p"), ("live/a", "live/a"), ("?x", "")],
)
def test_redact_cuts_the_query(name, clean):
    assert redact(name) == clean


def test_logging_never_raises(lines, monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    read = lines()

    class Unprintable:
        def __str__(self):
            raise RuntimeError("no")

    logger("server").info("unprintable", value=Unprintable())
    logger("server").info("after")
    assert [line.endswith("server: after") for line in read()] == [True]


def test_without_a_file_lines_go_to_stderr(lines, capsys):
    lines()
    configure(LogSettings())
    logger("server").info("hello")
    assert re.fullmatch(r"\S+Z INFO server: hello\n", capsys.readouterr().err)


# --- rotation -------------------------------------------------------------------------------------


def test_after_reopen_lines_go_to_a_new_file(lines, tmp_path):
    read = lines()
    logger("server").info("before")
    os.rename(tmp_path / "rtmpd.log", tmp_path / "rtmpd.log.1")
    logger("server").info("still the old one")
    log.reopen()
    logger("server").info("after")
    assert [line.rpartition(": ")[2] for line in read()] == ["after"]
    old = (tmp_path / "rtmpd.log.1").read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in old] == ["before", "still the old one"]


def test_a_reopen_that_fails_keeps_the_old_file(tmp_path, lines):
    folder = tmp_path / "logs"
    folder.mkdir()
    configure(LogSettings(file=str(folder / "rtmpd.log")))
    folder.rename(tmp_path / "moved")
    log.reopen()
    logger("server").info("after")
    first, second = (tmp_path / "moved" / "rtmpd.log").read_text().splitlines()
    assert "log file cannot be opened" in first
    assert second.endswith("after")


# --- throttle -------------------------------------------------------------------------------------


def messages(records):
    return [(record.msg, record.fields.get("repeated")) for record in records]


def test_what_repeats_too_often_is_held_back_and_summed_up(clock):
    throttle = Throttle(clock, limit=2, window_s=10)
    passed = [messages(throttle.admit(text("same", {"n": number}))) for number in range(5)]
    assert passed == [[("same", None)], [("same", None)], [], [], []]
    clock.advance(10)
    due = throttle.admit(text("same"))
    assert messages(due) == [("same", 3), ("same", None)]
    assert due[0].fields["n"] == 4


def test_the_sum_comes_with_the_next_record_whoever_writes_it(clock):
    throttle = Throttle(clock, limit=1, window_s=10)
    for _ in range(3):
        throttle.admit(text("same"))
    assert messages(throttle.admit(text("other"))) == [("other", None)]
    clock.advance(11)
    assert messages(throttle.admit(text("third"))) == [("same", 2), ("third", None)]


def test_loggers_and_messages_are_throttled_by_themselves(clock):
    throttle = Throttle(clock, limit=1, window_s=10)
    assert throttle.admit(text("a")) and throttle.admit(text("b")) and throttle.admit(text("a", name="rtmpd.net"))
    assert not throttle.admit(text("a"))


def test_debug_is_never_held_back(clock):
    throttle = Throttle(clock, limit=1, window_s=10)
    record = text("a")
    record.levelno = logging.DEBUG
    assert all(throttle.admit(record) == [record] for _ in range(5))


def test_the_memory_of_the_throttle_is_bounded(clock):
    throttle = Throttle(clock)
    for number in range(5000):
        throttle.admit(text(f"message {number}"))
    assert len(throttle._repeats) <= 1001


def test_the_throttle_works_on_the_log_and_tells_its_sums_at_the_end(lines):
    read = lines()
    for _ in range(log.THROTTLE_RECORDS + 5):
        logger("server").error("again", conn_id="c000001")
    assert len(read()) == log.THROTTLE_RECORDS
    for handler in logging.getLogger().handlers:
        if isinstance(handler, log._Output):
            handler.close()
    assert read()[-1].endswith("again conn_id=c000001 repeated=5")
