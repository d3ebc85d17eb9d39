"""srs.conf and mediamtx.yml as files of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config.migrate import mediamtx, srs
from rtmpd.config.migrate.draft import Draft

from .conftest import Read, told

SRS = """\
listen              1935 127.0.0.1:19350;
max_connections     1000;
daemon              off;
srs_log_level       trace;
vhost __defaultVhost__ {
    chunk_size 60000;
    http_hooks {
        enabled on;
        on_close http://127.0.0.1:8085/clients;
        on_publish http://127.0.0.1:8085/streams;
        on_unpublish http://127.0.0.1:8085/streams http://localhost/b;
        on_play http://127.0.0.1:8085/sessions;
        on_dvr http://127.0.0.1:8085/dvrs;
    }
    security {
        enabled on;
        allow publish 127.0.0.1;
        allow play all;
        deny play 10.0.0.1;
    }
    play { gop_cache off; queue_length 10; }
    publish { firstpkt_timeout 20000; }
    hls { enabled off; }
    forward 192.0.2.1:1935;
    dvr { enabled on; dvr_path ./[app]/[2006]/[stream].[timestamp].flv; dvr_plan segment; dvr_duration 60; }
}
"""

MEDIAMTX = """\
logLevel: info
authMethod: http
authHTTPAddress: http://127.0.0.1:9000/auth
rtmp: yes
rtmpAddress: :1935
rtmpEncryption: "no"
rtmpServerKey: server.key
hls: yes
hlsAddress: :8888
rtsp: no
pathDefaults:
  maxReaders: 50
  runOnReady: /usr/bin/env echo "$MTX_PATH" "$G1"
  runOnReadyRestart: no
paths:
  live/cam1:
    source: publisher
    runOnNotReady: curl http://localhost/gone
  ~^live/(.+)$:
    runOnRead: /bin/echo $MTX_READER_ID
  proxied:
    source: rtsp://other/x
  all_others:
"""


def migrated_srs(tmp_path: Path, text: str) -> Draft:
    (tmp_path / "srs.conf").write_text(text)
    return srs.migrate(str(tmp_path / "srs.conf"))


def migrated_mtx(tmp_path: Path, text: str) -> Draft:
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    (tmp_path / "mediamtx.yml").write_text(text)
    return mediamtx.migrate(str(tmp_path / "mediamtx.yml"))


def test_srs_conf_can_be_used_and_says_what_it_said(tmp_path: Path, usable: Read) -> None:
    settings = usable(migrated_srs(tmp_path, SRS)).settings
    assert len(settings.server.listen) == 2
    assert (settings.server.chunk_size_bytes, settings.limits.connections) == (60000, 1000)
    assert settings.limits.first_media_timeout_s == 20.0
    default = settings.apps.default
    assert (default.publish_access, default.play_access) == (("callback",), ("callback",))
    assert (default.callback_url, default.callback_answer) == ("http://127.0.0.1:8085/streams", "code")
    assert default.play_callback_url == "http://127.0.0.1:8085/sessions"
    assert (default.publish_allow, default.play_allow, default.play_deny) == (("127.0.0.1",), (), ("10.0.0.1",))
    assert (default.gop_cache, default.backlog_ms) == (False, 10_000)
    assert default.push == ("rtmp://192.0.2.1:1935/{app}",)
    assert default.record_path == "{app}/{time:%Y}/{name}.{time:%s}.flv"
    assert (default.record, default.segment_duration_s) == ("all", 60.0)
    targets = {hook.id: hook.target for hook in settings.hooks.hooks}
    assert targets == {
        "on_close": "http://127.0.0.1:8085/clients",
        "on_unpublish": "http://127.0.0.1:8085/streams",
        "on_unpublish_2": "http://localhost/b",
        "on_dvr": "http://127.0.0.1:8085/dvrs",
    }


def test_what_srs_has_and_rtmpd_has_not_is_told(tmp_path: Path) -> None:
    assert told(migrated_srs(tmp_path, SRS)) == [
        "3 daemon!",
        "9 on_close",
        "11 on_unpublish",
        "13 on_dvr",
        "22 firstpkt_timeout",
        "10 on_publish",
        "12 on_play",
    ]


def test_security_of_srs_without_an_allow_lets_nobody_in(tmp_path: Path, usable: Read) -> None:
    text = "vhost __defaultVhost__ { security { enabled on; allow play all; } }"
    default = usable(migrated_srs(tmp_path, text)).settings.apps.default
    assert (default.publish_deny, default.play_deny) == (("0.0.0.0/0", "::/0"), ())


def test_mediamtx_yml_can_be_used_and_says_what_it_said(tmp_path: Path, usable: Read) -> None:
    draft = migrated_mtx(tmp_path, MEDIAMTX)
    settings = usable(draft).settings
    default = settings.apps.default
    assert (default.publish_access, default.play_access) == (("callback",), ("callback",))
    assert (default.callback_url, default.max_players) == ("http://127.0.0.1:9000/auth", 50)
    hooks = {hook.id: hook for hook in settings.hooks.hooks}
    assert {id: hook.event_types for id, hook in hooks.items()} == {
        "runOnReady": ("publish_start",),
        "live-cam1-runOnNotReady": ("publish_stop",),
        "live-runOnRead": ("play_start",),
    }
    assert hooks["live-cam1-runOnNotReady"].filter.stream_patterns == ("live/cam1",)
    (regular,) = [hook for hook in hooks.values() if hook.filter.conditions]
    assert regular.filter.conditions == ('stream_key ~ "^live/(.+)$"',)
    assert 'exec "/usr/bin/env" "echo" "${MTX_PATH}" "${G1}"' in draft.scripts["scripts/runOnReady.sh"]


def test_what_mediamtx_has_and_rtmpd_has_not_is_told(tmp_path: Path) -> None:
    assert told(migrated_mtx(tmp_path, MEDIAMTX)) == [
        "3 authHTTPAddress",
        "8 hls!",
        "13 $G1!",
        "13 runOnReady",
        "18 runOnNotReady",
        "20 runOnRead",
        "22 source!",
    ]


def test_users_of_mediamtx_become_tokens_and_nobody_else_gets_in(tmp_path: Path, usable: Read) -> None:
    text = """\
authInternalUsers:
- user: studio
  pass: 0123456789abcdef
  permissions:
  - action: publish
    path: live/a
- user: any
  permissions:
  - action: read
"""
    default = usable(migrated_mtx(tmp_path, text)).settings.apps.default
    assert (default.publish_access, default.play_access) == (("token",), ("open",))
    assert [(grant.token, grant.streams) for grant in default.publish_tokens] == [("0123456789abcdef", "live/a")]
