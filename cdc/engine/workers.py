"""Threads under supervision: each runs one body, again after errors that the policy retries,
and reports all others.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

from cdc.engine.retry import Attempts, Directive, directive
from cdc.engine.status import CopyStatus, SinkStatus, SourceStatus, Trouble
from cdc.errors import LogFull, StateFull

Log = Callable[..., None]

# From this attempt on a retry is no longer the ordinary course of things.
WARNED_ATTEMPT = 3
# An attempt that has run so long works again, even if nothing came to show it.
RECOVERED_SECONDS = 5.0


class Worker:
    """One supervised thread.

    `failed` holds the error that ended it for good, `blocked` the error that it looks at again every minute.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        status: SourceStatus | SinkStatus | CopyStatus,
        log: Log,
    ) -> None:
        self.name = name
        self.stop = threading.Event()
        self.failed: BaseException | None = None
        self.blocked: BaseException | None = None
        self._status = status
        self._log = log
        self._seen = 0
        self._moved_at = 0
        self._trouble: Trouble | None = None
        self._since = 0.0
        self._attempts = Attempts(
            lambda: body(self.stop), self.stop, progressed=self._progressed, report=self._retrying
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def error(self) -> BaseException | None:
        """What keeps the worker from working until someone acts."""
        return self.failed or self.blocked

    @property
    def trouble(self) -> Trouble | None:
        """The error of the attempt before, until the worker works again."""
        return self._trouble

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_seconds: float | None = None) -> None:
        self._thread.join(timeout_seconds)

    def tick(self) -> None:
        """Notice that the worker works again; called now and then by the engine's thread."""
        trouble, seconds = self._trouble, self._attempts.running_seconds
        if trouble is None or seconds is None or self.failed is not None:
            return
        if self._status.rate.total == self._moved_at and seconds < RECOVERED_SECONDS:
            return
        self._trouble = self.blocked = None
        if self._status.trouble is trouble:
            self._status.trouble = None
        lasted = round(time.monotonic() - self._since)
        self._log(
            "worker works again",
            worker=self.name,
            kind=trouble.kind,
            after_seconds=lasted,
            attempts=trouble.attempts,
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
        needs_operator = directive(error) is Directive.OPERATOR
        trouble = Trouble.of(error, round(seconds, 1), needs_operator=needs_operator)
        before = self._trouble
        if before is None:
            self._since = time.monotonic()
            before_attempts, since, is_same = 0, datetime.now(UTC), False
        else:
            is_same = (before.kind, before.message) == (trouble.kind, trouble.message)
            before_attempts, since = before.attempts, before.since
        trouble.attempts, trouble.since = before_attempts + 1, since
        self._trouble, self._moved_at = trouble, self._status.rate.total
        self.blocked = error if needs_operator else None
        self._status.state = "failed" if needs_operator else "retrying"
        self._status.trouble = trouble
        level = _level(error, trouble.attempts, needs_operator=needs_operator)
        if not is_same or (trouble.attempts == WARNED_ATTEMPT and not needs_operator):
            self._say(trouble, level, seconds)

    def _say(self, trouble: Trouble, level: str, seconds: float) -> None:
        event = (
            "worker stopped: an operator must act; retried every minute while the daemon runs"
            if trouble.needs_operator
            else "worker waits and tries again"
        )
        self._log(
            event,
            level=level,
            worker=self.name,
            kind=trouble.kind,
            error=trouble.message,
            remedy=trouble.remedy,
            attempts=trouble.attempts,
            seconds=round(seconds, 1),
        )

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self._status.state = "failed"
        self._status.trouble = trouble = Trouble.of(error, None, needs_operator=True)
        # Frames only: the text of a foreign error may hold row values.
        frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        self._log(
            "worker stopped: an operator must act",
            level="error",
            worker=self.name,
            kind=trouble.kind,
            error=trouble.message,
            remedy=trouble.remedy,
            frames=frames if trouble.kind == "InternalError" else None,
        )


def _level(error: BaseException, attempts: int, *, needs_operator: bool) -> str:
    if needs_operator:
        return "error"
    return "warning" if attempts >= WARNED_ATTEMPT or isinstance(error, LogFull | StateFull) else "info"
