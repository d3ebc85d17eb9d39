"""The access rules of every application, made from the settings, and replaced as a whole when they change."""

from __future__ import annotations

from collections.abc import Callable

from ...clock import Clock
from ...net.networks import NetworkRules
from ...settings import (
    ACTIONS,
    MODE_CALLBACK,
    MODE_FILE,
    MODE_JWT,
    MODE_OPEN,
    MODE_SIGNED,
    MODE_TOKEN,
    PLAY,
    PUBLISH,
    AccessSettings,
    AppSettings,
    AppsSettings,
)
from . import signed
from .callback import Ask, Callback
from .fixed import FixedTokens
from .question import ADMITTED, Mode, Question, Verdict, any_of, refused
from .tarpit import Tarpit
from .webtoken import WebTokens


class _Open:
    def judge(self, question: Question) -> Verdict:
        return ADMITTED


class _Signed:
    def __init__(self, keys: tuple[str, ...], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def judge(self, question: Question) -> Verdict:
        return signed.check(self._keys, question, self._clock.wall())


class Rule:
    """One action in one application: the address lists first, then the modes, of which one has to admit. ``asks`` is
    whether a verdict may take the time of an HTTP request, ``is_open`` whether everybody is admitted at once."""

    def __init__(self, addresses: NetworkRules, modes: list[tuple[str, Mode]]) -> None:
        self._addresses = addresses
        self._modes = modes
        self.asks = any(name == MODE_CALLBACK for name, _ in modes)
        self.is_open = addresses.is_empty and bool(modes) and modes[0][0] == MODE_OPEN

    def judge(self, question: Question) -> Verdict:
        """Return the verdict. Never raises. May switch greenlets if it ``asks``."""
        if reason := self._address_refusal(question.address):
            return refused(reason)
        reasons = []
        for name, mode in self._modes:
            verdict = mode.judge(question)
            if verdict.allowed:
                return verdict
            reasons.append((name, verdict.reason))
        return refused(any_of(reasons))

    def _address_refusal(self, address: str) -> str:
        try:
            reason = self._addresses.refusal(address)
        except ValueError:
            return "the client has no address to look up"
        return f"the address is {reason}" if reason else ""


class Access:
    """``ask_for`` gives, for the URL of a callback, what asks there. ``tarpit`` counts the refusals.

    Raises CredentialError for a key that cannot be used, ValueError for a network that is not valid.
    """

    def __init__(
        self, settings: AccessSettings, apps: AppsSettings, ask_for: Callable[[str], Ask], clock: Clock
    ) -> None:
        self.tarpit = Tarpit(settings.failure_delay_s, settings.failure_delay_max_s, clock)
        self._settings = settings
        self._ask_for = ask_for
        self._clock = clock
        self._shared: dict[str, Mode] = {}
        self._default = self._rules_of(apps.default)
        self._named = {name: self._rules_of(app) for name, app in apps.named}

    def rule(self, app: str, action: str) -> Rule:
        """Return the rule of an action in an application."""
        return self._named.get(app, self._default)[action]

    def _rules_of(self, app: AppSettings) -> dict[str, Rule]:
        return {action: self._rule_of(app, action) for action in ACTIONS}

    def _rule_of(self, app: AppSettings, action: str) -> Rule:
        publishes = action == PUBLISH
        allow, deny = (app.publish_allow, app.publish_deny) if publishes else (app.play_allow, app.play_deny)
        names = app.publish_access if publishes else app.play_access
        return Rule(NetworkRules(allow, deny), [(name, self._mode(name, app, action)) for name in names])

    def _mode(self, name: str, app: AppSettings, action: str) -> Mode:
        """Token lists are of one application and action; the others are shared by all that use them."""
        if name == MODE_TOKEN:
            return FixedTokens(app.publish_tokens if action == PUBLISH else app.play_tokens)
        url = app.play_callback_url if action == PLAY and app.play_callback_url else app.callback_url
        id = f"{name} {app.callback_answer} {url}" if name == MODE_CALLBACK else name
        if id not in self._shared:
            self._shared[id] = self._make(name, app, url)
        return self._shared[id]

    def _make(self, name: str, app: AppSettings, url: str) -> Mode:
        settings = self._settings
        makers: dict[str, Callable[[], Mode]] = {
            MODE_OPEN: _Open,
            MODE_FILE: lambda: FixedTokens(settings.file_tokens),
            MODE_SIGNED: lambda: _Signed(settings.signing_keys, self._clock),
            MODE_JWT: lambda: WebTokens(settings),
            MODE_CALLBACK: lambda: Callback(settings, self._ask_for(url), self._clock, app.callback_answer),
        }
        return makers[name]()
