"""Draws the live view once a second, of this process's daemon or of another process's status."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn, Self

from rich.text import Text

from cdc.cli.screen import Screen
from cdc.cli.view import ViewContent, view_lines
from cdc.control.live import LiveStatus, steady_seconds
from cdc.control.monitor import StatusMonitor, Trend
from cdc.control.status import Status
from cdc.control.verdict import DaemonVerdict, verdict_of
from cdc.errors import CdcError, ConfigError
from cdc.readable import show_bytes, show_seconds

# As often as the daemon's figures change.
DRAW_SECONDS = 1.0
HISTORY_SECONDS = 600.0
_STOPPING = (
    "Finishing the batch in hand, at most 30 s. Ctrl-C again ends at once, as safe as a crash.",
    "Stopping, at most 30 s. Ctrl-C again ends at once.",
)
_WATCHING = "Ctrl-C ends this view, not the daemon"


class LiveView:
    """The view of the daemon in this process. Used as a context manager around the engine's run;
    closes the screen.
    """

    def __init__(self, screen: Screen, live: LiveStatus) -> None:
        self._screen = screen
        self._live = live
        self._began = time.monotonic()
        self._is_stopping = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="live-view", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()
        self._screen.close()

    def stopping(self) -> None:
        """An orderly end has begun."""
        self._is_stopping = True

    def _draw(self) -> None:
        while not self._ended.wait(DRAW_SECONDS):
            if self._live.monitor.report is None:
                continue  # Nothing is known before the engine's first tick.
            # The daemon runs even if its state cannot be read for a moment, or the terminal has gone.
            with suppress(Exception):
                self._screen.draw(partial(_lines, self._content(), utf8=self._screen.utf8))

    def _content(self) -> ViewContent:
        live, status = self._live, self._live.status()
        return content_of(
            live.monitor,
            status,
            verdict=live.verdict(status),
            footer=_STOPPING if self._is_stopping else self._footer(status),
            up_seconds=time.monotonic() - self._began,
        )

    def _footer(self, status: Status) -> list[str]:
        found = self._live.resources(status)
        address = self._live.configuration.http.address
        scheme = "http" if self._live.configuration.http.tls is None else "https"
        return [
            f"log {show_bytes(found.log_bytes)} of {show_bytes(found.log_limit_bytes)}",
            f"memory {found.memory_bytes >> 20} of {found.memory_limit_bytes >> 20} MiB",
            *([] if address is None else [f"{scheme}://{address}"]),
            "Ctrl-C stops",
        ]


def content_of(
    monitor: StatusMonitor,
    status: Status,
    *,
    verdict: DaemonVerdict | None = None,
    footer: Sequence[str],
    up_seconds: float | None,
) -> ViewContent:
    """Return what the view shows of this status; trends are those that the monitor has seen."""
    series = monitor.history(HISTORY_SECONDS)["series"]

    def trend(sink: str, source: str) -> Trend:
        return monitor.trend(sink, source, steady_seconds(status.delivery(sink, source)))

    def history(sink: str, source: str) -> Sequence[float]:
        return [value for value in series.get(f"{sink}.{source}.freshness_seconds", ()) if value is not None]

    return ViewContent(
        status=status,
        verdict=verdict or verdict_of(status),
        at=datetime.now(UTC),
        trend=trend,
        history=history,
        footer=footer,
        up_seconds=up_seconds,
    )


def watch_on(look: Callable[[], Status], screen: Screen) -> NoReturn:
    """Draw the status that `look` returns, until Ctrl-C; raises KeyboardInterrupt then."""
    monitor = StatusMonitor()
    status: Status | None = None
    with closing(screen):
        while True:
            status, verdict = looked(look, status)
            if status.daemon.running and status.daemon.report is not None:
                monitor.tick(status.daemon.report)
            age = status.daemon.age_seconds
            footer = [*([] if age is None else [f"updated {show_seconds(age)} ago"]), _WATCHING]
            content = content_of(
                monitor, status, verdict=verdict, footer=footer, up_seconds=_up_seconds(status)
            )
            screen.draw(partial(_lines, content, utf8=screen.utf8))
            time.sleep(DRAW_SECONDS)


def looked(look: Callable[[], Status], before: Status | None) -> tuple[Status, DaemonVerdict]:
    """Return the present status and its verdict; of a daemon that cannot be reached, the status before.

    Raises:
        CdcError: the first look fails, or the configuration is wrong.
    """
    try:
        status = look()
    except CdcError as error:
        if before is None or isinstance(error, ConfigError):
            raise
        text = f"{error.message[:1].upper()}{error.message[1:]}. The figures are those of the last answer."
        return before, DaemonVerdict("bad", "bad", "No answer from the daemon", text)
    return status, verdict_of(status)


def _lines(content: ViewContent, columns: int, lines: int, *, utf8: bool) -> list[Text]:
    return view_lines(content, columns, lines, utf8=utf8)


def _up_seconds(status: Status) -> float | None:
    report = status.daemon.report
    if report is None or not status.daemon.running or not report.started_at:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(report.started_at)).total_seconds()
