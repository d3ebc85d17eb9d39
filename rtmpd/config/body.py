"""Options of the bodies of webhooks: formats, templates, batches and negotiation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..errors import TemplateError
from ..settings import FORMAT_BINARY, FORMAT_JSON, FORMAT_STRUCTURED, NEGOTIATE_OFF, BodySettings, HookSettings
from .check import Checked, Values
from .entries import Path
from .values import nearest

WEBHOOK = "webhook"
STDIO = "stdio"

#: Raises TemplateError for a template that cannot be used with this content type.
CheckTemplate = Callable[[str, str], None]

_FORMATS = {
    STDIO: (FORMAT_JSON, "env"),
    WEBHOOK: (FORMAT_JSON, FORMAT_STRUCTURED, FORMAT_BINARY),
}
_BODY_KEYS = ("schema", "template", "content_type", "negotiate")
_BATCH_KEYS = ("batch_events", "batch_age", "batch_bytes")
_BATCH_TYPES = (WEBHOOK, "worker", "plugin")
_ONE_OF = "one event makes one body"


def applied(
    hook: HookSettings, checked: Checked, path: Path, values: Values, check_template: CheckTemplate
) -> HookSettings:
    """The hook with what its section says of bodies and batches; what is wrong with it goes to ``checked``. Its
    delivery is there already."""
    _check_format(checked, path, hook.type, values)
    _check_types(checked, path, hook.type, values, _BODY_KEYS, (WEBHOOK,))
    _check_types(checked, path, hook.type, values, _BATCH_KEYS, _BATCH_TYPES)
    if hook.type != WEBHOOK:
        return hook
    given = {key: values[key] for key in (*_BODY_KEYS, "format") if key in values}
    body = BodySettings(**given, node=checked.value("hooks", "node"))
    _check_template(checked, path, body, values, check_template)
    _check_together(checked, path, body, hook, values)
    return replace(hook, body=body)


def _check_format(checked: Checked, path: Path, type: str, values: Values) -> None:
    known = _FORMATS.get(type, ())
    if "format" not in values or values["format"] in known:
        return
    if known:
        checked.problem((*path, "format"), f"is not a format of type = {type}", nearest(values["format"], list(known)))
    else:
        hint = f"this hook has type = {type}"
        checked.problem((*path, "format"), f"is for type = {STDIO} and type = {WEBHOOK}", hint)


def _check_types(
    checked: Checked, path: Path, type: str, values: Values, keys: tuple[str, ...], types: tuple[str, ...]
) -> None:
    """Each of ``keys`` is for hooks of ``types``."""
    for key in keys if type not in types else ():
        if key in values:
            wanted = " and ".join(f"type = {other}" for other in types)
            checked.problem((*path, key), f"is for {wanted}", f"this hook has type = {type}")


def _check_template(
    checked: Checked, path: Path, body: BodySettings, values: Values, check_template: CheckTemplate
) -> None:
    if not body.template:
        if body.content_type:
            checked.problem((*path, "content_type"), "is for a template", "a format has a type of its own")
        return
    for key in ("format", "schema", "negotiate"):
        if key in values and (key != "negotiate" or body.negotiate != NEGOTIATE_OFF):
            checked.problem((*path, key), "is of no use with a template, which says what is sent", f"leave {key} out")
    if "content_type" in checked.tree.sections[path] and "content_type" not in values:
        return  # it is wrong itself, and without it the template cannot be understood
    try:
        check_template(body.template, body.content_type)
    except TemplateError as error:
        checked.problem((*path, "template"), str(error), error.hint)


def _check_together(checked: Checked, path: Path, body: BodySettings, hook: HookSettings, values: Values) -> None:
    if body.negotiate != NEGOTIATE_OFF and hook.retry.max_attempts == 1:
        message = "loses events that the receiver does not allow yet, without retries"
        checked.warning((*path, "negotiate"), message, "write max_attempts = 5")
    if body.schema != 1 and body.format != FORMAT_JSON:
        checked.problem((*path, "schema"), f"is for format = {FORMAT_JSON}", f"this hook has format = {body.format}")
    if hook.delivery.batch_events > 1:
        if body.template:
            checked.problem((*path, "batch_events"), "is of no use with a template", _ONE_OF)
        elif body.format == FORMAT_BINARY and body.negotiate == NEGOTIATE_OFF:
            hint = f"{_ONE_OF}; {FORMAT_STRUCTURED} has batches"
            checked.problem((*path, "batch_events"), f"is of no use with format = {FORMAT_BINARY}", hint)
        return
    for key in ("batch_age", "batch_bytes"):
        if key in values:
            checked.warning((*path, key), "changes nothing without batch_events", "write batch_events = 100")
