"""The batching writer: what it writes together, what it counts, and what it reports."""

import os

import gevent
import pytest

from rtmpd.hook.record import batches
from rtmpd.hook.record.batches import BatchWriter
from tests.support.waiting import until


class Paper:
    """What a writer writes to. ``words`` is what the next batches answer; an exception is raised."""

    def __init__(self):
        self.batches = []
        self.refused = []
        self.reports = []
        self.words = ""
        self.is_closed = False

    def write(self, entries, refused):
        self.refused.append(refused)
        if isinstance(self.words, Exception):
            raise self.words
        self.batches.append(entries)
        return self.words

    def close(self):
        self.is_closed = True


@pytest.fixture
def paper():
    return Paper()


@pytest.fixture
def writer(paper):
    """``writer(idle_s)``: a writer onto the paper."""
    writers = []

    def run(idle_s=None):
        writers.append(BatchWriter("paper", paper.write, paper.reports.append, idle_s))
        return writers[-1]

    yield run
    for each in writers:
        each.close(paper.close)


def test_what_comes_together_is_written_together_and_in_order(writer, paper):
    one = writer()
    for number in range(10):
        one.add(number)
    until(lambda: paper.batches)
    assert paper.batches == [list(range(10))] and one.pending == 0


def test_many_entries_do_not_wait_for_the_time_of_a_batch(writer, paper, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_S", 3600)
    one = writer()
    for number in range(batches.BATCH_ENTRIES + 1):
        one.add(number)
    until(lambda: paper.batches)
    assert len(paper.batches[0]) == batches.BATCH_ENTRIES + 1


def test_what_is_too_much_is_counted_and_said_once_with_the_next_batch(writer, paper, monkeypatch):
    monkeypatch.setattr(batches, "MAX_PENDING", 3)
    one = writer()
    for number in range(5):
        one.add(number)
    one.flush()
    one.add(5)
    one.flush()
    assert paper.batches == [[0, 1, 2], [5]] and paper.refused == [2, 0] and one.dropped == 2


def test_a_batch_that_was_not_written_is_counted_and_the_next_one_is_written(writer, paper):
    one = writer()
    paper.words = OSError("disk full")
    one.add(1)
    one.add(2)
    one.flush()
    assert (one.dropped, one.fault, paper.reports) == (2, "disk full", ["disk full"])
    paper.words = ""
    one.add(3)
    one.flush()
    assert (one.dropped, one.fault, paper.batches) == (2, "", [[3]])


def test_what_is_wrong_with_the_file_is_a_fault_though_the_batch_was_written(writer, paper):
    one = writer()
    paper.words = "cannot be opened anew"
    one.add(1)
    one.flush()
    assert (one.fault, one.dropped, paper.batches) == ("cannot be opened anew", 0, [[1]])


def test_an_exception_without_words_is_a_fault_all_the_same(writer, paper):
    one = writer()
    paper.words = OSError()
    one.add(1)
    one.flush()
    assert one.fault == "OSError"


def test_after_a_fault_an_empty_batch_is_tried_before_it_is_idle(writer, paper, monkeypatch):
    monkeypatch.setattr(batches, "RETRY_S", 0.01)
    paper.words = "trouble"
    one = writer(idle_s=3600)
    one.add(1)
    until(lambda: one.fault)
    paper.words = ""
    until(lambda: not one.fault)
    assert paper.batches[0] == [1] and paper.batches[-1] == []


def test_without_idle_time_nothing_is_written_unasked(writer, paper, monkeypatch):
    monkeypatch.setattr(batches, "RETRY_S", 0.001)
    one = writer()
    paper.words = "trouble"
    one.add(1)
    until(lambda: one.fault)
    gevent.sleep(0.02)
    one.flush()
    assert paper.batches == [[1]]


def test_who_is_woken_writes_an_empty_batch(writer, paper):
    one = writer(idle_s=3600)
    one.wake()
    until(lambda: paper.batches)
    assert paper.batches == [[]]


def test_work_in_the_thread_that_raises_is_reported(writer, paper):
    one = writer()
    assert one.call(lambda: 1 / 0, "nothing") == "nothing" and one.fault == "division by zero"
    assert one.call(lambda: "found", "nothing") == "found" and one.fault == ""


def test_the_end_waits_for_the_batch_under_way_and_counts_it(writer, paper, monkeypatch):
    monkeypatch.setattr(batches, "BATCH_S", 0.0)
    its_end, our_end = os.pipe()  # a lock of the standard library is one for greenlets here

    def hang(entries, refused):
        os.read(its_end, 1)
        raise OSError("disk full")

    one = BatchWriter("paper", hang, paper.reports.append)
    one.add(1)
    until(lambda: not one.pending)
    ending = gevent.spawn(one.close, paper.close)
    gevent.sleep(0)
    assert not paper.is_closed
    os.close(our_end)
    until(ending.ready)
    os.close(its_end)
    assert ending.successful() and paper.is_closed
    assert one.dropped == 1 and paper.reports == ["disk full", ""]


def test_after_the_end_entries_are_counted_and_nothing_is_closed_twice(writer, paper):
    one = writer()
    one.add(1)
    one.close(paper.close)
    one.add(2)
    one.close(lambda: 1 / 0)
    assert paper.batches == [[1]] and one.dropped == 1 and one.is_closed and one.fault == ""
