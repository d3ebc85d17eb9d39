"""Connects all rooms: makes a running daemon from settings. The only module that knows all rooms."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from . import __version__, log
from .change import Change
from .clock import Clock
from .errors import ConfigError, CredentialError, OperatorRefused, Problem, StartError
from .hook.control import HookControl
from .hook.manager import HookManager
from .hook.question import Questioner
from .hook.record.metrics import HookMetrics
from .http.api import Api, ConfigControl, LogControl, Page, Refused, health, unready
from .http.front import Front
from .http.guard import is_loopback
from .http.response import Takeover, Upgrade
from .http.server import HttpServer
from .http.tail import Offer, Tail, TailHook
from .identity import joined
from .metrics.fault import RELOAD_REJECTED, Fault
from .monitor.disks import nearest
from .monitor.instruments import Instruments
from .monitor.monitor import Sources
from .net.tls import server_context
from .output.outputs import Outputs
from .playback.playback import Playback
from .server import facts
from .server.access.access import Access
from .server.context import Context
from .server.measure import ServerMetrics
from .server.pull import Pulls
from .server.server import Server
from .server.tokens import Tokens
from .server.traffic import Traffic, known_apps
from .server.viewing import Door
from .settings import (
    GUARANTEE_NONE,
    AccessSettings,
    Address,
    ApiSettings,
    AppsSettings,
    AuditSettings,
    PlaybackSettings,
    Settings,
)
from .settings.access import MODE_OPEN
from .settings.output import RECORD_OFF
from .stream.registry import Registry


class House:
    """The daemon's parts, wired. ``start`` and ``stop`` once each.

    Start order: hooks, streams, server; stop order is the reverse, so that the last events of the
    server still find their hooks.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        self._settings = settings
        self._clock = clock
        self.access = settings.access
        self.last_reload = ""
        self._reload_problem = ""
        self._started_at = clock.monotonic()
        self.instruments = Instruments(
            settings.metrics, settings.alerts, clock, self._data_dirs, lambda: _record_dirs(self._settings.apps)
        )
        self._reloads = self.instruments.registry.counter("rtmp_config_reloads_total")
        self.hook_metrics = HookMetrics(self.instruments.registry, clock)
        counts = self.hook_metrics
        self.hooks = HookManager(settings.hooks, clock, observer=counts)
        self.hook_metrics.read_from(self.hooks, lambda: self.hooks.filters.refused_in_all)
        self.registry = Registry(settings.apps, self.hooks.emit, clock)
        self._questioner = Questioner(settings.access, clock)
        self.context = Context(
            settings.server, settings.limits, settings.apps, self.registry, self.hooks.emit, clock, settings.quality,
            access=Access(settings.access, settings.apps, self._questioner.ask_for, clock),
        )
        self.outputs = Outputs(settings.apps, self.registry, self.hooks.emit, clock, self.context.next_session_id)
        self._measure()
        self._server = Server(self.context)
        self._pulls = Pulls(self.context, lambda: {address.port for address in self._server.addresses})
        self._playback = Playback(
            settings.playback, settings.apps, self.registry, self.hooks.emit, Door(self.context), clock, Takeover,
            Upgrade,
        )
        self._viewers = HttpServer(_api_of(settings.playback), "", self._playback.handle, "playback")
        for source in (self.hooks.faults, self.outputs.faults, self._server.faults, self._faults):
            self.instruments.faults_from(source)
        self._http: Front | None = None
        self._api: Api | None = None
        self._is_running = False

    def start(self) -> list[Address]:
        """Take the ports and begin; the addresses with their real ports are returned. What can fail comes first, so
        that no client is accepted and no ``server_start`` emitted by a daemon that does not start.

        Raises StartError. May switch greenlets.
        """
        try:
            self.hooks.recover()
            self._server.start()
            self._start_playback()
        except BaseException:
            self.give_up()
            raise
        self._pulls.start()
        self.outputs.start()
        self.instruments.start()
        self._started_at = self._clock.monotonic()
        self.hooks.emit("server_start", **self._identity())
        self._is_running = True
        return self.addresses

    def _start_playback(self) -> None:
        try:
            self.playback_addresses = self._viewers.start()
        except OSError as error:
            self._server.stop(0.0)
            raise StartError(error.strerror or str(error), key="playback.listen") from None
        self._playback.start()

    @property
    def addresses(self) -> list[Address]:
        """The RTMP addresses, with the real ports."""
        return self._server.addresses

    def _identity(self) -> dict[str, Any]:
        node = self._settings.hooks.node or socket.gethostname()
        return {"version": __version__, "node": node, "pid": os.getpid(), "listen": [str(a) for a in self.addresses]}

    def in_short(self) -> str:
        """Return one line with the numbers of connections and streams."""
        return f"{len(self.context.connections)} connections, {len(self.registry)} streams"

    def stop(self, drain_s: float | None = None) -> None:
        """No new clients, ``drain_s`` for those that are here, then the events' deliveries.

        May switch greenlets.
        """
        self.instruments.stop_watching()
        self._tell_stop()
        self.outputs.announce_stop()
        self._playback.announce_stop()
        self._server.stop(self._settings.server.drain_s if drain_s is None else drain_s)
        self._questioner.close()
        self._pulls.stop()
        self._playback.stop()
        self._viewers.stop()
        self.outputs.stop(self._settings.server.drain_s if drain_s is None else drain_s)
        self.registry.close()
        self.hooks.close(self._settings.hooks.drain_s if drain_s is None else drain_s)
        if self._http is not None:
            self._http.stop()
        self.instruments.stop()

    def _tell_stop(self) -> None:
        """Emit the end once; a second ``stop`` only skips the drain."""
        if self._is_running:
            self._is_running = False
            uptime_s = round(self._clock.monotonic() - self._started_at, 3)
            self.hooks.emit("server_stop", **self._identity(), reason="stop", uptime_sec=uptime_s)

    def serve_http(self, config: ConfigControl, log: LogControl) -> list[str]:
        """Open the control socket and the HTTP listeners; the addresses and the path are returned. It comes before
        ``start``: until then ``/readyz`` says no.

        Raises StartError. May switch greenlets.
        """
        self._api = _api(self, config, log)
        self._http = Front(self._settings.http, self._api)
        try:
            return self._http.start()
        except OSError as error:
            self.give_up()
            raise StartError(error.strerror or str(error)) from None

    def give_up(self) -> None:
        """Release everything that an incomplete start has taken. May switch."""
        if self._is_running:
            self.stop(0.0)
            return
        if self._http is not None:
            self._http.stop()
        self.hooks.close(0.0)

    def _measure(self) -> None:
        """Set up the reading of the server's metrics and the watch on its limits."""
        context, settings, metrics = self.context, self._settings, self.instruments.registry
        self.registry.load.peak = self.instruments.peak()
        handshakes = metrics.histogram("rtmp_handshake_duration_seconds")
        context.traffic = Traffic(known_apps(settings.apps), settings.metrics.max_apps, handshakes)
        self._server_metrics = ServerMetrics(context, settings.metrics)
        metrics.collect_from(self._server_metrics.read)
        metrics.collect_from(self.outputs.read)
        metrics.collect_from(self.hooks.read)
        sources = Sources(
            connections=lambda: len(context.connections),
            streams=lambda: len(self.registry),
            queue_depth=lambda: context.traffic.queue_depth,
            handshake_ms=lambda: context.traffic.recent_handshakes.take() * 1000,
            message_ms=lambda: self.registry.load.peak.value() * 1000,
            hub_lag_ms=lambda: self.instruments.lag.peak.value() * 1000,
            hooks_ms=self.hook_metrics.take_durations_ms,
            hook_backlogs=self.hook_metrics.backlogs,
            dead_letters=self.hook_metrics.dead_letters,
            store_is_up=lambda: self.hooks.events is None or self.hooks.events.is_up,
        )
        self.instruments.watch(sources, self.hooks.emit, settings.limits.connections)

    def _data_dirs(self) -> Iterator[str]:
        """The directories whose file systems must not get full, as far as they exist."""
        if self.hooks.events is not None:
            yield os.path.dirname(os.path.abspath(self._settings.hooks.store.path))
        for path in _record_dirs(self._settings.apps):
            yield nearest(path)

    def _faults(self) -> Iterator[Fault]:
        if self._reload_problem:
            yield Fault(RELOAD_REJECTED, "configuration", self._reload_problem)

    def status(self) -> dict[str, Any]:
        """Return the server as a whole, for status pages."""
        settings = self._settings
        apps = {"*": settings.apps.default, **dict(settings.apps.named)}
        return {
            **facts.server(self.context, self.addresses),
            **self.outputs.summary(),
            "uid": os.geteuid(),
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "connections_limit": settings.limits.connections,
            "open_to_publish": [
                name for name, app in apps.items() if MODE_OPEN in app.publish_access and not app.publish_allow
            ],
            "public": [str(address) for address in self.addresses if not is_loopback(address.host)],
        }

    def reopen_logs(self) -> None:
        """Reopen append-only files (the audit trail) that were renamed. Never waits."""
        self.hooks.records.reopen()

    # --- reload -------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings in effect."""
        return self._settings

    def prepare(self, settings: Settings) -> Change:
        """Return the change to these settings (``rtmpd.change``): each part whose settings differ is made anew, beside
        the old one. Raises ConfigError, and then nothing was made."""
        changes = [Change(lambda: setattr(self, "_settings", settings))]
        try:
            for slices, prepare in self._parts(settings):
                differ = any(getattr(settings, slice) != getattr(self._settings, slice) for slice in slices)
                if differ or self._has_certificate(slices, settings):  # its path can be the same
                    changes.append(_blamed(slices[0], prepare))
        except BaseException:
            Change.join(*changes).abort()
            raise
        return Change.join(*changes)

    def _parts(self, new: Settings) -> list[tuple[tuple[str, ...], Callable[[], Change]]]:
        """Return the slices that each part depends on, and how it is prepared. The hooks come last: an event log that
        they have opened stays open."""
        return [
            (("log",), lambda: log.prepare(new.log)),
            (("limits",), lambda: Change(lambda: self.context.limit(new.limits))),
            (("apps",), lambda: self._prepare_apps(new.apps)),
            (("access", "apps"), lambda: self._prepare_access(new.access, new.apps)),
            (("quality",), lambda: Change(lambda: setattr(self.context, "quality", new.quality))),
            (("metrics", "alerts", "limits"), lambda: self._prepare_instruments(new)),
            (("server",), lambda: self._server.prepare(new.server)),
            (("http",), lambda: self._prepare_http(new.http)),
            (("playback",), lambda: self._prepare_playback(new.playback)),
            (("hooks",), lambda: self.hooks.prepare(new.hooks)),
        ]

    def _prepare_apps(self, apps: AppsSettings) -> Change:
        def commit() -> None:
            self.context.configure(apps)
            self._playback.apps = apps

        return Change.join(Change(commit), self.outputs.prepare(apps))

    def _prepare_access(self, access: AccessSettings, apps: AppsSettings) -> Change:
        """Replace the access rules. Pending checks finish with the old rules; sessions go on."""
        old, questioner = self._questioner, Questioner(access, self._clock)
        rules = Access(access, apps, questioner.ask_for, self._clock)

        def commit() -> None:
            self.context.access = rules
            self._questioner = questioner
            self.access = access

        return Change(commit, retire=old.close, abort=questioner.close)

    def _prepare_instruments(self, new: Settings) -> Change:
        def commit() -> None:
            self._server_metrics.settings = new.metrics
            self.context.traffic.max_apps = new.metrics.max_apps

        return Change.join(self.instruments.prepare(new.metrics, new.alerts, new.limits.connections), Change(commit))

    def _has_certificate(self, slices: tuple[str, ...], settings: Settings) -> bool:
        has_tls = {"server": settings.server.has_tls, "playback": settings.playback.has_tls}
        return any(has_tls.get(slice, False) for slice in slices)

    def _prepare_playback(self, new: PlaybackSettings) -> Change:
        change = self._viewers.prepare(_api_of(new), "", self._playback.handle)
        return Change.join(Change(lambda: self._playback.configure(new)), change)

    def _prepare_http(self, new: ApiSettings) -> Change:
        if self._http is None or self._api is None:
            return Change()
        tail = self._api.tail
        change = self._http.prepare(new, self._api)
        return Change.join(change, Change(lambda: tail.limit(new.event_listeners, new.event_queue)))

    @property
    def store_is_open(self) -> bool:
        """Whether the event log has been opened."""
        return self.hooks.events is not None

    def tell_reload(self, **facts: Any) -> None:
        """Emit the result of a reload, count it and show it with the health."""
        self.last_reload = str(facts["result"])
        problems = facts["errors"]
        self._reload_problem = "; ".join([*problems[:3], *(["..."] if problems[3:] else [])])
        self._reloads.add(self.last_reload)
        self.hooks.emit("config_reload", **facts)


