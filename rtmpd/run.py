"""The running daemon: starts, handles signals, reloads and stops; and shows its configuration to ``rtmpctl``.

One greenlet, the main one, does all of it in turn: it waits for the next word of ``daemon.signals``, so that two
reloads never overlap, and a stop waits for the reload before it. Requests of ``rtmpctl`` only add a word and wait for
the result.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import gevent
from gevent.event import AsyncResult
from gevent.util import format_run_info

from . import __version__, log
from .config import files, inspect, sample
from .config.loader import Loaded
from .daemon import signals
from .daemon.debug import Debug
from .daemon.filewatch import FileWatch
from .daemon.service import Service
from .daemon.signals import SignalWords, StopAsked
from .errors import ConfigError, Problem, StartError
from .http.api import Facts, Refused
from .reload import Outcome, check_store, placed, reload
from .settings import DaemonSettings, Settings

if TYPE_CHECKING:
    from .assembly import House

DUMP_LINES = 5000
STOP_NOW_S = 2.0
RELOAD_S = 60.0
#: New objects until the collector looks at them. A session of a few hundred objects that leaves a cycle behind is found
#: after some dozens of its kind.
_YOUNG_OBJECTS = 10_000
CANNOT_READ = (
    "every reload reads the configuration as that user: give the files to its group, chgrp GROUP FILE && chmod 640 FILE"
)

_log = log.logger("server")


def read_as_user(read: Callable[[], Loaded], settings: DaemonSettings) -> Loaded:
    """Read the configuration again after the change of user, because every reload will read it as that user, so a file
    that the user cannot read must show at the start. Raises StartError."""
    try:
        return read()
    except ConfigError as error:
        who = settings.user or settings.group
        problems = [f"{problem} (as {who})" for problem in error.problems]
        raise StartError("\n".join([*problems, CANNOT_READ]), os.EX_CONFIG) from None


def tried(loaded: Loaded) -> Loaded:
    """Return the configuration after building everything that a start builds, and discarding it. Raises ConfigError
    with the problems that only this finds, at their lines. Waits for the resolver and the disk."""
    from .assembly import trial

    problems: list[Problem] = []
    for check in (check_store, trial):
        try:
            check(loaded.settings)
        except ConfigError as error:
            problems += [placed(problem, loaded) for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return loaded


def complain(lines: Iterable[str]) -> None:
    """Print these on standard error, as lines of the program."""
    for line in lines:
        print(f"rtmpd: {line}", file=sys.stderr)


class Daemon:
    """The running daemon: starts, handles signals and stops."""

    def __init__(self, loaded: Loaded, read: Callable[[], Loaded], config: str | None = None) -> None:
        self._config = config
        self._settings: Settings = loaded.settings
        self._loaded = loaded
        self._warnings = loaded.warnings
        self._read = read
        self._control = Control(loaded, read)
        self._read_as = (os.geteuid(), os.getegid())
        self._words: SignalWords | None = None
        self._file_watch = self._watch()  # before the start, which may take a while: a change in between counts

    def run(self, service: Service) -> int:
        """Run until a signal ends it; return the exit status. ``service`` reports the state. Raises StartError for a
        log file that cannot be opened. May switch greenlets."""
        self._read_again()
        try:
            log.configure(self._settings.log)
        except OSError as error:
            raise StartError(f"log file {self._settings.log.file}: {error.strerror}", os.EX_CANTCREAT) from None
        for warning in self._warnings:
            _log.warning("configuration warning", problem=warning)
        from .assembly import House  # what only prints or tests does without the whole house

        words, house = SignalWords(), None
        self._words = words
        self._control.open(words)  # a reload that is asked for from now on happens as soon as the start is over
        try:
            with words.raising():
                house = House(self._settings)
                for place in house.serve_http(self._control, log):
                    _log.info("http listening", addr=place)
                for address in house.start():
                    _log.info("server listening", addr=address, tls=address.tls)
                debug = Debug(self._settings.debug, {"house": house})
                debug.start()
            _tune_collector()
            _log.info("server started", version=__version__, pid=os.getpid())
            service.ready(house.in_short)
            status = self._follow(words, house, service)
            debug.stop()
            return status
        except StopAsked:
            if house is not None:
                house.give_up()
            _log.info("server stopped while it started")
            return os.EX_OK
        except ConfigError as error:
            problems = [placed(problem, self._loaded) for problem in error.problems]
            for problem in problems:
                _log.error("configuration problem", problem=problem)
            if self._settings.log.file:
                complain(str(problem) for problem in problems)
            return os.EX_CONFIG
        except StartError as error:
            _log.error("server cannot start", error=error)
            if self._settings.log.file:
                complain([str(error)])
            return error.status
        except Exception:  # noqa: BLE001  the last place that can say why the daemon ended
            _log.exception("server ended by an error")
            return os.EX_SOFTWARE
        finally:
            service.close()

    def _follow(self, words: SignalWords, house: House, service: Service) -> int:
        if self._file_watch is not None:
            self._file_watch.start()
        while (word := words.wait()) != signals.STOP:
            if word in (signals.RELOAD, signals.CHANGED):
                self._reload(house, service, by_itself=word == signals.CHANGED)
            else:
                self._obey(word, house)
        if self._file_watch is not None:
            self._file_watch.stop()
        self._control.close()
        service.stopping()
        return self._stop(words, house)

    def _watch(self) -> FileWatch | None:
        def changed() -> None:
            assert self._words is not None
            self._words.put(signals.CHANGED)

        if self._config is None:
            return None
        main = self._config
        return FileWatch(lambda: files.names(main), lambda: self._settings.server.watch_config_s, changed)

    def _read_again(self) -> None:
        """Read the files as the current user. Raises StartError."""
        if self._read_as == (os.geteuid(), os.getegid()):
            return
        loaded = read_as_user(self._read, self._settings.daemon)
        self._loaded, self._settings, self._warnings = loaded, loaded.settings, loaded.warnings
        self._control = Control(loaded, self._read)

    def _reload(self, house: House, service: Service, by_itself: bool = False) -> None:
        service.reloading()
        if self._file_watch is not None:
            self._file_watch.seen()
        waiting = self._control.waiting()
        hooks = len(self._settings.hooks.hooks)
        read = (lambda: not_emptied(self._read(), hooks)) if by_itself and not waiting else self._read
        outcome = reload(house, self._settings, read)
        self._settings = outcome.settings
        self._control.tell(waiting, outcome)
        service.reloaded()

    def _obey(self, word: str, house: House) -> None:
        if word == signals.REOPEN_LOGS:
            log.reopen()
            house.reopen_logs()
        elif word == signals.DUMP_GREENLETS:
            _dump_greenlets()

    def _stop(self, words: SignalWords, house: House) -> int:
        """Drain and stop; a second signal to stop does not wait for the drain."""
        _log.info("server stopping", drain_s=self._settings.server.drain_s)
        stopper = gevent.spawn(house.stop)
        stopper.name = "stop"
        stopper.link(lambda _: words.put("stopped"))
        while (word := words.wait()) != "stopped":
            if word == signals.STOP:
                _log.info("server stopping now")
                stopper.kill()
                gevent.with_timeout(STOP_NOW_S, house.stop, 0.0, timeout_value=None)
                break
            if word != signals.RELOAD:
                self._obey(word, house)
        if stopper.exception is not None:
            _log.error("server did not stop cleanly", error=stopper.exception)
            return os.EX_SOFTWARE
        _log.info("server stopped")
        return os.EX_OK


def not_emptied(loaded: Loaded, hooks: int) -> Loaded:
    """Check a configuration that was read because a file changed. Raises ConfigError for a probable accident (an empty
    file, or one that removes all of the ``hooks``), which only an explicit reload applies."""
    origins = loaded.checked.tree.origins.values()
    reason = ""
    if not any(origin.directory for origin in origins):
        reason = "no section is left in the changed configuration"
    elif hooks and not loaded.settings.hooks.hooks:
        reason = "the changed configuration has no hook any more"
    if reason:
        raise ConfigError([Problem("", "", reason, hint="if that is meant, run rtmpctl reload or send SIGHUP")])
    return loaded


class Control:
    """The configuration for ``rtmpctl`` (``http.api.ConfigControl``). Its reload takes the same way as a SIGHUP,
    through the same worker, so that two never overlap."""

    def __init__(self, loaded: Loaded, read: Callable[[], Loaded]) -> None:
        self._loaded = loaded
        self._read = read
        self._words: SignalWords | None = None
        self._waiting: list[AsyncResult[Facts]] = []

    def show(self) -> Facts:
        """Return the configuration that is in effect, with what was read and waits for a restart."""
        return {"text": sample.effective(self._loaded.checked)}

    def diff(self) -> Facts:
        """Return what a reload would change. Waits for the files."""
        return inspect.diff(self._loaded, self._read)

    def test(self) -> Facts:
        """Whether the files can be used, by a reload and by the next start. Waits for the files."""
        return inspect.test(lambda: tried(self._read()))

    def reload(self) -> Facts:
        """Reload the configuration; return the result. Raises Refused. May switch greenlets."""
        if self._words is None:
            raise Refused("rtmpd is starting or stopping", 503)
        result: AsyncResult[Facts] = AsyncResult()
        self._waiting.append(result)
        self._words.put(signals.RELOAD)
        if not result.wait(RELOAD_S):
            raise Refused(f"no result within {RELOAD_S:g} s; see the log", 503)
        facts: Facts | None = result.get()
        assert facts is not None
        return facts

    def open(self, words: SignalWords) -> None:
        """Request reloads through ``words`` from now on."""
        self._words = words

    def close(self) -> None:
        """Refuse all waiting and later reloads."""
        self._words = None
        for result in self.waiting():
            result.set({"ok": False, "problems": ["rtmpd is stopping"], "warnings": [], "changed": [], "restart": []})

    def waiting(self) -> list[AsyncResult[Facts]]:
        """Return the requests that wait for the reload that begins now; later ones wait for the next."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def tell(self, waiting: Iterable[AsyncResult[Facts]], outcome: Outcome) -> None:
        """Report the result of a reload."""
        self._loaded = outcome.loaded or self._loaded
        facts: Facts = {
            "ok": not outcome.problems,
            "problems": list(outcome.problems),
            "warnings": [str(warning) for warning in outcome.loaded.warnings] if outcome.loaded else [],
            "changed": list(outcome.changed),
            "restart": list(outcome.restart),
        }
        for result in waiting:
            result.set(facts)


def _tune_collector() -> None:
    """Exclude the objects of the start, which live as long as the daemon, from garbage collection, and collect less
    often: each media message creates two objects that count, but are freed without the collector."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def _dump_greenlets() -> None:
    lines: list[str] = format_run_info()  # type: ignore[func-returns-value,assignment]  # the stub is wrong
    for line in lines[:DUMP_LINES]:
        _log.info(line)
    if len(lines) > DUMP_LINES:
        _log.info("greenlet dump cut", lines=len(lines))
