"""nginx.conf with the rtmp module as a file of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rtmpd.config.migrate import nginx
from rtmpd.config.migrate.draft import Draft
from rtmpd.errors import ConfigError

from .conftest import Read, told

SAMPLE = """\
worker_processes auto;
rtmp_auto_push on;
events { worker_connections 1024; }
rtmp {
    server {
        listen 1935;
        listen [::]:1935 ipv6only=on;
        chunk_size 8192;
        max_connections 500;
        ping 30s;
        on_disconnect http://127.0.0.1:8080/gone;
        notify_method get;

        application live {  # the one
            live on;
            record off;
            on_publish http://127.0.0.1:8080/on_publish;
            on_publish_done http://127.0.0.1:8080/done?a=b;
            on_play http://127.0.0.1:8080/on_play;
            on_update http://127.0.0.1:8080/update;
            notify_update_timeout 10s;
            exec_publish /usr/local/bin/started "$app/$name" $args 2>>/tmp/log;
            exec_push ffmpeg -i rtmp://localhost/$app/$name -c copy out.flv;
            push cdn.example.com name=b; pull rtmp://x/y;
            idle_streams off;
            drop_idle_publisher 10s;
            hls on;
            hls_path /tmp/hls;
            allow publish 10.0.0.0/8;
            deny publish all;
            wait_key on;
            flux_capacitor on;
        }
        application vod {
            play /var/videos;
        }
    }
}
"""


def migrated(tmp_path: Path, text: str) -> Draft:
    path = tmp_path / "nginx.conf"
    path.write_text(text)
    return nginx.migrate(str(path))


def app(text: str) -> str:
    return f"rtmp {{ server {{ listen 1935; application live {{ live on; {text} }} }} }}"


def test_the_file_can_be_used_and_says_what_it_said(tmp_path: Path, usable: Read) -> None:
    settings = usable(migrated(tmp_path, SAMPLE)).settings
    assert [str(address) for address in settings.server.listen] == [":1935"]
    assert settings.server.chunk_size_bytes == 8192
    assert (settings.limits.connections, settings.limits.ping_interval_s) == (500, 30.0)
    assert settings.limits.publisher_timeout_s == 10.0
    assert settings.apps.served == ("live", "vod")
    live = dict(settings.apps.named)["live"]
    assert (live.publish_access, live.play_access) == (("callback",), ("callback",))
    assert live.callback_url == "http://127.0.0.1:8080/on_publish"
    assert live.play_callback_url == "http://127.0.0.1:8080/on_play"
    assert not live.play_waits
    assert live.publish_allow == ("10.0.0.0/8",) and live.publish_deny == () and live.play_allow == ()
    assert live.update_interval_s == 10.0
    assert live.push == ("rtmp://cdn.example.com/{app}/b",)
    hooks = {hook.id: hook for hook in settings.hooks.hooks}
    assert {id: hook.event_types for id, hook in hooks.items()} == {
        "on_disconnect": ("connection_close",),
        "live-on_publish_done": ("publish_stop",),
        "live-on_update": ("session_update",),
        "live-exec_publish": ("publish_start",),
    }
    assert hooks["live-on_publish_done"].target == "http://127.0.0.1:8080/done?a=b"
    assert hooks["live-on_publish_done"].filter.stream_patterns == ("live/*",)


def test_each_line_that_differs_or_has_no_equivalent_is_told(tmp_path: Path) -> None:
    notes = told(migrated(tmp_path, SAMPLE))
    assert sorted(notes, key=lambda note: (int(note.split()[0]), note)) == [
        "11 on_disconnect",
        "12 notify_method!",
        "17 on_publish",
        "18 on_publish_done",
        "19 on_play",
        "20 on_update",
        "20 on_update!",
        "22 exec_publish",
        "23 exec_push!",
        "24 pull!",
        "26 drop_idle_publisher",
        "27 hls!",
        "28 hls_path!",
        "31 wait_key!",
        "32 flux_capacitor!",
        "34 application vod",
        "35 play!",
    ]


def test_notes_and_values_name_file_and_line(tmp_path: Path) -> None:
    draft = migrated(tmp_path, SAMPLE)
    path = tmp_path / "nginx.conf"
    assert str(next(note for note in draft.notes if note.what == "pull")) == (
        f"{path}:24: pull: no equivalent: rtmpd fetches no streams; it pushes"
    )
    assert f"chunk_size = 8192  # {path}:8" in draft.ini()


def test_a_recording_is_where_it_was(tmp_path: Path, usable: Read) -> None:
    text = f"""record all; record_path {tmp_path}; record_suffix -%d-%b-%y.flv; record_append on;
        on_record_done http://a.example/; exec_record_done mv $path $dirname/done/$filename;"""
    draft = migrated(tmp_path, app(text))
    settings = usable(draft).settings
    output = dict(settings.apps.named)["live"]
    assert (output.record, output.record_dir, output.segment_duration_s) == ("all", str(tmp_path), 0.0)
    assert (output.record_path, output.record_existing) == ("{name}{time:-%d-%b-%y.flv}", "append")
    assert {hook.event_types for hook in settings.hooks.hooks} == {("recording_stop",)}
    assert 'exec "mv" "${path}" "${dirname}/done/${filename}"' in draft.scripts["scripts/live-exec_record_done.sh"]


