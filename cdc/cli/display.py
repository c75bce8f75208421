"""How `cdc run` shows what it does: a live view on a terminal, lines of text, or lines of JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TextIO, cast

from cdc.cli.logging import LogLevel, configure
from cdc.cli.output import has_screen
from cdc.control.live import LiveStatus
from cdc.errors import ConfigError
from cdc.kit.report import counted
from cdc.readable import show_count, show_seconds
from cdc.spi.status import DaemonReport

if TYPE_CHECKING:
    from cdc.cli.screen import Screen


_NO_LOG = "its log could not be opened"


class ProgressForm(StrEnum):
    """The values of `--progress`."""

    LIVE = "live"
    PLAIN = "plain"
    JSON = "json"


class RunView(Protocol):
    """Progress of the run, as it is shown while the run lasts."""

    def stopping(self) -> None: ...


class _NoView:
    def stopping(self) -> None:
        """The log says it."""


class Display:
    """Shows one run on stderr; to be made once, before anything is logged.

    By default, the form is live on a terminal and JSON elsewhere; on a terminal that cannot be drawn on, with
    `quiet` and with `--json`, a terminal gets lines of text.

    Raises:
        ConfigError: `live` is wanted, and there is no terminal.
    """

    def __init__(
        self, wanted: ProgressForm | None, *, debug: bool, level: LogLevel, quiet: bool, as_json: bool
    ) -> None:
        can_draw = has_screen(sys.stderr)
        if wanted is ProgressForm.LIVE and not can_draw:
            remedy = "Use --progress plain, or json."
            raise ConfigError("live needs a terminal on stderr", where="--progress", remedy=remedy)
        elsewhere = ProgressForm.PLAIN if sys.stderr.isatty() else ProgressForm.JSON
        self.form = wanted or (ProgressForm.LIVE if can_draw and not (quiet or as_json) else elsewhere)
        self._quiet = quiet
        self._began = time.monotonic()
        self._screen: Screen | None = None
        if self.form is ProgressForm.LIVE:
            # Only the view waits for these imports.
            from cdc.cli.screen import Screen

            self._screen = Screen(sys.stderr)
        # A screen takes lines as a stream does.
        stream = cast("TextIO", self._screen) if self._screen else None
        level = LogLevel.WARNING if quiet else level
        configure(debug=debug, level=level, as_text=self.form is not ProgressForm.JSON, stream=stream)

    @property
    def is_live(self) -> bool:
        return self._screen is not None

    def view(self, live: LiveStatus) -> AbstractContextManager[RunView]:
        """Return the view of the run that begins now, drawn while the context lasts."""
        self._began = time.monotonic()
        if self._screen is None:
            return nullcontext(_NoView())
        from cdc.cli.live_view import LiveView

        return LiveView(self._screen, live)

    def closing(self, report: DaemonReport, *, once: bool) -> Iterable[str]:
        """Return the closing lines: after `--once`, and after the live view."""
        if self._quiet or not (once or self.is_live):
            return ()
        return closing_lines(report, time.monotonic() - self._began)


def closing_lines(report: DaemonReport, seconds: float) -> Iterator[str]:
    """Yield a table of what a run did in this time: rows, rate and time of each source and sink."""
    rows: list[tuple[str, ...]] = [("", "rows", "rows/s", "time", "")]
    for name, source in report.sources.items():
        note = f"log at offset {source.offset:,}" if source.log_is_open else _NO_LOG
        skipped = f", {counted(len(source.refused), 'table')} skipped" if source.refused else ""
        rows.append((name, *_done(source.rows, seconds), f"captured, {note}{skipped}"))
    for name, pairs in report.sinks.items():
        for pair in pairs:
            is_open = report.sources[pair.source].log_is_open if pair.source in report.sources else True
            waiting = f"{show_count(pair.behind_changes)} waiting" if is_open else _NO_LOG
            note = f"of {pair.source} delivered, {waiting}"
            skipped = f", {counted(len(pair.set_aside), 'table')} skipped" if pair.set_aside else ""
            rows.append((name, *_done(pair.rows, seconds), f"{note}{skipped}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers, note in rows:
        cells = [f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=False)]
        yield "  ".join((f"{name:<{widths[0]}}", *cells, note)).rstrip()


def _done(rows: int, seconds: float) -> tuple[str, str, str]:
    return show_count(rows), f"{rows / max(seconds, 0.001):,.0f}", show_seconds(seconds)
