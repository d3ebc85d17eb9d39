"""The access modes for publish and play, and what they check with.

Which modes hold for an application stands in ``AppSettings`` (``publish_access``, ``play_access``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

PUBLISH = "publish"
PLAY = "play"
ACTIONS = (PUBLISH, PLAY)

MODE_OPEN = "open"
MODE_TOKEN = "token"
MODE_FILE = "file"
MODE_SIGNED = "signed"
MODE_JWT = "jwt"
MODE_CALLBACK = "callback"
MODES = (MODE_OPEN, MODE_TOKEN, MODE_FILE, MODE_SIGNED, MODE_JWT, MODE_CALLBACK)

ANSWER_STATUS = "status"
ANSWER_CODE = "code"

FAILURE_DENY = "deny"
FAILURE_ALLOW = "allow"
FAILURE_LAST_KNOWN_GOOD = "last-known-good"


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """One fixed token: whose it is, and what it is good for. ``token`` is the text itself or
    ``sha256:`` and the hex of its digest; ``streams`` a glob of the stream key, ``app/name``."""

    identity: str
    token: str = field(repr=False)
    streams: str = "*"
    actions: tuple[str, ...] = ACTIONS


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What the modes check with, for all applications.

    ``file_tokens`` is the content of ``token_file``, so that a changed file is a changed setting. Of
    ``signing_keys`` the first one signs and all verify. ``callback_failure`` is a ``FAILURE_*`` word;
    verdicts of the callback are good for ``callback_cache_s`` (0: each one is asked for). A refusal is
    sent after ``failure_delay_s``, doubled with each further one of the same address, up to
    ``failure_delay_max_s``.
    """

    token_file: str = ""
    file_tokens: tuple[TokenSettings, ...] = ()
    signing_keys: tuple[str, ...] = field(default=(), repr=False)
    jwt_algorithm: str = "HS256"
    jwt_keys: tuple[str, ...] = field(default=(), repr=False)
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_leeway_s: float = 0.0
    callback_timeout_s: float = 5.0
    callback_cache_s: float = 0.0
    callback_failure: str = FAILURE_DENY
    callback_secret: str = field(default="", repr=False)
    callback_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    callback_ca_file: str = ""
    callback_allow_networks: tuple[str, ...] = ()
    callback_deny_networks: tuple[str, ...] = ()
    failure_delay_s: float = 1.0
    failure_delay_max_s: float = 10.0
