"""What each route answers, and how it takes its parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtmpd.http.api import Facts, health
from rtmpd.http.routes import ROUTES
from rtmpd.metrics.fault import HOOK_HELD_UP, RELAY_FAILING, Fault
from tests.support.desk import Desk, body_of, headers_of, status_of

V1 = "/api/v1"


def posted(path: str, data: bytes) -> bytes:
    """A request with a body that says it is JSON."""
    head = f"POST {V1}{path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


# --- health ---------------------------------------------------------------------------------------


def test_the_process_is_alive_as_long_as_its_loop_is_in_time(desk: Desk) -> None:
    assert desk.ask("GET", "/healthz") == (200, {"status": "ok", "hub_lag_ms": 0.5})
    desk.lag_ms = 2500.0
    assert desk.ask("GET", "/healthz") == (503, {"status": "late", "hub_lag_ms": 2500.0})


def test_the_server_is_ready_or_says_why_not(desk: Desk) -> None:
    assert desk.ask("GET", "/readyz") == (200, {"ready": True, "reasons": []})
    desk.reasons = ["rtmpd is stopping"]
    assert desk.ask("GET", "/readyz") == (503, {"ready": False, "reasons": ["rtmpd is stopping"]})


def test_health_has_the_four_figures_and_is_503_when_hooks_are_held_up(desk: Desk) -> None:
    status, document = desk.ask("GET", "/health")
    assert status == 200
    assert {"hook_manager_status", "active_hooks", "failed_deliveries", "last_event_time"} <= set(document)
    desk.status = "degraded"
    assert desk.ask("GET", "/health")[0] == 503


def counts(dropped: int, queued: int, **dead: int) -> Facts:
    """What the hook manager counts for one hook."""
    return {"dropped": dropped, "queued": queued, "dead": dead}


def test_health_sums_what_hooks_did_not_get_and_leaves_out_the_tail() -> None:
    hooks = {"a": counts(2, 5, attempts=3, disabled=4), "b": counts(1, 0), "events-tail": counts(9, 9, attempts=9)}
    document = health({"hooks": hooks}, 12.5, ())
    assert (document["active_hooks"], document["failed_deliveries"]) == (2, 10)
    assert (document["dropped_events"], document["dead_letters"], document["queued_events"]) == (3, 7, 5)
    assert (document["status"], document["hook_manager_status"]) == ("healthy", "healthy")
    assert document["last_event_time"] == 12.5


def test_a_fault_that_is_not_about_events_leaves_the_hook_manager_healthy() -> None:
    held_up, relay = Fault(HOOK_HELD_UP, "a", "503"), Fault(RELAY_FAILING, "rtmp://x/y", "refused")
    document = health({"hooks": {}}, None, (relay,))
    assert (document["status"], document["hook_manager_status"]) == ("degraded", "healthy")
    assert document["hooks_held_up"] == []
    document = health({"hooks": {}}, None, (held_up, relay))
    assert (document["hook_manager_status"], document["hooks_held_up"]) == ("degraded", ["a"])
    assert [fault["subject"] for fault in document["faults"]] == ["a", "rtmp://x/y"]


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", "*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("", "application/openmetrics-text;version=1.0.0,*/*;q=0.1", "application/openmetrics-text"),
        ("?format=openmetrics", "*/*", "application/openmetrics-text"),
        ("?format=prometheus", "application/openmetrics-text", "text/plain; version=0.0.4"),
    ],
)
def test_metrics_come_in_the_format_that_is_asked_for(desk: Desk, query: str, accept: str, content_type: str) -> None:
    answer = desk.send(f"GET /metrics{query} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    assert headers_of(answer)["content-type"].startswith(content_type)
    assert answer.endswith(b"# EOF\n") == content_type.startswith("application")


# --- what goes on ---------------------------------------------------------------------------------


def test_the_server_tells_about_itself(desk: Desk) -> None:
    status, document = desk.ask("GET", f"{V1}/server")
    assert (status, document["version"], document["hub_lag_ms"]) == (200, "9", 0.5)


@pytest.mark.parametrize("key", ["live%2Fa", "live/a"])
def test_a_stream_is_found_by_its_key_in_either_spelling(desk: Desk, key: str) -> None:
    status, document = desk.ask("GET", f"{V1}/streams/{key}")
    assert (status, document["key"], document["playing"][0]["conn_id"]) == (200, "live/a", "c000002")


def test_connections_come_in_pages(desk: Desk) -> None:
    desk.connections = 5
    seen, after = [], ""
    while True:
        _, page = desk.ask("GET", f"{V1}/connections?limit=2{after}")
        assert page["total"] == 5
        seen += [one["conn_id"] for one in page["connections"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert seen == [f"c00000{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    "path",
    [
        "/streams/live%2Fb", "/connections/c999999", "/hooks/nobody", "/events/evt_9/why", "/dead-letters/9",
        "/nothing", "/streams", "",
    ],
)  # fmt: skip
def test_what_is_not_there_is_404(desk: Desk, path: str) -> None:
    expected = 200 if path == "/streams" else 404
    assert desk.ask("GET", V1 + path)[0] == expected


def test_a_connection_is_kicked_or_those_of_a_stream(desk: Desk) -> None:
    assert desk.ask("POST", f"{V1}/kick", {"conn_id": "c000001"}) == (200, {"kicked": ["c000001"]})
    desk.ask("POST", f"{V1}/kick", {"stream_key": "live/a"})
    desk.ask("POST", f"{V1}/kick", {"stream_key": "live/a", "role": "all"})
    assert desk.kicked == [("c000001",), ("live/a", "publisher"), ("live/a", "all")]
    assert desk.ask("POST", f"{V1}/kick", {"conn_id": "c9"})[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"conn_id": "c000001", "stream_key": "live/a"}, 400),
        ({"conn_id": 5}, 400),
        ({"conn_id": ""}, 400),
        ({"conn_id": None}, 400),
        ({"conn_id": ["c000001"]}, 400),
        ({"conn_id": "a\nb"}, 400),
        ({"conn_id": "\ud800"}, 400),
        ({"conn_id": "x" * 5000}, 400),
        ({"stream_key": "live/a", "role": "nobody"}, 400),
        ({"conn_id": "c000001", "other": 1}, 400),
        ([], 400),
        ("text", 400),
        (None, 400),
    ],
)
def test_a_body_that_is_not_what_is_asked_for_is_refused(desk: Desk, body: Any, status: int) -> None:
    assert desk.ask("POST", f"{V1}/kick", body)[0] == status
    assert desk.kicked == []


@pytest.mark.parametrize(
    "text", ['{"conn_id":', '{"a":NaN}', "[" * 5000, '{"conn_id":"a","conn_id":"b"}', "\xff", "", "{}x"]
)
def test_a_body_that_is_no_json_is_refused(desk: Desk, text: str) -> None:
    data = text.encode("latin-1")
    assert status_of(desk.send(posted("/kick", data), unix=True)) == 400


def test_a_body_of_another_type_is_refused(desk: Desk) -> None:
    headers = {"Content-Type": "text/plain"}
    assert desk.ask("POST", f"{V1}/kick", {"conn_id": "c000001"}, headers)[0] == 415


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "limit=1.5", "limit=", "other=1", "after=%0a"]
)
def test_a_query_that_is_not_what_is_asked_for_is_refused(desk: Desk, query: str) -> None:
    assert desk.ask("GET", f"{V1}/streams?{query}")[0] == 400


def test_a_method_that_is_not_there_is_405_with_those_that_are(desk: Desk) -> None:
    for method, path, allow in (
        ("DELETE", "/log/level", "GET, HEAD, PUT"),
        ("GET", "/kick", "POST"),
        ("PUT", "/dead-letters/purge", "POST"),
    ):
        answer = desk.send(f"{method} {V1}{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), unix=True)
        assert status_of(answer) == 405
        assert headers_of(answer)["allow"] == allow


# --- configuration and log ------------------------------------------------------------------------


def test_the_configuration_is_shown_compared_and_tested(desk: Desk) -> None:
    desk.config.changes = "+level = debug\n"
    assert desk.ask("GET", f"{V1}/config") == (200, {"text": "[log]\nlevel = info\n"})
    assert desk.ask("GET", f"{V1}/config/diff")[1]["text"] == "+level = debug\n"
    assert desk.ask("POST", f"{V1}/config/test") == (200, {"ok": True, "problems": [], "warnings": ["odd"]})


def test_a_reload_answers_with_its_result(desk: Desk) -> None:
    status, document = desk.ask("POST", f"{V1}/reload")
    assert (status, document["ok"], document["changed"], document["restart"]) == (200, True, ["hooks"], ["server"])
    desk.config.problems = ["a.ini:3: log.level: is not a level"]
    status, document = desk.ask("POST", f"{V1}/reload")
    assert (status, document["ok"], document["problems"]) == (422, False, desk.config.problems)


def test_the_log_level_is_told_and_set(desk: Desk) -> None:
    assert desk.ask("GET", f"{V1}/log/level") == (200, {"level": "info"})
    assert desk.ask("PUT", f"{V1}/log/level", {"level": "debug"}) == (200, {"level": "debug"})
    assert desk.ask("PUT", f"{V1}/log/level", {"level": "loud"})[0] == 400
    assert desk.ask("PUT", f"{V1}/log/level", {})[0] == 400
    assert desk.log.now == "debug"
    assert desk.ask("POST", f"{V1}/log/reopen") == (200, {"ok": True})
    assert desk.log.reopened == 1


def test_what_is_changed_is_logged_with_who_asked(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rtmpd")
    desk.ask("GET", f"{V1}/server")
    assert "control request" not in caplog.messages
    desk.ask("POST", f"{V1}/log/reopen")
    (record,) = [record for record in caplog.records if record.getMessage() == "control request"]
    assert record.__dict__["fields"]["path"] == f"{V1}/log/reopen"
    assert record.__dict__["fields"]["peer"].startswith("uid ")


# --- hooks ----------------------------------------------------------------------------------------


def test_hooks_are_listed_shown_tested_paused_and_resumed(desk: Desk) -> None:
    assert desk.ask("GET", f"{V1}/hooks")[1]["hooks"][0]["id"] == "ops"
    assert desk.ask("GET", f"{V1}/hooks/ops")[1]["state"] == "active"
    assert desk.ask("POST", f"{V1}/hooks/ops/test", {"event_type": "play_start"})[1]["event_type"] == "play_start"
    assert desk.ask("POST", f"{V1}/hooks/ops/pause") == (200, {"ok": True})
    assert desk.ask("POST", f"{V1}/hooks/ops/resume") == (200, {"ok": True})
    assert desk.hooks.told == [("pause", "ops"), ("resume", "ops")]
    assert desk.ask("POST", f"{V1}/hooks/nobody/pause")[0] == 404
    assert desk.ask("GET", f"{V1}/events/evt_1/why")[1]["event_id"] == "evt_1"
    assert desk.ask("GET", f"{V1}/hooks/ops/events/evt_1/attempts")[1]["attempts"][0]["number"] == 1


def test_dead_letters_are_listed_and_shown(desk: Desk) -> None:
    status, document = desk.ask("GET", f"{V1}/dead-letters?hook=ops&after=1&limit=1")
    assert (status, [one["number"] for one in document["dead_letters"]]) == (200, [2])
    assert desk.ask("GET", f"{V1}/dead-letters/2")[1]["event"] == {"type": "publish_start"}
    assert desk.ask("GET", f"{V1}/dead-letters?hook=nobody")[0] == 404


def lines(desk: Desk, path: str, body: object) -> list[Any]:
    data = json.dumps(body).encode()
    answer = desk.send(posted(path, data), unix=True)
    assert status_of(answer) == 200, answer
    return [json.loads(line) for line in body_of(answer).splitlines()]


def test_long_work_tells_each_step_and_its_end(desk: Desk) -> None:
    told = lines(desk, "/dead-letters/replay", {"hook_id": "ops", "numbers": [1, 2]})
    assert told == [{"replayed": 1, "total": 2}, {"replayed": 2, "total": 2}, {"done": True}]
    assert lines(desk, "/replay", {"hook_id": "ops", "since": 1.5, "until": 9})[-1] == {"done": True}
    assert desk.hooks.told == [("replay_dead", "ops", [1, 2]), ("replay", "ops", None, 1.5, 9)]


def test_a_whole_number_may_have_a_point(desk: Desk) -> None:
    lines(desk, "/dead-letters/replay", {"numbers": [1.0, 2]})
    assert desk.hooks.told == [("replay_dead", "", [1, 2])]


def test_work_that_stops_in_between_says_why(desk: Desk) -> None:
    told = lines(desk, "/dead-letters/purge", {})
    assert told == [{"purged": 1}, {"done": False, "error": "the disk is full"}]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/dead-letters/replay", {"hook_id": "nobody"}, 404),
        ("/dead-letters/replay", {"numbers": []}, 400),
        ("/dead-letters/replay", {"numbers": ["1"]}, 400),
        ("/dead-letters/replay", {"numbers": [True]}, 400),
        ("/dead-letters/replay", {"numbers": [-1]}, 400),
        ("/replay", {"hook_id": "ops"}, 400),
        ("/replay", {"hook_id": "ops", "event_ids": ["a"], "since": 1}, 400),
        ("/replay", {"hook_id": "nobody", "since": 1}, 404),
        ("/replay", {"since": 1}, 400),
    ],
)
def test_work_that_can_not_begin_is_a_status_and_no_line(desk: Desk, path: str, body: Any, status: int) -> None:
    assert desk.ask("POST", V1 + path, body)[0] == status


def test_keys_are_made_and_checked(desk: Desk) -> None:
    status, document = desk.ask("POST", f"{V1}/tokens", {"app": "live", "name": "a", "ttl_s": 60})
    assert (status, document["action"], document["expires"]) == (200, "publish", 60)
    asked = {"app": "live", "name": "a", "token": "x"}
    assert desk.ask("POST", f"{V1}/tokens/check", asked)[1]["reason"] == "bad signature"


def test_what_can_not_be_done_now_is_said_in_words(desk: Desk) -> None:
    status, problem = desk.ask("POST", f"{V1}/tokens", {"app": "other", "name": "a"})
    assert (status, problem["title"], problem["detail"]) == (409, "Conflict", "there is no signing key")


# --- the table ------------------------------------------------------------------------------------


def test_every_route_has_a_summary_and_bounds_and_its_own_place() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert route.summary and not route.summary.endswith("."), route.path
        named = {part[1:-1] for part in route.path.split("/") if part.startswith("{")}
        assert named == {param.name for param in route.params if param.where == "path"}
        for param in route.params:
            assert param.meaning
            if param.type in ("integer", "number"):
                assert param.minimum < param.maximum and param.maximum > 1
