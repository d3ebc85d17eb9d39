"""The hooks: what each gets, how it is authenticated and how it is delivered."""

from __future__ import annotations

from dataclasses import dataclass, field

from .store import StoreSettings

MISSING_DROP = "drop"
MISSING_PASS = "pass"

ORDER_NONE = "none"
ORDER_KEY = "key"
ORDER_STRICT = "strict"

GUARANTEE_NONE = "none"
GUARANTEE_AT_LEAST_ONCE = "at-least-once"

FORMAT_JSON = "json"
FORMAT_STRUCTURED = "cloudevents-structured"
FORMAT_BINARY = "cloudevents-binary"

AUDIT_ALL = "all"
AUDIT_FAILURES = "failures"

THREAD_AUTO = "auto"
THREAD_YES = "yes"
THREAD_NO = "no"

NEGOTIATE_OFF = "off"
NEGOTIATE_LAZY = "lazy"
NEGOTIATE_REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``events`` in ``window_s`` seconds on the average."""

    events: int
    window_s: float


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Which of the events a hook is bound to it gets: those that pass every kind of filter given here.

    ``stream_patterns`` are globs, one of which must fit; ``conditions`` texts like ``data.bitrate > 1000000``,
    all of which must hold; a field that an event does not have makes its condition false if ``on_missing``
    is ``drop``, true if it is ``pass``. ``rate_burst`` 0 means as many events as ``rate_limit`` has.
    """

    stream_patterns: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    min_severity: str = "debug"
    rate_limit: RateLimit | None = None
    rate_burst: int = 0
    on_missing: str = MISSING_DROP


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """One secret as it is written, and the Unix time at which it is used for the last time, None for no end."""

    text: str = field(repr=False)
    until: float | None = None


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """One way in which a webhook proves its sender. ``type`` says which, and so which of the others count:

    ==============  ===========================================================================================
    api_key         ``key`` in ``header``
    hmac            a signature with ``secret`` and ``algorithm`` in ``header``
    standard        Standard Webhooks, signed with each of ``secrets`` that has not ended
    github          the headers of GitHub, signed with ``secret``
    stripe          the header of Stripe, signed with each of ``secrets``
    http_signature  RFC 9421, signed with ``secret`` and ``algorithm``; ``key_id`` names the key
    jwt             a token signed with ``secret`` and ``algorithm``, good for ``ttl_s``
    oauth2          a token of ``token_url`` for client credentials
    basic           ``username`` and ``password``
    ==============  ===========================================================================================

    ``header`` and ``algorithm`` "" stand for what is usual for the type.
    """

    type: str
    key: str = field(default="", repr=False)
    header: str = ""
    secret: str = field(default="", repr=False)
    secrets: tuple[SigningSecret, ...] = ()
    algorithm: str = ""
    key_id: str = ""
    issuer: str = ""
    subject: str = ""
    audience: str = ""
    claims: tuple[tuple[str, str], ...] = ()
    ttl_s: float = 3600.0
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    token_url: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ()
    client_auth: str = "basic"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How HTTP requests go out. ``headers`` are added to each; ``client_cert`` and ``client_key`` are shown to
    the server (PEM files), ``ca_file`` vouches for it instead of the usual authorities; ``proxy`` is a URL.

    Only addresses in ``allow_networks`` are connected to, if there are any, and none in ``deny_networks``: networks
    in CIDR form, or ``public``, ``private``, ``loopback``.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    client_cert: str = ""
    client_key: str = ""
    ca_file: str = ""
    proxy: str = field(default="", repr=False)
    allow_networks: tuple[str, ...] = ()
    deny_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """How often an event is tried, ``max_attempts`` times in all, and how long the waits between are.

    ``backoff_strategy`` is exponential, linear or fixed; ``retry_delays_s`` takes its place if not empty.
    ``retryable_errors`` are patterns of what is worth another try, in the place of the table in ``hook/fault.py``.
    ``breaker_failures`` is the number of the endpoint's faults in a row after which it is only probed.
    """

    max_attempts: int = 1
    initial_delay_s: float = 1.0
    max_delay_s: float = 60.0
    backoff_strategy: str = "exponential"
    jitter: bool = False
    retry_delays_s: tuple[float, ...] = ()
    retryable_errors: tuple[str, ...] = ()
    breaker_failures: int = 5


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """What a hook may count on. ``order`` is an ``ORDER_*`` word; an event older than ``max_age_s`` is not
    tried any more (0: no limit); ``confirm_timeout_s`` limits one try if it is shorter than the hook's timeout (0
    leaves it to that); dead events are posted to ``dead_letter_url`` if it is not empty.

    Up to ``batch_events`` events are sent in one request, of at most ``batch_bytes`` if that is not 0; the
    oldest of them waits ``batch_age_s`` for more. 1 is one event in one request. ``adaptive`` has the executions at
    once follow what the endpoint can take, up to the hook's concurrency."""

    guarantee_level: str = GUARANTEE_NONE
    order: str = ORDER_KEY
    max_age_s: float = 0.0
    confirm_timeout_s: float = 0.0
    dead_letter_url: str = ""
    batch_events: int = 1
    batch_age_s: float = 0.1
    batch_bytes: int = 262144
    adaptive: bool = False


