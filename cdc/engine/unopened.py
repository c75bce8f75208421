"""A source whose log could not be opened: it is looked at again while all else runs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cdc.engine.pacing import Pacing
from cdc.engine.retry import Directive, directive
from cdc.engine.specs import SourceSpec
from cdc.engine.status import LastError, SourceStatus
from cdc.engine.workers import Log, Worker, bound
from cdc.errors import CdcError


class UnopenedSource:
    """Owns the worker that calls `open_log` until that succeeds; `status` shows the error from the start.

    `sinks` are the names of the sinks that take its changes.
    """

    def __init__(
        self, spec: SourceSpec, error: CdcError, open_log: Callable[[str], None], report: Log, pacing: Pacing
    ) -> None:
        self.spec = spec
        self.status = SourceStatus(spec.name, state="failed", log_is_open=False)
        needs_operator = directive(error) is not Directive.RETRY
        self.status.last_error = LastError.of(error, None, needs_operator=needs_operator)
        self.sinks: set[str] = set()
        self._open_log = open_log
        report = bound(report, source=spec.name)
        self.worker = Worker(f"open:{spec.name}", self._run, self.status, report, pacing=pacing)

    def _run(self, _: threading.Event) -> None:
        self._open_log(self.spec.name)
