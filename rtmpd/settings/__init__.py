"""Frozen slices of the settings, one for each part of the daemon.

A part receives its own slice at construction and reads no global. A reload compares slices with ``==``. The defaults
here repeat those of ``config/rtmpd.spec``, and a test compares the two. Units are in the names: ``_s`` seconds, ``_ms``
milliseconds, ``_bytes`` bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .access import (
    ACTIONS,
    ANSWER_CODE,
    ANSWER_STATUS,
    FAILURE_ALLOW,
    FAILURE_DENY,
    FAILURE_LAST_KNOWN_GOOD,
    MODE_CALLBACK,
    MODE_FILE,
    MODE_JWT,
    MODE_OPEN,
    MODE_SIGNED,
    MODE_TOKEN,
    MODES,
    PLAY,
    PUBLISH,
    AccessSettings,
    TokenSettings,
)
from .alerts import AlertSettings, Levels
from .daemon import CORE_AS_IS, CORE_NO, CORE_YES, DaemonSettings
from .debug import DebugSettings
from .hooks import (
    AUDIT_ALL,
    AUDIT_FAILURES,
    FORMAT_BINARY,
    FORMAT_JSON,
    FORMAT_STRUCTURED,
    GUARANTEE_AT_LEAST_ONCE,
    GUARANTEE_NONE,
    MISSING_DROP,
    MISSING_PASS,
    NEGOTIATE_LAZY,
    NEGOTIATE_OFF,
    NEGOTIATE_REQUIRED,
    ORDER_KEY,
    ORDER_NONE,
    ORDER_STRICT,
    THREAD_AUTO,
    THREAD_NO,
    THREAD_YES,
    AuditSettings,
    AuthSettings,
    BodySettings,
    DeliverySettings,
    FilterSettings,
    HookSettings,
    HooksSettings,
    HttpSettings,
    RateLimit,
    RetrySettings,
    SigningSecret,
)
from .http import ApiSettings
from .metrics import MetricsSettings
from .playback import PlaybackSettings
from .quality import QualitySettings
from .server import (
    CONFLICT_REJECT,
    CONFLICT_REPLACE,
    FLUSH_ADAPTIVE,
    FLUSH_AUDIO_WAITS,
    FLUSH_IMMEDIATE,
    FLUSH_WINDOW,
    Address,
    AppSettings,
    AppsSettings,
    LimitSettings,
    ServerSettings,
    TlsSettings,
)
from .store import (
    DURABILITY_FULL,
    DURABILITY_NORMAL,
    DURABILITY_OFF,
    STORE_DROP_NEWEST,
    STORE_DROP_OLDEST,
    StoreSettings,
)

__all__ = [
    "ACTIONS",
    "ANSWER_CODE",
    "ANSWER_STATUS",
    "AUDIT_ALL",
    "AUDIT_FAILURES",
    "CONFLICT_REJECT",
    "CONFLICT_REPLACE",
    "CORE_AS_IS",
    "CORE_NO",
    "CORE_YES",
    "DURABILITY_FULL",
    "DURABILITY_NORMAL",
    "DURABILITY_OFF",
    "FAILURE_ALLOW",
    "FAILURE_DENY",
    "FAILURE_LAST_KNOWN_GOOD",
    "FLUSH_ADAPTIVE",
    "FLUSH_AUDIO_WAITS",
    "FLUSH_IMMEDIATE",
    "FLUSH_WINDOW",
    "FORMAT_BINARY",
    "FORMAT_JSON",
    "FORMAT_STRUCTURED",
    "GUARANTEE_AT_LEAST_ONCE",
    "GUARANTEE_NONE",
    "MISSING_DROP",
    "MISSING_PASS",
    "MODES",
    "MODE_CALLBACK",
    "MODE_FILE",
    "MODE_JWT",
    "MODE_OPEN",
    "MODE_SIGNED",
    "MODE_TOKEN",
    "NEGOTIATE_LAZY",
    "NEGOTIATE_OFF",
    "NEGOTIATE_REQUIRED",
    "ORDER_KEY",
    "ORDER_NONE",
    "ORDER_STRICT",
    "PLAY",
    "PUBLISH",
    "STORE_DROP_NEWEST",
    "STORE_DROP_OLDEST",
    "THREAD_AUTO",
    "THREAD_NO",
    "THREAD_YES",
    "AccessSettings",
    "Address",
    "AlertSettings",
    "ApiSettings",
    "AppSettings",
    "AppsSettings",
    "AuditSettings",
    "AuthSettings",
    "BodySettings",
    "DaemonSettings",
    "DebugSettings",
    "DeliverySettings",
    "FilterSettings",
    "HookSettings",
    "HooksSettings",
    "HttpSettings",
    "Levels",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "PlaybackSettings",
    "QualitySettings",
    "RateLimit",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "SigningSecret",
    "StoreSettings",
    "TlsSettings",
    "TokenSettings",
]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """``level`` debug, info, warning or error; ``format`` text (key=value) or json; ``file`` "" is
    stderr."""

    level: str = "info"
    format: str = "text"
    file: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, as read from files and flags."""

    server: ServerSettings = field(default_factory=ServerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    apps: AppsSettings = field(default_factory=AppsSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    hooks: HooksSettings = field(default_factory=HooksSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    http: ApiSettings = field(default_factory=ApiSettings)
    playback: PlaybackSettings = field(default_factory=PlaybackSettings)
    debug: DebugSettings = field(default_factory=DebugSettings)
    daemon: DaemonSettings = field(default_factory=DaemonSettings)