def _api_of(playback: PlaybackSettings) -> ApiSettings:
    """The settings of the HTTP server for viewers."""
    return ApiSettings(
        listen=playback.listen,
        socket="",
        connections=playback.connections,
        body_bytes=0,
        request_timeout_s=playback.request_timeout_s,
        send_timeout_s=playback.send_timeout_s,
        tls=playback.tls,
    )


def _record_dirs(apps: AppsSettings) -> list[str]:
    """The directories of recordings, each once."""
    recorded = [app for app in (apps.default, *(app for _, app in apps.named)) if app.record != RECORD_OFF]
    return list(dict.fromkeys(app.record_dir for app in recorded))


def _blamed(section: str, prepare: Callable[[], Change]) -> Change:
    """Return what ``prepare`` does. What it raises of the operator's making becomes a ConfigError with the section."""
    try:
        return prepare()
    except (StartError, CredentialError, ValueError, OSError) as error:
        key = getattr(error, "key", "") or _KEYS.get(section, section)
        raise ConfigError([Problem("", key, getattr(error, "strerror", None) or str(error))]) from error


def trial(settings: Settings) -> None:
    """Make what a start makes of these settings, and throw it away: hooks with their signers and filters, access rules
    and their keys, outputs, TLS contexts, the addresses of listeners. Nothing is bound, written or connected to.

    Raises ConfigError with all that a start would fail at. Waits for the resolver.
    """
    unused = Settings()
    hooks = tuple(
        replace(hook, delivery=replace(hook.delivery, guarantee_level=GUARANTEE_NONE)) for hook in settings.hooks.hooks
    )
    parts = [
        replace(unused, apps=settings.apps, access=settings.access),
        replace(unused, metrics=settings.metrics, alerts=settings.alerts, limits=settings.limits),
        *(replace(unused, hooks=replace(settings.hooks, hooks=(hook,), audit=AuditSettings())) for hook in hooks),
    ]
    problems: list[Problem] = []
    for part in parts:
        house = House(unused)
        try:
            house.prepare(part).abort()
        except ConfigError as error:
            problems += error.problems
    sections = (("server", settings.server), ("http", settings.http), ("playback", settings.playback))
    for section, listeners in sections:
        try:
            if listeners.has_tls:
                server_context(listeners.tls.cert, listeners.tls.key, section)
        except StartError as error:
            problems.append(Problem("", error.key, str(error)))
        problems += [
            Problem("", f"{section}.listen", why) for address in listeners.listen if (why := _unresolvable(address))
        ]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _unresolvable(address: Address) -> str:
    """Return why we cannot listen on an address, as far as the resolver knows, or ""."""
    try:
        socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"{address} cannot be resolved: {error.strerror or error}"
    return ""


