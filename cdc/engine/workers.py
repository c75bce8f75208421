"""Threads under supervision: each runs one body, again after errors that the policy retries,
and reports all others.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from cdc.engine.pacing import Pacing
from cdc.engine.retry import Attempts, Directive, directive
from cdc.engine.status import CopyStatus, LastError, SinkStatus, SourceStatus
from cdc.errors import LogFull, StateFull
from cdc.spi import metrics

Log = Callable[..., None]

# From this attempt on, a retry is worth a warning.
WARNED_ATTEMPT = 3


class Worker:
    """One supervised thread.

    `failed` holds the error that ended it, `blocked` the error that it retries every minute.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        status: SourceStatus | SinkStatus | CopyStatus,
        log: Log,
        stop: threading.Event | None = None,
        wake: Callable[[], None] | None = None,
        *,
        pacing: Pacing,
    ) -> None:
        """`wake` ends what the body may be waiting for, once `stop` is set."""
        self.name = name
        self.stop = stop or threading.Event()
        self._wake = wake
        self.failed: BaseException | None = None
        self.blocked: BaseException | None = None
        self._status = status
        self._log = log
        self._pacing = pacing
        self._seen = 0
        self._moved_at = 0
        self._last_error: LastError | None = None
        self._since = 0.0
        self._attempts = Attempts(
            lambda: body(self.stop),
            self.stop,
            progressed=self._progressed,
            report=self._retrying,
            pacing=pacing,
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def error(self) -> BaseException | None:
        """The error that needs an operator."""
        return self.failed or self.blocked

    @property
    def last_error(self) -> LastError | None:
        """The error of the previous attempt; None once the worker has recovered."""
        return self._last_error

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the body end at its next look at `stop`; return at once."""
        self.stop.set()
        if self._wake is not None:
            self._wake()

    def join(self, timeout_seconds: float | None = None) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def tick(self) -> None:
        """Detect recovery; called regularly by the engine's thread."""
        last_error, seconds = self._last_error, self._attempts.running_seconds
        if last_error is None or seconds is None or self.failed is not None:
            return
        if self._status.rate.total == self._moved_at and seconds < self._pacing.recovered_seconds:
            return
        self._last_error = self.blocked = None
        if self._status.last_error is last_error:
            self._status.last_error = None
        lasted = round(time.monotonic() - self._since)
        self._log(
            "recovered",
            worker=self.name,
            kind=last_error.kind,
            after_seconds=lasted,
            attempts=last_error.attempts,
        )

    def _run(self) -> None:
        try:
            self._attempts.run()
        except Exception as error:  # noqa: BLE001  (the last resort of a thread: kept, shown, and the exit code tells)
            self._fail(error)

    def _progressed(self) -> bool:
        total = self._status.rate.total
        moved, self._seen = total > self._seen, total
        return moved

    def _retrying(self, error: BaseException, seconds: float) -> None:
        self._status.meter.add(metrics.ERRORS, 1, type(error).__name__)
        needs_operator = directive(error) is Directive.OPERATOR
        if not needs_operator:
            self._status.meter.add(metrics.RETRIES, 1, type(error).__name__)
        last_error = LastError.of(error, round(seconds, 1), needs_operator=needs_operator)
        before = self._last_error
        if before is None:
            self._since = time.monotonic()
            before_attempts, since, is_same = 0, datetime.now(UTC), False
        else:
            is_same = (before.kind, before.message) == (last_error.kind, last_error.message)
            before_attempts, since = before.attempts, before.since
        last_error.attempts, last_error.since = before_attempts + 1, since
        self._last_error, self._moved_at = last_error, self._status.rate.total
        self.blocked = error if needs_operator else None
        self._status.became("failed" if needs_operator else "retrying", last_error)
        level = _level(error, last_error.attempts, needs_operator=needs_operator)
        if not is_same or (last_error.attempts == WARNED_ATTEMPT and not needs_operator):
            self._report(last_error, level, seconds)

    def _report(self, error: LastError, level: str, seconds: float) -> None:
        event = (
            "operator action needed: retrying every minute while the daemon runs"
            if error.needs_operator
            else "retrying after an error"
        )
        self._log(
            event,
            level=level,
            worker=self.name,
            kind=error.kind,
            error=error.message,
            remedy=error.remedy,
            attempts=error.attempts,
            seconds=round(seconds, 1),
        )

    def _fail(self, error: Exception) -> None:
        self._status.meter.add(metrics.ERRORS, 1, type(error).__name__)
        self.failed = error
        last_error = LastError.of(error, None, needs_operator=True)
        self._status.became("failed", last_error)
        # Frames only: the text of a foreign error may hold row values.
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        self._log(
            "operator action needed: stopped until the daemon is restarted",
            level="error",
            worker=self.name,
            kind=last_error.kind,
            error=last_error.message,
            remedy=last_error.remedy,
            frames=frames if last_error.kind == "InternalError" else None,
        )


def bound(report: Log, **fields: str) -> Log:
    """Return a log function that adds these fields to each event."""

    def bound_report(event: str, **more: object) -> None:
        report(event, **fields, **more)

    return bound_report


class PausablePipeline:
    """Workers that are paused together; `status` shows it. A subclass makes new ones in `resume`."""

    workers: list[Worker]
    status: SourceStatus | SinkStatus

    def start(self) -> None:
        """Start the workers."""
        for worker in self.workers:
            worker.start()

    def pause(self, timeout_seconds: float) -> list[str]:
        """Stop the workers; return those that did not stop. With one, nothing is paused yet."""
        stuck = stop_all(self.workers, timeout_seconds)
        if not stuck:
            self.hold()
        return stuck

    def hold(self) -> None:
        """Show the pause; none of the workers runs."""
        self.status.state = "paused"

    @property
    def is_paused(self) -> bool:
        return self.status.state == "paused"


def stop_all(workers: Collection[Worker], timeout_seconds: float) -> list[str]:
    """Ask all workers to stop and wait for them; return the names of those that did not stop in time."""
    for worker in workers:
        worker.ask_to_stop()
    deadline = time.monotonic() + timeout_seconds
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    return [worker.name for worker in workers if worker.is_alive]


def _level(error: BaseException, attempts: int, *, needs_operator: bool) -> str:
    if needs_operator:
        return "error"
    return "warning" if attempts >= WARNED_ATTEMPT or isinstance(error, LogFull | StateFull) else "info"
