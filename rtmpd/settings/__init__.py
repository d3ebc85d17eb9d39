"""Frozen slices of the settings, one for each part.

A part receives its own slice at construction and reads no global. Reload compares slices with
``==``. The defaults here are the defaults of ``config/rtmpd.spec``; a test holds the two together.
Units are in the names: ``_s`` seconds, ``_ms`` milliseconds, ``_bytes`` bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .hooks import (
    GUARANTEE_NONE,
    MISSING_DROP,
    MISSING_PASS,
    ORDER_KEY,
    ORDER_NONE,
    ORDER_STRICT,
    AuthSettings,
    DeliverySettings,
    FilterSettings,
    HookSettings,
    HooksSettings,
    HttpSettings,
    RateLimit,
    RetrySettings,
    SigningSecret,
)
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

__all__ = [
    "CONFLICT_REJECT",
    "CONFLICT_REPLACE",
    "FLUSH_ADAPTIVE",
    "FLUSH_AUDIO_WAITS",
    "FLUSH_IMMEDIATE",
    "FLUSH_WINDOW",
    "GUARANTEE_NONE",
    "MISSING_DROP",
    "MISSING_PASS",
    "ORDER_KEY",
    "ORDER_NONE",
    "ORDER_STRICT",
    "Address",
    "AppSettings",
    "AppsSettings",
    "AuthSettings",
    "DeliverySettings",
    "FilterSettings",
    "HookSettings",
    "HooksSettings",
    "HttpSettings",
    "LimitSettings",
    "LogSettings",
    "RateLimit",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "SigningSecret",
    "TlsSettings",
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
    hooks: HooksSettings = field(default_factory=HooksSettings)
    log: LogSettings = field(default_factory=LogSettings)
