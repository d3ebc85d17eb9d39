"""Signed expiring keys."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from itsdangerous import URLSafeTimedSerializer

from rtmpd.server.access import signed
from rtmpd.server.access.signed import Claims
from tests.support.asking import ask

NEW, OLD = "n" * 32, "o" * 32
NOW = 4_000_000_000.0  # keys are stamped with the real time, which must come before their end
CLAIMS = Claims("live", "a", ("publish",), NOW + 60, "studio")


def key(keys: tuple[str, ...] = (NEW,), **changed: Any) -> str:
    return signed.issue(keys, dataclasses.replace(CLAIMS, **changed))


def test_what_is_issued_is_admitted_and_tells_whose_it_is() -> None:
    verdict = signed.check([NEW], ask(token=key()), NOW)
    assert verdict.allowed and verdict.identity == "studio"


@pytest.mark.parametrize(
    ("changed", "asked", "reason"),
    [
        ({"expires": NOW - 1}, {}, "expired"),
        ({"app": "other"}, {}, "wrong application"),
        ({"name": "b"}, {}, "wrong name"),
        ({"name": "A"}, {}, "wrong name"),
        ({}, {"action": "play"}, "wrong action"),
        ({"address": "192.0.2.8"}, {}, "wrong address"),
    ],
)
def test_a_key_for_something_else_is_refused_with_the_reason(
    changed: dict[str, Any], asked: dict[str, str], reason: str
) -> None:
    assert signed.check([NEW], ask(token=key(**changed), **asked), NOW).reason == reason


def test_a_key_ends_with_its_last_second() -> None:
    assert signed.check([NEW], ask(token=key(expires=NOW)), NOW).allowed
    assert not signed.check([NEW], ask(token=key(expires=NOW)), NOW + 1).allowed


def test_names_can_be_globs_and_addresses_can_be_bound() -> None:
    assert signed.check([NEW], ask("live/cam7", key(name="cam*")), NOW).allowed
    assert signed.check([NEW], ask(token=key(address="192.0.2.7")), NOW).allowed


@pytest.mark.parametrize(
    ("bound", "client", "good"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.12", False),
        ("10.0.0.12", "10.0.0.1", False),
        ("2001:DB8::1", "2001:db8:0::1", True),
        ("2001:db8::1", "2001:db8::12", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("10.0.0.1", "", False),
        ("10.0.0.0/8", "10.0.0.1", False),
    ],
)
def test_a_key_is_bound_to_the_whole_address(bound: str, client: str, good: bool) -> None:
    assert signed.check([NEW], ask(token=key(address=bound), address=client), NOW).allowed is good


def test_the_stream_counts_and_not_how_its_path_was_split() -> None:
    rooms = signed.check([NEW], ask("live/room/a", key(app="live", name="room/*")), NOW)
    assert rooms.allowed, "the application is live/room here"
    assert signed.check([NEW], ask("live/room/a", key(app="live", name="*")), NOW).reason == "wrong application"


def test_every_key_verifies_and_the_first_one_signs() -> None:
    assert signed.check([NEW, OLD], ask(token=key((OLD,))), NOW).allowed
    both = key((NEW, OLD))
    assert signed.check([NEW], ask(token=both), NOW).allowed
    assert signed.check([OLD], ask(token=both), NOW).reason == "bad signature"


@pytest.mark.parametrize(
    "change", [lambda k: k[:-1], lambda k: "A" + k[1:], lambda k: k + "x", lambda k: "x.y.z", str.upper]
)
def test_a_key_that_was_changed_is_refused(change: Any) -> None:
    assert signed.check([NEW], ask(token=change(key())), NOW).reason == "bad signature"


def test_no_key_is_refused() -> None:
    assert signed.check([NEW], ask(), NOW).reason == "token missing"


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        None,
        {},
        {"app": "live", "name": "a", "act": 5, "exp": 1},
        {"app": 1, "name": "a", "act": ["publish"], "exp": 9_999_999_999},
        {"app": "live", "name": "a", "act": ["publish"], "exp": "9999999999"},
        {"app": "live", "name": "a", "act": [["publish"]], "exp": 9_999_999_999},
        {"app": "live", "name": "a", "act": ["publish"], "exp": 9_999_999_999, "ip": 7},
    ],
)
def test_what_was_signed_for_something_else_is_refused(body: Any) -> None:
    serializer = URLSafeTimedSerializer(NEW, salt="rtmpd.access", signer_kwargs=dict(signed._HOW))
    assert signed.check([NEW], ask(token=serializer.dumps(body)), NOW).reason == "the signed key is incomplete"


def test_a_signature_with_another_salt_is_refused() -> None:
    serializer = URLSafeTimedSerializer(NEW, salt="session", signer_kwargs=dict(signed._HOW))
    body = {"app": "live", "name": "a", "act": ["publish"], "exp": 9_999_999_999}
    assert signed.check([NEW], ask(token=serializer.dumps(body)), NOW).reason == "bad signature"


def test_a_key_needs_no_escaping_in_a_url() -> None:
    assert set(key()) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
