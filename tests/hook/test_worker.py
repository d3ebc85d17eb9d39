"""The worker sink with real workers."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest

from rtmpd.clock import Clock
from rtmpd.errors import NotSentError, PermanentDeliveryError, TransientDeliveryError
from rtmpd.event.event import Event
from rtmpd.hook.manager import HookManager
from rtmpd.hook.redelivery import again
from rtmpd.hook.sink import worker
from rtmpd.hook.sink.worker import BadAnswer, WorkerHook, answer, join_ending
from rtmpd.settings import DeliverySettings, HookSettings, HooksSettings, RetrySettings
from tests.support.waiting import until

from .test_script import alive, descriptors, read_pid

EXAMPLES = Path(__file__).resolve().parents[2] / "etc" / "examples"

ECHO = """
for line in sys.stdin:
    say("ack " + json.loads(line)["id"])
"""


def event(number, **data):
    return Event("publish_start", 1634567890, "c000001", "live/a", {"app": "live", **data}, f"evt_{number:02d}", number)


@pytest.fixture
def start(tmp_path):
    """``start(code)``: a worker hook of Python code, or of a shell script that begins with ``#!``. ``$out`` in it is a
    file of the test's folder."""
    hooks = []

    def run(code):
        path = tmp_path / f"worker{len(hooks)}"
        if not code.startswith("#!"):
            head = f"#!{sys.executable} -IS\nimport json, os, sys, time\n"
            code = f"{head}def say(text): print(text, flush=True)\n{code}"
        path.write_text(code.replace("$out", str(tmp_path / "out")))
        path.chmod(0o755)
        hooks.append(WorkerHook("w", str(path), Clock()))
        return hooks[-1]

    yield run
    for hook in hooks:
        hook.close()
    for talk in list(worker._ending):
        talk.kill()


def give(hook, *events, seconds=20.0):
    return hook.execute_batch(events, time.monotonic() + seconds)


def running(hook):
    return hook._talk.child.pid


# --- the protocol ---------------------------------------------------------------------------------


def test_a_line_is_the_documented_one_byte_for_byte(start, tmp_path):
    hook = start("""
for line in open(0, "rb"):
    with open("$out", "ab") as out: out.write(line)
    say("ack " + json.loads(line)["id"])
""")
    give(hook, event(7, title="é\n"), again(event(8), 3, "timeout"))
    assert (tmp_path / "out").read_bytes().decode() == (
        '{"id":"evt_07","seq":7,"severity":"info","attempt":1,"event":{"type":"publish_start","timestamp":1634567890,'
        '"conn_id":"c000001","stream_key":"live/a","data":{"app":"live","title":"é\\n"}}}\n'
        '{"id":"evt_08","seq":8,"severity":"info","attempt":3,"redelivered":"timeout","event":{"type":"publish_start",'
        '"timestamp":1634567890,"conn_id":"c000001","stream_key":"live/a","data":{"app":"live"}}}\n'
    )


@pytest.mark.parametrize(
    ("text", "family", "message", "wait_s"),
    [
        (b"retry a", TransientDeliveryError, "another try", None),
        (b"retry a 2.5", TransientDeliveryError, "another try", 2.5),
        (b"retry a 1e9", TransientDeliveryError, "another try", 86400.0),
        (b"dead a", PermanentDeliveryError, "gave it up", None),
        (b"dead a no such\xff user\r", PermanentDeliveryError, "no such\ufffd user", None),
    ],
)
def test_an_answer_that_is_no_ack_says_what_is_wrong(text, family, message, wait_s):
    id, outcome = answer(text)
    assert id == b"a" and type(outcome) is family and message in str(outcome)
    assert getattr(outcome, "retry_after_s", None) == wait_s


def test_an_ack_is_no_error():
    assert answer(b"ack a\r") == (b"a", None)


@pytest.mark.parametrize("text", [b"ok a", b"ACK a", b"hello", b"retry a soon", b"retry a -1", b"retry a nan"])
def test_what_is_no_answer_is_told_from_answers(text):
    with pytest.raises(BadAnswer):
        answer(text)


def test_each_event_has_its_own_outcome_whatever_the_order_of_the_answers(start):
    hook = start("""
ids = [json.loads(sys.stdin.readline())["id"] for _ in range(4)]
for verb, id, more in zip(["dead", "ack", "retry", "ack"], reversed(ids), [" too late", "", " 3", ""]):
    say(f"{verb} {id}{more}")
sys.stdin.read()
""")
    one, two, three, four = give(hook, *(event(number) for number in range(4)))
    assert one is None and three is None
    assert isinstance(two, TransientDeliveryError) and (two.code, two.retry_after_s) == ("retry", 3.0)
    assert isinstance(four, PermanentDeliveryError) and (four.code, str(four)) == ("dead", "too late")


