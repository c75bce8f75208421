"""The captured tables of all sources: their states, their errors, their definitions. Never a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cdc.control.status import Status
from cdc.engine.ledger import TableBook
from cdc.errors import CdcError
from cdc.model import TableId
from cdc.spi import LogReader, StateReader
from cdc.spi.state import DefinedColumn, DefinedTable, TableVersion
from cdc.spi.status import ErrorReport, SinkReport, SourceReport

SKIPPED = "skipped"
UNFOLLOWED = "unfollowed"
# What an operator looks for first.
_ATTENTION = (SKIPPED, UNFOLLOWED, "copying", "waiting", "paused", "live")


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
    """A table of a source. `state` is its phase, `skipped` if its source or a sink skips it (`error`), or
    `unfollowed` if its rows are delivered with those of another table. `reason` is why it is copied again or
    not followed, and `remedy` what an operator can do about the latter.
    """

    name: str
    source: str
    state: str
    reason: str | None
    copied_rows: int
    error: ErrorReport | None
    remedy: str | None = None

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
class CapturedDefinition:
    """A definition of a table, the `version`-th that its log has had, since a commit at a time and position.
    `changes` say what is different from the one before, which `is_first` lacks.
    """

    source: str
    name: str
    version: int
    at: datetime | None
    position: str | None
    is_first: bool
    changes: list[str]
    key: tuple[str, ...]
    identity: str
    columns: tuple[DefinedColumn, ...]


@dataclass(frozen=True, slots=True)
class DefinitionPage:
    """Definitions of one page, newest first; `next` is the next page's cursor."""

    next: str | None
    schemas: list[CapturedDefinition]


@dataclass(frozen=True, slots=True)
class PresentError:
    """An error of a source, of a sink's delivery of a source, or of a table that one of them skips."""

    source: str
    sink: str | None
    error: ErrorReport

    @property
    def subject(self) -> str:
        """The place of what has the error in the configuration, with the table that is skipped."""
        place = f"sources.{self.source}" if self.sink is None else f"sinks.{self.sink}"
        return place if self.error.table is None else f"{place}, table {self.error.table} is skipped"

    def document(self) -> dict[str, Any]:
        """Return the error's document with its subject."""
        sink = {} if self.sink is None else {"sink": self.sink}
        return {**sink, "source": self.source, **self.error.document()}


def tables_of(status: Status, logs: Mapping[str, LogReader], query: TableQuery) -> TablePage:
    """Return a page of the tables that match."""
    errors = _errors(status)
    books = {name: TableBook.from_metadata(log.metadata) for name, log in logs.items()}
    found = _unfollowed(status)
    gone = {(one.source, one.name) for one in found}
    found += [
        _captured(name, table, book, errors.get((name, str(table))))
        for name, book in books.items()
        for table, _ in book.items()
        if table.schema and (name, str(table)) not in gone
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


def schemas_of(
    state: StateReader, search: str, source: str | None, limit: int, cursor: int | None
) -> DefinitionPage:
    """Return a page of the definitions that tables whose name contains `search` have had."""
    found = state.definitions(source, search, limit + 1, cursor)
    page = found[:limit]
    after = str(page[-1].id) if len(found) > limit else None
    return DefinitionPage(after, [_definition(one) for one in page])


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


def _unfollowed(status: Status) -> list[CapturedTable]:
    return [
        CapturedTable(one.table, name, UNFOLLOWED, one.reason, 0, None, one.remedy)
        for name, view in status.sources.items()
        if view.report is not None
        for one in view.report.unfollowed
    ]


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


def _definition(one: TableVersion) -> CapturedDefinition:
    found, earlier = one.definition, one.earlier
    return CapturedDefinition(
        source=one.source,
        name=str(one.table),
        version=one.version,
        at=one.at,
        position=one.position,
        is_first=earlier is None,
        changes=[] if earlier is None else [*_differences(earlier, found)],
        key=found.key,
        identity=found.identity,
        columns=found.columns,
    )


def _differences(earlier: DefinedTable, now: DefinedTable) -> Iterator[str]:
    before = {column.name: column for column in earlier.columns}
    after = {column.name: column for column in now.columns}
    yield from (f"{name} added ({after[name].source_type})" for name in after if name not in before)
    yield from (f"{name} dropped" for name in before if name not in after)
    for name, column in after.items():
        if name in before:
            yield from _altered(before[name], column)
    if not (before.keys() ^ after.keys()) and [*before] != [*after]:
        yield "columns in another order"
    if earlier.key != now.key:
        yield f"key: {', '.join(now.key) or 'none'} (was {', '.join(earlier.key) or 'none'})"
    if earlier.identity != now.identity:
        yield f"old rows: {now.identity} (was {earlier.identity})"


def _altered(before: DefinedColumn, after: DefinedColumn) -> Iterator[str]:
    if (before.source_type, before.type) != (after.source_type, after.type):
        # Two types of the database can be one in Arrow, and the other way round.
        same_name = before.source_type == after.source_type
        kinds = (after.type, before.type) if same_name else (after.source_type, before.source_type)
        yield f"{after.name}: {kinds[0]} (was {kinds[1]})"
    if before.nullable != after.nullable:
        yield f"{after.name} {'may be null' if after.nullable else 'is not null'}"
