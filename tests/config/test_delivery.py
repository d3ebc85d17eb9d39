"""Retries and delivery in files and on the command line."""

from __future__ import annotations

import pytest

from rtmpd.settings import DeliverySettings, HookSettings, RetrySettings
from tests.support.proof import proves

from .conftest import Read, Refuse

WEBHOOK = "[hooks]\n[[a]]\ntype = webhook\nurl = http://h/\n"
STDIO = "[hooks]\n[[a]]\ntype = stdio\n"
LINE = ("-hook-script", "publish_stop=/bin/sh", "-hook-webhook", "*=http://h/", "-hook-stdio-format", "json")


def hook_of(read: Read, lines: str) -> HookSettings:
    (hook,) = read(f"{WEBHOOK}{lines}\n").settings.hooks.hooks
    return hook


# --- in a file ------------------------------------------------------------------------------------


def test_a_hook_has_the_retries_and_the_delivery_that_stand_below_its_name(read: Read) -> None:
    hook = hook_of(
        read,
        """max_attempts = 5
initial_delay = 500ms
max_delay = 2m
backoff_strategy = linear
jitter = yes
retryable_errors = status:503, timed out
breaker_failures = 3
guarantee_level = none
confirm_timeout = 5s
order = strict
max_age = 1h
dead_letter_url = https://backup.example.com/failed""",
    )
    assert hook.retry == RetrySettings(5, 0.5, 120.0, "linear", True, (), ("status:503", "timed out"), 3)
    assert hook.delivery == DeliverySettings("none", "strict", 3600.0, 5.0, "https://backup.example.com/failed")


def test_without_them_an_event_is_tried_once(read: Read) -> None:
    hook = hook_of(read, "")
    assert (hook.retry, hook.delivery) == (RetrySettings(), DeliverySettings())
    assert hook.retry.max_attempts == 1


@proves("hooks.NAME.max_attempts")
@pytest.mark.parametrize(
    ("lines", "delays", "attempts"),
    [
        ("retry_delays = 1s, 5, 2m", (1.0, 5.0, 120.0), 4),
        ("retry_delays = 1s", (1.0,), 2),
        ("retry_delays = 1s, 5s\nmax_attempts = 10", (1.0, 5.0), 10),
        ("retry_delays = 1s, 5s\nmax_attempts = 1", (1.0, 5.0), 1),
        ("retry_delays = ''", (), 1),
        ("retry_delays = 1s, 1s", (1.0, 1.0), 3),
    ],
)
def test_a_list_of_delays_brings_its_number_of_attempts(
    read: Read, lines: str, delays: tuple[float, ...], attempts: int
) -> None:
    retry = hook_of(read, lines).retry
    assert (retry.retry_delays_s, retry.max_attempts) == (delays, attempts)


@pytest.mark.parametrize(
    ("lines", "key", "message", "hint"),
    [
        ("max_attempts = 0", "max_attempts", "too small", "the least is 1"),
        ("max_attempts = often", "max_attempts", "not a whole number", "digits"),
        ("initial_delay = 0", "initial_delay", "too small", "10ms"),
        ("max_delay = 25h", "max_delay", "too large", "24h"),
        ("backoff_strategy = fibonacci", "backoff_strategy", "not one of the words", "exponential"),
        ("retry_delays = 1s, soon", "retry_delays", "not a duration", "30s"),
        ("retry_delays = 25h", "retry_delays", "too large", "24h"),
        ("jitter = maybe", "jitter", "not a switch", "yes or no"),
        ("order = random", "order", "not one of the words", "strict"),
        ("guarantee_level = exactly-once", "guarantee_level", "not one of the words", "at-least-once"),
        ("dead_letter_url = backup", "dead_letter_url", "not an http", "https://"),
        ("max_attempt = 3", "max_attempt", "no such key", "max_attempts"),
    ],
)
def test_a_wrong_value_is_an_error_at_its_line_with_a_remedy(
    refuse: Refuse, lines: str, key: str, message: str, hint: str
) -> None:
    (problem,) = refuse(f"{WEBHOOK}{lines}\n")
    assert problem.key == f"hooks.a.{key}" and problem.where.endswith("rtmpd.ini:5")
    assert message in problem.message and hint in problem.hint


@proves("hooks.NAME.jitter")
def test_standard_output_is_not_retried(refuse: Refuse, read: Read) -> None:
    problems = refuse(f"{STDIO}max_attempts = 3\njitter = yes\n")
    assert [problem.key for problem in problems] == ["hooks.a.max_attempts", "hooks.a.jitter"]
    (hook,) = read(f"{STDIO}max_age = 1m\n").settings.hooks.hooks
    assert hook.delivery.max_age_s == 60.0


