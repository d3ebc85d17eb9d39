"""The audit trail: that it is written, and that whatever is done to it shows."""

import gzip
import json
import os
import subprocess
import sys

import gevent
import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.errors import StartError
from rtmpd.hook.record import audit, batches, chain
from rtmpd.hook.record.audit import AuditTrail
from rtmpd.hook.record.audit_check import verify
from rtmpd.settings import AuditSettings
from tests.support.waiting import until

KEY = "correct horse battery staple"


@pytest.fixture
def trail(tmp_path, monkeypatch):
    """``trail(scope)``: a trail in audit.jsonl of the test's folder."""
    monkeypatch.setattr(batches, "BATCH_S", 0.0)
    monkeypatch.setenv("RTMPD_AUDIT_KEY", KEY)
    trails = []

    def run(scope="all", name="audit.jsonl", clock=None):
        trails.append(AuditTrail(AuditSettings(str(tmp_path / name), KEY, scope), clock or FakeClock()))
        return trails[-1]

    yield run
    for each in trails:
        each.close()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "audit.jsonl"


def records(file):
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def write(trail, count=5):
    one = trail()
    for number in range(count):
        one.record("dead", event_id=f"evt_{number}", hook_id="ops", code="status:503")
    one.close()


def said(capsys):
    """What the command has said, and nothing of a traceback."""
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out + err


# --- writing --------------------------------------------------------------------------------------


def test_a_record_is_one_line_with_number_time_kind_and_facts(trail, file):
    write(trail, 1)
    first, second, third = records(file)
    assert list(second) == ["n", "at", "kind", "event_id", "hook_id", "code", "prev"]
    assert (first["n"], first["kind"], first["prev"]) == (1, "open", "0" * 64)
    assert (second["n"], second["at"], second["kind"]) == (2, "2023-11-14T22:13:20.000Z", "dead")
    assert (third["n"], third["kind"]) == (3, "close") and third["token"].startswith("3:")


def test_failures_leaves_out_what_was_delivered(trail, file):
    one = trail("failures")
    one.record("delivered", event_id="evt_1")
    one.record("dead", event_id="evt_2")
    one.close()
    assert [record.get("event_id") for record in records(file)] == [None, "evt_2", None]


def test_facts_can_neither_hide_the_records_own_nor_break_its_line(trail, file, capsys):
    one = trail()
    one.record("pause", n=99, kind="x", prev="y", reason="a\nb\u2028", odd=object(), nothing=None)
    one.close()
    record = records(file)[1]
    assert (record["n"], record["kind"], record["n_"], record["reason"]) == (2, "pause", 99, "a\nb\u2028")
    assert "nothing" not in record and verify([str(file)]) == 0


def test_records_reach_the_disk_without_being_asked_for(trail, file):
    trail().record("pause", hook_id="ops")
    until(lambda: len(records(file)) == 2)


def test_only_we_may_read_the_file(trail, file):
    write(trail)
    assert os.stat(file).st_mode & 0o777 == 0o600


def test_a_head_is_signed_after_so_many_records(trail, file, monkeypatch):
    monkeypatch.setattr(audit, "HEAD_RECORDS", 10)
    write(trail, 25)
    assert [record["n"] for record in records(file) if record["kind"] == "head"] == [11, 22]


def test_a_head_is_signed_after_some_time_but_not_again_and_again(trail, file, monkeypatch):
    monkeypatch.setattr(audit, "HEAD_S", 0.01)
    one = trail(clock=Clock())
    one.record("pause")
    until(lambda: records(file)[-1]["kind"] == "head")
    gevent.sleep(0.05)
    assert [record["kind"] for record in records(file)].count("head") == 1


def test_a_trail_that_is_never_quiet_is_signed_after_that_time_too(trail, file):
    clock = FakeClock()
    one = trail(clock=clock)
    for number in range(1, 4):
        clock.advance(audit.HEAD_S / 2)
        one.record("pause")
        until(lambda number=number: [record["kind"] for record in records(file)].count("pause") == number)
    assert [record["kind"] for record in records(file)] == ["open", "pause", "pause", "head", "pause"]


def test_under_more_than_can_be_written_memory_is_bounded_and_the_loss_is_recorded(trail, file, monkeypatch):
    monkeypatch.setattr(batches, "MAX_PENDING", 10)
    one = trail()
    for number in range(25):
        one.record("dead", number=number)
    one.close()
    (lost,) = [record for record in records(file) if record["kind"] == "lost"]
    assert lost["records"] == 15 and verify([str(file)]) == 0


