"""The shapes of public configurations: each becomes a file that rtmpd takes, and means what it meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.config.migrate import nginx, srs
from rtmpd.settings import AppSettings, Settings

from .conftest import Read, told
from .test_nginx import app, migrated
from .test_others import migrated_mtx, migrated_srs

LUA = """\
http {
    server {
        location / {
            content_by_lua_block {
                -- it's a comment with a { in it
                local text = "a } and a ; and a \\" in a string"
                local long = [[ one more } ]] --[==[ and
                a block } comment ]==]
                if text then ngx.say('{', {1, 2}) end
            }
        }
        location /b { access_by_lua_file /etc/nginx/a.lua; set_by_lua_block $a { return "{" } }
    }
}
rtmp { server { listen 1935; application live { live on; } } }
"""


def live(settings: Settings) -> AppSettings:
    return dict(settings.apps.named)["live"]


def test_lua_is_not_read_as_directives(tmp_path: Path, usable: Read) -> None:
    draft = migrated(tmp_path, LUA)
    assert usable(draft).settings.apps.served == ("live",) and draft.notes == []


@pytest.mark.parametrize(
    ("listens", "expected"),
    [
        ("listen 1935;", [":1935"]),
        ("listen [::]:1935 ipv6only=on; listen 1935;", [":1935"]),
        ("listen 1935; listen [::]:1935 ipv6only=on; listen 1936;", [":1935", ":1936"]),
        ("listen 0.0.0.0:1935; listen [::]:1935;", ["0.0.0.0:1935", "[::]:1935"]),
        ("listen *:1935 so_keepalive=on;", [":1935"]),
        ("listen 127.0.0.1;", ["127.0.0.1:1935"]),
        ("listen [::1];", ["[::1]:1935"]),
    ],
)
def test_each_address_is_listened_on_once(tmp_path: Path, usable: Read, listens: str, expected: list[str]) -> None:
    draft = migrated(tmp_path, f"rtmp {{ server {{ {listens} application live {{ live on; }} }} }}")
    assert [str(address) for address in usable(draft).settings.server.listen] == expected


@pytest.mark.parametrize(
    ("push", "expected"),
    [
        ("rtmp://a.example/live2/", "rtmp://a.example/live2"),
        ("rtmp://a.example/live2/ name=foo", "rtmp://a.example/live2/foo"),
        ("rtmp://a.example", "rtmp://a.example/{app}"),
        ("a.example:1936", "rtmp://a.example:1936/{app}"),
        ("rtmp://a.example/live2/key", "rtmp://a.example/live2/key"),
        ("rtmp://a.example/x app=live3 name=foo", "rtmp://a.example/live3/foo"),
        ('"rtmp://a.example/live2/a{b}"', "rtmp://a.example/live2/a{{b}}"),
    ],
)
def test_destinations_of_push(tmp_path: Path, usable: Read, push: str, expected: str) -> None:
    assert live(usable(migrated(tmp_path, app(f"push {push};"))).settings).push == (expected,)


@pytest.mark.parametrize("name", ["record", "push", "served", "publish_access", "a.b-c"])
def test_an_application_may_bear_any_name(tmp_path: Path, usable: Read, name: str) -> None:
    text = f"rtmp {{ server {{ listen 1935; application {name} {{ live on; deny play all; }} }} }}"
    settings = usable(migrated(tmp_path, text)).settings
    assert [(one, settings_.play_deny) for one, settings_ in settings.apps.named] == [(name, ("0.0.0.0/0", "::/0"))]


def test_numbers_beyond_the_bounds_and_zeros_are_noted_and_near_what_was_meant(tmp_path: Path, usable: Read) -> None:
    text = "max_message 100M;\nping_timeout 0;\nping 0;\ndrop_idle_publisher 0;\nmax_streams 512;\nmax_connections 1d;"
    draft = migrated(tmp_path, f"rtmp {{ server {{ {text} application live {{ live on; }} }} }}")
    limits = usable(draft).settings.limits
    assert (limits.message_bytes, limits.chunk_streams) == (16777215, 512)
    assert (limits.ping_timeout_s, limits.ping_interval_s, limits.publisher_timeout_s) == (3600, 3600, 86400)
    assert {"1 message_size", "2 ping_timeout", "3 ping", "4 drop_idle_publisher", "6 connections!"} <= set(told(draft))


@pytest.mark.parametrize(("time", "seconds"), [("90", 90), ("1m", 60), ("1h30m", 5400), ("1d", 86400), ("500ms", 0.5)])
def test_times_of_nginx(tmp_path: Path, usable: Read, time: str, seconds: float) -> None:
    assert live(usable(migrated(tmp_path, app(f"notify_update_timeout {time};"))).settings).update_interval_s == seconds


def test_an_application_of_two_servers_with_other_rules_is_refused(tmp_path: Path, usable: Read) -> None:
    text = """rtmp {
        server { listen 1935; application live { live on; deny publish all; } application vod { live on; } }
        server { listen 1936; application live { live on; } application vod { live on; } } }"""
    draft = migrated(tmp_path, text)
    apps = dict(usable(draft).settings.apps.named)
    assert (apps["live"].publish_deny, apps["live"].play_deny) == (("0.0.0.0/0", "::/0"), ())
    assert apps["vod"].publish_deny == () and told(draft) == ["3 application live!"]


def test_an_application_of_a_server_on_loopback_stays_there(tmp_path: Path, usable: Read) -> None:
    text = """rtmp { server { listen 1935; application live { live on; } }
        server { listen 127.0.0.1:1936; application internal { live on; } }
        server { listen 10.0.0.1:1937; application office { live on; } } }"""
    apps = dict(usable(migrated(tmp_path, text)).settings.apps.named)
    assert apps["live"].publish_allow == () and apps["internal"].publish_allow == ("loopback",)
    assert apps["office"].publish_deny == ("0.0.0.0/0", "::/0")


def test_a_file_without_applications_serves_none(tmp_path: Path, usable: Read) -> None:
    assert usable(migrated(tmp_path, "http { }")).settings.apps.served == ()


def test_the_parts_of_a_recordings_name(tmp_path: Path) -> None:
    (script,) = migrated(tmp_path, app("exec_record_done echo $basename $recorder;")).scripts.values()
    assert 'exec "echo" "${basename}" "${recorder}"' in script and 'recorder=""' in script


def test_listeners_of_srs(tmp_path: Path, usable: Read) -> None:
    def listens(text: str) -> list[str]:
        settings = usable(migrated_srs(tmp_path, f"{text}\nvhost __defaultVhost__ {{ }}\n")).settings
        return [str(address) for address in settings.server.listen]

    assert listens("rtmp {\n listen 19360;\n}") == [":19360"]
    assert listens("rtmp { enabled on; listen 1935 1936; }") == [":1935", ":1936"]
    assert listens("listen 1935 [::]:1935;") == [":1935"]


def test_rtmps_of_srs(tmp_path: Path) -> None:
    text = "listen 1935;\nrtmps { enabled on; listen 1443; key ./a.key; cert ./a.crt; }\nvhost __defaultVhost__ {\n}\n"
    ini = migrated_srs(tmp_path, text).ini()
    assert all(one in ini for one in ("tls_listen = :1443 ", "tls_key = ./a.key ", "tls_cert = ./a.crt "))


def test_a_path_of_one_word_is_noted_and_its_hook_fits_its_streams(tmp_path: Path, usable: Read) -> None:
    draft = migrated_mtx(tmp_path, "paths:\n  live:\n    runOnReady: /bin/true\n  all_others:\n")
    (hook,) = usable(draft).settings.hooks.hooks
    assert hook.filter.stream_patterns == ("live/*",) and "3 live" in told(draft)


def test_byte_order_marks_are_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_bytes(b"\xef\xbb\xbflisten 1935;\r\nvhost __defaultVhost__ { }\r\n")
    assert "listen = :1935 " in srs.migrate(str(tmp_path / "a.conf")).ini()
    (tmp_path / "b.conf").write_bytes(b"\xef\xbb\xbfrtmp { server { listen 1936; application live { live on; } } }")
    assert "listen = :1936 " in nginx.migrate(str(tmp_path / "b.conf")).ini()
