"""Makes a hook from its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from socket import gethostname

from ..clock import Clock
from ..errors import ConfigError, CredentialError, PluginError, Problem, TemplateError
from ..settings import NEGOTIATE_OFF, THREAD_AUTO, THREAD_NO, THREAD_YES, AuthSettings, HookSettings
from .auth.oauth2 import OAuth2Signer, check_credentials, shared_source
from .auth.signing import BODY_SIGNERS, Signer, check_together, short_secrets
from .auth.signing_http import HttpSigner
from .auth.tokens import JwtSigner, weak_key
from .body.format import FixedTerms, Form, TemplateEncoder, Terms, terms_of
from .body.negotiation import NegotiatedTerms
from .body.template import Template
from .sink.base import Hook
from .sink.plugin import PluginHook, make
from .sink.script import ScriptHook
from .sink.stdio import FORMATS, StdioHook
from .sink.webhook import WebhookHook, Wire, path_of
from .sink.worker import WorkerHook


def build_hook(settings: HookSettings, clock: Clock) -> Hook:
    """The hook that ``settings`` describe, not started yet. Raises ConfigError."""
    build = _BUILDERS.get(settings.type)
    if build is None:
        raise _error(settings, f"unknown type, one of {', '.join(_BUILDERS)}", settings.type)
    return build(settings, clock)


def _script(settings: HookSettings, clock: Clock) -> Hook:
    if not settings.target:
        raise _error(settings, "no script given", "")
    return ScriptHook(settings.id, settings.target, clock)


def _worker(settings: HookSettings, clock: Clock) -> Hook:
    if not settings.target:
        raise _error(settings, "no worker given", "")
    return WorkerHook(settings.id, settings.target, clock)


def _plugin(settings: HookSettings, clock: Clock) -> Hook:
    try:
        plugin = make(settings.target, settings.id, dict(settings.options))
    except PluginError as error:
        problem = Problem("", f"hooks.{settings.id}.{error.key}", str(error), hint=error.hint)
        raise ConfigError([problem]) from error
    wishes = {THREAD_AUTO: bool(getattr(plugin, "blocking", False)), THREAD_YES: True, THREAD_NO: False}
    return PluginHook(settings.id, plugin, settings.concurrency if wishes[settings.run_in_thread] else 0, clock)


def _webhook(settings: HookSettings, clock: Clock) -> Hook:
    http = settings.http
    try:
        check_together(settings.auth, http.headers, settings.target)
        signers = [_signer(auth, settings, clock) for auth in settings.auth]
        wire, batch_bytes = _wire(settings, clock), settings.delivery.batch_bytes
        return WebhookHook(
            settings.id, settings.target, settings.concurrency, clock, http, signers, wire, batch_bytes
        )
    except CredentialError as error:
        problem = Problem("", f"hooks.{settings.id}.auth.{error.key}", str(error), hint=error.hint)
        raise ConfigError([problem]) from error
    except TemplateError as error:
        raise _error(settings, f"template: {error}", "") from error
    except ValueError as error:
        raise _error(settings, str(error), "") from error


def _wire(settings: HookSettings, clock: Clock) -> Wire:
    """Under which terms events are sent. Raises TemplateError."""
    body, most = settings.body, settings.delivery.batch_events
    node = body.node or gethostname()
    if body.template:
        return FixedTerms(Terms(TemplateEncoder(Template(body.template, body.content_type), node)))
    if body.negotiate != NEGOTIATE_OFF:
        return NegotiatedTerms(body, node, most, settings.filter.rate_limit, clock)
    return FixedTerms(terms_of(Form(body.format, body.schema), node, most))


def check_template(template: str, content_type: str) -> None:
    """Raises TemplateError if it cannot be used."""
    Template(template, content_type)


def _signer(auth: AuthSettings, settings: HookSettings, clock: Clock) -> Signer:
    """What proves who sends it. Raises CredentialError."""
    if auth.type == "oauth2":
        return OAuth2Signer(shared_source(auth, settings.http, clock))
    if auth.type == "http_signature":
        return HttpSigner(auth, path_of(settings.target))
    return JwtSigner(auth) if auth.type == "jwt" else BODY_SIGNERS[auth.type](auth)


def check_auth(
    auth: AuthSettings, before: Sequence[AuthSettings], headers: Sequence[tuple[str, str]], url: str
) -> str:
    """What is weak about one way of authentication, "" if nothing is. Raises CredentialError if it cannot be
    used, by itself or with those ``before`` it, the fixed ``headers`` and the credentials in ``url``."""
    check_together([*before, auth], headers, url)
    if auth.type == "oauth2":
        check_credentials(auth)
        return ""
    if auth.type == "jwt":
        JwtSigner(auth)
        return weak_key(auth)
    if auth.type == "http_signature":
        HttpSigner(auth, "/")
    else:
        BODY_SIGNERS[auth.type](auth)
    return short_secrets(auth)


def _stdio(settings: HookSettings, clock: Clock) -> Hook:
    if settings.target not in FORMATS:
        raise _error(settings, f"unknown format, one of {', '.join(FORMATS)}", settings.target)
    return StdioHook(settings.id, settings.target)


def _error(settings: HookSettings, message: str, text: str) -> ConfigError:
    return ConfigError([Problem("", f"hooks.{settings.id}", message, text)])


_BUILDERS: dict[str, Callable[[HookSettings, Clock], Hook]] = {
    "script": _script,
    "worker": _worker,
    "plugin": _plugin,
    "webhook": _webhook,
    "stdio": _stdio,
}