@pytest.mark.parametrize(
    ("rules", "allow", "deny"),
    [
        ("allow publish 10.0.0.1; deny publish all;", ("10.0.0.1",), ()),
        ("deny publish 10.0.0.0/8; allow publish all;", (), ("10.0.0.0/8",)),
        ("deny publish 10.0.0.0/8;", (), ("10.0.0.0/8",)),
        ("deny publish all;", (), ("0.0.0.0/0", "::/0")),
        ("allow publish all; deny publish 10.0.0.1;", (), ()),
        ("allow publish 10.0.0.0/9; deny publish 10.0.0.0/8;", (), ("10.128.0.0/9",)),
        ("deny publish 10.0.0.1; allow publish 10.0.0.0/30; deny publish all;", ("10.0.0.0", "10.0.0.2/31"), ()),
        ("allow publish ::1; deny publish all;", ("::1",), ()),
        ("deny publish 2001:db8::/32;", (), ("2001:db8::/32",)),
        ("allow 10.0.0.1; deny all;", ("10.0.0.1",), ()),
    ],
)
def test_of_rules_the_first_that_fits_decides(
    tmp_path: Path, usable: Read, rules: str, allow: tuple[str, ...], deny: tuple[str, ...]
) -> None:
    live = dict(usable(migrated(tmp_path, app(rules))).settings.apps.named)["live"]
    assert (live.publish_allow, live.publish_deny) == (allow, deny)


def test_rules_of_the_application_come_before_those_around_it(tmp_path: Path, usable: Read) -> None:
    text = "rtmp { deny publish all; server { application a { live on; allow publish 10.0.0.1; } } }"
    assert dict(usable(migrated(tmp_path, text)).settings.apps.named)["a"].publish_allow == ("10.0.0.1",)


def test_what_stands_around_an_application_is_for_every_application(tmp_path: Path, usable: Read) -> None:
    text = "rtmp { server { on_publish http://a.example/p; application a { live on; } application b { live on; } } }"
    apps = usable(migrated(tmp_path, text)).settings.apps
    assert {name: one.publish_access for name, one in apps.named} == {"a": ("callback",), "b": ("callback",)}


def test_a_command_becomes_a_script_in_which_a_name_stays_one_word(tmp_path: Path) -> None:
    text = r"""exec_publish_done printf "%s|" "$app" pre-${name}.x "a\"b$`" '*' >out;"""
    draft = migrated(tmp_path, app(text))
    (script,) = draft.scripts.values()
    (tmp_path / "run.sh").write_text(script)
    environ = {"PATH": os.environ["PATH"], "RTMP_STREAM_KEY": "live/x y;$(touch hacked)"}
    subprocess.run(["/bin/sh", "run.sh"], cwd=tmp_path, env=environ, check=True, timeout=10)
    assert (tmp_path / "out").read_text() == 'live|pre-x y;$(touch hacked).x|a"b$`|*|'
    assert not (tmp_path / "hacked").exists()


def test_a_shell_with_a_name_in_its_text_is_told(tmp_path: Path) -> None:
    draft = migrated(tmp_path, app("exec_publish bash -c 'echo $name >> /tmp/log';"))
    assert "1 bash" in told(draft)


def test_included_files_are_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "apps.d").mkdir()
    (tmp_path / "apps.d" / "a.conf").write_text("\napplication a { live on; pull rtmp://x/y; }\n")
    (note,) = migrated(tmp_path, "rtmp { server { include apps.d/*.conf; } }").notes
    assert note.where == f"{tmp_path}/apps.d/a.conf:2"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rtmp {\n server {", ":2: has a { that nothing closes"),
        ("rtmp { } }", ":1: has a } that nothing opened"),
        ("rtmp {\n listen 1935\n}", ":2: listen does not end with ;"),
        ('rtmp {\n on_publish "http://a;\n}', ":2: has a quote that is not closed"),
        ("; rtmp {}", ":1: has a ; without a directive before it"),
        ("include nothing.conf; rtmp {}", "nothing.conf: cannot be read"),
        ("a {" * 40, "nested too deep"),
    ],
)
def test_a_file_that_can_not_be_read_names_the_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        migrated(tmp_path, text)
    assert problem in str(caught.value)
