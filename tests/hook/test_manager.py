"""The manager and its lanes."""

from dataclasses import replace

import gevent
import pytest

from rtmpd.clock import Clock, FakeClock
from rtmpd.errors import ConfigError, MisuseError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.build import build_hook
from rtmpd.hook.manager import HookManager
from rtmpd.settings import HookSettings, HooksSettings
from tests.support.hooks import HeldHook
from tests.support.receiver import NO_CONTENT, hangs, receiving, says
from tests.support.waiting import until


@pytest.fixture
def managed():
    """Makes managers and closes them."""
    managers = []

    def make(settings=None, clock=None, **kwargs):
        managers.append(HookManager(settings or HooksSettings(), clock or Clock(), **kwargs))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close(0)


@pytest.fixture
def built(managed):
    """A manager whose configured hooks are HeldHooks, in the order they were built."""
    hooks = []

    def build(settings, clock):
        if settings.target == "bad":
            raise ConfigError([])
        hooks.append(HeldHook(settings.id))
        return hooks[-1]

    return managed(build=build), hooks


def webhook(id, url, **settings):
    return HookSettings(id, "webhook", url, **settings)


# --- routing --------------------------------------------------------------------------------------


def test_a_hook_gets_the_types_it_is_bound_to_and_no_others(managed):
    manager, hook = managed(), HeldHook(open=True)
    manager.register(hook, ["publish_*", "server_start"])
    for type in ("publish_start", "play_start", "server_start", "publish_stop"):
        manager.emit(type, stream_key="live/a")
    until(lambda: len(hook.done) == 3)
    assert hook.done == ["publish_start:live/a", "server_start:live/a", "publish_stop:live/a"]


def test_a_hook_without_types_gets_all_even_those_not_in_the_catalogue(managed):
    manager, hook = managed(), HeldHook(open=True)
    manager.register(hook)
    manager.emit("publish_start")
    manager.emit("made_up")
    until(lambda: hook.done == ["publish_start", "made_up"])


def test_two_hooks_get_the_same_event(managed):
    manager, seen = managed(), []

    class Keeps(HeldHook):
        def execute(self, event, deadline):
            seen.append(event)

    manager.register(Keeps("a"))
    manager.register(Keeps("b"))
    manager.emit("publish_start", conn_id="c000001", stream_key="live/a", app="live")
    until(lambda: len(seen) == 2)
    assert seen[0] is seen[1]
    assert (seen[0].conn_id, seen[0].stream_key, dict(seen[0].data)) == ("c000001", "live/a", {"app": "live"})


def test_emit_stamps_the_moment_of_the_event_not_of_its_delivery(managed):
    clock = FakeClock(wall=1000.9)
    manager, hook, seen = managed(clock=clock), HeldHook(), []
    hook.execute = lambda event, deadline: seen.append(event)
    manager.register(hook)
    manager.emit("publish_start")
    clock.advance(50)
    until(lambda: seen)
    assert seen[0].timestamp == 1000


def test_data_may_be_called_type(managed):
    manager, hook, seen = managed(), HeldHook(), []
    hook.execute = lambda event, deadline: seen.append(dict(event.data))
    manager.register(hook)
    manager.emit("publish_start", type="live", self=1)
    until(lambda: seen == [{"type": "live", "self": 1}])


def test_emit_never_switches_greenlets(managed):
    manager, turns = managed(), []
    manager.register(HeldHook(open=True), queue_events=5)
    gevent.spawn(lambda: turns.append(1))
    for _ in range(20):
        manager.emit("publish_start")
    assert not turns


def test_emit_never_raises(managed):
    class Unprintable:
        def __str__(self):
            raise RuntimeError("no")

    manager, hook = managed(), HeldHook(open=True)
    manager.register(hook)
    manager.emit("publish_start", app=Unprintable())
    manager.emit("publish_stop")
    until(lambda: hook.done == ["publish_stop"])


def test_a_ready_made_event_can_be_triggered(managed):
    manager, hook = managed(), HeldHook(open=True)
    manager.register(hook, ["play_start"])
    manager.trigger(Event("play_start", 5, "c1"))
    manager.trigger(Event("play_stop", 5, "c1"))
    until(lambda: hook.done == ["play_start:c1"])


# --- lanes ----------------------------------------------------------------------------------------


def test_a_hook_runs_as_many_at_once_as_it_may_and_starts_them_in_order(managed):
    manager, hook = managed(), HeldHook()
    manager.register(hook, concurrency=3)
    for number in range(10):
        manager.emit("publish_start", stream_key=f"live/{number}")
    until(lambda: hook.running == 3)
    hook.go.set()
    until(lambda: len(hook.done) == 10)
    assert hook.most == 3
    assert hook.started == [f"publish_start:live/{number}" for number in range(10)]


