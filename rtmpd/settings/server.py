"""The listeners, the limits and the applications."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field

from .access import ANSWER_STATUS, MODE_OPEN, TokenSettings
from .output import OutputSettings

FLUSH_IMMEDIATE = "immediate"
FLUSH_AUDIO_WAITS = "audio-waits"
FLUSH_WINDOW = "window"
FLUSH_ADAPTIVE = "adaptive"

CONFLICT_REJECT = "reject"
CONFLICT_REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``host`` "" means every address, IPv6 and IPv4; port 0 picks a free one."""

    host: str = ""
    port: int = 1935
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificate chain and key (PEM files) of the listeners that speak TLS; "" without such listeners."""

    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What one peer may ask of us. 0 switches a limit on a number of connections off."""

    connections: int = 20000
    connections_per_address: int = 0
    connections_per_app: int = 0
    message_bytes: int = 8 * 1024 * 1024
    reassembly_bytes: int = 16 * 1024 * 1024
    chunk_streams: int = 64
    message_streams: int = 32
    small_chunks_per_message: int = 65536
    amf_depth: int = 32
    amf_items: int = 4096
    amf_bytes: int = 1024 * 1024
    tls_handshake_timeout_s: float = 10.0
    handshake_timeout_s: float = 10.0
    connect_timeout_s: float = 15.0
    first_media_timeout_s: float = 20.0
    publisher_timeout_s: float = 60.0
    ping_interval_s: float = 30.0
    ping_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class AppSettings(OutputSettings):
    """One application (the ``app`` of connect), or the defaults of all.

    ``flush`` is a ``FLUSH_*`` word, ``flush_window_ms`` the window of ``window`` and the cap of
    ``adaptive``, ``audio_wait_ms`` the longest that audio waits for the next video message.
    ``backlog_bytes`` and ``backlog_ms`` bound what is queued for one slow player before whole GOP
    tails are dropped; a player that takes nothing for ``send_timeout_s`` is disconnected.
    ``idle_after_s`` is how long a publisher may be without a player before that is reported, ``update_interval_s``
    the seconds between two reports of a session; 0 for either: never.

    ``publish_access`` and ``play_access`` are ``MODE_*`` words, of which one has to admit; before them
    the networks of ``*_allow`` and ``*_deny`` count. A limit of 0: no limit.
    """

    publish_conflict: str = CONFLICT_REJECT
    stalled_after_s: float = 5.0
    publisher_grace_s: float = 5.0
    play_waits: bool = True
    flush: str = FLUSH_AUDIO_WAITS
    flush_window_ms: int = 50
    audio_wait_ms: int = 40
    gop_cache: bool = True
    gop_cache_bytes: int = 16 * 1024 * 1024
    gop_cache_frames: int = 3000
    backlog_bytes: int = 4 * 1024 * 1024
    backlog_ms: int = 10_000
    send_timeout_s: float = 15.0
    max_players: int = 0
    max_publishers: int = 0
    max_players_per_address: int = 0
    max_publishers_per_address: int = 0
    publish_access: tuple[str, ...] = (MODE_OPEN,)
    play_access: tuple[str, ...] = (MODE_OPEN,)
    publish_allow: tuple[str, ...] = ()
    publish_deny: tuple[str, ...] = ()
    play_allow: tuple[str, ...] = ()
    play_deny: tuple[str, ...] = ()
    publish_tokens: tuple[TokenSettings, ...] = ()
    play_tokens: tuple[TokenSettings, ...] = ()
    callback_url: str = field(default="", repr=False)
    play_callback_url: str = field(default="", repr=False)
    callback_answer: str = ANSWER_STATUS
    idle_after_s: float = 60.0
    update_interval_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AppsSettings:
    """Which applications are served (globs) and how. ``named`` overrides ``default`` by exact name."""

    served: tuple[str, ...] = ("*",)
    default: AppSettings = field(default_factory=AppSettings)
    named: tuple[tuple[str, AppSettings], ...] = ()

    def serves(self, app: str) -> bool:
        """Whether there is such an application: ``served`` are globs."""
        return "*" in self.served or any(fnmatch.fnmatchcase(app, served) for served in self.served)

    def of(self, app: str) -> AppSettings:
        """The settings of one application."""
        for name, settings in self.named:
            if name == app:
                return settings
        return self.default


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Listeners and the values sent to every connection. ``chunk_size_bytes`` is the one we send with.
    ``park_idle_players`` ends the greenlet of a player that only listens (less memory, same
    behaviour). The configuration files are looked at every ``watch_config_s``. ``drain_s`` is how long a stop waits for
    connections to end by themselves; with ``ask_to_reconnect`` clients that can are asked to reconnect then, to
    ``reconnect_url`` ("": to where they are)."""

    listen: tuple[Address, ...] = (Address(),)
    tls: TlsSettings = field(default_factory=TlsSettings)
    chunk_size_bytes: int = 4096
    window_ack_bytes: int = 2_500_000
    backlog: int = 1024
    park_idle_players: bool = True
    watch_config_s: float = 5.0
    drain_s: float = 5.0
    ask_to_reconnect: bool = True
    reconnect_url: str = ""

    @property
    def has_tls(self) -> bool:
        """Whether there is an address for RTMPS."""
        return any(address.tls for address in self.listen)
