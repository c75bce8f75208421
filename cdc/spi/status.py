"""Reports of a running daemon: the document that the daemon writes into the state, for any program to read.

Times are ISO 8601 text in UTC. Every field has a default: the document may be another version's. A `table`
that is None is left out of the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, TypeVar

ReportT = TypeVar("ReportT")


class StatusDocument:
    """Base of all reports, which are written as JSON documents."""

    __slots__ = ()

    def document(self) -> dict[str, Any]:
        return asdict(self, dict_factory=_present)  # type: ignore[call-overload]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The report of a document; keys that are unknown here are left out."""
        return _parse(cls, document)


@dataclass(slots=True)
class ErrorReport(StatusDocument):
    """An error: of a table where it concerns only that, else of the source or sink.

    `retry_seconds` is None if nothing retries. `since` and `attempts` count from the first error in a row.
    """

    table: str | None = None
    kind: str = ""
    message: str = ""
    remedy: str = ""
    at: str = ""
    since: str = ""
    attempts: int = 1
    retry_seconds: float | None = None
    needs_operator: bool = False


@dataclass(slots=True)
class WaitReport(StatusDocument):
    """Work that waits, or a table that waits, and the reason."""

    what: str = ""
    table: str | None = None
    kind: str = ""
    reason: str = ""
    remedy: str = ""
    since: str = ""


@dataclass(slots=True)
class UnfollowedReport(StatusDocument):
    """A table whose rows are delivered with those of another one: why, and what an operator can do."""

    table: str = ""
    within: str = ""
    reason: str = ""
    remedy: str = ""


@dataclass(slots=True)
class CopyReport(StatusDocument):
    """The copy under way. `estimated_rows` is 0 where the server does not know them."""

    tables: int = 0
    tables_done: int = 0
    chunks: int = 0
    chunks_done: int = 0
    rows: int = 0
    estimated_rows: int = 0
    percent: int = 0
    rows_per_second: float = 0.0
    remaining_seconds: int | None = None


@dataclass(slots=True)
class SourceReport(StatusDocument):
    """One source: its stream and the copy of its tables.

    Every change that was committed before `complete_at` is in the log; None while that is not known. `bytes`
    are those appended to the log by this process, `retained_bytes` those that the source keeps for it.
    `outdated` are the tables whose rows were captured under other transforms than the current ones. If the
    log could not be opened, `log_is_open` is false, and `offset` means nothing.
    """

    state: str = ""
    position: str | None = None
    source_position: str | None = None
    behind_bytes: int | None = None
    offset: int = 0
    commit_at: str | None = None
    rows_per_second: float = 0.0
    rows: int = 0
    bytes: int = 0
    complete_at: str | None = None
    retained_bytes: int | None = None
    transactions: int = 0
    snapshot: CopyReport | None = None
    waiting_tables: int = 0
    refused: list[ErrorReport] = field(default_factory=list)
    unfollowed: list[UnfollowedReport] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    waits: list[WaitReport] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    log_is_open: bool = True
    error: ErrorReport | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return _parse(
            cls,
            document,
            snapshot=_optional(CopyReport, document.get("snapshot")),
            refused=_list(ErrorReport, document.get("refused")),
            unfollowed=_list(UnfollowedReport, document.get("unfollowed")),
            waits=_list(WaitReport, document.get("waits")),
            error=_optional(ErrorReport, document.get("error")),
        )

    @property
    def skipped(self) -> list[ErrorReport]:
        """Why tables are skipped."""
        return self.refused


@dataclass(slots=True)
class SinkReport(StatusDocument):
    """Progress of a sink with one source.

    Every change that was committed before `complete_at` is in the sink, and `freshness_seconds` is the age of
    that; both are None while it is not known. A change may wait for `flush_interval_seconds`. `behind_bytes`
    is about what the sink lacks of the log. During a replay, `next` moves from `replay_from` to `replay_to`.
    """

    source: str = ""
    state: str = ""
    next: int = 0
    position: str | None = None
    commit_at: str | None = None
    behind_changes: int = 0
    behind_bytes: int | None = None
    behind_seconds: float | None = None
    complete_at: str | None = None
    freshness_seconds: float | None = None
    flush_interval_seconds: float = 0.0
    replay_from: int | None = None
    replay_to: int | None = None
    rows_per_second: float = 0.0
    rows: int = 0
    bytes: int = 0
    set_aside: list[ErrorReport] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    error: ErrorReport | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return _parse(
            cls,
            document,
            set_aside=_list(ErrorReport, document.get("set_aside")),
            error=_optional(ErrorReport, document.get("error")),
        )

    @property
    def skipped(self) -> list[ErrorReport]:
        """Why tables are skipped."""
        return self.set_aside


@dataclass(slots=True)
class StandbyReport(StatusDocument):
    """A process that waits to take over, since when, and on which host."""

    pid: int = 0
    host: str = ""
    since: str = ""


@dataclass(slots=True)
class ConfigurationReport(StatusDocument):
    """The configuration in force: when it was loaded, and the `stamp` that its file had then. `refused` is
    the error that kept a later one out.
    """

    file: str = ""
    loaded_at: str = ""
    stamp: str = ""
    refused: ErrorReport | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        return _parse(cls, document, refused=_optional(ErrorReport, document.get("refused")))


@dataclass(slots=True)
class DaemonReport(StatusDocument):
    """All of it; `sinks` has one report for each source of a sink.

    `pid` is for people: the process on the machine of the daemon. `holder` is the text of a `StateHolder`.
    """

    running: bool = False
    pid: int = 0
    holder: str = ""
    started_at: str = ""
    at: str = ""
    state_dir_full: bool = False
    configuration: ConfigurationReport | None = None
    sources: dict[str, SourceReport] = field(default_factory=dict)
    sinks: dict[str, list[SinkReport]] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        sources, sinks = document.get("sources", {}), document.get("sinks", {})
        return _parse(
            cls,
            document,
            configuration=_optional(ConfigurationReport, document.get("configuration")),
            sources={name: SourceReport.parse(source) for name, source in sources.items()},
            sinks={name: _list(SinkReport, pairs) for name, pairs in sinks.items()},
        )


def _present(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if key != "table" or value is not None}


def _parse(kind: type[ReportT], document: Mapping[str, Any], **nested: Any) -> ReportT:
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in document.items() if key in known} | nested)


def _list(kind: type[Any], documents: Iterable[Mapping[str, Any]] | None) -> list[Any]:
    return [kind.parse(document) for document in documents or ()]


def _optional(kind: type[Any], document: Mapping[str, Any] | None) -> Any:
    return None if document is None else kind.parse(document)
