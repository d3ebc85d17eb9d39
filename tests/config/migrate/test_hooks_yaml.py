"""The specification's hooks.yaml as a file of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config.migrate import documents, hooks_yaml
from rtmpd.config.migrate.draft import Draft
from rtmpd.errors import ConfigError

from .conftest import Read, told

pytest.importorskip("yaml", reason="PyYAML is not installed")

SPECIFIED = """\
# hooks.yaml
hooks:
  default_config:
    timeout: "30s"
    concurrency: 10
    retry:
      max_attempts: 3
      initial_delay: "1s"
      backoff_strategy: "exponential"

  scripts:
    - event_types: ["connection_accept", "connection_close"]
      script: "/bin/true"
      filter:
        stream_patterns: ["live/*"]
        rate_limit:
          max_events: 100
          time_window: "1m"

  webhooks:
    - event_types: ["publish_start", "codec_detected"]
      url: "https://api.example.com/rtmp-events"
      auth:
        type: "hmac"
        secret: "${WEBHOOK_SECRET}"
      filter:
        conditions:
          - field: "data.bitrate"
            operator: "gt"
            value: 1000000

  stdio:
    format: "json"
    filter:
      min_severity: "info"
"""


def migrated(tmp_path: Path, text: str) -> Draft:
    path = tmp_path / "hooks.yaml"
    path.write_text(text)
    return hooks_yaml.migrate(str(path))


def test_the_specified_file_can_be_used_and_says_what_it_said(tmp_path: Path, usable: Read) -> None:
    draft = migrated(tmp_path, SPECIFIED)
    assert draft.is_whole
    script, webhook, stdio = usable(draft, {"WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef"}).settings.hooks.hooks
    assert (script.type, script.target, script.event_types) == (
        "script", "/bin/true", ("connection_accept", "connection_close")
    )  # fmt: skip
    assert script.filter.stream_patterns == ("live/*",)
    assert (script.filter.rate_limit.events, script.filter.rate_limit.window_s) == (100, 60.0)
    assert (webhook.type, webhook.target) == ("webhook", "https://api.example.com/rtmp-events")
    assert (webhook.auth[0].type, webhook.auth[0].secret) == ("hmac", "0123456789abcdef0123456789abcdef")
    assert webhook.filter.conditions == ("data.bitrate gt 1000000",)
    for hook in (script, webhook):
        assert (hook.timeout_s, hook.concurrency, hook.retry.max_attempts) == (30.0, 10, 3)
        assert (hook.retry.initial_delay_s, hook.retry.backoff_strategy) == (1.0, "exponential")
    assert (stdio.type, stdio.target, stdio.filter.min_severity) == ("stdio", "json", "info")


def test_a_hook_s_own_retry_wins_over_the_default_key_by_key(tmp_path: Path, usable: Read) -> None:
    text = """\
hooks:
  default_config: {retry: {max_attempts: 3, max_delay: 10s}}
  webhooks:
  - {url: "https://a.example/", retry: {max_attempts: 5, jitter: true}, headers: {X-A: "b, c"}, timeout: 5s,
     delivery: {dead_letter_url: "https://b.example/", confirm_timeout: 2s},
     auth: {type: jwt, secret: 0123456789abcdef0123456789abcdef, claims: {site: berlin}, ttl: 5m}}
"""
    (hook,) = usable(migrated(tmp_path, text)).settings.hooks.hooks
    assert (hook.retry.max_attempts, hook.retry.max_delay_s, hook.retry.jitter) == (5, 10.0, True)
    assert (hook.http.headers, hook.timeout_s) == ((("X-A", "b, c"),), 5.0)
    assert hook.delivery.dead_letter_url == "https://b.example/"
    assert (hook.auth[0].claims, hook.auth[0].ttl_s) == ((("site", "berlin"),), 300.0)


def test_keys_that_rtmpd_has_not_are_told_with_their_line(tmp_path: Path) -> None:
    text = """\
version: 2
hooks:
  webhooks:
  - url: https://a.example/
    colour: red
    auth:
      type: hmac
      sauce: x
    filter:
      conditions:
      - field: type
  queues: []
"""
    assert told(migrated(tmp_path, text)) == ["1 version!", "5 colour!", "8 sauce!", "11 conditions!", "12 queues!"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hooks: [a", ":1: is not valid YAML"),
        ("a: &a\n  b: *a\n", ":1: is nested too deep, or in itself"),
        ("\x00", "YAML"),
    ],
)
def test_a_file_that_can_not_be_read_names_the_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        migrated(tmp_path, text)
    assert problem in str(caught.value)


def test_without_pyyaml_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(ConfigError, match=r"PyYAML.*pip install 'rtmpd\[migrate\]'"):
        documents.read(str(tmp_path / "hooks.yaml"))
