"""What the options of a hook do to what its receiver sees: from the text of a file to real requests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.event
import pytest
from gevent.socket import socket

from rtmpd.clock import Clock
from rtmpd.config import flags
from rtmpd.config.loader import load
from rtmpd.event.catalogue import EVENT_TYPES
from rtmpd.hook.build import check_auth, check_template
from rtmpd.hook.filter import condition
from rtmpd.hook.manager import HookManager
from tests.support.proof import proves
from tests.support.receiver import NO_CONTENT, Receiver, Request, hangs, receiving, says, status
from tests.support.waiting import until

Hooked = Callable[[str], HookManager]
Answer = Callable[[socket, Request], bool]


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[Hooked]:
    """Make managers of a file's text, with the real loader, and close them."""
    managers = []

    def make(text: str) -> HookManager:
        file = tmp_path / "rtmpd.ini"
        file.write_text(text)
        line = flags.parse(["-c", str(file)])
        loaded = load(line, list(EVENT_TYPES), {}, condition.check, check_auth, check_template=check_template)
        managers.append(HookManager(loaded.settings.hooks, Clock()))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close(0)


def webhook(receiver: Receiver, *lines: str, section: str = "") -> str:
    return "\n".join(["[hooks]", section, "[[ops]]", "type = webhook", f"url = {receiver.url}", *lines, ""])


def types_of(receiver: Receiver) -> list[str]:
    return [json.loads(request.body)["type"] for request in receiver.requests]


