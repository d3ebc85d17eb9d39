"""Signed keys for an operator."""

from __future__ import annotations

import time

import pytest

from rtmpd.clock import FakeClock
from rtmpd.errors import OperatorRefused
from rtmpd.server.tokens import Tokens

KEYS = ("a-signing-key-of-some-length-0123456789",)


def test_a_key_admits_for_what_it_was_made_until_its_end() -> None:
    clock = FakeClock(wall=time.time())  # itsdangerous stamps with the real one
    tokens = Tokens(lambda: KEYS, clock)
    token = tokens.issue("publish", "live", "a", 60)["token"]
    assert tokens.check(token, "publish", "live", "a") == {"allowed": True, "reason": "", "identity": ""}
    assert tokens.check(token, "publish", "live", "b")["reason"] == "wrong name"
    assert tokens.check(token, "play", "live", "a")["reason"] == "wrong action"
    assert tokens.check("x", "play", "live", "a")["reason"] == "bad signature"
    clock.advance(61)
    assert tokens.check(token, "publish", "live", "a")["reason"] == "expired"


def test_without_a_signing_key_there_are_none() -> None:
    tokens = Tokens(lambda: (), FakeClock())
    with pytest.raises(OperatorRefused, match="signing key"):
        tokens.issue("publish", "live", "a", 60)
    with pytest.raises(OperatorRefused, match="signing key"):
        tokens.check("x", "publish", "live", "a")
