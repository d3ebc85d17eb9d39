"""The table of event types."""

import ast
from pathlib import Path

import pytest

from rtmpd.event.catalogue import EVENT_TYPES, GROUPS, matches, severity_of
from rtmpd.event.kind import SEVERITIES

PACKAGE = Path(__file__).parents[2] / "rtmpd"
JSON_TYPES = {"string", "integer", "number", "boolean", "array", "object"}


def test_names_are_unique():
    assert len(EVENT_TYPES) == sum(len(group.types) for group in GROUPS)


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=lambda event_type: event_type.name)
def test_every_type_is_complete(event_type):
    names = [field.name for field in event_type.fields]
    assert event_type.severity in SEVERITIES
    assert event_type.trigger.endswith(".")
    assert len(names) == len(set(names))
    assert all(field.type in JSON_TYPES and field.meaning for field in event_type.fields)
    assert not event_type.severity_key or event_type.severity_key in names


def test_the_names_of_the_existing_server_and_of_the_specification_are_all_there():
    expected = """connection_accept connection_close publish_start play_start codec_detected stream_metadata
        bitrate_change framerate_change resolution_change quality_alert connection_error protocol_error stream_error
        performance_alert latency_alert resource_alert stream_create stream_delete publish_stop play_stop
        handshake_complete subscriber_count auth_failed recording_start recording_stop segment_complete""".split()
    assert set(expected) <= set(EVENT_TYPES)


def test_connection_accept_has_the_fields_of_both_versions_of_the_contract():
    names = [field.name for field in EVENT_TYPES["connection_accept"].fields]
    assert names[:6] == ["client_ip", "client_port", "server_ip", "server_port", "remote_addr", "tls"]


@pytest.mark.parametrize(
    ("name", "data", "severity"),
    [
        ("publish_start", {}, "info"),
        ("performance_alert", {"severity": "warning"}, "warning"),
        ("performance_alert", {"severity": "critical"}, "critical"),
        ("performance_alert", {}, "warning"),
        ("config_reload", {"result": "applied"}, "info"),
        ("config_reload", {"result": "rejected"}, "error"),
        ("config_reload", {"result": ["rejected"]}, "info"),
        ("not_in_the_table", {"severity": "critical"}, "info"),
    ],
)
def test_severity_comes_from_the_table_and_for_some_types_from_the_data(name, data, severity):
    assert severity_of(name, data) == severity


def test_no_pattern_means_every_type():
    assert matches("publish_start", ())


def test_patterns_are_globs_over_the_whole_name():
    assert matches("publish_start", ("play_*", "publish_*"))
    assert not matches("publish_start", ("publish",))
    assert not matches("publish_start", ("PUBLISH_START",))


def emissions():
    """Every ``emit("type", ...)`` in the package: where, the type, and the names of the data."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1].lstrip("_") == "emit":
                match node.args:
                    case [ast.Constant(value=str(type))]:
                        given = [keyword.arg for keyword in node.keywords if keyword.arg]  # not **what_is_given
                        names = [name for name in given if name not in ("conn_id", "stream_key")]
                        yield f"{path.name}:{node.lineno}", type, names


def test_what_the_package_emits_is_in_the_table_in_its_order():
    found = list(emissions())
    assert len(found) >= 5
    for where, type, names in found:
        known = [field.name for field in EVENT_TYPES[type].fields]
        assert names == [name for name in known if name in names], where
