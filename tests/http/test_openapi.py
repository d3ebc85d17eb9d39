"""The OpenAPI file: it says what the routes do, and the answers are what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rtmpd.http.openapi import document, text
from rtmpd.http.routes import ROUTES
from tests.support.desk import Desk

ROOT = Path(__file__).resolve().parents[2]


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    paths = document(ROUTES)["paths"]
    return [(method, path, operation) for path, item in paths.items() for method, operation in item.items()]


def test_the_file_in_docs_is_what_the_routes_say() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == text(ROUTES), "run scripts/gen_docs"


def test_every_route_is_an_operation_with_an_id_of_its_own() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids) == len(ROUTES)


def test_the_api_serves_its_own_description(desk: Desk) -> None:
    assert desk.ask("GET", "/api/v1/openapi.json") == (200, json.loads(text(ROUTES)))


def fits(schema: dict[str, Any], value: Any, where: str) -> None:
    """Whether a value has the types and keys of a schema; raises AssertionError."""
    if "oneOf" in schema:
        kinds = [one for one in schema["oneOf"] if (one.get("type") == "null") == (value is None)]
        return fits(kinds[0], value, where)
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    classes = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
               "null": type(None)}  # fmt: skip
    assert any(isinstance(value, classes[kind]) for kind in kinds), f"{where}: {value!r} is no {kinds}"
    assert not isinstance(value, bool) or "boolean" in kinds, where
    if isinstance(value, dict):
        assert set(schema.get("required", [])) <= set(value), where
        for name, inner in schema.get("properties", {}).items():
            fits(inner, value[name], f"{where}.{name}")
    for item in value if isinstance(value, list) else []:
        fits(schema["items"], item, f"{where}[]")
    return None


BODIES: dict[str, Any] = {
    "post_kick": {"conn_id": "c000001"},
    "put_log_level": {"level": "debug"},
    "post_tokens": {"app": "live", "name": "a"},
    "post_tokens_check": {"app": "live", "name": "a", "token": "x"},
}
GIVEN = {"key": "live%2Fa", "conn_id": "c000001", "hook_id": "ops", "event_id": "evt_1", "number": "1"}
WITHOUT_JSON = {"get_metrics", "get_events", "post_dead_letters_replay", "post_dead_letters_purge", "post_replay"}
NOT_HERE = {"post_tokens", "post_tokens_check"}


def with_json() -> list[tuple[str, str, dict[str, Any]]]:
    return [one for one in operations() if one[2]["operationId"] not in WITHOUT_JSON]


@pytest.mark.parametrize(("method", "path", "operation"), with_json(), ids=lambda one: str(one)[:40])
def test_an_answer_has_the_form_that_the_file_promises(
    desk: Desk, method: str, path: str, operation: dict[str, Any]
) -> None:
    target = re.sub(r"\{(\w+)\}", lambda match: GIVEN[match[1]], path)
    status, answer = desk.ask(method.upper(), target, BODIES.get(operation["operationId"]))
    assert status == 200
    fits(operation["responses"]["200"]["content"]["application/json"]["schema"], answer, path)


def test_the_check_of_forms_sees_what_is_wrong() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": ["integer", "null"]}}}
    fits(schema, {"a": None}, "")
    for wrong in ({}, {"a": "x"}, {"a": True}, []):
        with pytest.raises(AssertionError):
            fits(schema, wrong, "")