@proves("hooks.NAME.guarantee_level")
def test_standard_output_has_no_guarantee(refuse: Refuse) -> None:
    (problem,) = refuse(f"{STDIO}guarantee_level = at-least-once\n")
    assert problem.key == "hooks.a.guarantee_level" and "not for type = stdio" in problem.message


# --- on the command line --------------------------------------------------------------------------


def hooks_of(read: Read, text: str, *words: str) -> dict[str, HookSettings]:
    return {hook.id: hook for hook in read(text, *words).settings.hooks.hooks}


@proves("--hook-retry-initial-delay", "--hook-retry-max-delay", "--hook-retry-jitter")
@pytest.mark.parametrize(
    ("words", "retry"),
    [
        (("--hook-retry-max-attempts", "3"), RetrySettings(3)),
        (("-hook-retry-initial-delay=2s",), RetrySettings(initial_delay_s=2.0)),
        (("--hook-retry-max-delay", "5m"), RetrySettings(max_delay_s=300.0)),
        (("--hook-retry-backoff", "fixed"), RetrySettings(backoff_strategy="fixed")),
        (("--hook-retry-jitter",), RetrySettings(jitter=True)),
        (("-hook-retry-jitter=true",), RetrySettings(jitter=True)),
        (("-hook-retry-jitter=false",), RetrySettings()),
        (("-hook-retry-max-attempts=3", "-hook-retry-max-attempts=4"), RetrySettings(4)),
    ],
)
def test_retries_are_for_the_webhooks_of_the_command_line(
    read: Read, words: tuple[str, ...], retry: RetrySettings
) -> None:
    hooks = hooks_of(read, WEBHOOK, *LINE, *words)
    once = RetrySettings()
    assert {id: hook.retry for id, hook in hooks.items()} == {
        "a": once, "shell_0": once, "webhook_0": retry, "stdio": once,
    }  # fmt: skip


@proves("--hook-delivery-guarantee", "--hook-delivery-timeout")
@pytest.mark.parametrize(
    ("words", "delivery"),
    [
        (("--hook-dead-letter-url", "http://b/x"), DeliverySettings(dead_letter_url="http://b/x")),
        (("--hook-delivery-timeout", "5s"), DeliverySettings(confirm_timeout_s=5.0)),
        (("--hook-delivery-guarantee", "none"), DeliverySettings()),
        (("--hook-delivery-guarantee", "at-least-once"), DeliverySettings(guarantee_level="at-least-once")),
    ],
)
def test_delivery_is_for_webhooks_and_scripts_of_the_command_line(
    read: Read, words: tuple[str, ...], delivery: DeliverySettings
) -> None:
    hooks = hooks_of(read, WEBHOOK, *LINE, *words)
    none = DeliverySettings()
    assert {id: hook.delivery for id, hook in hooks.items()} == {
        "a": none, "shell_0": delivery, "webhook_0": delivery, "stdio": none,
    }  # fmt: skip


@proves("--hook-retry-backoff")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hook-retry-max-attempts", "0"), "too small"),
        (("--hook-retry-backoff", "quick"), "not one of the words"),
        (("-hook-dead-letter-url", "b"), "not an http"),
    ],
)
def test_a_wrong_flag_is_an_error_at_the_flag(refuse: Refuse, words: tuple[str, str], message: str) -> None:
    (problem,) = refuse("", *LINE, *words)
    assert (problem.where, problem.key, problem.text) == (words[0], "", words[1])
    assert message in problem.message and problem.hint


@proves("--hook-retry-max-attempts", "--hook-dead-letter-url")
def test_a_flag_that_changes_no_hook_is_a_warning(read: Read) -> None:
    words = ("-hook-retry-max-attempts", "3", "-hook-dead-letter-url", "http://b/")
    loaded = read("", "-hook-script", "publish_stop=/bin/sh", *words)
    assert [(w.where, w.message) for w in loaded.warnings] == [("-hook-retry-max-attempts", "changes no hook")]
    assert len(read(WEBHOOK, *words).warnings) == 2
    assert not read("", *LINE, *words).warnings


@proves("hooks.max_attempts", "hooks.initial_delay", "hooks.max_delay", "hooks.backoff_strategy", "hooks.jitter")
def test_the_section_has_retries_for_hooks_that_do_not_say_otherwise(read: Read) -> None:
    said = "max_attempts = 5\ninitial_delay = 2s\nmax_delay = 9s\nbackoff_strategy = linear\njitter = yes\n"
    text = WEBHOOK.replace("[hooks]\n", f"[hooks]\n{said}")
    more = "[[b]]\ntype = webhook\nurl = http://h/\nmax_attempts = 2\n[[c]]\ntype = stdio\n"
    one, other, stdio = read(text + more).settings.hooks.hooks
    assert one.retry == RetrySettings(5, 2.0, 9.0, "linear", True)
    assert other.retry == RetrySettings(2, 2.0, 9.0, "linear", True)
    assert stdio.retry == RetrySettings()
