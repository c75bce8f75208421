"""Structured logs on stderr: JSON, or coloured lines on a terminal; never a row value or a secret.

An exception is logged as its kind, place and message when it is one of ours; of any other only the class and
the place, because its text may quote a row.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

import typer

from cdc.cli.session import exit_code
from cdc.errors import CdcError
from cdc.names import printable

Log = Callable[..., None]

# Terminal escapes: what a reader looks for stands out.
_RESET, _BOLD, _DIM, _CYAN, _MAGENTA = "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[35m"
_COLOURS = {
    logging.DEBUG: "\x1b[32m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
}


class LogLevel(StrEnum):
    """The levels of `--log-level`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _Journal:
    """Writes events of a level and above to a stream, one at a time."""

    def __init__(self, stream: TextIO, level: int, *, debug: bool) -> None:
        self._stream = stream
        self._level = level
        self._debug = debug
        self._is_terminal = stream.isatty()
        self._lock = threading.Lock()

    def write(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if level < self._level:
            return
        (_add_traceback if self._debug else _describe_exception)(fields)
        line = fields.pop("line", None)
        if self._is_terminal:
            text = _styled(level, event, fields) if line is None else _styled(level, line, {})
        else:
            entry = {**fields, "event": event, "level": logging.getLevelName(level).lower(), "at": _utc()}
            text = json.dumps(entry, default=repr)
        with self._lock:
            self._stream.write(f"{text}\n")
            self._stream.flush()


_journal = _Journal(sys.stderr, logging.INFO, debug=False)


def configure(*, debug: bool, level: LogLevel = LogLevel.INFO) -> None:
    """Set up logging for the process; to be called once, by `cdc run`. `debug` shows tracebacks, too."""
    global _journal  # noqa: PLW0603  (one process, one stderr)
    number = logging.DEBUG if debug else logging.getLevelNamesMapping()[level.value.upper()]
    _journal = _Journal(sys.stderr, number, debug=debug)
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)


def logger(**fields: Any) -> Log:
    """A function `log(event, **fields)` that adds these fields; `level=` is info when left out."""

    def log(event: str, *, level: str = "info", **more: Any) -> None:
        _journal.write(logging.getLevelNamesMapping()[level.upper()], event, {**fields, **more})

    return log


@contextmanager
def errors_in_the_log(log: Log, *, as_they_are: bool) -> Iterator[None]:
    """Log an error that prevents the start as JSON where the logs are JSON. On a terminal, or `as_they_are`,
    leave the error to the caller.
    """
    try:
        yield
    except CdcError as error:
        if as_they_are or sys.stderr.isatty():
            raise
        for problem in error.problems:
            log(
                "not started",
                level="error",
                kind=type(problem).__name__,
                where=problem.where,
                error=problem.message,
                remedy=problem.remedy,
            )
        raise typer.Exit(exit_code(error)) from error


def _utc() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _add_traceback(fields: dict[str, Any]) -> None:
    error = _exception_of(fields)
    if error is not None:
        fields["exception"] = "".join(traceback.format_exception(error)).rstrip()


def _describe_exception(fields: dict[str, Any]) -> None:
    error = _exception_of(fields)
    if isinstance(error, CdcError):
        fields.update(
            error=type(error).__name__, where=error.where, message=error.message, remedy=error.remedy
        )
    elif error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""
        fields.update(error=type(error).__name__, raised_at=place)


def _exception_of(fields: dict[str, Any]) -> BaseException | None:
    """Take the exception out: `exc_info` is one, or true for the one that is being handled."""
    given = fields.pop("exc_info", None)
    return given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None


def _styled(level: int, event: str, fields: dict[str, Any]) -> str:
    """A line for a terminal. Names and servers' words can hold what breaks a line; a traceback has lines."""
    trace = fields.pop("exception", None)
    name = logging.getLevelName(level).lower()
    head = (
        f"{_DIM}{datetime.now().astimezone():%H:%M:%S}{_RESET} [{_COLOURS.get(level, '')}{name:<8}{_RESET}]"
    )
    shown = " ".join(
        f"{_CYAN}{key}{_RESET}={_MAGENTA}{_value(value)}{_RESET}" for key, value in sorted(fields.items())
    )
    line = f"{head} {_BOLD}{printable(event)}{_RESET} {shown}".rstrip()
    return line if trace is None else f"{line}\n{trace}"


def _value(value: Any) -> str:
    """A text as it is when it is one word, everything else as Python writes it."""
    text = value if isinstance(value, str) and value and not set(value) & set(" \t=\r\n\"'") else repr(value)
    return printable(text)


class _Forward(logging.Handler):
    """Libraries' own warnings, as lines of ours: the logger's name and the message without its values."""

    def emit(self, record: logging.LogRecord) -> None:
        _journal.write(record.levelno, str(record.msg), {"logger": record.name})