def test_one_event_alone_raises_its_outcome(start):
    hook = start("for line in sys.stdin: say('dead evt_01 never heard of')")
    with pytest.raises(PermanentDeliveryError, match="never heard of"):
        hook.execute(event(1), time.monotonic() + 20)


def test_events_arrive_in_order_and_at_one_process(start, tmp_path):
    hook = start("""
for line in sys.stdin:
    print(json.loads(line)["seq"], os.getpid(), file=open("$out", "a"))
    say("ack " + json.loads(line)["id"])
""")
    for turn in range(0, 200, 50):
        assert give(hook, *(event(turn + number) for number in range(50))) == [None] * 50
    rows = [line.split() for line in (tmp_path / "out").read_text().splitlines()]
    assert [int(number) for number, _ in rows] == list(range(200)) and len({pid for _, pid in rows}) == 1


def test_an_event_that_is_twice_in_a_batch_is_given_once(start):
    assert give(start(ECHO), event(1), event(1), event(2)) == [None, None, None]


def test_an_id_that_no_answer_can_name_is_dead_and_harms_no_other(start):
    bad = Event("publish_start", 1, id='a "b"')
    first, second = give(start(ECHO), bad, event(1))
    assert isinstance(first, PermanentDeliveryError) and first.code == "id" and second is None


def test_the_environment_holds_nothing_of_the_daemon(start, tmp_path, monkeypatch):
    for name in ("HOME", "LANG", "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    hook = start("#!/usr/bin/sed -nuf\ns/^{\"id\":\"\\([^\"]*\\).*/ack \\1/p\n")
    give(hook, event(1))
    environ = Path(f"/proc/{running(hook)}/environ").read_bytes()
    assert environ == b"PATH=/usr/bin:/bin\0RTMPD_WORKER_PROTOCOL=1\0"


@pytest.mark.parametrize("name", ["worker.py", "worker.sh"])
def test_the_shipped_examples_work(name):
    hook = WorkerHook("w", str(EXAMPLES / name), Clock())
    assert give(hook, *(event(number, title='"id":"x" \\ $(id) `id`') for number in range(100))) == [None] * 100
    hook.close()
    join_ending(20)


# --- no side waits for the other ------------------------------------------------------------------


def test_large_lines_and_large_answers_do_not_block_each_other(start):
    """20 MB one way and 4 MB the other, through pipes of 64 kB."""
    hook = start("""
for line in sys.stdin:
    say("dead " + json.loads(line)["id"] + " x" * 30000)
""")
    outcomes = give(hook, *(event(number, text="x" * 300_000) for number in range(64)))
    assert {outcome.code for outcome in outcomes} == {"dead"}


def test_a_worker_that_answers_before_it_reads_on_gets_whole_lines(start):
    hook = start("""
say("ack evt_01")
time.sleep(0.1)
for number, line in enumerate(sys.stdin):
    if number: say("ack " + json.loads(line)["id"])
""")
    # The answer comes while the line is still being written, and the next line must not get in between.
    assert give(hook, event(1, text="x" * 300_000)) == [None]
    assert give(hook, event(2), event(3)) == [None, None]


def test_a_slow_reader_keeps_nobody_but_its_own_lane(start):
    hook = start("""
open("$out", "w").close()
while not os.path.exists("$out.go"): time.sleep(0.01)
for line in sys.stdin: say("ack " + json.loads(line)["id"])
""")
    batch = gevent.spawn(give, hook, *(event(number, text="x" * 300_000) for number in range(10)))
    until(Path(hook._path).with_name("out").exists)
    gevent.sleep(0)
    assert not batch.ready()
    Path(hook._path).with_name("out.go").touch()
    assert batch.get(timeout=20) == [None] * 10


def test_batches_of_one_worker_take_turns(start):
    hook = start(ECHO)
    batches = [gevent.spawn(give, hook, *(event(turn * 10 + number) for number in range(10))) for turn in range(5)]
    gevent.joinall(batches, raise_error=True)
    assert [batch.value for batch in batches] == [[None] * 10] * 5


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.stdin.readline(); sys.exit(3)", "ended with exit status 3"),
        ("sys.stdin.readline(); os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("sys.stdin.readline(); print('out of luck', file=sys.stderr); sys.exit(1)", "exit status 1: out of luck"),
        ("sys.stdin.readline(); say('hello'); time.sleep(3600)", "not an answer: 'hello'"),
        ("sys.stdin.readline(); say('ack evt_99'); time.sleep(3600)", "was not asked: 'ack evt_99'"),
        ("sys.stdin.readline(); os.close(1); time.sleep(3600)", "closed its standard output"),
        ("sys.stdin.readline(); print('x' * 70000, end='', flush=True); time.sleep(3600)", "more than 65536"),
        ("os.close(0); time.sleep(3600)", "closed its standard input"),
    ],
)
def test_a_worker_that_breaks_the_rules_is_named_and_ended(start, code, message, caplog):
    hook = start(code)
    (outcome,) = give(hook, event(1, text="x" * 300_000))
    assert isinstance(outcome, TransientDeliveryError) and outcome.code == "worker"
    assert re.search(message, str(outcome))
    (ended,) = [row.fields for row in caplog.records if row.message == "Worker ended"]
    until(lambda: not alive(ended["pid"]))


