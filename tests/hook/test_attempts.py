"""The log of attempts, in files and in memory."""

import os
import sqlite3

import pytest

from rtmpd.hook.record import attempts, batches
from rtmpd.hook.record.attempts import Attempt, AttemptLog
from tests.support.waiting import until


@pytest.fixture
def opened(tmp_path):
    """``opened(name, rows)``: a log in a file of the test's folder, in memory if ``name`` is ""."""
    logs = []

    def run(name="attempts.db", rows=1000):
        logs.append(AttemptLog(str(tmp_path / name) if name else "", rows))
        return logs[-1]

    yield run
    for log in logs:
        log.close()


def add(log, event_id, attempt=1, outcome="delivered", hook_id="ops", error="", at=1634567890.5):
    code = "status:503" if error else ""
    log.add(Attempt(hook_id, event_id, "publish_start", attempt, outcome, code, error, 12, "", at))


@pytest.mark.parametrize("name", ["attempts.db", ""])
def test_the_tries_of_an_event_are_told_oldest_first(opened, name):
    log = opened(name)
    add(log, "evt_1", 1, "failed", error="server returned status 503")
    add(log, "evt_2")
    add(log, "evt_1", 2)
    first, second = log.of_event("evt_1")
    assert first == ("ops", "evt_1", "publish_start", 1, "failed", "status:503", "server returned status 503", 12, "",
                     1634567890.5)  # fmt: skip
    assert (second.attempt, second.outcome) == (2, "delivered")
    assert log.of_event("evt_3") == []


def test_the_latest_of_a_hook_come_first(opened):
    log = opened()
    for number in range(10):
        add(log, f"evt_{number}", hook_id="ops" if number % 2 else "office")
    assert [entry.event_id for entry in log.latest("ops", 3)] == ["evt_9", "evt_7", "evt_5"]
    assert [entry.event_id for entry in log.latest("", 2)] == ["evt_9", "evt_8"]


@pytest.mark.parametrize("name", ["attempts.db", ""])
def test_there_are_no_more_rows_than_asked_for(opened, name):
    log = opened(name, 50)
    for turn in range(10):
        for number in range(20):
            add(log, f"evt_{turn * 20 + number}")
        log.latest("", 1)
    entries = log.latest("", 1000)
    assert [entry.event_id for entry in entries] == [f"evt_{number}" for number in range(199, 149, -1)]


def test_memory_has_a_bound_of_its_own(opened, monkeypatch):
    monkeypatch.setattr(attempts, "MEMORY_ROWS", 5)
    log = opened("", 1000)
    for number in range(20):
        add(log, f"evt_{number}")
    assert len(log.latest("", 1000)) == 5


def test_a_long_error_is_cut(opened):
    log = opened()
    add(log, "evt_1", error="x" * 10_000)
    assert log.of_event("evt_1")[0].error == "x" * 500


def test_entries_are_written_without_being_asked_for(opened, tmp_path):
    log = opened()
    add(log, "evt_1")
    until(lambda: rows_in(tmp_path / "attempts.db") == 1)
    for number in range(2000):
        add(log, f"evt_{number}")
    until(lambda: rows_in(tmp_path / "attempts.db") == 1000)


def rows_in(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM attempt").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_entries_survive_a_restart(opened):
    log = opened()
    add(log, "evt_1")
    log.close()
    log = opened()
    add(log, "evt_1", 2)
    assert [entry.attempt for entry in log.of_event("evt_1")] == [1, 2]


def test_only_we_may_read_the_file(opened, tmp_path):
    log = opened()
    add(log, "evt_1")
    log.close()
    assert os.stat(tmp_path / "attempts.db").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_broken_is_moved_aside(opened, tmp_path, caplog, content):
    (tmp_path / "attempts.db").write_bytes(content)
    log = opened()
    add(log, "evt_1")
    assert len(log.of_event("evt_1")) == 1 and not log.dropped
    assert (tmp_path / "attempts.db.broken").read_bytes() == content
    assert any("a new one is begun" in str(row.fields["problem"]) for row in caplog.records)


def test_a_file_that_breaks_in_the_middle_is_moved_aside(opened, tmp_path, caplog):
    log = opened()
    for number in range(1000):
        add(log, f"evt_{number}", error="x" * 400)
    log.close()
    size = os.path.getsize(tmp_path / "attempts.db")
    with open(tmp_path / "attempts.db", "r+b") as file:
        file.seek(size // 4)
        file.write(b"\xff" * (size // 2))
    log = opened()
    add(log, "evt_new")
    assert [entry.event_id for entry in log.latest("", 10)] == ["evt_new"]


def test_a_file_of_another_version_is_moved_aside(opened, tmp_path):
    with sqlite3.connect(tmp_path / "attempts.db") as connection:
        connection.executescript("CREATE TABLE attempt (other); PRAGMA user_version = 99")
    log = opened()
    add(log, "evt_1")
    assert len(log.of_event("evt_1")) == 1 and (tmp_path / "attempts.db.broken").exists()


def test_where_no_file_can_be_attempts_are_kept_in_memory(opened, caplog):
    log = opened("no/such/folder/attempts.db")
    add(log, "evt_1")
    assert len(log.of_event("evt_1")) == 1
    assert any("kept in memory" in str(row.fields["problem"]) for row in caplog.records)


def test_while_the_thread_hangs_adding_never_waits_and_memory_is_bounded(opened, monkeypatch):
    its_end, our_end = os.pipe()  # a lock of the standard library is one for greenlets here
    write = attempts._File.write
    monkeypatch.setattr(attempts._File, "write", lambda *batch: (os.read(its_end, 1), write(*batch))[1])
    log = opened()
    add(log, "evt_0")
    until(lambda: not log._writer.pending)
    for number in range(batches.MAX_PENDING + 10):
        add(log, f"evt_{number}")
    assert log.dropped == 10 and log._writer.pending == batches.MAX_PENDING
    os.close(our_end)  # however many writes there are, none of them waits any more
    until(lambda: not log._writer.pending)
    log.close()
    os.close(its_end)


def test_what_comes_after_the_end_is_counted(opened):
    log = opened()
    log.close()
    add(log, "evt_1")
    assert log.dropped == 1 and log.of_event("evt_1") == []
    log.close()


def test_a_bug_in_the_writing_loses_a_batch_not_the_log(opened, monkeypatch, caplog):
    bugs = [True]
    write = attempts._File.write
    monkeypatch.setattr(attempts._File, "write", lambda *batch: 1 / 0 if bugs else write(*batch))
    log = opened()
    add(log, "evt_1")
    until(lambda: log.dropped == 1)
    bugs.clear()
    add(log, "evt_2")
    assert [entry.event_id for entry in log.latest("", 10)] == ["evt_2"]
    assert any(row.message == "Attempt log failed" for row in caplog.records)