class Stamped:
    """An answer that notes when each request came, in monotonic seconds."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.at: list[float] = []

    def __call__(self, sock: socket, request: Request) -> bool:
        self.at.append(time.monotonic())
        return self.answer(sock, request)

    @property
    def waits(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.at, self.at[1:], strict=False)]


BUSY = status("503 Busy")


@proves(
    "hooks.NAME.max_attempts", "hooks.NAME.initial_delay", "hooks.NAME.max_delay", "hooks.NAME.backoff_strategy",
    "hooks.NAME.breaker_failures", "hooks.NAME.retry_delays",
)  # fmt: skip
@pytest.mark.parametrize(
    ("lines", "waits_ms"),
    [
        (("max_attempts = 4", "initial_delay = 40ms"), [40, 80, 160]),
        (("max_attempts = 9", "initial_delay = 40ms", "max_delay = 60ms"), [40, *[60] * 7]),
        (("max_attempts = 9", "initial_delay = 20ms", "backoff_strategy = linear"), [20 * n for n in range(1, 9)]),
        (("max_attempts = 9", "initial_delay = 40ms", "backoff_strategy = fixed"), [40] * 8),
        (("retry_delays = 50ms, 100ms, 20ms",), [50, 100, 20]),
    ],
)
def test_a_failed_event_is_tried_again_after_the_waits_of_the_file(
    hooked: Hooked, lines: tuple[str, ...], waits_ms: list[int]
) -> None:
    answer = Stamped(BUSY)
    with receiving(answer) as receiver:
        manager = hooked(webhook(receiver, "breaker_failures = 100", *lines))
        manager.emit("publish_start", stream_key="a")
        until(lambda: manager.stats()["hooks"]["ops"]["dead"])
    assert len(answer.at) == len(waits_ms) + 1
    assert all(wait * 1000 >= wanted * 0.9 for wait, wanted in zip(answer.waits, waits_ms, strict=True)), answer.waits
    assert sum(answer.waits) < 2.5, "any other backoff would have waited for 5 s or more"


@proves("hooks.NAME.retryable_errors")
def test_only_the_errors_of_the_file_are_worth_another_try(hooked: Hooked) -> None:
    with receiving(BUSY) as receiver:
        manager = hooked(webhook(receiver, "max_attempts = 3", "initial_delay = 10ms", "retryable_errors = status:429"))
        manager.emit("publish_start", stream_key="a")
        until(lambda: manager.stats()["hooks"]["ops"]["dead"])
    assert len(receiver.requests) == 1


@proves("hooks.NAME.confirm_timeout")
def test_a_try_ends_when_its_confirmation_is_overdue(hooked: Hooked) -> None:
    released = gevent.event.Event()

    def dawdle(sock: socket, request: Request) -> bool:
        released.wait(20)
        return False

    with receiving(dawdle) as receiver, gevent.Timeout(15):
        manager = hooked(webhook(receiver, "timeout = 30s", "confirm_timeout = 100ms", "guarantee_level = none"))
        manager.emit("publish_start", stream_key="a")
        until(lambda: manager.stats()["hooks"]["ops"]["dead"], 10.0)
        released.set()


@proves("hooks.NAME.queue")
def test_a_queue_holds_as_many_events_as_the_file_says(hooked: Hooked) -> None:
    released = gevent.event.Event()

    def hold(sock: socket, request: Request) -> bool:
        released.wait(20)
        return says(NO_CONTENT)(sock, request)

    with receiving(hold) as receiver:
        manager = hooked(webhook(receiver, "queue = 3", "concurrency = 1"))
        for number in range(10):
            manager.emit("publish_start", stream_key=str(number))
        until(lambda: receiver.requests)
        released.set()
        until(lambda: len(receiver.requests) + manager.stats()["hooks"]["ops"]["dropped"] == 10)
    assert manager.stats()["hooks"]["ops"]["dropped"] >= 6


@proves("hooks.NAME.stream_patterns")
def test_a_hook_gets_the_streams_of_its_patterns(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(webhook(receiver, "stream_patterns = live/*"))
        manager.emit("publish_start", stream_key="other/a")
        manager.emit("publish_stop", stream_key="live/a")
        until(lambda: manager.stats()["hooks"]["ops"]["executed"])
    assert types_of(receiver) == ["publish_stop"]


@proves("hooks.NAME.on_missing")
def test_an_event_without_the_field_of_a_condition_passes_if_the_file_says_so(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(webhook(receiver, "conditions = data.bitrate > 5", "on_missing = pass"))
        manager.emit("publish_start", stream_key="a")
        until(lambda: receiver.requests)


@proves("hooks.NAME.batch_events", "hooks.NAME.batch_bytes")
@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        (("batch_events = 4", "batch_age = 30s"), [4, 4]),
        (("batch_events = 100", "batch_age = 10ms"), [8]),
        (("batch_events = 8", "batch_age = 30s", "batch_bytes = 600"), None),
    ],
    ids=["events", "age", "bytes"],
)
def test_a_batch_is_sent_when_it_is_full_or_old_enough(
    hooked: Hooked, lines: tuple[str, ...], sizes: list[int] | None
) -> None:
    with receiving(says(NO_CONTENT)) as receiver, gevent.Timeout(15):
        manager = hooked(webhook(receiver, "concurrency = 1", *lines))
        for _ in range(8):
            manager.emit("publish_start", stream_key="a", app="a" * 60)
        wanted = sum(sizes) if sizes else 4  # what does not fill a batch waits for its age
        until(lambda: manager.stats()["hooks"]["ops"]["executed"] >= wanted, 10.0)
    found = [int(request.headers["x-rtmp-batch-size"]) for request in receiver.requests]
    if sizes:
        assert found == sizes
    else:
        assert max(found) < 8 and all(len(request.body) <= 700 for request in receiver.requests), found


@proves("hooks.NAME.batch_age")
def test_a_batch_that_is_not_full_waits_for_its_age(hooked: Hooked) -> None:
    answer = Stamped(says(NO_CONTENT))
    with receiving(answer) as receiver:
        manager = hooked(webhook(receiver, "batch_events = 100", "batch_age = 500ms"))
        begun = time.monotonic()
        manager.emit("publish_start", stream_key="a")
        until(lambda: answer.at)
    assert answer.at[0] - begun >= 0.45


@proves("hooks.NAME.allow_networks", "hooks.allow_networks")
@pytest.mark.parametrize("in_section", [True, False])
def test_a_hook_connects_to_allowed_networks_only(hooked: Hooked, in_section: bool) -> None:
    rule = "allow_networks = 10.0.0.0/8"
    with receiving(says(NO_CONTENT)) as receiver:
        text = webhook(receiver, section=rule) if in_section else webhook(receiver, rule)
        manager = hooked(text)
        manager.emit("publish_start", stream_key="a")
        until(lambda: manager.stats()["hooks"]["ops"]["dead"])
        assert receiver.connections == 0


@proves("hooks.NAME.content_type", "hooks.NAME.template")
def test_a_template_is_sent_with_the_content_type_of_the_file(hooked: Hooked, tmp_path: Path) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(webhook(receiver, "template = '{{type}} of {{stream_key}}'", "content_type = text/plain"))
        manager.emit("publish_start", stream_key="live/a")
        until(lambda: receiver.requests)
    assert receiver.requests[0].body == b"publish_start of live/a"
    assert receiver.requests[0].headers["content-type"].startswith("text/plain")


def authenticated(receiver: Receiver, *lines: str) -> str:
    return webhook(receiver, "[[[auth]]]", *lines)


@proves("hooks.NAME.auth.type", "hooks.NAME.auth.username", "hooks.NAME.auth.password")
def test_a_name_and_a_password_of_the_file_are_sent(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(authenticated(receiver, "type = basic", "username = me", "password = made-up"))
        manager.emit("publish_start", stream_key="a")
        until(lambda: receiver.requests)
    assert receiver.requests[0].headers["authorization"] == "Basic bWU6bWFkZS11cA=="


@proves("hooks.NAME.auth.key", "hooks.NAME.auth.header")
def test_a_key_of_the_file_is_sent_in_its_header(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(authenticated(receiver, "type = api_key", "key = made-up-key", "header = X-Our-Key"))
        manager.emit("publish_start", stream_key="a")
        until(lambda: receiver.requests)
    assert receiver.requests[0].headers["x-our-key"] == "made-up-key"


@proves(
    "hooks.NAME.auth.client_id", "hooks.NAME.auth.client_secret", "hooks.NAME.auth.token_url", "hooks.NAME.auth.scopes"
)
def test_client_credentials_of_the_file_get_a_token_that_is_sent(hooked: Hooked) -> None:
    def token(sock: socket, request: Request) -> bool:
        body = b'{"access_token": "t0k3n", "token_type": "bearer", "expires_in": 60}'
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return True

    with receiving(token) as endpoint, receiving(says(NO_CONTENT)) as receiver:
        lines = ("client_id = me", "client_secret = made-up", f"token_url = {endpoint.url}", "scopes = hooks, more")
        manager = hooked(authenticated(receiver, "type = oauth2", *lines))
        manager.emit("publish_start", stream_key="a")
        until(lambda: receiver.requests)
    (asked,) = endpoint.requests
    assert asked.headers["authorization"] == "Basic bWU6bWFkZS11cA==" and b"scope=hooks+more" in asked.body
    assert receiver.requests[0].headers["authorization"] == "Bearer t0k3n"


@proves("hooks.NAME.url", "hooks.NAME.event_types")
def test_a_webhook_posts_the_events_of_its_types_to_its_url(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(webhook(receiver, "event_types = publish_stop"))
        manager.emit("publish_start", stream_key="a")
        manager.emit("publish_stop", stream_key="a")
        until(lambda: manager.stats()["hooks"]["ops"]["executed"])
    assert types_of(receiver) == ["publish_stop"]
    assert receiver.requests[0].head.startswith("POST /hook?token=secret HTTP/1.1")


@proves("hooks.NAME.path", "hooks.NAME.type")
def test_a_script_runs_that_the_file_names(hooked: Hooked, tmp_path: Path) -> None:
    script = tmp_path / "on-event.sh"
    script.write_text(f"#!/bin/sh\necho $RTMP_EVENT_TYPE >{tmp_path}/ran.new; mv {tmp_path}/ran.new {tmp_path}/ran\n")
    script.chmod(0o755)
    manager = hooked(f"[hooks]\n[[ours]]\ntype = script\npath = {script}\n")
    manager.emit("publish_start", stream_key="a")
    until((tmp_path / "ran").exists)
    assert (tmp_path / "ran").read_text() == "publish_start\n"


@proves("hooks.NAME.timeout", "hooks.timeout")
@pytest.mark.parametrize("in_section", [True, False])
def test_a_request_without_an_answer_ends_with_the_time_out_of_the_file(hooked: Hooked, in_section: bool) -> None:
    with receiving(hangs) as receiver, gevent.Timeout(15):  # less than the time-out is by default
        line = "timeout = 200ms"
        manager = hooked(webhook(receiver, section=line) if in_section else webhook(receiver, line))
        manager.emit("publish_start", stream_key="a")
        until(lambda: manager.stats()["hooks"]["ops"]["dead"])


@proves("hooks.node")
def test_an_event_names_the_node_of_the_file(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(webhook(receiver, "schema = 2", section="node = north-1"))
        manager.emit("publish_start", stream_key="a")
        until(lambda: receiver.requests)
    assert json.loads(receiver.requests[0].body)["node"] == "north-1"


@proves("hooks.attempt_log")
def test_as_many_tries_are_remembered_as_the_file_says(hooked: Hooked) -> None:
    with receiving(says(NO_CONTENT)) as receiver:
        manager = hooked(webhook(receiver, section="attempt_log = 100"))
        for number in range(150):
            manager.emit("publish_start", stream_key=str(number))
        until(lambda: manager.stats()["hooks"]["ops"]["executed"] == 150)
        until(lambda: 0 < len(manager.records.attempts.latest("ops", 1000)) <= 100)
