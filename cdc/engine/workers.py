"""Threads under supervision: each runs one body, again after errors that the policy retries,
and reports all others.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from cdc.engine.retry import run_until_stopped
from cdc.engine.status import CopyStatus, SinkStatus, SourceStatus, Trouble

Log = Callable[..., None]


class Worker:
    """One supervised thread. `failed` holds the error that ended it for good."""

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
        self._body = body
        self._status = status
        self._log = log
        self._seen = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_seconds: float | None = None) -> None:
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            run_until_stopped(
                lambda: self._body(self.stop), self.stop, progressed=self._progressed, report=self._retrying
            )
        except Exception as error:  # noqa: BLE001  (the last resort of a thread: kept, shown, and the exit code tells)
            self._fail(error)

    def _progressed(self) -> bool:
        total = self._status.rate.total
        moved, self._seen = total > self._seen, total
        return moved

    def _retrying(self, error: BaseException, seconds: float) -> None:
        self._status.state = "retrying"
        self._status.trouble = Trouble.of(error, round(seconds, 1))
        trouble = self._status.trouble
        self._log(
            "worker waits and tries again",
            worker=self.name,
            kind=trouble.kind,
            error=trouble.message,
            remedy=trouble.remedy,
            seconds=round(seconds, 1),
        )

    def _fail(self, error: Exception) -> None:
        self.failed = error
        self._status.state = "failed"
        self._status.trouble = trouble = Trouble.of(error, None)
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
