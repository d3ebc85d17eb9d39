"""Command lines of go-rtmp as a file: the same hooks come out of both."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from rtmpd.config.migrate import flags

from .conftest import Read, read

SCRIPT = "/bin/true"
HOOK = f"-hook-script publish_start={SCRIPT}"
WEBHOOK = "--hook-webhook '*=https://example.org/a?b=c,d#e'"
ENVIRON = {"HOME": "/root"}
LINES = [
    HOOK,
    f"{WEBHOOK} -hook-auth-hmac-secret 'a${{HOME}}b$$c-0123456789abcdef' -hook-header 'X-A: it'\"'\"'s \"b\"'",
    f"-listen :1936 {HOOK} -hook-script connection_accept={SCRIPT} {WEBHOOK} -log-level debug",
    "-hook-stdio-format json",
    "-hook-stdio-format=env -hook-timeout 1m30s -hook-concurrency 3",
    f"{HOOK} {WEBHOOK} -hook-stdio-format json -hook-filter-events connection_accept,publish_start,codec_detected",
    f"{HOOK} {WEBHOOK} -hook-filter-streams 'live/premium/*,live/vip/*' -hook-filter-streams 'live/a'",
    f"{WEBHOOK} -hook-filter-condition 'data.bitrate>1000000' -hook-filter-condition 'data.title ~ ^a{{2,3}}$'",
    f"{HOOK} -hook-stdio-format json -hook-rate-limit 10/1m -hook-rate-burst 5 -hook-min-severity warning",
    f"{WEBHOOK} -hook-auth-api-key secret-key-123 -hook-auth-header X-API-Key",
    f"{WEBHOOK} -hook-auth-hmac-secret 'webhook-$ecret, #1' -hook-auth-hmac-algorithm sha1",
    f"{WEBHOOK} -hook-auth-jwt-secret jwt-signing-key-jwt-signing-key- -hook-auth-jwt-issuer rtmp-server"
    " -hook-auth-jwt-claim a=b -hook-auth-jwt-claim 'c=d,e' -hook-auth-jwt-ttl 2h -hook-auth-api-key k"
    " -hook-auth-header X-Key",
    f"{WEBHOOK} -hook-auth-oauth2-client-id a -hook-auth-oauth2-client-secret s"
    " -hook-auth-oauth2-token-url https://login.example.com/t -hook-auth-oauth2-scopes 'x,y'",
    f"{WEBHOOK} -hook-header 'Authorization: Bearer token123' -hook-header 'X-Source: a, \"b\" and c'",
    f"{HOOK} {WEBHOOK} -hook-retry-max-attempts 5 -hook-retry-initial-delay 2s -hook-retry-max-delay 1m"
    " -hook-retry-backoff linear -hook-retry-jitter -hook-delivery-timeout 3s"
    " -hook-dead-letter-url https://b.example.org/",
]


@pytest.mark.parametrize("line", LINES)
def test_the_file_means_what_the_command_line_means(usable: Read, line: str) -> None:
    draft = flags.migrate(shlex.split(line))
    assert draft.is_whole, draft.notes
    of_file, of_line = usable(draft, ENVIRON).settings, read(shlex.split(line), ENVIRON).settings
    hooks = {hook.id: hook for hook in of_line.hooks.hooks}
    assert {hook.id: hook for hook in of_file.hooks.hooks} == hooks
    assert (of_file.server, of_file.log, of_file.limits) == (of_line.server, of_line.log, of_line.limits)


def test_flags_of_go_rtmp_that_rtmpd_has_as_options_become_these(usable: Read) -> None:
    line = "-auth-mode token -auth-token live/a=0123456789abcdef -auth-token=live/b=s -metrics-addr 127.0.0.1:8080"
    settings = usable(flags.migrate(line.split())).settings
    assert settings.apps.default.publish_access == settings.apps.default.play_access == ("token",)
    grants = settings.apps.default.publish_tokens
    assert [(grant.token, grant.streams) for grant in grants] == [("0123456789abcdef", "live/a"), ("s", "live/b")]
    assert [str(address) for address in settings.http.listen] == ["127.0.0.1:8080"]
    line = "-auth-mode callback -auth-callback https://a.example/may -auth-callback-timeout 2s"
    callback = flags.migrate(line.split())
    assert callback.is_whole
    settings = usable(callback).settings
    assert (settings.apps.default.callback_url, settings.access.callback_timeout_s) == ("https://a.example/may", 2.0)


def test_what_has_no_equivalent_is_told_by_its_flag() -> None:
    draft = flags.migrate("-record-all perhaps -srt-listen :9000 -hook-skript a=b".split())
    assert not draft.is_whole
    assert {"-record-all", "-srt-listen", "-hook-skript"} <= {note.where for note in draft.notes}


def test_a_file_of_tokens_is_taken_as_it_is(usable: Read, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text('{"live/a": "0123456789abcdef"}')
    settings = usable(flags.migrate(["-auth-mode", "file", "-auth-file", str(tmp_path / "tokens.json")])).settings
    assert [(grant.token, grant.streams) for grant in settings.access.file_tokens] == [("0123456789abcdef", "live/a")]
    with pytest.raises(Exception, match="cannot be read"):
        usable(flags.migrate("-auth-mode file -auth-file none.json".split()))


def test_recording_and_relay_are_carried_over(usable: Read, tmp_path: Path) -> None:
    line = f"-record-all true -record-dir {tmp_path} -segment-duration 10s -relay-to rtmp://a.example/live"
    app = usable(flags.migrate(line.split())).settings.apps.default
    assert (app.record, app.record_dir, app.segment_duration_s) == ("all", str(tmp_path), 10.0)
    assert app.record_path == "{app}_{name}_{time:%Y%m%d_%H%M%S}_seg{segment:03d}.flv"
    assert app.push == ("rtmp://a.example/live",)


def test_metrics_on_every_address_are_a_file_that_can_be_used(usable: Read) -> None:
    assert usable(flags.migrate(["-metrics-addr", ":8080"])).settings.http.listen
