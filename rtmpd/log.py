"""Logs: one line per record, ``key=value`` or JSON, on stderr or in a file.

    2026-11-22T10:00:00.123Z INFO server: connection registered conn_id=c000001 peer_addr=192.0.2.7:50123

A module creates its logger once, ``_log = logger("server")``, and passes data as fields, never inside the message, so
that equal cases have equal messages. It is built on the standard library's logging; records of other libraries are
written in the same format, from warning upwards only and without query strings.

Messages that repeat too often are suppressed and summed up later as ``repeated=<n>``. Values are escaped and cut, so a
peer can neither forge a line nor flood the log. Logging never raises and never switches greenlets. Query strings
contain secrets: pass names and URLs through ``redact`` first.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from logging import DEBUG, ERROR, INFO, WARNING
from typing import TextIO

from .change import Change
from .clock import Clock, rfc3339
from .settings import LogSettings
from .text import escaped, find_unshowable

THROTTLE_RECORDS = 100
THROTTLE_WINDOW_S = 10.0

_ROOT = "rtmpd"
_root = logging.getLogger()
_ours = logging.getLogger(_ROOT)  # a look at its level costs no call, and mostly nothing is written
_VALUE_CHARS = 1024
_TRACKED_MESSAGES = 1000
_LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
_BARE = re.compile(r"[^\s\"'=\\]+")
_QUERY = re.compile(r"\?[^\s\"')>]+")


def redact(name: str) -> str:
    """Return the URL or stream name without its query, which may contain secrets."""
    return name.partition("?")[0]


class Logger:
    """Writes the records of one part. Fields are converted with ``str()``; None is left out."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{name}")

    @property
    def writes_debug(self) -> bool:
        """Whether ``debug`` would write; check it before computing expensive fields."""
        return self._logger.isEnabledFor(DEBUG)

    @property
    def writes_info(self) -> bool:
        """Whether ``info`` would write; check it before computing expensive fields."""
        return self._logger.isEnabledFor(logging.INFO)

    def debug(self, message: str, /, **fields: object) -> None:
        if (_ours.level or _root.level) <= DEBUG:
            self._write(DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        if (_ours.level or _root.level) <= INFO:
            self._write(INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        if (_ours.level or _root.level) <= WARNING:
            self._write(WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        if (_ours.level or _root.level) <= ERROR:
            self._write(ERROR, message, fields)

    def exception(self, message: str, /, **fields: object) -> None:
        """Log an error with the traceback of the current exception."""
        if (_ours.level or _root.level) <= ERROR:
            self._write(ERROR, message, fields, with_traceback=True)

    def _write(self, level: int, message: str, fields: dict[str, object], with_traceback: bool = False) -> None:
        if not self._logger.isEnabledFor(level):
            return
        exc_info = sys.exc_info() if with_traceback else None
        record = self._logger.makeRecord(
            self._logger.name, level, "", 0, message, (), exc_info, extra={"fields": fields}
        )
        self._logger.handle(record)


def logger(name: str) -> Logger:
    """Return the logger of the part ``name``."""
    return Logger(name)


# --- formatters -----------------------------------------------------------------------------------


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return {key: value for key, value in fields.items() if value is not None}


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return message if record.name.startswith(_ROOT) else _QUERY.sub("?...", message)


def _source_of(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_ROOT}.")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = format(value, ".6g") if isinstance(value, float) else str(value)
    return text if len(text) <= _VALUE_CHARS else text[:_VALUE_CHARS] + "..."


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and not find_unshowable(text):
        return text
    return '"' + escaped(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


class TextFormatter(logging.Formatter):
    """``time LEVEL source: message key=value ...``; a traceback follows on indented lines."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{rfc3339(record.created)} {record.levelname} {_source_of(record)}: {escaped(_message_of(record))}"
        line = " ".join([head, *(f"{key}={_quoted(_text(value))}" for key, value in _fields_of(record).items())])
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *("    " + escaped(text) for text in trace)])
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": _source_of(record),
            "message": _message_of(record),
        }
        for key, value in _fields_of(record).items():
            plain = value if isinstance(value, (bool, int)) else _text(value)
            entry[f"{key}_" if key in entry else key] = plain
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


_FORMATTERS = {"text": TextFormatter, "json": JsonFormatter}


# --- throttle and output --------------------------------------------------------------------------


class _Repeats:
    """Counts one message in the window that began at ``since``."""

    __slots__ = ("count", "held", "record", "since")

    def __init__(self, since: float, record: logging.LogRecord) -> None:
        self.since = since
        self.record = record
        self.count = 0
        self.held = 0


class Throttle:
    """Passes ``limit`` records of one (logger, message) per window, and counts the rest.

    Debug records are never suppressed, because an operator who enables them wants them all. Memory is bounded: after
    ``_TRACKED_MESSAGES`` different messages in a window, the oldest window is closed early.
    """

    __slots__ = ("_clock", "_limit", "_repeats", "_window_s")

    def __init__(self, clock: Clock, limit: int = THROTTLE_RECORDS, window_s: float = THROTTLE_WINDOW_S) -> None:
        self._clock = clock
        self._limit = limit
        self._window_s = window_s
        self._repeats: dict[tuple[str, str], _Repeats] = {}

    def admit(self, record: logging.LogRecord) -> list[logging.LogRecord]:
        """Return the records to write now: the sums of ended windows, then ``record`` unless it is suppressed."""
        now = self._clock.monotonic()
        due = self.close_windows(now)
        if record.levelno <= DEBUG:
            return [*due, record]
        key = (record.name, str(record.msg))
        repeats = self._repeats.get(key)
        if repeats is None:
            repeats = self._repeats[key] = _Repeats(now, record)
        repeats.count += 1
        if repeats.count <= self._limit:
            return [*due, record]
        repeats.held += 1
        repeats.record = record
        return due

    def close_windows(self, now: float = float("inf")) -> list[logging.LogRecord]:
        """Close the windows that have ended (by default all) and return their sums, oldest first."""
        due: list[logging.LogRecord] = []
        for key, repeats in list(self._repeats.items()):  # in order of their beginning
            if now - repeats.since < self._window_s and len(self._repeats) <= _TRACKED_MESSAGES:
                break
            del self._repeats[key]
            if repeats.held:
                due.append(_with_sum(repeats.record, repeats.held))
        return due


def _with_sum(record: logging.LogRecord, held: int) -> logging.LogRecord:
    """Return the last suppressed record, with the number of suppressed ones."""
    record.__dict__["fields"] = {**getattr(record, "fields", {}), "repeated": held}
    return record


class _Output(logging.Handler):
    """Writes to stderr or to a file that can be reopened."""

    def __init__(self, path: str, throttle: Throttle) -> None:
        super().__init__()
        self.path = path
        self._throttle = throttle
        self._stream = _open(path)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._put(self._throttle.admit(record))
        except Exception:  # noqa: BLE001  a value whose str() raises, or a full disk, is not the caller's fault
            self.handleError(record)

    def reopen(self) -> None:
        """Reopen the file by its name. Raises OSError, and keeps the old file then."""
        if self.path:
            old, self._stream = self._stream, _open(self.path)
            old.close()

    def close(self) -> None:
        self._put(self._throttle.close_windows())
        if self.path:
            self._stream.close()
        super().close()

    def _put(self, records: list[logging.LogRecord]) -> None:
        if records:
            self._stream.write("".join(self.format(record) + "\n" for record in records))
            self._stream.flush()


def _open(path: str) -> TextIO:
    return open(path, "a", encoding="utf-8", errors="backslashreplace") if path else sys.stderr


def configure(settings: LogSettings, clock: Clock | None = None) -> None:
    """Configure the output as in ``settings``. Raises OSError if the file cannot be opened."""
    change = prepare(settings, clock)
    change.commit()
    change.retire()


def prepare(settings: LogSettings, clock: Clock | None = None) -> Change:
    """Like ``configure``, in two steps (``change``). Raises OSError."""
    output = _Output(settings.file, Throttle(clock or Clock()))
    output.setFormatter(_FORMATTERS[settings.format]())
    replaced: list[_Output] = []

    def commit() -> None:
        replaced.extend(handler for handler in _root.handlers if isinstance(handler, _Output))
        for handler in replaced:
            _root.removeHandler(handler)
        _root.addHandler(output)
        _root.setLevel(WARNING)
        _ours.setLevel(_LEVELS[settings.level])

    def retire() -> None:
        for handler in replaced:
            handler.close()

    return Change(commit, retire, output.close)


def level() -> str:
    """Return the current level."""
    number = _ours.level
    return next((name for name, of_name in _LEVELS.items() if of_name == number), "info")


def set_level(name: str) -> None:
    """Set the level until the next ``configure``. Raises KeyError."""
    _ours.setLevel(_LEVELS[name])


def reopen() -> None:
    """Reopen the log file after it was renamed. Never raises: on failure the old file stays in use."""
    for handler in _root.handlers:
        if isinstance(handler, _Output):
            try:
                handler.reopen()
            except OSError as error:
                Logger("log").error("log file cannot be opened", file=handler.path, error=error.strerror)
