"""Rules of applications: address lists, modes together, and the small parts around them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rtmpd.errors import DeliveryError, LimitReached
from rtmpd.net.networks import DENIED, NEVER_CALLED, NOT_ALLOWED, NetworkRules
from rtmpd.server.access import tarpit
from rtmpd.server.access.access import Access
from rtmpd.server.access.lease import Lease, lease_of
from rtmpd.server.access.question import ADMITTED, Question, Verdict, token_of
from rtmpd.server.access.quota import Quota
from rtmpd.server.access.tarpit import Tarpit
from rtmpd.settings import AccessSettings, AppSettings, AppsSettings, TokenSettings
from tests.support.asking import Endpoint, StandingClock, ask
from tests.support.proof import proves

TOKENS = (TokenSettings("studio", "t"),)


def access(default: dict[str, Any], named: dict[str, AppSettings] | None = None, **settings: Any) -> Access:
    apps = AppsSettings(default=AppSettings(**default), named=tuple((named or {}).items()))
    endpoint = Endpoint(DeliveryError("down"))
    return Access(AccessSettings(**settings), apps, lambda url: endpoint, StandingClock())


def judge(rules: Access, question: Question) -> Verdict:
    return rules.rule(question.stream.app, question.action).judge(question)


# --- networks -------------------------------------------------------------------------------------


@proves("apps.publish_allow", "apps.publish_deny", "apps.play_allow", "apps.play_deny")
@pytest.mark.parametrize("action", ["publish", "play"])
def test_the_networks_of_one_action_hold_for_that_action_alone(action: str) -> None:
    other = {"publish": "play", "play": "publish"}[action]
    denying = access({f"{action}_deny": ("192.0.2.0/24",)})
    assert judge(denying, ask(action=action)).reason == "the address is denied"
    assert judge(denying, ask(action=action, address="198.51.100.1")).allowed
    assert judge(denying, ask(action=other)).allowed
    allowing = access({f"{action}_allow": ("192.0.2.0/24",)})
    assert judge(allowing, ask(action=action)).allowed
    assert judge(allowing, ask(action=action, address="198.51.100.1")).reason == "the address is not allowed"
    assert judge(allowing, ask(action=other, address="198.51.100.1")).allowed
    both = access({f"{action}_allow": ("192.0.2.0/24",), f"{action}_deny": ("192.0.2.7",)})
    assert judge(both, ask(action=action)).reason == "the address is denied"


class Asked:
    """An endpoint that refuses, and notes that it was asked."""

    def __init__(self, url: str, urls: list[str]) -> None:
        self._url, self._urls = url, urls

    def __call__(self, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        self._urls.append(self._url)
        return 403, b""


# --- modes together -------------------------------------------------------------------------------


def test_everybody_may_by_default() -> None:
    assert judge(access({}), ask()) == ADMITTED
    rule = access({}).rule("live", "publish")
    assert rule.is_open and not rule.asks


@proves("apps.publish_access", "apps.publish_tokens", "apps.play_access", "apps.play_tokens")
@pytest.mark.parametrize("action", ["publish", "play"])
def test_publish_and_play_have_rules_of_their_own(action: str) -> None:
    other = {"publish": "play", "play": "publish"}[action]
    rules = access({f"{action}_access": ("token",), f"{action}_tokens": TOKENS})
    assert not judge(rules, ask(action=action)).allowed
    assert judge(rules, ask(token="t", action=action)).identity == "studio"
    assert judge(rules, ask(action=other)).allowed


def test_an_application_can_have_rules_of_its_own() -> None:
    strict = AppSettings(publish_access=("token",), publish_tokens=TOKENS)
    rules = access({}, {"vod": strict})
    assert judge(rules, ask("live/a")).allowed
    assert not judge(rules, ask("vod/a")).allowed
    assert judge(rules, ask("vod/a", "t")).allowed


def test_one_of_several_modes_has_to_admit_and_without_one_each_says_why() -> None:
    bob = TokenSettings("bob", "f", "live/b")
    rules = access({"publish_access": ("token", "file"), "publish_tokens": TOKENS}, file_tokens=(bob,))
    assert judge(rules, ask(token="t")).identity == "studio"
    assert judge(rules, ask("live/b", "f")).identity == "bob"
    assert judge(rules, ask(token="f")).reason == "token: invalid credentials; file: the token is for something else"


def test_only_the_callback_takes_its_time() -> None:
    rules = access({"publish_access": ("token", "callback"), "publish_tokens": TOKENS, "callback_url": "http://h/"})
    assert rules.rule("live", "publish").asks and not rules.rule("live", "play").asks
    assert judge(rules, ask(token="t")).identity == "studio"
    assert judge(rules, ask()).reason == "token: token missing; callback: auth callback failed: down"


@proves("apps.play_callback_url")
def test_players_can_be_asked_about_elsewhere() -> None:
    urls: list[str] = []
    apps = AppSettings(publish_access=("callback",), play_access=("callback",), callback_url="http://publish/")
    both = AppsSettings(default=dataclasses.replace(apps, play_callback_url="http://play/"), named=(("one", apps),))
    rules = Access(AccessSettings(), both, lambda url: Asked(url, urls), StandingClock())
    for app in ("live", "one"):
        judge(rules, ask(f"{app}/a"))
        judge(rules, ask(f"{app}/a", action="play"))
    assert urls == ["http://publish/", "http://play/", "http://publish/", "http://publish/"]


@proves("apps.callback_answer")
@pytest.mark.parametrize(
    ("body", "admits"),
    [
        (b"0", True),
        (b' {"code": 0, "data": null}', True),
        (b"1", False),
        (b'{"code": 1}', False),
        (b'{"code": "0"}', False),
        (b'{"code": false}', False),
        (b'{"code": 0, "allow": false}', False),
        (b"{}", False),
        (b"", False),
        (b"ok", False),
        (b"[0]", False),
        (b"null", False),
    ],
)
def test_an_answer_with_a_code_admits_with_0_alone(body: bytes, admits: bool) -> None:
    app = AppSettings(publish_access=("callback",), callback_url="http://h/", callback_answer="code")
    endpoint = Endpoint((200, body))
    rules = Access(AccessSettings(), AppsSettings(default=app), lambda url: endpoint, StandingClock())
    assert judge(rules, ask()).allowed is admits


@proves("apps.publish_deny", "apps.play_allow")
def test_address_lists_come_first_whatever_the_modes_say() -> None:
    rules = access({"publish_deny": ("192.0.2.0/24",), "play_allow": ("198.51.100.0/24",)})
    assert judge(rules, ask()).reason == "the address is denied"
    assert judge(rules, ask(address="198.51.100.1")).allowed
    assert judge(rules, ask(action="play")).reason == "the address is not allowed"
    assert judge(rules, ask(action="play", address="198.51.100.1")).allowed


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "deny", "address", "allowed"),
    [
        ((), (), "192.0.2.1", True),
        (("10.0.0.0/8",), (), "10.1.2.3", True),
        (("10.0.0.0/8",), (), "11.1.2.3", False),
        (("10.0.0.0/8",), ("10.1.0.0/16",), "10.1.2.3", False),
        (("10.0.0.0/8",), (), "::ffff:10.1.2.3", True),
        (("2001:db8::/32",), (), "2001:db8::1", True),
        (("2001:db8::/32",), (), "10.0.0.1", False),
        (("loopback",), (), "127.0.0.1", True),
        (("loopback",), (), "::1", True),
        (("private",), (), "127.0.0.1", False),
        (("private",), (), "100.64.0.1", True),
        (("private",), (), "fe80::1%eth0", True),
        ((), ("public",), "8.8.8.8", False),
        ((), ("public",), "192.168.0.1", True),
        (("2002::/16",), (), "2002:808:808::1", False),
    ],
)
def test_networks(allow: tuple[str, ...], deny: tuple[str, ...], address: str, allowed: bool) -> None:
    assert (NetworkRules(allow, deny).refusal(address) == "") is allowed


@pytest.mark.parametrize("address", ["192.88.99.1", "2002:a00:1::1", "64:ff9b:1::1", "fec0::1", "5f00::1", "3fff::1"])
def test_private_means_the_same_for_clients_as_for_webhooks(address: str) -> None:
    assert not judge(access({"publish_allow": ("public",)}), ask(address=address)).allowed
    assert judge(access({"publish_allow": ("private",)}), ask(address=address)).allowed
    assert NetworkRules(["public"], never=NEVER_CALLED).refusal(address) == NOT_ALLOWED
    assert NetworkRules(deny=["private"], never=NEVER_CALLED).refusal(address) == DENIED


def test_a_client_without_an_address_is_not_admitted_by_networks() -> None:
    rules = access({"publish_allow": ("10.0.0.0/8",)})
    assert judge(rules, ask(address="nonsense")).reason == "the client has no address to look up"
    assert judge(access({}), ask(address="nonsense")).allowed


# --- tokens in queries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "token"),
    [
        (("token=abc",), "abc"),
        (("a=1&token=abc&b=2",), "abc"),
        (("", "token=abc"), "abc"),
        (("token=first", "token=second"), "first"),
        (("token=", "token=second"), "second"),
        (("token=a+b%2Fc%3D",), "a+b/c="),
        (("token=a=b",), "a=b"),
        (("tokens=x", "Token=x"), ""),
        (("token=" + "x" * 9000,), ""),
        ((), ""),
    ],
)
def test_the_token_of_a_query(queries: tuple[str, ...], token: str) -> None:
    assert token_of(*queries) == token


# --- refusals over and over -----------------------------------------------------------------------


def test_refusals_of_one_address_wait_longer_each_time() -> None:
    pit = Tarpit(1.0, 10.0, StandingClock())
    assert [pit.refused("a") for _ in range(7)] == [0.0, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert pit.refused("b") == 0.0


def test_a_delay_stays_bounded_however_often() -> None:
    pit = Tarpit(1.0, 10.0, StandingClock())
    assert {pit.refused("a") for _ in range(2000)} == {0.0, 1.0, 2.0, 4.0, 8.0, 10.0}
    assert {Tarpit(0.0, 0.0, StandingClock()).refused("a")} == {0.0}


def test_refusals_are_forgiven_after_a_while() -> None:
    clock = StandingClock()
    pit = Tarpit(1.0, 10.0, clock)
    pit.refused("a")
    clock.now += tarpit.FORGIVEN_AFTER_S + 1
    assert pit.refused("a") == 0.0
    assert pit.refused("a") == 1.0


def test_the_table_of_refusals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarpit, "ADDRESSES", 3)
    pit = Tarpit(1.0, 10.0, StandingClock())
    for address in "abcab":
        pit.refused(address)
    pit.refused("d")
    assert len(pit) == 3
    assert pit.refused("c") == 0.0, "the one without a refusal for longest was forgotten"
    assert pit.refused("b") == 2.0


# --- leases and quotas ----------------------------------------------------------------------------


def test_a_lease_ends() -> None:
    lease = Lease(Verdict(True, lease_s=60.0), 100.0)
    assert lease.overdue(159.9, 10**12) == ""
    assert lease.overdue(160.0, 0) == "lease_expired"


def test_a_bitrate_is_taken_over_ten_seconds() -> None:
    lease = Lease(Verdict(True, max_bps=8000.0), 100.0)
    assert lease.overdue(101.0, 9_000) == "", "a burst"
    assert lease.overdue(110.0, 10_000) == ""
    assert lease.overdue(119.0, 90_000) == ""
    assert lease.overdue(120.0, 20_001) == "bitrate_exceeded"


def test_who_stays_within_the_bitrate_stays_for_good_and_who_exceeds_it_later_goes_then() -> None:
    lease = Lease(Verdict(True, max_bps=8000.0), 100.0)
    for seconds in range(1, 3601):  # 1,000 bytes a second is just what may come
        assert lease.overdue(100.0 + seconds, seconds * 1000) == "", f"after {seconds} s"
    assert lease.overdue(3709.0, 3_600_000 + 20_000) == "", "a burst"
    assert lease.overdue(3710.0, 3_600_000 + 10_001) == "bitrate_exceeded"


def test_a_verdict_without_limits_has_no_lease() -> None:
    assert lease_of(ADMITTED, 0.0) is None


def test_a_quota_counts_what_is_held_and_what_is_asked_about() -> None:
    quota = Quota()
    publish = "publish", "live", "a"
    quota.take(*publish)
    with quota.held(*publish, 2), pytest.raises(LimitReached) as caught, quota.held(*publish, 2):
        pass
    assert caught.value.status == "NetStream.Publish.Failed"
    for other in (("publish", "live", "b"), ("play", "live", "a"), ("publish", "vod", "a")):
        with quota.held(*other, 1):
            pass
    with pytest.raises(KeyError), quota.held("play", "live", "a", 0):
        raise KeyError
    quota.give("publish", "live", "a")
    assert not len(quota)
