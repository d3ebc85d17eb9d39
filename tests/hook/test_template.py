"""Templates: what they make of events, what is refused, and that no value breaks out of its place."""

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmpd.errors import TemplateError
from rtmpd.event.event import Event
from rtmpd.hook.body.template import Template

DATA = {"app": "live", "n": 1.5, "on": True, "none": None, "x": {"y": [1, {"z": 2}]}, "a.b": "dotted", "a": {"b": 1}}
EVENT = Event("publish_start", 1634567890, "c000001", 'live/"ü\n', DATA, "evt_01", 3, "warning")


def rendered(text, content_type="", event=EVENT):
    return Template(text, content_type).render(event, "n-1").decode()


@pytest.mark.parametrize(
    ("placeholder", "value"),
    [
        ("type", "publish_start"),
        ("event.type", "publish_start"),
        ("timestamp", 1634567890),
        ("conn_id", "c000001"),
        ("stream_key", 'live/"ü\n'),
        ("id", "evt_01"),
        ("seq", 3),
        ("severity", "warning"),
        ("time", "2021-10-18T14:38:10.000Z"),
        ("node", "n-1"),
        ("data", DATA),
        ("event.data.app", "live"),
        ("data.n", 1.5),
        ("data.on", True),
        ("data.none", None),
        ("data.x.y", [1, {"z": 2}]),
        ("data.a.b", "dotted"),
        ("data.missing", None),
        ("data.app.missing", None),
        ("data.missing.too", None),
        ("data.missing | default 'x'", "x"),
        ('data.missing | default "\\u0041"', "A"),
        ("data.missing | default 7", 7),
        ("data.none|default 1.5", 1.5),
        ("data.n | default 7", 1.5),
        ("data.app | upper", "LIVE"),
        ("type | upper | lower", "publish_start"),
        ("data.app | truncate 3", "li…"),
        ("data.app | truncate 4", "live"),
        ("data.n | json", 1.5),
        ("stream_key | url", "live%2F%22%C3%BC%0A"),
        ("'<a> & \"b\"' | slack", '&lt;a&gt; &amp; "b"'),
        ("'{{ }}'", "{{ }}"),
        ("-3", -3),
    ],
)
def test_outside_of_quotes_a_value_is_json(placeholder, value):
    assert json.loads(rendered(f'{{"v": {{{{ {placeholder} }}}}}}')) == {"v": value}


def test_the_whole_event_is_schema_2():
    assert list(json.loads(rendered("{{ event }}"))) == [
        "type", "timestamp", "conn_id", "stream_key", "data", "id", "seq", "severity", "time", "node",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("placeholder", "text"),
    [
        ("stream_key", 'live/"ü\n'),
        ("data.n", "1.5"),
        ("data.on", "true"),
        ("data.missing", ""),
        ("data.none", ""),
        ("data.x", '{"y":[1,{"z":2}]}'),
        ("stream_key | json", '"live/\\"ü\\n"'),
        ("data.missing | default 'x'", "x"),
    ],
)
def test_inside_of_quotes_a_value_is_text(placeholder, text):
    assert json.loads(rendered(f'{{"v": "<{{{{ {placeholder} }}}}>"}}')) == {"v": f"<{text}>"}


def test_quotes_are_seen_as_json_sees_them():
    text = r'{"a\"{{ type }}": "\\", "b": {{ seq }}, "c": "{{ "q\"" }}", "d": ["x{{ seq }}", {{ seq }}]}'
    assert json.loads(rendered(text)) == {'a"publish_start': "\\", "b": 3, "c": 'q"', "d": ["x3", 3]}


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/plain", 'live/"ü  < 1'),
        ("text/plain; charset=utf-8", 'live/"ü  < 1'),
        ("text/html", "live/&quot;ü  < 1"),
        ("application/atom+xml", "live/&quot;ü  < 1"),
        ("application/x-www-form-urlencoded", "live%2F%22%C3%BC%0A < 1"),
    ],
)
def test_the_content_type_says_what_a_value_becomes(content_type, text):
    assert rendered("{{ stream_key }} < 1", content_type) == text


