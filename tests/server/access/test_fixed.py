"""Fixed tokens."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from rtmpd.server.access.fixed import FixedTokens
from rtmpd.settings import TokenSettings
from tests.support.asking import ask

STUDIO = TokenSettings("studio", "5tudio-s3cret")


def test_the_token_admits_and_tells_whose_it_is() -> None:
    verdict = FixedTokens([TokenSettings("other", "x"), STUDIO]).judge(ask(token="5tudio-s3cret"))
    assert verdict.allowed and verdict.identity == "studio"


@pytest.mark.parametrize(
    ("token", "reason"), [("", "token missing"), ("5tudio-s3cre", "invalid credentials"), ("é", "invalid credentials")]
)
def test_any_other_is_refused(token: str, reason: str) -> None:
    verdict = FixedTokens([STUDIO]).judge(ask(token=token))
    assert not verdict.allowed and verdict.reason == reason


def test_a_token_is_good_for_its_streams_and_action_only() -> None:
    publishes, plays = TokenSettings("a", "t", "live/a*", ("publish",)), TokenSettings("b", "t", "vod/*", ("play",))
    tokens = FixedTokens([publishes, plays])
    assert tokens.judge(ask("live/abc", "t")).identity == "a"
    assert tokens.judge(ask("vod/x", "t", "play")).identity == "b"
    assert tokens.judge(ask("live/b", "t")).reason == "the token is for something else"
    assert not tokens.judge(ask("live/abc", "t", "play")).allowed


def test_a_hashed_token_admits_who_knows_the_token_and_not_who_knows_the_hash() -> None:
    hashed = "sha256:" + hashlib.sha256(b"t0ken").hexdigest()
    tokens = FixedTokens([TokenSettings("a", hashed)])
    assert tokens.judge(ask(token="t0ken")).allowed
    assert not tokens.judge(ask(token=hashed)).allowed


def test_tokens_are_looked_up_by_a_secret_digest_and_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    one, other = FixedTokens([STUDIO]), FixedTokens([STUDIO])
    assert one.judge(ask(token=STUDIO.token)).allowed
    assert compared == [(hashlib.sha256(STUDIO.token.encode()).digest(),) * 2]
    assert set(one._grants).isdisjoint(other._grants), "the key is made anew for each"


def test_a_token_does_not_show() -> None:
    assert "s3cret" not in repr(STUDIO) and "s3cret" not in repr(ask(token="s3cret"))
