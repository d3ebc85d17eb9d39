"""What an operator can ask of the hooks."""

from __future__ import annotations

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import OperatorRefused, PermanentDeliveryError
from rtmpd.hook.control import HookControl
from rtmpd.settings import FilterSettings
from tests.support.proof import proves

from ..waiting import until
from .test_durable import Taker, add, managed, publish, settled

__all__ = ["managed"]


@pytest.fixture
def controlled(managed):
    manager = managed()
    return manager, HookControl(manager, Clock())


def refuse(event):
    raise PermanentDeliveryError("no", "status:400")


def test_a_paused_hook_gets_nothing_until_it_is_resumed(controlled):
    manager, control = controlled
    hook = add(manager, Taker())
    control.pause("taker")
    publish(manager, "live/a", "live/b")
    until(lambda: manager.events.committed == 2)
    gevent.sleep(0.05)
    assert hook.events == []
    assert control.show("taker")["state"] == "paused"
    assert control.show("taker")["queued"] == 2
    control.resume("taker")
    settled(manager)
    assert hook.keys == ["live/a", "live/b"]


def test_a_test_sends_an_example_past_the_queue(controlled):
    manager, control = controlled
    hook = add(manager, Taker())
    control.pause("taker")
    outcome = control.test("taker", "publish_start")
    assert outcome["delivered"]
    assert hook.events[0].data["session_id"] == "example"
    hook.answer = refuse
    assert control.test("taker", "publish_stop")["code"] == "status:400"
    with pytest.raises(KeyError):
        control.test("taker", "nothing")
    with pytest.raises(KeyError):
        control.test("nobody", "publish_stop")


def test_why_tells_what_each_hook_made_of_an_event(controlled):
    manager, control = controlled
    hook = add(manager, Taker())
    add(manager, Taker("other", answer=refuse))
    add(manager, Taker("play"), event_types=["play_*"])
    add(manager, Taker("loud"), filter=FilterSettings(min_severity="error"))
    publish(manager, "live/a")
    settled(manager)
    until(lambda: len(manager.records.attempts.of_event(hook.events[0].id)) == 2)
    why = control.why(hook.events[0].id)
    assert why["event"]["stream_key"] == "live/a"
    by_hook = {facts["hook_id"]: facts for facts in why["hooks"]}
    assert {id: facts["state"] for id, facts in by_hook.items()} == {
        "taker": "delivered",
        "other": "dead",
        "play": "not bound to this type",
        "loud": "refused by its filter: severity",
    }
    assert [each["outcome"] for each in by_hook["taker"]["attempts"]] == ["delivered"]
    assert by_hook["other"]["attempts"][0]["code"] == "status:400"
    assert by_hook["other"]["dead"][0]["reason"] == "refused"
    with pytest.raises(KeyError):
        control.why("evt_00000000000000000000000000")


@proves("store.dead_letters")
def test_of_dead_letters_the_newest_are_kept(managed):
    manager = managed(dead_letters=3)  # of [store]
    control = HookControl(manager, Clock())
    add(manager, Taker(answer=refuse))
    publish(manager, *[f"live/{n}" for n in range(10)])
    settled(manager)
    until(lambda: len(control.dead_letters("taker", 0, 100)) == 10)
    manager.events.retention.tidy()
    until(lambda: len(control.dead_letters("taker", 0, 100)) == 3)
    assert [letter["stream_key"] for letter in control.dead_letters("taker", 0, 100)] == ["live/7", "live/8", "live/9"]


def test_dead_letters_are_listed_shown_and_delivered_again(controlled):
    manager, control = controlled
    hook = add(manager, Taker(answer=refuse))
    publish(manager, *[f"live/{n}" for n in range(250)])
    settled(manager)
    until(lambda: len(control.dead_letters("taker", 0, 1000)) == 250)
    first = control.dead_letters("", 0, 1)[0]
    assert (first["hook_id"], first["reason"], first["seq"]) == ("taker", "refused", 1)
    assert control.dead_letter(first["number"])["event"]["stream_key"] == first["stream_key"]
    hook.answer = None
    assert list(control.replay_dead("taker", [first["number"]])) == [{"replayed": 1, "skipped": 0}]
    settled(manager)
    assert hook.keys == [first["stream_key"]]
    assert hook.events[0].redelivered == "replay"
    assert hook.events[0].seq == 251
    progress = list(control.replay_dead("", None))
    assert progress[-1] == {"replayed": 249, "skipped": 0}
    assert len(progress) > 1
    settled(manager)
    assert len(hook.keys) == 250
    until(lambda: control.dead_letters("", 0, 10) == [])
    with pytest.raises(KeyError):
        list(control.replay_dead("taker", [first["number"]]))


def test_purged_letters_are_gone(controlled):
    manager, control = controlled
    add(manager, Taker(answer=refuse))
    publish(manager, "live/a", "live/b")
    settled(manager)
    until(lambda: len(control.dead_letters("", 0, 10)) == 2)
    assert list(control.purge_dead("", None)) == [{"purged": 2, "skipped": 0}]
    until(lambda: control.dead_letters("", 0, 10) == [])


def test_letters_of_memory_hooks_can_be_replayed_together(controlled):
    manager, control = controlled
    hook = Taker("plain", answer=refuse)
    manager.register(hook)
    publish(manager, "live/a", "live/b")
    until(lambda: len(control.dead_letters("plain", 0, 10)) == 2)
    hook.answer = None
    assert list(control.replay_dead("plain", None)) == [{"hook_id": "plain", "replayed": 2}]
    until(lambda: hook.keys == ["live/a", "live/b"])
    assert control.dead_letters("plain", 0, 10) == []


def test_events_are_replayed_by_id_and_by_time(controlled):
    manager, control = controlled
    hook = add(manager, Taker())
    late = add(manager, Taker("late"), event_types=["publish_start"])
    publish(manager, "live/a", "live/b")
    manager.emit("play_start", stream_key="live/a", session_id="p")
    settled(manager)
    ids = [event.id for event in hook.events]
    assert list(control.replay("taker", event_ids=ids[:1], since=None, until=None)) == [{"replayed": 1}]
    settled(manager)
    assert [event.id for event in hook.events] == [*ids, ids[0]]
    late.events.clear()
    assert list(control.replay("late", event_ids=None, since=0, until=None))[-1] == {"replayed": 2}
    settled(manager)
    assert late.keys == ["live/a", "live/b"]
    manager.register(Taker("plain"))
    with pytest.raises(OperatorRefused, match="at-least-once"):
        list(control.replay("plain", event_ids=ids, since=None, until=None))
