"""The judge judged: every fault that is planted turns it red, and nothing else does."""

from __future__ import annotations

import copy
import json
import sys

import pytest

from .auditor import Ends, audit
from .ledger import DELIVERED, WEBHOOK_SECRET, lines_of
from .receiver import why_bad


def run(hooks=("ops",), count=12, keys=3):
    """A blameless run: what was accepted, what was received."""
    accepted, received = [], []
    for number in range(1, count + 1):
        id, key = f"evt_{number:03}", f"live/{number % keys}"
        accepted.append({"id": id, "seq": number, "hash": f"h{number}", "routes": dict.fromkeys(hooks, number)})
        for hook in hooks:
            line = {"hook": hook, "id": id, "seq": number, "key": key, "hash": f"h{number}", "bad": ""}
            received.append(line | {"attempt": 1, "doubt": "", "status": 200})
    return accepted, received


def test_a_blameless_run_is_good():
    verdict = audit(*run(), Ends())
    assert verdict.is_good and (verdict.accepted, verdict.taken) == (12, 12)


def drop(received):
    del received[4]


def drop_the_last(received):
    del received[-1]


def refuse(received):
    received[4]["status"] = 503


def duplicate(received):
    received.append(copy.copy(received[4]))


def swap(received):
    received[3], received[6] = received[6], received[3]


def swap_what_was_taken(received):
    """It came in order, but was taken only after the one behind it."""
    late = received[3] | {"doubt": "error"}
    received[3]["status"] = 503
    received.append(late)


def flip(received):
    received[4]["hash"] = "h0"


def forge(received):
    received[4]["bad"] = "no matching signature"


def number_twice(received):
    received[4] |= {"seq": 6, "key": "live/9"}


@pytest.mark.parametrize(
    ("plant", "seen"),
    [
        (drop, {"lost": 1, "holes": 1}),
        (drop_the_last, {"lost": 1}),
        (refuse, {"lost": 1}),
        (duplicate, {"unexplained": 1}),
        (swap, {"disorder": 2}),
        (swap_what_was_taken, {"disorder": 1}),
        (flip, {"corrupt": 1}),
        (forge, {"forged": 1}),
        (number_twice, {"holes": 2}),
    ],
)
def test_a_planted_fault_is_seen(plant, seen):
    accepted, received = run()
    plant(received)
    assert audit(accepted, received, Ends()).faults == seen


@pytest.mark.parametrize("label", ["timeout", "error", "recovery", "replay"])
def test_a_copy_that_says_why_is_no_fault(label):
    accepted, received = run()
    received.append(received[4] | {"doubt": label})
    verdict = audit(accepted, received, Ends())
    assert verdict.is_good and verdict.copies == {label: 1}


def test_a_copy_that_overtook_the_silent_one_is_no_fault_and_a_strange_word_is():
    accepted, received = run()
    received.insert(4, received[4] | {"doubt": "recovery"})
    assert audit(accepted, received, Ends()).is_good
    received.append(received[4] | {"doubt": "because"})
    assert audit(accepted, received, Ends()).faults == {"unexplained": 1}


def test_dead_and_given_up_events_are_not_lost():
    accepted, received = run()
    del received[4:6]
    assert audit(accepted, received, Ends({("ops", "evt_005"): 5}, [("ops", 6, 6, 1)])).is_good
    assert audit(accepted, received, Ends({("ops", "evt_005"): 5})).faults == {"lost": 1, "holes": 1}
    assert audit(accepted, received, Ends({("other", "evt_005"): 5}, [("other", 6, 6, 1)])).faults == {
        "lost": 2,
        "holes": 2,
    }


def test_order_is_judged_as_it_was_promised():
    accepted, received = run(keys=1000)
    received[3], received[6] = received[6], received[3]
    assert audit(accepted, received, Ends()).is_good
    assert audit(accepted, received, Ends(), {"ops": "strict"}).faults == {"disorder": 6}
    accepted, received = run(keys=1)
    received[3], received[6] = received[6], received[3]
    assert audit(accepted, received, Ends(), {"ops": "none"}).is_good


def test_each_hook_has_its_own_account():
    accepted, received = run(("ops", "other"))
    received.remove(next(line for line in received if line["hook"] == "other" and line["seq"] == 5))
    assert audit(accepted, received, Ends()).faults == {"lost": 1, "holes": 1}


def test_the_receiver_knows_a_good_request_from_a_forged_one():
    import datetime

    import jwt
    from standardwebhooks import Webhook

    from .ledger import AUDIENCE, TOKEN_SECRET

    now = datetime.datetime.now(tz=datetime.UTC)
    body = '{"type":"publish_start"}'
    claims = {"iat": now, "exp": now + datetime.timedelta(60), "jti": "1", "aud": AUDIENCE}
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(WEBHOOK_SECRET).sign("evt_1", now, body),
        "Authorization": f"Bearer {jwt.encode(claims, TOKEN_SECRET, 'HS256')}",
    }
    assert why_bad(headers, body.encode()) == ""
    assert why_bad(headers, body.replace("start", "stort").encode())
    assert why_bad(headers | {"webhook-id": "evt_2"}, body.encode())
    assert why_bad(headers | {"webhook-timestamp": "1"}, body.encode())
    assert why_bad(headers | {"webhook-signature": "v1,AAAA"}, body.encode())
    forged = jwt.encode(claims, "another secret, of thirty-two bytes and more", "HS256")
    assert why_bad(headers | {"Authorization": f"Bearer {forged}"}, body.encode())
    assert why_bad({name: value for name, value in headers.items() if name != "Authorization"}, body.encode())


@pytest.mark.parametrize("module", ["ledger", "auditor", "receiver", "worker"])
def test_the_judge_imports_nothing_of_the_package(module):
    import subprocess

    code = f"import sys, tests.faults.{module}; print([name for name in sys.modules if name.startswith('rtmpd')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_line_is_read_as_it_was_written(tmp_path):
    from .ledger import Ledger

    ledger = Ledger(tmp_path / DELIVERED)
    ledger.append({"id": "a"}, {"id": "b"})
    ledger.append({"id": "c"})
    ledger.close()
    assert json.dumps(list(lines_of(tmp_path / DELIVERED))) == '[{"id": "a"}, {"id": "b"}, {"id": "c"}]'
    assert list(lines_of(tmp_path / "nothing")) == []