#: What to look at when a part cannot be prepared and does not say why.
_KEYS = {"log": "log.file", "http": "http.listen", "playback": "playback.listen"}


def _api(house: House, config: ConfigControl, log: LogControl) -> Api:
    """The functions of the daemon for the HTTP API."""
    context, hooks, settings = house.context, house.hooks, house._settings.http

    def subscribe(offer: Offer) -> Callable[[], None]:
        hook = TailHook(offer)
        hooks.register(hook, concurrency=1)

        def unsubscribe() -> None:
            hooks.unregister(hook.id)

        return unsubscribe

    def not_ready() -> list[str]:
        reasons = {"no RTMP listener is open": not house.addresses, "rtmpd is stopping": context.draining}
        return [reason for reason, holds in reasons.items() if holds] + unready(house.instruments.faults())

    return Api(
        server=house.status,
        streams=lambda after, limit: Page(*facts.streams(context, after, limit)),
        stream=lambda key: facts.stream_whole(context, key) | house.outputs.facts(joined(key)),
        connections=lambda after, limit: Page(*facts.connections(context, after, limit)),
        connection=lambda conn_id: facts.connection(context.connections[conn_id], context.clock.monotonic()),
        kick=lambda conn_id: facts.kick(context, conn_id),
        kick_stream=lambda key, role: facts.kick_stream(context, key, role),
        ready=not_ready,
        hub_lag_ms=lambda: round(house.instruments.lag.peak.value() * 1000, 3),
        health=lambda: health(
            hooks.stats(), hooks.last_event_at, house.instruments.faults(), house.last_reload
        ),
        metrics=house.instruments.render,
        hooks=HookControl(hooks, context.clock),
        tokens=Tokens(lambda: house.access.signing_keys, lambda: context.applications, context.clock),
        refusals=(KeyError, OperatorRefused, Refused),
        tail=Tail(subscribe, settings.event_listeners, settings.event_queue),
        config=config,
        log=log,
    )
