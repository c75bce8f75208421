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
from cdc.model import TableId
from cdc.spi import LogReader
from cdc.spi.status import ErrorReport

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


def tables_of(status: Status, logs: Mapping[str, LogReader], query: TableQuery) -> dict[str, Any]:
    """Return a page of tables, `total` and `by_state` of all that match, and the cursor of the `next`."""
    errors = _errors(status)
    books = {name: TableBook.from_metadata(log.metadata) for name, log in logs.items()}
    found = [
        _entry(name, table, book, errors.get((name, str(table))))
        for name, book in books.items()
        for table, _ in book.items()
        if table.schema
    ]
    matching = [
        one
        for one in found
        if query.search.lower() in one["name"].lower() and query.source in (None, one["source"])
    ]
    by_state = Counter(one["state"] for one in matching)
    chosen = [one for one in matching if query.state in (None, one["state"])]
    chosen.sort(key=lambda one: _place(one, query.order))
    rest = [one for one in chosen if _cursor(one, query.order) > query.cursor] if query.cursor else chosen
    page = rest[: query.limit]
    more = _cursor(page[-1], query.order) if len(rest) > len(page) else None
    return {"total": len(chosen), "by_state": dict(by_state), "next": more, "tables": page}


def schemas_of(logs: Mapping[str, LogReader], search: str, limit: int) -> list[dict[str, Any]]:
    """Return the newest definition of each table, with how many versions of it the log has had."""
    found: list[dict[str, Any]] = []
    for name, log in logs.items():
        for table in sorted(log.tables):
            schema = log.schema(table)
            if schema is None or search.lower() not in str(table).lower():
                continue
            columns = [
                {
                    "name": one.name,
                    "type": str(one.type),
                    "source_type": one.source_type,
                    "nullable": one.nullable,
                }
                for one in schema.columns
            ]
            found.append(
                {
                    "source": name,
                    "name": str(table),
                    "version": schema.version,
                    "key": list(schema.key),
                    "identity": schema.identity,
                    "columns": columns,
                }
            )
    return found[:limit]


def errors_of(status: Status) -> list[dict[str, Any]]:
    """Return every present error with its subject: a source, a sink, or a table that one of them skips."""
    found: list[dict[str, Any]] = []
    for name, view in status.sources.items():
        if view.report is not None:
            found += _documents({"source": name}, view.report.error, view.report.refused)
        found += _documents({"source": name}, view.log_error, [])
    for name, pairs in status.sinks.items():
        for pair in pairs:
            if pair.report is not None:
                subject = {"sink": name, "source": pair.source}
                found += _documents(subject, pair.report.error, pair.report.set_aside)
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


def _documents(
    subject: dict[str, str], error: ErrorReport | None, tables: list[ErrorReport]
) -> Iterator[dict[str, Any]]:
    if error is not None and error.message not in [one.message for one in tables]:
        yield subject | error.document()
    yield from (subject | one.document() for one in tables)


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


def _entry(source: str, table: TableId, book: TableBook, error: ErrorReport | None) -> dict[str, Any]:
    state = book[table]
    return {
        "name": str(table),
        "source": source,
        "state": state.phase.value if error is None else SKIPPED,
        "reason": state.reason or None,
        "copied_rows": book.copied_rows(table),
        "error": None if error is None else error.document(),
    }


def _place(one: dict[str, Any], order: str) -> tuple[str, ...]:
    names = (one["name"], one["source"])
    if order == "attention":
        return (str(_ATTENTION.index(one["state"])), *names)
    return (one["state"], *names) if order == "state" else names


def _cursor(one: dict[str, Any], order: str) -> str:
    return "\x1f".join(_place(one, order))