@dataclass(frozen=True, slots=True)
class BodySettings:
    """What a webhook sends. ``schema`` (1 or 2) is that of ``format`` json, ``template`` a text that takes the place
    of the format, sent as ``content_type`` ("" is JSON). ``negotiate`` is a ``NEGOTIATE_*`` word. ``node`` is what
    this server is called, "" for the name of the host."""

    schema: int = 1
    format: str = FORMAT_JSON
    template: str = field(default="", repr=False)
    content_type: str = ""
    negotiate: str = NEGOTIATE_OFF
    node: str = ""


@dataclass(frozen=True, slots=True)
class HookSettings:
    """One hook. ``type`` is ``script``, ``worker``, ``webhook``, ``plugin`` or ``stdio``; ``event_types`` the names it
    is bound to (globs; empty means every event); ``target`` a path, a URL, the name of a plugin, or ``json``/``env``.
    ``auth``, ``http`` and ``body`` are for webhooks, ``options`` and ``run_in_thread`` (a ``THREAD_*`` word) for
    plugins."""

    id: str
    type: str
    target: str
    event_types: tuple[str, ...] = ()
    timeout_s: float = 30.0
    concurrency: int = 10
    queue_events: int = 1000
    filter: FilterSettings = field(default_factory=FilterSettings)
    auth: tuple[AuthSettings, ...] = ()
    http: HttpSettings = field(default_factory=HttpSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    body: BodySettings = field(default_factory=BodySettings)
    options: tuple[tuple[str, str | tuple[str, ...]], ...] = field(default=(), repr=False)
    run_in_thread: str = THREAD_AUTO


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The audit trail: appended to ``file`` ("": no trail), signed with ``key``; ``scope`` is an ``AUDIT_*`` word."""

    file: str = ""
    key: str = field(default="", repr=False)
    scope: str = AUDIT_FAILURES


@dataclass(frozen=True, slots=True)
class HooksSettings:
    """Every hook, and how many executions each of them may have under way at once at most: a cap
    over its own ``concurrency``, not a pool that all share, so that a hanging one takes nothing from the others.
    ``drain_s`` is how long a stop waits for the hooks that are running or queued, ``attempt_log`` how many tries
    are remembered. ``node`` is what this server is called, "" for the name of the host."""

    hooks: tuple[HookSettings, ...] = ()
    concurrency: int = 10
    drain_s: float = 5.0
    attempt_log: int = 100_000
    audit: AuditSettings = field(default_factory=AuditSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    node: str = ""
