"""`cdc run --once --timeout`: ends a run that takes longer, and says what it still waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import typer

from cdc import errors
from cdc.errors import CdcError
from cdc.kit.errors import RETRIED
from cdc.kit.report import counted
from cdc.spi.status import DaemonReport, ErrorReport
from cdc.units import format_duration, parse_duration


def timeout_seconds(text: str | None, *, once: bool) -> float | None:
    """Return the value of `--timeout` in seconds."""
    if text is None:
        return None
    if not once:
        raise typer.BadParameter("needs --once: a daemon runs until it is stopped", param_hint="--timeout")
    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    if seconds <= 0:
        raise typer.BadParameter("must be longer than 0 s", param_hint="--timeout")
    return seconds


class Deadline:
    """Calls `stop` when the time is over; `expired` says whether it did."""

    def __init__(self, seconds: float | None, stop: Callable[[], None]) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self._stop = stop
        self.expired = False

    def after(self, tick: Callable[[DaemonReport], None]) -> Callable[[DaemonReport], None]:
        """Return a tick of the engine that looks at the time after `tick`."""

        def both(report: DaemonReport) -> None:
            tick(report)
            if self._end is not None and not self.expired and time.monotonic() >= self._end:
                self.expired = True
                self._stop()

        return both

    def errors(self, report: DaemonReport) -> Iterator[CdcError]:
        """Yield the reasons why the run did not finish in time: retried errors first, then the work that is
        left.
        """
        if not self.expired:
            return
        yield from _retried(report)
        shown = format_duration(timedelta(seconds=self._seconds or 0))
        left = "; ".join(_left(report)) or "the sources have not answered yet"
        yield CdcError(
            f"the run did not end within {shown}: {left}",
            where="--timeout",
            remedy="Run the command again: it continues where this run ended.",
        )


def _retried(report: DaemonReport) -> Iterator[CdcError]:
    """The newest error of each source and sink."""
    for name, source in report.sources.items():
        if source.error:
            yield _as_raised(source.error, f"sources.{name}")
    for name, pairs in report.sinks.items():
        yield from (_as_raised(pair.error, f"sinks.{name}") for pair in pairs if pair.error)


def _as_raised(error: ErrorReport, where: str) -> CdcError:
    """The error with its kind and place. Nothing retries once the run has ended."""
    kind = getattr(errors, error.kind, CdcError)
    message = error.message.removeprefix(f"{where}: ")
    found: CdcError = kind(message, where=where, remedy=error.remedy.removesuffix(RETRIED).rstrip())
    return found


def _left(report: DaemonReport) -> Iterator[str]:
    for name, source in report.sources.items():
        copy, waiting = source.snapshot, source.waiting_tables
        if copy:
            yield f"{name} has copied {copy.tables_done} of {counted(copy.tables, 'table')}"
        elif waiting:
            yield f"{counted(waiting, 'table')} of {name} {'waits' if waiting == 1 else 'wait'} to be copied"
        elif source.state != "streaming":
            yield f"{name} is {source.state}"
        elif source.behind_bytes:
            yield f"{name} is {source.behind_bytes:,} bytes behind"
    for name, pairs in report.sinks.items():
        for pair in pairs:
            if pair.behind_changes:
                yield f"{name} lacks {counted(pair.behind_changes, 'change')} of {pair.source}"
