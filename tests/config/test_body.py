"""What webhooks send, in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtmpd.settings import BodySettings, DeliverySettings, HookSettings
from tests.support.proof import proves

from .conftest import Read, Refuse

HOOK = "[hooks]\n[[a]]\ntype = webhook\nurl = http://h/\n"


def hook_of(read: Read, lines: str, before: str = "") -> HookSettings:
    (hook,) = read(HOOK.replace("[hooks]", f"[hooks]\n{before}") + lines + "\n").settings.hooks.hooks
    return hook


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ("", BodySettings()),
        ("schema = 2", BodySettings(2)),
        ("format = json\nschema = 1", BodySettings()),
        ("format = cloudevents-structured", BodySettings(format="cloudevents-structured")),
        ("format = cloudevents-binary\nschema = 1", BodySettings(format="cloudevents-binary")),
        ("negotiate = lazy\nmax_attempts = 2", BodySettings(negotiate="lazy")),
        ("""template = '{"t": "{{ type }}, {{ id }}"}'""", BodySettings(template='{"t": "{{ type }}, {{ id }}"}')),
        ("template = {{id}}\ncontent_type = text/html", BodySettings(template="{{id}}", content_type="text/html")),
    ],
)  # fmt: skip
def test_a_hook_sends_what_it_says(read: Read, lines: str, body: BodySettings) -> None:
    assert hook_of(read, lines).body == body


def test_a_template_comes_from_a_file_or_stands_over_several_lines(read: Read, tmp_path: Path) -> None:
    text = '{"text": "{{ stream_key }}, live",\n "n": {{ data.n | default 0 }}}'
    (tmp_path / "slack.json").write_text(text + "\n")
    assert hook_of(read, "template = ${file:slack.json}").body.template == text
    assert hook_of(read, f"template = '''{text}'''").body.template == text


def test_the_name_of_the_server_is_for_every_hook(read: Read) -> None:
    assert hook_of(read, "", "node = ingest-1.example.net").body.node == "ingest-1.example.net"


def test_batches_are_part_of_the_delivery(read: Read) -> None:
    delivery = hook_of(read, "batch_events = 50\nbatch_age = 2s\nbatch_bytes = 64k").delivery
    assert delivery == DeliverySettings(batch_events=50, batch_age_s=2.0, batch_bytes=65536)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("schema = 3", "schema"),
        ("format = env", "format"),
        ("format = xml", "format"),
        ("format = cloudevents-binary\nschema = 2", "schema"),
        ("content_type = text/plain", "content_type"),
        ("template = x\ncontent_type = text", "content_type"),
        ("template = x\ncontent_type = 'text/plain\x01'", "content_type"),
        ("template = {{ type", "template"),
        ("template = {{ type }}\nformat = json", "format"),
        ("template = {{ type }}\nschema = 2", "schema"),
        ("template = {{ type }}\nnegotiate = lazy\nmax_attempts = 2", "negotiate"),
        ("template = {{ type }}\nbatch_events = 2", "batch_events"),
        ("format = cloudevents-binary\nbatch_events = 2", "batch_events"),
        ("batch_events = 0", "batch_events"),
        ("batch_age = 2m", "batch_age"),
        ("negotiate = yes", "negotiate"),
    ],
)
def test_what_can_not_be_is_an_error_at_its_line(refuse: Refuse, lines: str, key: str) -> None:
    (problem,) = refuse(HOOK + lines + "\n")
    assert problem.key == f"hooks.a.{key}" and problem.hint
    assert problem.where.endswith(f":{5 + [line.split()[0] for line in lines.splitlines()].index(key)}")


@pytest.mark.parametrize("node", ["a b", "ü", "a/b", "x" * 256])
def test_a_name_that_no_server_has_is_an_error(refuse: Refuse, node: str) -> None:
    (problem,) = refuse(f"[hooks]\nnode = {node}\n")
    assert problem.key == "hooks.node"


def test_an_error_in_a_template_has_its_own_place_and_a_remedy(refuse: Refuse) -> None:
    (problem,) = refuse(HOOK + """template = '''{"a":\n {{ data.x | uper }}}'''\n""")
    assert "line 2, column 14: no filter is called uper" in problem.message
    assert 'did you mean "upper"?' in problem.hint


@proves("hooks.NAME.schema", "hooks.NAME.template", "hooks.NAME.negotiate")
@pytest.mark.parametrize("type", ["stdio", "script\npath = /bin/sh"])
@pytest.mark.parametrize(
    "line",
    [
        "schema = 1",
        "template = x",
        "content_type = text/plain",
        "negotiate = off",
        "batch_events = 2",
        "batch_age = 1s",
    ],
)
def test_other_hooks_have_no_bodies_and_no_batches(refuse: Refuse, type: str, line: str) -> None:
    (problem,) = refuse(f"[hooks]\n[[a]]\ntype = {type}\n{line}\n")
    assert problem.key == f"hooks.a.{line.split()[0]}" and "type = webhook" in problem.message


def test_each_type_has_its_formats(refuse: Refuse) -> None:
    (problem,) = refuse("[hooks]\n[[a]]\ntype = stdio\nformat = cloudevents-binary\n")
    assert "not a format of type = stdio" in problem.message
    (problem,) = refuse("[hooks]\n[[a]]\ntype = script\npath = /bin/sh\nformat = json\n")
    assert "is for type = stdio and type = webhook" in problem.message


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("batch_age = 1s", "changes nothing without batch_events"),
        ("batch_bytes = 1k", "changes nothing without batch_events"),
        ("negotiate = required", "loses events"),
        ("negotiate = lazy\nmax_attempts = 1", "loses events"),
    ],
)
def test_what_is_odd_is_a_warning(read: Read, lines: str, message: str) -> None:
    (warning,) = read(HOOK + lines + "\n").warnings
    assert message in warning.message


@proves("hooks.NAME.batch_events")
def test_a_negotiated_format_may_have_batches_that_a_fixed_one_has_not(read: Read) -> None:
    lines = "format = cloudevents-binary\nbatch_events = 9\nnegotiate = lazy\nmax_attempts = 2"
    assert hook_of(read, lines).delivery.batch_events == 9


def test_an_http_signature_has_its_keys(read: Read) -> None:
    lines = f"[[[auth]]]\ntype = http_signature\nsecret = {'s' * 32}\nkey_id = k\nalgorithm = hmac-sha256"
    (auth,) = hook_of(read, lines).auth
    assert (auth.type, auth.key_id, auth.algorithm) == ("http_signature", "k", "hmac-sha256")
