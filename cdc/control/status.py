"""The status: the daemon's last report, corrected by the present state of its process and the logs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from cdc.control import storage
from cdc.control.stored import has_log, open_log
from cdc.engine.ledger import Phase, TableBook
from cdc.engine.retry import waits_for_operator
from cdc.errors import CdcError, StateError
from cdc.kit.errors import WAIT
from cdc.spi import CopyRequest, LogReader, LogStore, PublishedCursor, StateHolder
from cdc.spi.state import Pausable, Pause
from cdc.spi.status import DaemonReport, ErrorReport, SinkReport, SourceReport, StandbyReport
from cdc_config import Configuration

NEVER_RUN = "never run"
# The daemon writes its status every second; older than this, it hangs or its disk does.
STALE_SECONDS = 10.0
ViewT = TypeVar("ViewT")


@dataclass(frozen=True, slots=True)
class DaemonView:
    """The daemon's last report, None before the first; `died` if it was killed or crashed."""

    report: DaemonReport | None
    running: bool = False
    died: bool = False
    age_seconds: float | None = None

    @property
    def pid(self) -> int:
        """The process id of the daemon that runs, or ran last."""
        return self.report.pid if self.report else 0

    @property
    def holder(self) -> StateHolder | None:
        """The process that wrote the report; None before the first, or if an older version wrote it."""
        return StateHolder.parse(self.report.holder) if self.report else None

    @property
    def state_dir_full(self) -> bool:
        return self.report is not None and self.report.state_dir_full

    def delivery(self, sink: str, source: str) -> SinkReport | None:
        """Return its report on this sink and source."""
        pairs = self.report.sinks.get(sink, ()) if self.report else ()
        return next((pair for pair in pairs if pair.source == source), None)


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A table that waits for a copy or is copied; `sinks` None are all, `reason` is None for a first copy."""

    table: str
    state: str
    sinks: list[str] | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class StoredLog:
    """The present contents of a source's log."""

    start: int
    next: int
    position: str | None
    bytes: int
    segments: int
    copies: list[TableCopy]
    written_at: datetime | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The contents that a document has."""
        copies = [_known(TableCopy, one) for one in document["copies"]]
        return _known(cls, document, copies=copies, written_at=_time(document["written_at"]))


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request of `cdc snapshot` that is not finished; `tables` and `sink` None mean all."""

    request: int
    source: str
    tables: list[str] | None
    sink: str | None
    state: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class SourceView:
    """A configured source: its report, None if it has never run; its log, or why that cannot be read."""

    report: SourceReport | None
    log: StoredLog | None = None
    log_error: ErrorReport | None = None

    @property
    def state(self) -> str:
        return self.report.state if self.report else NEVER_RUN

    @property
    def other_log_error(self) -> ErrorReport | None:
        """Why the log cannot be read, unless the source's own error says so."""
        error, own = self.log_error, self.report.error if self.report else None
        return None if error and own and error.kind == own.kind else error

    def document(self) -> dict[str, Any]:
        report = self.report.document() if self.report else {"state": NEVER_RUN, "error": None}
        return report | {"log": self._log_document()}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The view of a document."""
        report = None if document["state"] == NEVER_RUN else SourceReport.parse(document)
        log = document["log"]
        if log is None:
            return cls(report)
        if "error" in log:
            return cls(report, log_error=ErrorReport.parse(log["error"]))
        return cls(report, StoredLog.parse(log))

    def _log_document(self) -> dict[str, Any] | None:
        if self.log_error:
            error = self.log_error
            return {"error": {"kind": error.kind, "message": error.message, "remedy": error.remedy}}
        return asdict(self.log) if self.log else None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One source of a sink of the configuration; the report is None if it has never run."""

    source: str
    report: SinkReport | None

    @property
    def state(self) -> str:
        return self.report.state if self.report else NEVER_RUN

    def document(self) -> dict[str, Any]:
        if self.report is None:
            return {"source": self.source, "state": NEVER_RUN, "error": None}
        return self.report.document()

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The view of a document."""
        has_run = document["state"] != NEVER_RUN
        return cls(document["source"], SinkReport.parse(document) if has_run else None)


@dataclass(frozen=True, slots=True)
class Status:
    """All sources and sinks of the configuration, with the daemon and the requests that wait.

    `has_changed_file` says whether the file of the configuration in force has changed since it was loaded.
    """

    daemon: DaemonView
    sources: dict[str, SourceView]
    sinks: dict[str, list[DeliveryView]]
    requests: list[OpenRequest] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    standbys: list[StandbyReport] = field(default_factory=list)
    has_changed_file: bool = False

    def paused(self, kind: Pausable, name: str) -> Pause | None:
        """Return the pause of this source or sink."""
        return next((one for one in self.pauses if (one.kind, one.name) == (kind, name)), None)

    def delivery(self, sink: str, source: str) -> SinkReport | None:
        """Return the report on a sink's delivery of a source; None if it has never run."""
        pairs = (pair for pair in self.sinks.get(sink, ()) if pair.source == source)
        return next((pair.report for pair in pairs), None)

    def reports(self) -> Iterator[SourceReport | SinkReport]:
        """The reports of everything that has run."""
        yield from (source.report for source in self.sources.values() if source.report)
        yield from (pair.report for pairs in self.sinks.values() for pair in pairs if pair.report)

    @property
    def needs_operator(self) -> bool:
        """Whether something has failed or waits for an operator."""
        if self.daemon.died or self.daemon.state_dir_full or any(v.log_error for v in self.sources.values()):
            return True
        return any(
            report.state == "failed"
            or report.skipped
            or (report.error and waits_for_operator(report.error.kind))
            for report in self.reports()
        )

    def document(self) -> dict[str, Any]:
        """The JSON document for programs."""
        daemon = self.daemon
        age = {} if daemon.age_seconds is None else {"age_seconds": daemon.age_seconds}
        report = daemon.report.document() if daemon.report else {}
        if report.get("configuration"):
            report["configuration"]["changed"] = self.has_changed_file
        return {
            **report,
            "running": daemon.running,
            "sources": {
                name: view.document() | self._paused("source", name) for name, view in self.sources.items()
            },
            "sinks": {
                name: [pair.document() | self._paused("sink", name) for pair in pairs]
                for name, pairs in self.sinks.items()
            },
            "died": daemon.died,
            **age,
            "requests": [asdict(request) for request in self.requests],
            "standbys": [standby.document() for standby in self.standbys],
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The status of a document, such as the one that the HTTP service returns."""
        report = DaemonReport.parse(document) if "at" in document else None
        sources = {name: SourceView.parse(one) for name, one in document["sources"].items()}
        sinks = {
            name: [DeliveryView.parse(one) for one in pairs] for name, pairs in document["sinks"].items()
        }
        if report is not None:
            # Without those that have never run.
            report.sources = {name: view.report for name, view in sources.items() if view.report}
            pairs_of = {name: [pair.report for pair in pairs if pair.report] for name, pairs in sinks.items()}
            report.sinks = {name: pairs for name, pairs in pairs_of.items() if pairs}
        configuration = document.get("configuration") or {}
        return cls(
            daemon=DaemonView(report, document["running"], document["died"], document.get("age_seconds")),
            sources=sources,
            sinks=sinks,
            requests=[
                _known(OpenRequest, one, requested_at=_time(one["requested_at"]))
                for one in document["requests"]
            ],
            pauses=[*_pauses(document)],
            standbys=[StandbyReport.parse(one) for one in document["standbys"]],
            has_changed_file=configuration.get("changed", False),
        )

    def _paused(self, kind: Pausable, name: str) -> dict[str, Any]:
        pause = self.paused(kind, name)
        return {"paused": None if pause is None else {"at": pause.at, "by": pause.by}}


def _pauses(document: Mapping[str, Any]) -> Iterator[Pause]:
    """The pauses by kind and name, as the state has them."""
    kinds: tuple[Pausable, ...] = ("sink", "source")
    for kind in kinds:
        for name, one in sorted(document[f"{kind}s"].items()):
            # All deliveries of a sink are paused at once.
            shown = next(iter(one), {}) if isinstance(one, list) else one
            if paused := shown.get("paused"):
                yield Pause(kind, name, datetime.fromisoformat(paused["at"]), paused["by"])


def _known(kind: type[ViewT], document: Mapping[str, Any], **parsed: Any) -> ViewT:
    """The dataclass of a document, without the keys that are unknown here."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in document.items() if key in names} | parsed)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def daemon_of(configuration: Configuration) -> DaemonView:
    """The daemon of this configuration, as it runs or last ran."""
    stored = storage.state(configuration)
    document = stored.status()
    if not document:
        return DaemonView(None)
    report = DaemonReport.parse(document)
    running = report.running and stored.holds(StateHolder.parse(report.holder))
    age = None
    if report.at:
        age = max(0.0, round((datetime.now(UTC) - datetime.fromisoformat(report.at)).total_seconds(), 1))
    return DaemonView(report, running, report.running and not running, age)


def status_of(
    configuration: Configuration, daemon: DaemonView | None = None, logs: LogStore | None = None
) -> Status:
    """The daemon's last report with all configured sources and sinks, and what the logs hold now.

    The daemon's own process passes its view and its logs.
    """
    daemon = daemon or daemon_of(configuration)
    report = daemon.report or DaemonReport()
    sources = {
        name: _source_view(configuration, name, report.sources.get(name), logs)
        for name in configuration.sources
    }
    sinks = {
        name: [DeliveryView(pair.source, pair) for pair in report.sinks[name]]
        if name in report.sinks
        else [DeliveryView(source, None) for source in sink.sources]
        for name, sink in configuration.sinks.items()
    }
    requests, pauses, cursors = _of_state(configuration)
    standbys = [*storage.state(configuration).standbys()]
    loaded = report.configuration
    has_changed_file = loaded is not None and loaded.stamp != stamp_of(Path(loaded.file))
    status = Status(daemon, sources, sinks, requests, pauses, standbys, has_changed_file)
    if not daemon.running:
        for name, pairs in sinks.items():
            for pair in pairs:
                _show_cursor(pair, cursors[pair.source].get(name), sources.get(pair.source))
        for part in status.reports():
            _show_stopped(part)
    return status


def stamp_of(file: Path) -> str:
    """Return a text that changes when the file is written or replaced; empty if it is not there."""
    try:
        found = file.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"


def _show_stopped(report: SourceReport | SinkReport) -> None:
    """Remove what holds only while the daemon runs: rates, waits and retries."""
    if report.state != "failed":
        report.state = "stopped"
    report.rows_per_second = 0.0
    if isinstance(report, SinkReport):
        report.freshness_seconds = None
    if isinstance(report, SourceReport):
        report.waits = []
        if report.snapshot:
            report.snapshot.rows_per_second, report.snapshot.remaining_seconds = 0.0, None
    for error in (report.error, *report.skipped):
        if error:
            error.retry_seconds = None
            if error.remedy == WAIT.remedy:
                error.remedy = "Start the daemon, which tries again: cdc run"


def _source_view(
    configuration: Configuration, source: str, report: SourceReport | None, logs: LogStore | None
) -> SourceView:
    if not has_log(configuration, source):
        return SourceView(report)
    try:
        with closing(open_log(configuration, source) if logs is None else logs.reader(source)) as log:
            return SourceView(report, _stored(log))
    except CdcError as error:
        message = f"{error.where}: {error.message}"
        broken = ErrorReport(kind=type(error).__name__, message=message, remedy=error.remedy)
        return SourceView(report, log_error=broken)


def _stored(log: LogReader) -> StoredLog:
    end, parts = log.end, log.parts
    return StoredLog(
        start=log.start,
        next=end.next if end else log.start,
        position=str(end.position) if end else None,
        bytes=sum(part.byte_count for part in parts),
        segments=len(parts),
        copies=_copies(log.metadata),
        written_at=end.written_at if end else None,
    )


def _copies(metadata: Mapping[str, str]) -> list[TableCopy]:
    """The tables that wait for a copy or are copied, as the metadata of their source's log has it."""
    return [
        TableCopy(
            table=str(table),
            state=state.phase.value,
            sinks=None if state.audience.is_everyone else sorted(state.audience.sinks),
            reason=state.reason or None,
        )
        for table, state in sorted(TableBook.from_metadata(metadata).items())
        if state.phase is not Phase.LIVE
    ]


def _show_cursor(pair: DeliveryView, cursor: PublishedCursor | None, source: SourceView | None) -> None:
    """Correct a report by the sink's cursor, which a replay or the end of a killed daemon moved after it."""
    report = pair.report
    if report is None or cursor is None or cursor.next == report.next:
        return
    end = source.log.next if source and source.log else cursor.next
    report.next, report.position = cursor.next, str(cursor.position)
    report.commit_at = report.complete_at = None
    report.behind_seconds = report.behind_bytes = report.replay_from = report.replay_to = None
    report.behind_changes = max(0, end - cursor.next)


def _of_state(
    configuration: Configuration,
) -> tuple[list[OpenRequest], list[Pause], Mapping[str, Mapping[str, PublishedCursor]]]:
    """The requests of `cdc snapshot` that are not finished, the pauses, and by source and sink its cursor."""
    cursors: defaultdict[str, Mapping[str, PublishedCursor]] = defaultdict(dict)
    try:
        with closing(storage.state(configuration).reader()) as state:
            cursors.update((source, state.cursors(source)) for source in configuration.sources)
            requests = [_open(r) for r in state.unfinished_copies() if r.reason is None]
            return requests, [*state.pauses()], cursors
    except StateError:
        return [], [], cursors


def _open(request: CopyRequest) -> OpenRequest:
    return OpenRequest(
        request=request.id,
        source=request.source,
        tables=None if request.tables is None else [str(table) for table in request.tables],
        sink=request.sink,
        state="waiting" if request.taken_at is None else "copying",
        requested_at=request.requested_at,
    )