def test_what_was_answered_before_the_worker_died_counts(start):
    hook = start("""
for line in sys.stdin:
    if json.loads(line)["seq"] == 3: os.kill(os.getpid(), 9)
    say("ack " + json.loads(line)["id"])
""")
    outcomes = give(hook, *(event(number) for number in range(6)))
    assert outcomes[:3] == [None] * 3
    assert {type(outcome) for outcome in outcomes[3:]} == {TransientDeliveryError}


def test_an_event_that_kills_the_worker_takes_no_others_with_it_twice(start):
    hook = start("""
for line in sys.stdin:
    if json.loads(line)["seq"] == 0: os.kill(os.getpid(), 9)
    say("ack " + json.loads(line)["id"])
""")
    events = [event(number) for number in range(4)]
    assert None not in give(hook, *events)
    first, *others = give(hook, *events)
    assert first.code == "worker" and others == [None] * 3


def test_a_worker_that_never_answers_is_started_again_after_a_growing_wait(start):
    hook = start("sys.exit(1)")
    give(hook, event(1))
    give(hook, event(1))
    (outcome,) = give(hook, event(1), seconds=0.1)
    assert isinstance(outcome, NotSentError)  # the lane pays, not the event
    assert outcome.code == "not_sent" and 0.1 < outcome.retry_after_s <= 0.5


def test_an_event_that_hangs_the_worker_is_told_from_those_that_were_not_given_to_it(start):
    hook = start("""
for line in sys.stdin:
    if json.loads(line)["seq"] == 0: time.sleep(3600)
    say("ack " + json.loads(line)["id"])
""")
    events = [event(number) for number in range(3)]
    assert [outcome.code for outcome in give(hook, *events, seconds=0.5)] == ["timeout"] * 3
    assert [outcome.code for outcome in give(hook, *events, seconds=0.8)] == ["timeout", "not_sent", "not_sent"]


def test_a_worker_that_left_by_itself_is_started_again_at_once_and_nobody_pays(start, caplog):
    hook = start("say('ack ' + json.loads(sys.stdin.readline())['id'])")
    for number in range(3):
        assert give(hook, event(number)) == [None]
        until(lambda: hook._talk.problem)
    assert [row.fields["restart_s"] for row in caplog.records if row.message == "Worker ended"] == [0.0, 0.0]


def test_a_program_that_is_not_there_is_no_answer(tmp_path):
    hook = WorkerHook("w", str(tmp_path / "none"), Clock())
    (outcome,) = give(hook, event(1))
    assert isinstance(outcome, TransientDeliveryError) and "No such file" in str(outcome)


def test_at_the_deadline_the_worker_is_ended_with_its_children(start, tmp_path):
    hook = start("#!/bin/sh\nread line\necho 'ack evt_00'\nsleep 3600 & echo $! > $out\nwait\n")
    batch = gevent.spawn(give, hook, event(0), event(1), seconds=1.0)
    pid = read_pid(tmp_path / "out")
    first, second = batch.get(timeout=20)
    assert first is None and isinstance(second, TransientDeliveryError) and second.code == "timeout"
    until(lambda: not alive(pid))


def test_the_end_is_noticed_though_something_in_the_background_holds_the_pipe(start, tmp_path):
    hook = start("#!/bin/sh\nread line\nsleep 3600 & echo $! > $out\nexit 4\n")
    (outcome,) = give(hook, event(0))
    assert "exit status 4" in str(outcome)
    pid = read_pid(tmp_path / "out")
    until(lambda: not alive(pid))


def test_a_worker_ends_with_the_greenlet_that_waits_for_it(start, tmp_path):
    hook = start("open('$out', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(3600)")
    batch = gevent.spawn(give, hook, event(1), seconds=3600)
    pid = read_pid(tmp_path / "out")
    batch.kill()
    until(lambda: not alive(pid))


def test_stderr_is_logged_line_by_line_with_a_cap(start, caplog):
    hook = start("""
for line in sys.stdin:
    sys.stderr.write("first\\nsecond\\n" + "".join(f"{n}\\n" for n in range(1000)))
    sys.stderr.flush()
    say("ack " + json.loads(line)["id"])
""")
    with caplog.at_level("INFO", "rtmpd"):
        give(hook, event(1))
        until(lambda: any("more lines" in str(row.fields.get("line")) for row in caplog.records))
    said = [row.fields["line"] for row in caplog.records if row.message == "Worker says"]
    assert said[:2] == ["first", "second"] and len(said) < 100


