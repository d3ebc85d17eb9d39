"""The OpenAPI 3.1 file, made of the table of routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from .. import __version__
from .guard import LOCAL, PUBLIC
from .problem import PROBLEM, phrase
from .response import JSON
from .route import BODY, MOST_ITEMS, PATH, QUERY, Param, Route
from .schema import PROBLEM as PROBLEM_SCHEMA

_GENERAL = (400, 408, 414, 421, 431, 500, 503)
_GUARDED = (401, 403)
_WITH_BODY = (411, 413, 415)

_SECURITY: dict[str, list[dict[str, list[str]]]] = {PUBLIC: [], LOCAL: [{}, {"bearer": []}]}

_DESCRIPTION = """\
Health, metrics and control of a running rtmpd. On the control socket no token is needed; over TCP everything below
/api/v1 takes `Authorization: Bearer TOKEN`. Each connection carries one request. Parameters that are not known are
refused; answers may grow more keys."""


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of ``routes``."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtmpd",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM_SCHEMA},
            "responses": {_name(status): _problem(status) for status in _refusals(routes)},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def text(routes: Sequence[Route]) -> str:
    """Return the text of docs/openapi.json."""
    return json.dumps(document(routes), indent=1, ensure_ascii=False) + "\n"


def _refusals(routes: Iterable[Route]) -> list[int]:
    """Every status of a refusal."""
    own = {status for route in routes for status in route.errors}
    return sorted({*_GENERAL, *_GUARDED, *_WITH_BODY, *own})


def _name(status: int) -> str:
    return phrase(status).title().replace(" ", "").replace("-", "")


def _problem(status: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": phrase(status), "content": content}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "security": _SECURITY.get(route.scope, [{"bearer": []}]),
        "responses": _responses(route),
    }
    beside = [_parameter(param) for param in (*route.of(PATH), *route.of(QUERY))]
    if beside:
        operation["parameters"] = beside
    if body := route.of(BODY):
        operation["requestBody"] = _body(body, route.one_of)
    return operation


def _operation_id(route: Route) -> str:
    words = re.findall(r"[a-z0-9_]+", route.path.removeprefix("/api/v1"))
    return "_".join([route.method.lower(), *words])


def _parameter(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "in": param.where,
        "required": param.required,
        "description": param.meaning,
        "schema": _schema(param),
    }


def _body(params: list[Param], one_of: tuple[str, ...]) -> dict[str, Any]:
    required = [param.name for param in params if param.required]
    schema = {
        "type": "object",
        "properties": {param.name: {**_schema(param), "description": param.meaning} for param in params},
        "additionalProperties": False,
        **({"required": required} if required else {}),
        **({"oneOf": [{"required": [name]} for name in one_of]} if one_of else {}),
    }
    return {"required": bool(required or one_of), "content": {JSON: {"schema": schema}}}


def _text(param: Param) -> dict[str, Any]:
    return {"minLength": 1, "maxLength": param.chars, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$"}


def _schema(param: Param) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": param.type}
    if param.type == "string":
        schema |= {"enum": list(param.choices)} if param.choices else _text(param)
    elif param.type != "boolean":
        schema |= {"minimum": param.minimum, "maximum": param.maximum}
    if param.many:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": MOST_ITEMS}
    if param.default is not None:
        schema["default"] = param.default
    return schema


def _responses(route: Route) -> dict[str, Any]:
    good = {200: route.answer, **route.also}
    statuses = [*_GENERAL, *route.errors]
    statuses += () if route.scope == PUBLIC else _GUARDED
    statuses += _WITH_BODY if route.of(BODY) else ()
    responses = {str(status): _answer(status, route, schema) for status, schema in good.items()}
    for status in sorted(set(statuses) - set(good)):
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    return responses


def _answer(status: int, route: Route, schema: Any) -> dict[str, Any]:
    content = {type: {"schema": schema} for type in (route.content_type, *route.more_types)}
    if status in _GENERAL:  # a refusal may have the same status
        content[PROBLEM] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": phrase(status), "content": content}