def test_the_number_for_all_hooks_caps_each_of_them(managed):
    manager = managed(HooksSettings(concurrency=2))
    first, second = HeldHook("first"), HeldHook("second")
    manager.register(first, concurrency=10)
    manager.register(second, concurrency=1)
    for _ in range(5):
        manager.emit("publish_start")
    until(lambda: first.running == 2 and second.running == 1)
    gevent.sleep(0)
    assert (first.running, second.running) == (2, 1)


def test_a_stdio_hook_runs_one_at_a_time(managed):
    manager, hook = managed(), HeldHook(type="stdio")
    manager.register(hook)
    for _ in range(5):
        manager.emit("publish_start")
    until(lambda: hook.running)
    hook.go.set()
    until(lambda: len(hook.done) == 5)
    assert hook.most == 1


def test_an_idle_hook_takes_up_again(managed):
    manager, hook = managed(), HeldHook(open=True)
    manager.register(hook, concurrency=2)
    for number in range(1, 6):
        manager.emit("publish_start")
        until(lambda number=number: len(hook.done) == number)


def test_ten_hanging_executions_of_one_hook_do_not_stop_another(managed):
    with receiving(hangs) as dead, receiving(says(NO_CONTENT)) as good:
        settings = HooksSettings(hooks=(webhook("webhook_0", dead.url), webhook("webhook_1", good.url)))
        manager = managed(settings)
        for _ in range(50):
            manager.emit("publish_start")
        until(lambda: len(dead.requests) == 10)
        until(lambda: len(good.requests) == 50)
        counts = manager.stats()["hooks"]
        assert (counts["webhook_0"]["active"], counts["webhook_0"]["queued"]) == (10, 40)
        assert len(dead.requests) == 10


def test_a_full_queue_sheds_its_oldest_and_counts(managed):
    manager, hook = managed(), HeldHook()
    manager.register(hook, concurrency=1, queue_events=3)
    manager.emit("publish_start", stream_key="0")
    until(lambda: hook.running == 1)
    for number in range(1, 8):
        manager.emit("publish_start", stream_key=str(number))
    stats = manager.stats()["hooks"]["held"]
    counts = {"executed": 0, "failed": 0, "retried": 0, "dropped": 4, "queued": 3, "active": 1}
    assert stats == {**counts, "limit": 1, "oldest_sec": 0.0, "state": "active", "filtered": {}, "dead": {}} | {
        "paused_by": "", "held": 0, "retry_in_sec": 0.0,
    }
    hook.go.set()
    until(lambda: len(hook.done) == 4)
    assert hook.done == [f"publish_start:{number}" for number in (0, 5, 6, 7)]


def test_the_time_of_an_execution_begins_with_the_execution(managed):
    clock, deadlines = FakeClock(monotonic=100.0), []
    manager, hook = managed(clock=clock), HeldHook()
    hook.execute = lambda event, deadline: (deadlines.append(deadline), hook.go.wait())
    manager.register(hook, concurrency=1, timeout_s=7)
    manager.emit("publish_start")
    manager.emit("publish_stop")
    until(lambda: deadlines)
    clock.advance(50)
    hook.go.set()
    until(lambda: len(deadlines) == 2)
    assert deadlines == [107.0, 157.0]


@pytest.mark.parametrize("error", [TransientDeliveryError("no"), ValueError("bug"), gevent.Timeout(1)])
def test_a_lane_outlives_every_error_of_its_hook(managed, error):
    manager, hook = managed(), HeldHook(open=True)
    works = hook.execute

    def fails(event, deadline):
        if event.type == "publish_start":
            raise error
        works(event, deadline)

    hook.execute = fails
    manager.register(hook, concurrency=1)
    manager.emit("publish_start")
    manager.emit("publish_stop")
    until(lambda: hook.done == ["publish_stop"])
    until(lambda: manager.stats()["hooks"]["held"]["executed"] == 1)
    assert manager.stats()["hooks"]["held"]["failed"] == 1


# --- registering and statistics -------------------------------------------------------------------


def test_an_id_is_given_only_once(managed):
    manager = managed()
    manager.register(HeldHook())
    with pytest.raises(MisuseError):
        manager.register(HeldHook())


def test_an_unregistered_hook_delivers_what_it_has_and_is_closed(managed):
    manager, hook = managed(), HeldHook()
    manager.register(hook, concurrency=1)
    for _ in range(3):
        manager.emit("publish_start")
    assert manager.unregister("held")
    assert not manager.unregister("held")
    manager.emit("publish_stop")
    hook.go.set()
    until(lambda: hook.closed)
    assert hook.done == ["publish_start"] * 3


