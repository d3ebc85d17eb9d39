"""The file under the log, asked directly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rtmpd.hook.store.database import Database
from rtmpd.hook.store.schema import Batch, DeadRow, GapRow, Row


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(str(tmp_path / "events.db"), "off")
    yield database
    database.close(True)


def row(seq: int, id: str, *, doubt: str = "", body: bytes = b"{}") -> Row:
    return Row(seq, id, "publish_start", 1, "", "live/a", seq, "info", doubt, f'{{"lane":{seq}}}', body)


def seqs(database: Database) -> list[int]:
    return [row.seq for row in database.page("lane", 0, 100, 1000).rows]


def test_what_a_lane_has_in_its_hands_is_not_deleted(database: Database) -> None:
    database.commit(Batch(events=[row(seq, f"evt_{seq}") for seq in (1, 2, 3)]))
    assert database.collect(3, [2], "", [], []) == 2
    assert seqs(database) == [2]


def test_a_replay_of_an_old_event_does_not_take_younger_ones_with_it(database: Database) -> None:
    """Its id is as old as the event, but its place is at the end."""
    old, young, replay = row(1, "evt_1"), row(2, "evt_5"), row(3, "evt_2", doubt="replay")
    database.commit(Batch(events=[old, young, replay]))
    assert database.collect(3, [], "evt_4", [], []) == 1
    assert seqs(database) == [2, 3]


def test_the_number_of_a_deleted_event_is_not_given_again(database: Database) -> None:
    database.commit(Batch(events=[row(1, "evt_1"), row(2, "evt_2")]))
    database.collect(2, [], "", [], [])
    assert seqs(database) == [] and database.load().last_seq == 2


def test_a_page_is_bounded_in_bytes(database: Database) -> None:
    database.commit(Batch(events=[row(seq, f"evt_{seq}", body=b"x" * (600 << 10)) for seq in range(1, 6)]))
    page = database.page("lane", 0, 100, 5)
    assert [row.seq for row in page.rows] == [1, 2] and page.read_to == 2
    assert [row.seq for row in database.page("lane", page.read_to, 100, 5).rows] == [3, 4]


def test_a_batch_that_may_be_written_is_in_the_file_once(database: Database) -> None:
    dead = DeadRow(None, "lane", 1.0, "attempts", 1, "", "evt_1", "publish_start", 1, "", "live/a", 7, "info", b"{}")
    batch = Batch(events=[row(1, "evt_1")], dead=[dead], gaps=[GapRow("lane", 1.0, 3, 4, 2, "expired")])
    database.commit(batch)
    batch.may_be_written = True
    database.commit(batch)
    assert seqs(database) == [1]
    assert [(letter.lane, letter.seq) for letter in database.dead("", 0, 100)] == [("lane", 7)]
    assert database.trim("gap", 0) == 1