def test_a_disk_that_is_full_leaves_a_whole_chain_that_tells_of_the_loss(trail, file, monkeypatch, caplog):
    one = trail()
    write_all = audit._write_all

    def full(fd, content):
        os.write(fd, content[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit, "_write_all", full)
    one.record("dead", number=1)
    until(lambda: any("No space" in str(row.fields.get("problem")) for row in caplog.records))
    monkeypatch.setattr(audit, "_write_all", write_all)
    one.record("dead", number=2)
    one.close()
    assert [record["kind"] for record in records(file)] == ["open", "lost", "dead", "close"]
    assert records(file)[1]["records"] == 1 and verify([str(file)]) == 0


def test_recording_after_the_end_does_nothing(trail, file):
    one = trail()
    one.close()
    one.record("pause")
    one.reopen()
    one.close()
    assert len(records(file)) == 2


def test_a_file_has_one_writer(trail):
    trail()
    with pytest.raises(StartError, match="no other daemon"):
        trail()


def test_a_file_that_can_not_be_written_keeps_the_daemon_from_starting(trail):
    with pytest.raises(StartError, match="audit_file"):
        trail(name="no/such/folder/audit.jsonl")


# --- over restarts and files ----------------------------------------------------------------------


def test_the_chain_goes_on_over_restarts(trail, file, capsys):
    write(trail, 2)
    write(trail, 2)
    assert [record["n"] for record in records(file)] == list(range(1, 9))
    assert records(file)[4] | {"kind": "open", "clean": True} == records(file)[4]
    assert verify([str(file)]) == 0 and "8 records in 1 files" in said(capsys)


def test_the_chain_goes_on_over_files(trail, file, tmp_path, capsys):
    one = trail()
    one.record("dead", number=1)
    one.reopen()  # nothing was renamed: nothing happens
    one.record("dead", number=2)
    until(lambda: len(records(file)) == 3)
    file.rename(tmp_path / "audit.jsonl.1")
    one.reopen()
    one.record("dead", number=3)
    one.close()
    old = tmp_path / "audit.jsonl.1"
    assert [record["kind"] for record in records(old)] == ["open", "dead", "dead", "head"]
    assert [record["n"] for record in records(file)] == [5, 6, 7] and records(file)[0]["continues"] == 4
    assert records(file)[0]["prev"] == chain.hash_of(old.read_bytes().splitlines()[-1])
    assert verify([str(file), str(old)]) == 0  # in any order
    (tmp_path / "audit.jsonl.1.gz").write_bytes(gzip.compress(old.read_bytes()))
    assert verify([str(file), str(tmp_path / "audit.jsonl.1.gz")]) == 0


def test_while_no_new_file_can_be_opened_the_old_one_goes_on_and_loses_nothing(
    trail, file, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(batches, "RETRY_S", 0.01)
    one = trail()
    opened = audit._opened

    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(audit, "_opened", refused)
    old = tmp_path / "audit.jsonl.1"
    file.rename(old)
    one.record("dead", number=1)
    one.reopen()
    one.record("dead", number=2)
    until(lambda: "Permission denied" in one.fault)
    assert [record.get("number") for record in records(old)] == [None, 1, 2] and not file.exists()
    monkeypatch.setattr(audit, "_opened", opened)
    until(lambda: not one.fault)
    one.record("dead", number=3)
    one.close()
    assert [record["kind"] for record in records(file)] == ["open", "dead", "close"]
    assert verify([str(old), str(file)]) == 0
    assert any(row.message == "Audit trail works again" for row in caplog.records)


def test_a_record_that_was_torn_by_a_crash_is_cut_off_and_told(trail, file, capsys, caplog):
    write(trail, 3)
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    one = trail()
    one.record("resume")
    one.close()
    kinds = [record["kind"] for record in records(file)]
    assert kinds == ["open", "dead", "dead", "dead", "torn", "open", "resume", "close"]
    assert records(file)[4]["bytes"] == len(whole.splitlines(True)[-1]) - 30 and records(file)[5]["clean"] is False
    assert verify([str(file)]) == 0
    assert any("middle of a record" in row.message for row in caplog.records)


# --- tampering ------------------------------------------------------------------------------------


def change(file, index, edit):
    lines = file.read_bytes().splitlines(True)
    lines[index : index + 1] = edit(lines[index])
    file.write_bytes(b"".join(lines))


@pytest.mark.parametrize("index", range(6))
def test_an_edited_record_is_named(trail, file, capsys, index):
    write(trail)
    change(file, index, lambda line: [line.replace(b"2023", b"2022", 1)])
    assert verify([str(file)]) == 1
    assert f":{index + 1}: record {index + 1} was edited" in said(capsys)


@pytest.mark.parametrize("index", range(1, 6))
def test_a_removed_record_is_named(trail, file, capsys, index):
    write(trail)
    change(file, index, lambda line: [])
    assert verify([str(file)]) == 1
    assert f"1 removed before record {index + 2}" in said(capsys)


def test_an_inserted_record_is_named(trail, file, capsys):
    """Even one whose own number and hash are right."""
    write(trail)
    forged = chain.Chain(KEY, 3, chain.hash_of(file.read_bytes().splitlines()[2])).line("dead", 0.0, {})
    change(file, 2, lambda line: [line, forged])
    assert verify([str(file)]) == 1
    assert ":4: a record was inserted" in said(capsys)


def test_records_that_changed_places_are_found(trail, file, capsys):
    write(trail)
    lines = file.read_bytes().splitlines(True)
    lines[2], lines[3] = lines[3], lines[2]
    file.write_bytes(b"".join(lines))
    assert verify([str(file)]) == 1


def test_what_is_no_record_is_named(trail, file, capsys):
    write(trail)
    change(file, 3, lambda line: [b"hello\n"])
    assert verify([str(file)]) == 1
    assert ":4: is not a record" in said(capsys)


def test_a_chain_that_was_written_anew_without_the_key_is_found(trail, file, capsys):
    write(trail)
    link = chain.Chain("another key")
    lines = [link.line("open", 0.0, {}), link.line("dead", 0.0, {}), link.line("close", 0.0, {})]
    file.write_bytes(b"".join(lines))
    assert verify([str(file)]) == 1
    assert "record 3 is signed with another key" in said(capsys)


def test_a_true_token_does_not_vouch_for_another_chain(trail, file, capsys):
    write(trail, 1)
    token = records(file)[-1]["token"]
    link = chain.Chain(KEY)
    lines = [link.line("open", 0.0, {}), link.line("dead", 0.0, {"event_id": "forged"})]
    prev = chain.hash_of(lines[-1][:-1])
    close = {"n": 3, "at": "x", "kind": "close", "token": token, "prev": prev}
    file.write_bytes(b"".join(lines) + json.dumps(close).encode() + b"\n")
    assert verify([str(file)]) == 1
    assert "before record 3 was rewritten" in said(capsys)


def test_a_tail_that_was_cut_off_shows_in_what_is_said_and_against_a_kept_token(trail, file, capsys, monkeypatch):
    monkeypatch.setattr(audit, "HEAD_RECORDS", 3)
    write(trail)
    token = records(file)[-1]["token"]
    assert verify([str(file), "--head", token]) == 0 and "no end" not in said(capsys)
    lines = file.read_bytes().splitlines(True)
    file.write_bytes(b"".join(lines[:4]))
    assert verify([str(file)]) == 0 and "the trail has no end" in said(capsys)
    assert verify([str(file), "--head", token]) == 1 and "tail was cut off" in said(capsys)
    file.write_bytes(b"".join(lines)[:-10])
    assert verify([str(file)]) == 1 and "cut off in the middle" in said(capsys)


def test_a_kept_token_finds_a_trail_that_was_rewritten_with_the_key(trail, file, capsys):
    write(trail, 1)
    token = records(file)[-1]["token"]
    link = chain.Chain(KEY)
    file.write_bytes(b"".join(link.line(kind, 0.0, {}) for kind in ("open", "dead", "close")))
    assert verify([str(file)]) == 0
    assert verify([str(file), "--head", token]) == 1 and "was rewritten" in said(capsys)


def test_the_wrong_key_is_told_from_a_whole_trail(trail, file, tmp_path, capsys, monkeypatch):
    write(trail)
    (tmp_path / "keys").write_text("old key\n")
    assert verify([str(file), "--key-file", str(tmp_path / "keys")]) == 1 and "another key" in said(capsys)
    (tmp_path / "keys").write_text(f"{KEY}\nold key\n")
    assert verify([str(file), "--key-file", str(tmp_path / "keys")]) == 0 and "1 signatures fit" in said(capsys)
    monkeypatch.delenv("RTMPD_AUDIT_KEY")
    assert verify([str(file)]) == 0 and "no signature was checked" in said(capsys)


def test_a_file_that_is_not_there_is_no_broken_trail(tmp_path, capsys):
    assert verify([str(tmp_path / "none")]) == 2
    assert "No such file" in said(capsys)


def test_the_check_needs_no_gevent(trail, file):
    write(trail)
    code = (
        "import sys; sys.modules['gevent'] = None; from rtmpd.hook.record.audit_check import verify; "
        f"sys.exit(verify([{str(file)!r}]))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), check=False).returncode == 0


def test_records_are_on_the_disk_before_others_are_taken(trail, file, monkeypatch):
    """A power cut may take what has not been synced: the file is, after each batch and when it ends."""
    synced = []
    sync = os.fsync

    def noting(descriptor):
        sync(descriptor)
        if os.path.samestat(os.fstat(descriptor), os.stat(file)):
            synced.append(len(file.read_bytes().splitlines()))

    monkeypatch.setattr(audit.os, "fsync", noting)
    one = trail()
    one.record("dead", event_id="evt_1", hook_id="ops")
    until(lambda: synced and synced[-1] >= 2)  # "open" and the record
    written = len(records(file))
    assert synced[-1] == written
    one.close()
    assert synced[-1] == len(records(file)) > written
