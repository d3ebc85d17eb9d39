"""What an operator can ask of the hooks."""

from __future__ import annotations

import shutil

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import OperatorRefused, PermanentDeliveryError, TransientDeliveryError
from rtmpd.hook.control import HookControl
from rtmpd.settings import FilterSettings, RetrySettings
from tests.support.hooks import HeldHook
from tests.support.proof import proves
from tests.support.waiting import until

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
    with pytest.raises(OperatorRefused, match="there is no event type 'nothing'"):
        control.test("taker", "nothing")
    with pytest.raises(OperatorRefused, match="there is no hook 'takr'; did you mean 'taker'"):
        control.test("takr", "publish_stop")


def test_attempts_outlive_the_process_beside_the_event_store(managed, tmp_path):
    manager = managed()
    hook = add(manager, Taker())
    publish(manager, "live/a")
    settled(manager)
    until(lambda: manager.records.attempts.of_event(hook.events[0].id))
    copied = tmp_path / "after a kill"
    copied.mkdir()
    for name in ("attempts.db", "attempts.db-wal"):
        shutil.copy(tmp_path / name, copied / name)
    manager.close(1)
    for path in ("events.db", "after a kill/events.db"):
        again = managed(path)
        (attempt,) = again.records.attempts.of_event(hook.events[0].id)
        assert (attempt.hook_id, attempt.outcome) == ("taker", "delivered")


def test_the_example_of_an_alert_is_one_that_begins(controlled):
    manager, control = controlled
    hook = add(manager, Taker())
    control.test("taker", "resource_alert")
    assert hook.events[0].data["state"] == "raised"


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
        "other": "dead: refused",
        "play": "not bound to this type",
        "loud": "refused by its filter: severity",
    }
    assert [each["outcome"] for each in by_hook["taker"]["attempts"]] == ["delivered"]
    assert by_hook["other"]["attempts"][0]["code"] == "status:400"
    assert by_hook["other"]["dead"][0]["reason"] == "refused"
    with pytest.raises(OperatorRefused, match="in no log"):
        control.why("evt_00000000000000000000000000")


def test_why_agrees_with_the_attempts_of_hooks_in_memory(controlled):
    manager, control = controlled
    held = HeldHook("held")
    retry = RetrySettings(5, 3600.0, 3600.0)

    def busy(event):
        raise TransientDeliveryError("busy", "status:503")

    for hook in (Taker("taker"), Taker("other", answer=refuse), Taker("busy", answer=busy), held):
        manager.register(hook, retry=retry)
    manager.register(Taker("play"), ["play_*"])
    publish(manager, "live/a", "live/a")
    until(lambda: manager.lanes["busy"].held and len(manager.records.attempts.latest("", 10)) >= 5)
    first = manager.records.attempts.latest("busy", 10)[-1].event_id
    by_hook = {facts["hook_id"]: facts for facts in control.why(first)["hooks"]}
    assert {id: facts["state"] for id, facts in by_hook.items()} == {
        "taker": "delivered",
        "other": "dead: refused",
        "busy": "held for another try",
        "held": "under way",
        "play": "not bound to this type",
    }
    number = by_hook["other"]["dead"][0]["number"]
    assert control.dead_letter(number)["event_id"] == first
    held.go.set()


def test_why_shows_the_number_that_the_hook_gets(controlled):
    manager, control = controlled
    quiet = add(manager, Previewing("quiet"), event_types=["publish_stop"])
    add(manager, Taker())
    publish(manager, "live/a", "live/b")
    manager.emit("publish_stop", stream_key="live/b", session_id="live/b")
    settled(manager)
    (event,) = quiet.events
    facts = {each["hook_id"]: each for each in control.why(event.id)["hooks"]}["quiet"]
    assert facts["entries"][0]["seq"] == event.seq == facts["would_send"]["seq"] == 1


class Previewing(Taker):
    def preview(self, event):
        return {"seq": event.seq}


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
    with pytest.raises(OperatorRefused, match="there is no dead letter"):
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
    assert list(control.replay_dead("plain", None)) == [{"replayed": 2, "skipped": 0}]
    until(lambda: hook.keys == ["live/a", "live/b"])
    assert control.dead_letters("plain", 0, 10) == []


def test_letters_of_memory_hooks_have_numbers_of_their_own(controlled):
    manager, control = controlled
    hook, durable = Taker("plain", answer=refuse), add(manager, Taker(answer=refuse))
    manager.register(hook)
    publish(manager, "live/a", "live/b", "live/c")
    until(lambda: len(control.dead_letters("", 0, 10)) == 6)
    letters = control.dead_letters("", 0, 10)
    assert [letter["number"] for letter in letters] == [1, 2, 3, 4, 5, 6]
    mine = [letter for letter in letters if letter["hook_id"] == "plain"]
    assert control.dead_letter(mine[1]["number"])["event"]["stream_key"] == "live/b"
    hook.answer = durable.answer = None
    assert list(control.replay_dead("", [mine[1]["number"]])) == [{"replayed": 1, "skipped": 0}]
    until(lambda: hook.keys == ["live/b"])
    assert list(control.purge_dead("", [mine[0]["number"], letters[-1]["number"]]))[-1]["purged"] == 2
    until(lambda: len(control.dead_letters("", 0, 10)) == 3)
    with pytest.raises(OperatorRefused, match="there is no dead letter 99"):
        list(control.purge_dead("", [mine[2]["number"], 99]))
    assert len(control.dead_letters("plain", 0, 10)) == 1, "a mistake changes nothing"


def test_numbers_of_dead_letters_go_on_after_a_restart(managed):
    manager = managed()
    add(manager, Taker(answer=refuse))
    publish(manager, "live/a", "live/b")
    settled(manager)
    manager.close(1)
    again = managed()
    add(again, Taker())
    again.register(Taker("plain", answer=refuse))
    publish(again, "live/c")
    control = HookControl(again, Clock())
    until(lambda: len(control.dead_letters("", 0, 10)) == 3)
    assert [(each["number"], each["hook_id"]) for each in control.dead_letters("", 0, 10)] == [
        (1, "taker"), (2, "taker"), (3, "plain"),
    ]  # fmt: skip


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
