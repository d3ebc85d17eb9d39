"""The limits that a callback sets for an admitted client."""

from __future__ import annotations

from typing import cast

from rtmpd.server.access.lease import BITRATE_EXCEEDED, LEASE_EXPIRED
from rtmpd.server.access.question import Verdict
from rtmpd.server.context import Context
from rtmpd.server.viewing import Ticket


def ticket(verdict: Verdict) -> Ticket:
    return Ticket(cast(Context, None), "c1", "127.0.0.1", 1, verdict=verdict)


def test_a_viewer_that_comes_back_after_a_silence_gets_no_new_lease() -> None:
    admitted = ticket(Verdict(True, lease_s=60.0))
    for now in (100.0, 150.0):
        lease = admitted.leased(now)
        assert lease is not None
    assert (lease.overdue(159.0, 0), lease.overdue(160.0, 0)) == ("", LEASE_EXPIRED)


def test_the_media_of_its_next_session_are_counted_anew() -> None:
    admitted = ticket(Verdict(True, max_bps=8000))
    first = admitted.leased(100.0)
    assert first is not None and first.overdue(110.0, 10_000) == ""
    again = admitted.leased(200.0)
    assert again is not None and again.overdue(210.0, 20_000) == BITRATE_EXCEEDED


def test_without_limits_there_is_no_lease() -> None:
    assert ticket(Verdict(True)).leased(100.0) is None