def test_statistics_have_the_keys_of_the_existing_server(managed):
    manager = managed(HooksSettings(concurrency=4))
    manager.register(HeldHook("a", "shell"), ["publish_start", "publish_stop"])
    manager.register(HeldHook("b", "stdio"), ["publish_start"], concurrency=3)
    manager.emit("publish_start")
    until(lambda: manager.stats()["pool_active"] == 2)
    stats = manager.stats()
    assert {key: value for key, value in stats.items() if key != "hooks"} == {
        "event_types": 2,
        "total_hooks": 2,
        "stdio_enabled": True,
        "pool_size": 5,
        "pool_active": 2,
        "hooks_by_type": {"shell": 1, "stdio": 1},
    }


# --- replace --------------------------------------------------------------------------------------

A = HookSettings("a", "webhook", "http://a/", concurrency=1)
B = HookSettings("b", "webhook", "http://b/", concurrency=1)


def test_replace_keeps_the_lane_of_an_unchanged_hook_with_its_queue(built):
    manager, hooks = built
    manager.replace(HooksSettings(hooks=(A, B)))
    for _ in range(3):
        manager.emit("publish_start")
    until(lambda: hooks[0].running == hooks[1].running == 1)
    manager.replace(HooksSettings(hooks=(replace(A), replace(B, timeout_s=1))))
    assert [hook.id for hook in hooks] == ["a", "b", "b"]
    manager.emit("publish_stop")
    assert manager.stats()["hooks"]["a"]["queued"] == 3
    for hook in hooks:
        hook.go.set()
    until(lambda: hooks[1].closed and hooks[2].done)
    until(lambda: len(hooks[0].done) == 4)
    assert hooks[0].done == [*hooks[1].done, "publish_stop"] == ["publish_start"] * 3 + ["publish_stop"]
    assert hooks[2].done == ["publish_stop"]
    assert not hooks[0].closed and not hooks[2].closed


def test_replace_with_a_hook_that_can_not_be_built_changes_nothing(built):
    manager, hooks = built
    manager.replace(HooksSettings(hooks=(A,)))
    with pytest.raises(ConfigError):
        manager.replace(HooksSettings(hooks=(B, HookSettings("c", "webhook", "bad")), concurrency=99))
    assert list(manager.stats()["hooks"]) == ["a"]
    hooks[0].go.set()
    manager.emit("publish_start")
    until(lambda: hooks[0].done)


def test_replace_leaves_registered_hooks_alone(built):
    manager, _ = built
    manager.register(HeldHook("mine"))
    manager.replace(HooksSettings(hooks=(A,)))
    manager.replace(HooksSettings())
    assert list(manager.stats()["hooks"]) == ["mine"]


def test_replace_changes_the_cap_of_lanes_that_stay(built):
    manager, hooks = built
    wide = replace(A, concurrency=10)
    manager.replace(HooksSettings(hooks=(wide,), concurrency=4))
    for _ in range(4):
        manager.emit("publish_start")
    until(lambda: hooks[0].running == 4)
    manager.replace(HooksSettings(hooks=(wide,), concurrency=1))
    hooks[0].go.set()
    until(lambda: hooks[0].running == 0)
    hooks[0].go.clear()
    hooks[0].most = 0
    for _ in range(4):
        manager.emit("publish_start")
    until(lambda: hooks[0].running == 1)
    for _ in range(5):
        gevent.sleep(0)
    assert hooks[0].most == 1
    manager.replace(HooksSettings(hooks=(wide,), concurrency=3))
    manager.emit("publish_start")
    manager.emit("publish_start")
    until(lambda: hooks[0].running == 3)


def test_replace_does_not_switch_greenlets(built):
    manager, _ = built
    manager.replace(HooksSettings(hooks=(A,)))
    turns = []
    gevent.spawn(lambda: turns.append(1))
    manager.replace(HooksSettings(hooks=(B,)))
    assert not turns


# --- close ----------------------------------------------------------------------------------------


def test_close_waits_for_what_is_queued_and_running(managed):
    manager, hook = managed(), HeldHook()
    manager.register(hook, concurrency=1)
    for _ in range(3):
        manager.emit("publish_start")
    until(lambda: hook.running)
    closing = gevent.spawn(manager.close, 60)
    gevent.sleep(0)
    manager.emit("publish_stop")
    hook.go.set()
    closing.get(timeout=20)
    assert hook.done == ["publish_start"] * 3
    assert hook.closed


