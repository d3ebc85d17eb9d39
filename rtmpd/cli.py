"""The front door: ``rtmpd [flags]`` runs the daemon, ``rtmpd publish`` and ``rtmpd play`` are tools.

===========  ====================================================================
exit status
===========  ====================================================================
0            a clean stop, or what was asked for was printed
2            a flag is wrong (what go-rtmp and argparse use)
69           a listener can not be had
70           an error of ours; the log has the traceback
73           the log file can not be created
78           a configuration file is wrong
===========  ====================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import gevent
from gevent.util import format_run_info

from . import __version__, accelerated, log
from .config import flags, sample
from .config.flags import CommandLine
from .config.loader import Loaded, load
from .daemon import signals
from .daemon.signals import SignalWords
from .errors import ConfigError, StartError
from .event.catalogue import EVENT_TYPES
from .hook import condition
from .reload import reload
from .settings import Settings

if TYPE_CHECKING:
    from .assembly import House

EXIT_USAGE = 2
DUMP_LINES = 5000
STOP_NOW_S = 2.0

_log = log.logger("server")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the result is its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in _TOOLS:
        return _TOOLS[words[0]](words[1:])
    command_line = flags.parse(words)
    for asked, text in _printed(command_line):
        if asked:
            sys.stdout.write(text())
            return os.EX_OK
    return _with_settings(_with_default_file(command_line))


def _publish(words: list[str]) -> int:
    from .tool import publish

    return publish.main(words)


def _play(words: list[str]) -> int:
    from .tool import play

    return play.main(words)


_TOOLS: dict[str, Callable[[list[str]], int]] = {"publish": _publish, "play": _play}


def _printed(command_line: CommandLine) -> list[tuple[bool, Callable[[], str]]]:
    return [
        (command_line.help, lambda: flags.parser().format_help()),
        (command_line.version, _version),
        (command_line.print_defaults, sample.sample),
    ]


def _version() -> str:
    return f"rtmpd {__version__}{' (accelerated)' if accelerated() else ''}\n"


def _with_default_file(command_line: CommandLine) -> CommandLine:
    if command_line.config is None and os.path.exists(flags.DEFAULT_CONFIG):
        return replace(command_line, config=flags.DEFAULT_CONFIG)
    return command_line


def _with_settings(command_line: CommandLine) -> int:
    from .hook.build import check_auth  # with requests and its kin, which help and version do without

    def read() -> Loaded:
        return load(command_line, EVENT_TYPES, check_condition=condition.check, check_auth=check_auth)

    tests_only = command_line.test or command_line.dump
    name = command_line.config or "built-in defaults"
    try:
        loaded = read()
    except ConfigError as error:
        _complain(str(problem) for problem in error.problems)
        if tests_only:
            _complain([f"configuration {name} is not usable"])
        return EXIT_USAGE if _is_usage(command_line, error) else os.EX_CONFIG
    if not tests_only:
        return Daemon(loaded, read).run()
    _complain(f"warning: {warning}" for warning in loaded.warnings)
    if command_line.dump:
        sys.stdout.write(sample.effective(loaded.checked))
    _complain([f"configuration {name} is ok"])
    return os.EX_OK


def _complain(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"rtmpd: {line}", file=sys.stderr)


def _is_usage(command_line: CommandLine, error: ConfigError) -> bool:
    return bool(command_line.problems) or any(problem.where.startswith("-") for problem in error.problems)


class Daemon:
    """The running daemon as the operator sees it: it starts, follows signals and stops."""

    def __init__(self, loaded: Loaded, read: Callable[[], Loaded]) -> None:
        self._settings: Settings = loaded.settings
        self._warnings = loaded.warnings
        self._read = read

    def run(self) -> int:
        """Until a signal ends it; the result is the exit status. May switch greenlets."""
        try:
            log.configure(self._settings.log)
        except OSError as error:
            _complain([f"log file {self._settings.log.file}: {error.strerror}"])
            return os.EX_CANTCREAT
        for warning in self._warnings:
            _log.warning("configuration warning", problem=warning)
        from .assembly import House  # what only prints or tests does without the whole house

        words = SignalWords()
        try:
            house = House(self._settings)
            addresses = house.start()
            for address in addresses:
                _log.info("server listening", addr=address, tls=address.tls)
            _log.info("server started", version=__version__, pid=os.getpid())
            return self._follow(words, house)
        except StartError as error:
            _log.error("server can not start", error=error)
            return os.EX_UNAVAILABLE
        except Exception:  # noqa: BLE001  the last place that can say why the daemon ended
            _log.exception("server ended by an error")
            return os.EX_SOFTWARE
        finally:
            words.close()

    def _follow(self, words: SignalWords, house: House) -> int:
        while (word := words.wait()) != signals.STOP:
            self._obey(word, house)
        return self._stop(words, house)

    def _obey(self, word: str, house: House) -> None:
        if word == signals.RELOAD:
            self._settings = reload(house, self._settings, self._read)
        elif word == signals.REOPEN_LOGS:
            log.reopen()
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


def _dump_greenlets() -> None:
    lines: list[str] = format_run_info()  # type: ignore[func-returns-value,assignment]  # the stub is wrong
    for line in lines[:DUMP_LINES]:
        _log.info(line)
    if len(lines) > DUMP_LINES:
        _log.info("greenlet dump cut", lines=len(lines))
