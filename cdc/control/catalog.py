"""The captured tables of all sources: their states, their errors, their definitions. Never a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from cdc.control.status import Status
from cdc.engine.ledger import TableBook
from cdc.errors import CdcError
from cdc.model import TableId, TableSchema
from cdc.spi import LogReader
from cdc.spi.status import ErrorReport, SinkReport, SourceReport

SKIPPED = "skipped"
# What an operator looks for first.
_ATTENTION = (SKIPPED, "copying", "waiting", "paused", "live")


@dataclass(frozen=True, slots=True)
class TableQuery:
    """Which tables: names that contain `search`, of one source, in one state, after a `cursor`."""

    search: str = ""
    source: str | None = None
    state: str | None = None
    order: str = "name"
    limit: int = 100
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """A table of a source. `state` is its phase, or `skipped` if its source or a sink skips it (`error`);
    `reason` is why it is copied again.
    """

    name: str
    source: str
    state: str
    reason: str | None
    copied_rows: int
    error: ErrorReport | None

    def place(self, order: str) -> tuple[str, ...]:
        """Return the table's place among others, by a `TableQuery.order`."""
        names = (self.name, self.source)
        if order == "attention":
            return (str(_ATTENTION.index(self.state)), *names)
        return (self.state, *names) if order == "state" else names

    def cursor(self, order: str) -> str:
        """Return the `TableQuery.cursor` of the tables after this one."""
        return "\x1f".join(self.place(order))


@dataclass(frozen=True, slots=True)
class TablePage:
    """Tables of one page. `total` and `by_state` count all that match; `next` is the next page's cursor."""

    total: int
    by_state: dict[str, int]
    next: str | None
    tables: list[CapturedTable]


@dataclass(frozen=True, slots=True)
class CapturedColumn:
    """A column; `type` is Arrow's, `source_type` the database's."""

    name: str
    type: str
    source_type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class CapturedDefinition:
    """The newest definition of a table, the `version`-th that its log has had."""

    source: str
    name: str
    version: int
    key: list[str]
    identity: str
    columns: list[CapturedColumn]


@dataclass(frozen=True, slots=True)
class PresentError:
    """An error of a source, of a sink's delivery of a source, or of a table that one of them skips."""

    source: str
    sink: str | None
    error: ErrorReport

    def document(self) -> dict[str, Any]:
        """Return the error's document with its subject."""
        sink = {} if self.sink is None else {"sink": self.sink}
        return {**sink, "source": self.source, **self.error.document()}


def tables_of(status: Status, logs: Mapping[str, LogReader], query: TableQuery) -> TablePage:
    """Return a page of the tables that match."""
    errors = _errors(status)
    books = {name: TableBook.from_metadata(log.metadata) for name, log in logs.items()}
    found = [
        _captured(name, table, book, errors.get((name, str(table))))
        for name, book in books.items()
        for table, _ in book.items()
        if table.schema
    ]
    matching = [
        one
        for one in found
        if query.search.lower() in one.name.lower() and query.source in (None, one.source)
    ]
    chosen = [one for one in matching if query.state in (None, one.state)]
    chosen.sort(key=lambda one: one.place(query.order))
    rest = [one for one in chosen if one.cursor(query.order) > query.cursor] if query.cursor else chosen
    page = rest[: query.limit]
    return TablePage(
        total=len(chosen),
        by_state=dict(Counter(one.state for one in matching)),
        next=page[-1].cursor(query.order) if len(rest) > len(page) else None,
        tables=page,
    )


def schemas_of(logs: Mapping[str, LogReader], search: str, limit: int) -> list[CapturedDefinition]:
    """Return the newest definition of each table whose name contains `search`."""
    found = []
    for name, log in logs.items():
        for table in sorted(log.tables):
            schema = log.schema(table)
            if schema is not None and search.lower() in str(table).lower():
                found.append(_definition(name, schema))
    return found[:limit]


def errors_of(status: Status) -> list[PresentError]:
    """Return every present error."""
    found: list[PresentError] = []
    for name, view in status.sources.items():
        if view.report is not None:
            found += _present(name, None, view.report)
        if view.other_log_error is not None:
            found.append(PresentError(name, None, view.other_log_error))
    for name, pairs in status.sinks.items():
        for pair in pairs:
            if pair.report is not None:
                found += _present(pair.source, name, pair.report)
    return found


@contextmanager
def readers(status: Status, open_log: Callable[[str], LogReader]) -> Iterator[dict[str, LogReader]]:
    """The logs that can be read, by source, during the block."""
    with ExitStack() as opened:
        found: dict[str, LogReader] = {}
        for name, view in status.sources.items():
            if view.log is not None:
                with suppress(CdcError):  # The status names it.
                    found[name] = opened.enter_context(closing(open_log(name)))
        yield found


def _present(source: str, sink: str | None, report: SourceReport | SinkReport) -> Iterator[PresentError]:
    """The report's own error, unless it repeats that of a table, and those of the tables."""
    error = report.error
    if error is not None and error.message not in [one.message for one in report.skipped]:
        yield PresentError(source, sink, error)
    yield from (PresentError(source, sink, one) for one in report.skipped)


def _errors(status: Status) -> dict[tuple[str, str], ErrorReport]:
    """By source and table."""
    found: dict[tuple[str, str], ErrorReport] = {}
    for name, view in status.sources.items():
        if view.report is not None:
            found |= {(name, one.table or ""): one for one in view.report.refused}
    for pairs in status.sinks.values():
        for pair in pairs:
            if pair.report is not None:
                found |= {(pair.source, one.table or ""): one for one in pair.report.set_aside}
    return found


def _captured(source: str, table: TableId, book: TableBook, error: ErrorReport | None) -> CapturedTable:
    state = book[table]
    return CapturedTable(
        name=str(table),
        source=source,
        state=state.phase.value if error is None else SKIPPED,
        reason=state.reason or None,
        copied_rows=book.copied_rows(table),
        error=error,
    )


def _definition(source: str, schema: TableSchema) -> CapturedDefinition:
    columns = [
        CapturedColumn(one.name, str(one.type), one.source_type, one.nullable) for one in schema.columns
    ]
    return CapturedDefinition(
        source, str(schema.table), schema.version, list(schema.key), schema.identity, columns
    )
