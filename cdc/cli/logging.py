"""Structured logs on stderr: JSON, or coloured lines on a terminal; never a row value or a secret.

An exception is logged as its kind, place and message when it is one of ours; of any other only the class and
the place, because its text may quote a row.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, TextIO

import typer

from cdc.cli.importing import without
from cdc.cli.session import exit_code
from cdc.control.problems import log_problems
from cdc.errors import CdcError
from cdc.names import printable

# structlog imports rich for tracebacks that are not printed here: 80 modules, 50 ms of each `cdc run`.
with without("rich"):
    import structlog
    from structlog.typing import EventDict, WrappedLogger

Log = Callable[..., None]


class LogLevel(StrEnum):
    """The levels of `--log-level`."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(
    *,
    debug: bool,
    level: LogLevel = LogLevel.INFO,
    as_text: bool | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up logging for the process; to be called once, by `cdc run`. `debug` shows tracebacks, too.

    `as_text` is by default true on a terminal only. The lines go to `stream`, or stderr.
    """
    is_terminal = sys.stderr.isatty() if as_text is None else as_text
    last: Any = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    at: Any = (
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        if is_terminal
        else structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            at,
            _line_only if is_terminal else _fields_only,
            structlog.processors.format_exc_info if debug else _describe_exception,
            *((_escape_controls,) if is_terminal else ()),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if debug else logging.getLevelNamesMapping()[level.value.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)


def logger(**fields: Any) -> Log:
    """A function `log(event, **fields)` that adds these fields; `level=` is info when left out."""
    bound = structlog.get_logger().bind(**fields)

    def log(event: str, *, level: str = "info", **more: Any) -> None:
        bound.log(logging.getLevelNamesMapping()[level.upper()], event, **more)

    return log


@contextmanager
def errors_in_the_log(log: Log, *, as_they_are: bool) -> Iterator[None]:
    """Log an error that prevents the start as the logs are; leave it `as_they_are` to the caller."""
    try:
        yield
    except CdcError as error:
        if as_they_are:
            raise
        log_problems(log, "not started", error.problems)
        raise typer.Exit(exit_code(error)) from error


def _line_only(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For people: a line that was made for them replaces its fields."""
    line = event.get("line")
    if line is None:
        return event
    return {key: event[key] for key in ("timestamp", "level") if key in event} | {"event": line}


def _fields_only(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("line", None)
    return event


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if isinstance(error, CdcError):
            event.update(where=error.where, message=error.message, remedy=error.remedy)
        else:
            frames = traceback.extract_tb(error.__traceback__)
            event["raised_at"] = f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return event


def _escape_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For people: names and servers' words can hold what breaks a line; a traceback has lines."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = printable(value)
    return event


class _Forward(logging.Handler):
    """Libraries' own warnings, as lines of ours: the logger's name and the message without its values."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, str(record.msg), logger=record.name)