# --- through the lanes ----------------------------------------------------------------------------


def managed(tmp_path, code, **more):
    path = tmp_path / "managed"
    head = f"#!{sys.executable} -IS\nimport json, os, sys, time\ndef say(text): print(text, flush=True)\n"
    path.write_text(head + code)
    path.chmod(0o755)
    more = {"retry": RetrySettings(max_attempts=3, initial_delay_s=0.01, breaker_failures=100), **more}
    delivery = DeliverySettings(order="none", batch_events=64, batch_age_s=0.0)
    hook = HookSettings("w", "worker", str(path), concurrency=1, delivery=delivery, **more)
    return HookManager(HooksSettings((hook,)), Clock())


def test_a_poisoned_event_is_dead_after_its_tries_and_all_others_are_delivered(tmp_path):
    manager = managed(tmp_path, """
for line in sys.stdin:
    task = json.loads(line)
    if task["event"]["stream_key"] == "live/5": os.kill(os.getpid(), 9)
    say("ack " + task["id"])
""")
    for number in range(20):
        manager.emit("publish_start", stream_key=f"live/{number}", app="live")
    until(lambda: counts(manager)["executed"] == 19)
    until(lambda: counts(manager)["dead"].get("attempts") == 1)
    assert [letter.event.stream_key for letter in manager.dead_letters("w")] == ["live/5"]
    manager.close(5.0)


def test_what_a_worker_sends_back_is_tried_again_and_what_it_gives_up_is_dead(tmp_path):
    manager = managed(tmp_path, """
for line in sys.stdin:
    task = json.loads(line)
    again = task["event"]["stream_key"] == "live/1" and task["attempt"] == 1
    verb = "retry" if again else "dead" if task["event"]["stream_key"] == "live/2" else "ack"
    say(verb + " " + task["id"])
""")
    for number in range(4):
        manager.emit("publish_start", stream_key=f"live/{number}", app="live")
    until(lambda: counts(manager)["executed"] == 3)
    until(lambda: counts(manager)["dead"].get("refused") == 1)
    assert counts(manager)["retried"] == 1
    manager.close(5.0)


def counts(manager):
    return manager.stats()["hooks"]["w"]


# --- the end --------------------------------------------------------------------------------------


def test_a_closed_hook_lets_its_worker_finish(start, tmp_path):
    hook = start(ECHO + "\nopen('$out', 'w').write('finished')\n")
    give(hook, event(1))
    pid = running(hook)
    hook.close()
    join_ending(20)
    assert not alive(pid) and (tmp_path / "out").read_text() == "finished"


def test_a_worker_ends_when_the_daemon_was_killed(start, tmp_path):
    path = start(ECHO)._path
    code = (
        "from gevent import monkey; monkey.patch_all(); import os, sys, time; from rtmpd.clock import Clock; "
        "from rtmpd.event.event import Event; from rtmpd.hook.sink.worker import WorkerHook; "
        f"hook = WorkerHook('w', {path!r}, Clock()); "
        "hook.execute(Event('publish_start', 1, id='evt_1'), time.monotonic() + 20); "
        "print(hook._talk.child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    daemon = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert daemon.returncode == -9, daemon.stderr
    until(lambda: not alive(int(daemon.stdout)))


def test_a_worker_that_will_not_end_is_killed_with_its_children(start, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "GRACE_S", 0.2)
    hook = start(
        "#!/bin/bash\ntrap '' TERM\nread line\necho 'ack evt_01'\nsleep 3600 & echo $! > $out\n"
        "while :; do wait; done\n"
    )
    give(hook, event(1))
    pids = [running(hook), read_pid(tmp_path / "out")]
    hook.close()
    join_ending(20)
    until(lambda: not any(alive(pid) for pid in pids))


def test_nothing_is_left_open(start):
    for _ in range(3):
        hook = start(ECHO)
        give(hook, event(1))
        hook.close()
        join_ending(20)
    gevent.sleep(0.01)
    before = descriptors()
    for _ in range(5):
        hook = start(ECHO)
        give(hook, event(1))
        hook.close()
        join_ending(20)
    until(lambda: descriptors() <= before)
    assert not worker._ending


def test_a_line_is_json_whatever_the_event_holds(start, tmp_path):
    hook = start("""
for line in open(0, "rb"):
    with open("$out", "wb") as out: out.write(line)
    say("ack " + json.loads(line)["id"])
""")
    nasty = {"a": "\u2028\n\r\x00\ud800", "b": float("nan"), "c": [b"\n"]}
    assert give(hook, event(1, **nasty)) == [None]
    assert json.loads((tmp_path / "out").read_bytes())["event"] == json.loads(event(1, **nasty).json())
    assert os.path.getsize(tmp_path / "out") > 0
