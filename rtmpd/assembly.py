"""The only code that knows all rooms: settings in, a running house out."""

from __future__ import annotations

from .clock import Clock
from .hook.manager import HookManager
from .server.context import Context
from .server.server import Server
from .settings import Address, HooksSettings, Settings
from .stream.registry import Registry


class House:
    """The daemon's parts, wired. ``start`` and ``stop`` once each.

    Start order: hooks, streams, server; stop order is the reverse, so that the last events of the
    server still find their hooks.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        self._settings = settings
        self.hooks = HookManager(settings.hooks, clock)
        self.registry = Registry(settings.apps, self.hooks.emit, clock)
        self.context = Context(
            settings.server, settings.limits, settings.apps, self.registry, self.hooks.emit, clock
        )
        self._server = Server(self.context)

    def start(self) -> list[Address]:
        """Take the ports and begin; the addresses with their real ports are returned.

        Raises StartError. May switch greenlets.
        """
        return self._server.start()

    def stop(self, drain_s: float | None = None) -> None:
        """No new clients, ``drain_s`` for those that are here, then the events' deliveries.

        May switch greenlets.
        """
        self._server.stop(self._settings.server.drain_s if drain_s is None else drain_s)
        self.registry.close()
        self.hooks.close(self._settings.hooks.drain_s if drain_s is None else drain_s)

    def replace_hooks(self, hooks: HooksSettings) -> None:
        """Use these hooks from now on. Raises ConfigError, and then nothing has changed."""
        self.hooks.replace(hooks)
