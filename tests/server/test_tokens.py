"""Signed keys for an operator."""

from __future__ import annotations

import time

import pytest

from rtmpd.clock import FakeClock
from rtmpd.errors import OperatorRefused
from rtmpd.identity import Applications
from rtmpd.server.tokens import Tokens
from rtmpd.settings import AppSettings, AppsSettings

KEYS = ("a-signing-key-of-some-length-0123456789",)


def test_a_key_admits_for_what_it_was_made_until_its_end() -> None:
    clock = FakeClock(wall=time.time())  # itsdangerous stamps with the real one
    tokens = Tokens(lambda: KEYS, lambda: Applications(AppsSettings()), clock)
    token = tokens.issue("publish", "live", "a", 60)["token"]
    assert tokens.check(token, "publish", "live", "a") == {"allowed": True, "reason": "", "identity": ""}
    assert tokens.check(token, "publish", "live", "b")["reason"] == "wrong name"
    assert tokens.check(token, "play", "live", "a")["reason"] == "wrong action"
    assert tokens.check("x", "play", "live", "a")["reason"] == "bad signature"
    clock.advance(61)
    assert tokens.check(token, "publish", "live", "a")["reason"] == "expired"


def test_without_a_signing_key_there_are_none() -> None:
    tokens = Tokens(lambda: (), lambda: Applications(AppsSettings()), FakeClock())
    with pytest.raises(OperatorRefused, match="signing key"):
        tokens.issue("publish", "live", "a", 60)
    with pytest.raises(OperatorRefused, match="signing key"):
        tokens.check("x", "publish", "live", "a")


def test_a_key_is_for_the_stream_however_its_path_is_split() -> None:
    rooms = AppsSettings(named=(("live/room", AppSettings()),))
    applications = [Applications(AppsSettings())]
    tokens = Tokens(lambda: KEYS, lambda: applications[0], FakeClock(wall=time.time()))
    token = tokens.issue("play", "live/room", "a", 60)["token"]
    for app, name in (("live", "room/a"), ("live/room", "a"), ("/live//room/", "_definst_/a")):
        assert tokens.check(token, "play", app, name)["allowed"]
    applications[0] = Applications(rooms)
    assert tokens.check(token, "play", "live", "room/a")["allowed"]
    everything = tokens.issue("play", "live", "*", 60)["token"]
    assert tokens.check(everything, "play", "live", "room/a")["reason"] == "wrong application"
    with pytest.raises(OperatorRefused, match="the stream name is missing after the application live/room"):
        tokens.check(token, "play", "live", "room")