def test_close_gives_up_at_its_limit_and_ends_scripts_with_their_children(managed, tmp_path):
    path = tmp_path / "hook"
    path.write_text(f"sleep 3600 & echo $! > {tmp_path}/pid; wait\n")
    manager = managed(HooksSettings(hooks=(HookSettings("shell_0", "script", str(path)),)))
    manager.emit("publish_start")
    pid_file = tmp_path / "pid"
    until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    pid = int(pid_file.read_text())
    manager.close(0)
    until(lambda: not alive(pid))
    manager.close(0)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_close_says_how_many_events_were_lost(managed, caplog):
    manager, hook = managed(), HeldHook()
    manager.register(hook, concurrency=2)
    for _ in range(5):
        manager.emit("publish_start")
    until(lambda: hook.running == 2)
    manager.close(0)
    lost = [record.fields for record in caplog.records if record.getMessage() == "events lost at stop"]
    assert lost == [{"hook_id": "held", "hook_type": "test", "count": 5}]
    assert hook.closed and not hook.running


def test_after_close_nothing_is_taken(managed):
    manager, hook = managed(), HeldHook(open=True)
    manager.register(hook)
    manager.close(1)
    manager.emit("publish_start")
    manager.trigger(Event("publish_start", 5))
    gevent.sleep(0)
    assert not hook.started
    with pytest.raises(MisuseError):
        manager.register(HeldHook("late"))
    with pytest.raises(MisuseError):
        manager.replace(HooksSettings())


# --- logs -----------------------------------------------------------------------------------------


def test_a_failure_is_logged_with_who_what_and_how_long(managed, caplog, tmp_path):
    path = tmp_path / "hook"
    path.write_text("echo no space >&2; exit 4\n")
    manager = managed(HooksSettings(hooks=(HookSettings("shell_0", "script", str(path)),)))
    manager.emit("publish_start", conn_id="c000001", stream_key="live/a")
    until(lambda: manager.stats()["hooks"]["shell_0"]["failed"] == 1)
    [record] = [record for record in caplog.records if record.getMessage() == "Hook execution failed"]
    fields = dict(record.fields)
    assert fields.pop("duration_ms") >= 0
    assert fields.pop("event_id").startswith("evt_")
    assert len(fields.pop("trace_id")) == 32
    assert record.levelname == "ERROR"
    assert fields == {
        "hook_type": "shell",
        "hook_id": "shell_0",
        "event_type": "publish_start",
        "conn_id": "c000001",
        "stream_key": "live/a",
        "error": "exit status 4: no space",
        "code": "exit:4",
        "reason": "refused",
    }


def test_dropping_is_logged_once_per_interval_with_the_count(managed, caplog):
    clock = FakeClock()
    manager, hook = managed(clock=clock), HeldHook()
    manager.register(hook, concurrency=1, queue_events=1)

    def counts():
        return [record.fields["count"] for record in caplog.records if "queue is full" in record.getMessage()]

    manager.emit("publish_start")
    until(lambda: hook.running)
    for _ in range(6):
        manager.emit("publish_start")
    assert counts() == [1]
    clock.advance(11)
    manager.emit("publish_start")
    assert counts() == [1, 5]
    manager.emit("publish_start")
    hook.go.set()
    manager.close(20)
    assert counts() == [1, 5, 1]


# --- build ----------------------------------------------------------------------------------------


def test_every_kind_of_hook_is_built_from_its_settings():
    kinds = [("script", "/x", "shell"), ("webhook", "http://x/", "webhook"), ("stdio", "env", "stdio")]
    for type, target, name in kinds:
        hook = build_hook(HookSettings("id_0", type, target), Clock())
        assert (hook.id, hook.type) == ("id_0", name)
        hook.close()


@pytest.mark.parametrize(("type", "target"), [("script", ""), ("webhook", "x"), ("stdio", "xml"), ("mail", "me")])
def test_a_hook_that_can_not_be_built_is_a_configuration_error(type, target):
    with pytest.raises(ConfigError, match=r"hooks\.id_0"):
        build_hook(HookSettings("id_0", type, target), Clock())


def test_a_timeout_of_the_settings_reaches_the_endpoint(managed, caplog):
    with receiving(hangs) as dead:
        manager = managed(HooksSettings(hooks=(webhook("webhook_0", dead.url, timeout_s=0.2),)))
        manager.emit("publish_start")
        until(lambda: manager.stats()["hooks"]["webhook_0"]["failed"] == 1)
    errors = [record.fields["error"] for record in caplog.records if hasattr(record, "fields")]
    assert "timed out: no answer came" in errors