def test_a_type_with_json_behind_a_plus_is_json():
    assert rendered('["{{ stream_key }}"]', "application/vnd.pager+json; v=1") == '["live/\\"ü\\n"]'


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FILTERS = st.sampled_from(["", "|json", "|upper", "|truncate 5", "|slack", "|url", "|default 'x'", "|upper|json"])


@given(VALUES, st.text(), st.lists(FILTERS, min_size=4, max_size=4))
def test_a_json_template_is_json_of_the_same_shape_whatever_the_values_are(value, key, filters):
    event = Event("x", 1, "", key, {"v": value}, "evt_1")
    a, b, c, d = filters
    inner = f'["{{{{data.v{b}}}}}", "x {{{{stream_key{c}}}}} y"]'
    text = f'{{"a": {{{{data.v{a}}}}}, "b": {inner}, "c": {{{{stream_key{d}}}}}}}'
    found = json.loads(rendered(text, "", event))
    assert list(found) == ["a", "b", "c"] and [type(item) for item in found["b"]] == [str, str]
    if not c:
        assert found["b"][1] == f"x {key} y".encode("utf-8", "replace").decode()


@given(st.text())
def test_a_value_of_a_form_stays_in_its_field(key):
    event = Event("x", 1, "", key, {}, "i")
    body = rendered("a={{ stream_key }}&b={{ id }}", "application/x-www-form-urlencoded", event)
    rows = parse_qsl(body, keep_blank_values=True, strict_parsing=True)
    assert [name for name, _ in rows] == ["a", "b"] and rows[1][1] == "i"


@given(st.text())
def test_a_value_of_a_text_stays_on_its_line(key):
    assert len(rendered("a {{ stream_key }}\nb", "text/plain", Event("x", 1, "", key, {}, "i")).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "not valid JSON"),
        ("{{", (1, 3), "not closed"),
        ("{{ type", (1, 8), "not closed"),
        ("{{ }}", (1, 4), "a field"),
        ("{{ dat }}", (1, 4), "no field is called dat"),
        ("{{ type.x }}", (1, 4), "no field is called type.x"),
        ("{{ type type }}", (1, 9), "out of place"),
        ("{{ type | }}", (1, 11), "no filter"),
        ('{"a":\n  {{ type | uper }}}', (2, 13), "no filter is called uper"),
        ("{{ type | default }}", (1, 19), "default takes"),
        ("{{ type | truncate 'x' }}", (1, 20), "truncate takes a number"),
        ("{{ type | truncate 0 }}", (1, 20), "truncate takes a number"),
        ('{{ "\\x" }}', (1, 4), "text is not valid"),
        ('{"a": {{ type }} {{ seq }}}', (1, 18), "not valid JSON"),
        ('{{{ type }}: 1}', (1, 3), "not closed"),
        ('{ {{ type }}: 1}', (1, 3), "not valid JSON"),
        ('{"a": "\\{{ type }}"}', (1, 8), "not valid JSON"),
        ('{"a": "\\u00{{ seq }}"}', (1, 9), "not valid JSON"),
        ('{"a": NaN}', (1, 1), "no NaN"),
        ("[" * 100_000, (1, 1), "not valid JSON"),
        ("{{ type\n}}", (1, 8), "not closed"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_refused_with_its_place(text, place, message):
    with pytest.raises(TemplateError) as raised:
        Template(text)
    assert message in str(raised.value)
    assert (raised.value.line, raised.value.column) == place
    assert f"line {place[0]}, column {place[1]}" in str(raised.value)


def test_a_name_that_is_nearly_right_is_suggested():
    for text, name in (("{{ sream_key }}", "stream_key"), ("{{ type | truncat 3 }}", "truncate")):
        with pytest.raises(TemplateError) as raised:
            Template(text)
        assert name in raised.value.hint


@given(st.text(st.sampled_from("{}|\"' \\\n.a1-") | st.characters(), max_size=30))
def test_no_text_breaks_the_compiler(text):
    for content_type in ("", "text/plain"):
        try:
            rendered(text, content_type)
        except TemplateError:
            continue
