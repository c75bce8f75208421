"""Looks at the source every few seconds, beside the stream: publication, slot, and the definitions of the
tables that we hold.

The stream alone does not show it: Postgres 18 skips a dropped publication with a warning in its own log, an
invalidated slot shows only as a cut connection, and DDL makes no event.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from cdc.errors import SourceUnavailable
from cdc.model import TableId
from cdc.spi.source import SourceContext
from cdc_source_postgres.connection import Connection, Connector
from cdc_source_postgres.errors import publication_dropped
from cdc_source_postgres.schema.catalog_looks import Looker, look_at
from cdc_source_postgres.schema.ddl_setup import SHOW_SQL
from cdc_source_postgres.schema.history_entries import News
from cdc_source_postgres.schema.money import MoneyScale
from cdc_source_postgres.schema.reported_history import ReportedHistory
from cdc_source_postgres.stream.publication import Layout
from cdc_source_postgres.stream.slot import check_slot, read_slot

# The publication's oid, so that one dropped and created again between two looks is noticed.
MEMORY_PUBLICATION = "publication"

_PUBLICATION = "select oid::int8 from pg_publication where pubname = %s"
_PARTITIONED = "select from pg_class where oid = %s and relkind = 'p'"


def find_publication(connection: Connection, name: str, known: int | None, where: str) -> int:
    """Return the publication's oid, which must be the `known` one, if it is known.

    Raises:
        SourceGap: it was dropped.
    """
    row = connection.execute(_PUBLICATION, (name,)).fetchone()
    if row is None or known not in (None, row[0]):
        raise publication_dropped(where, name)
    return int(row[0])


class Monitor:
    """One connection for the capture thread: catalog lookups of the stream, and the periodic look."""

    def __init__(
        self,
        connector: Connector,
        context: SourceContext,
        slot: str,
        publication: str,
        history: ReportedHistory,
        layout: Layout,
        money: MoneyScale,
    ) -> None:
        self._connector = connector
        self._context = context
        self._slot = slot
        self._publication = publication
        self._history = history
        self._layout = layout
        self._money = money
        self._looker = Looker(publication)
        self._connection: Connection | None = None
        self._due = 0.0
        self._publication_oid: int | None = None
        self._saved_oid: int | None = None
        # As the log has it.
        self._memory: dict[str, str] = {}

    def restore(self, memory: Mapping[str, str], resumed: int) -> None:
        """Begin from what the log remembers; the stream continues at `resumed`."""
        self._memory = dict(memory)
        self._history.restore(memory, resumed)
        self._money.restore(memory)
        self._looker.forget()
        text = memory.get(MEMORY_PUBLICATION)
        self._publication_oid = self._saved_oid = int(text) if text else None

    def rewind(self, resumed: int) -> None:
        """Begin again from what the log has by now: what the stream told since comes a second time."""
        self.restore(self._memory, resumed)

    @property
    def has_changes(self) -> bool:
        """Whether the next ChangeSet has something to carry."""
        return (
            self._history.has_changes
            or self._publication_oid != self._saved_oid
            or bool(self._layout.unsaved)
            or bool(self._money.unsaved)
        )

    def news(self, lsn: int) -> News:
        """Return the news for a ChangeSet that ends at `lsn`."""
        self._history.passed(lsn)
        news = replace(self._history.news(), altered=self._history.take_altered())
        if self._publication_oid != self._saved_oid:
            news.memory[MEMORY_PUBLICATION] = str(self._publication_oid)
        news.memory.update(self._layout.unsaved)
        news.memory.update(self._money.unsaved)
        return news

    def news_within(self) -> News:
        """Return the news for a part of a transaction: tables to copy again, before rows of theirs that are
        not proven become visible. The facts follow with the last part.
        """
        return News({}, self._history.news().stale)

    def delivered(self, news: News) -> None:
        """The log has it."""
        self._memory.update({key: text for key, text in news.memory.items() if text is not None})
        for key in [key for key, text in news.memory.items() if text is None]:
            self._memory.pop(key, None)
        self._history.delivered(news)
        self._layout.delivered(news.memory)
        self._money.delivered(news.memory)
        if MEMORY_PUBLICATION in news.memory:
            self._saved_oid = self._publication_oid

    @property
    def connection(self) -> Connection:
        """Return the catalog connection; reopen it if it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connector.connect("to read the catalog")
        return self._connection

    def look_if_due(self) -> None:
        """A look that fails for want of a connection is made up for at the next one.

        Raises:
            SourceGap: the publication was dropped, or the slot is gone or invalidated.
        """
        if time.monotonic() >= self._due:
            try:
                self.look()
            except SourceUnavailable as error:
                self._context.log("could not check the source, retrying", reason=error.message)

    def look(self) -> None:
        """Look now; raises what `look_if_due` raises, and SourceUnavailable."""
        self._due = time.monotonic() + self._connector.limits.look_seconds
        connection = self.connection
        with self._connector.translated("checking the source"):
            self._look_at_publication(connection)
            self._look_at_slot(connection)
            self._look_at_tables(connection)

    def look_at(self, relid: int) -> bool:
        """Look at one table now; whether it is still there. psycopg errors are the caller's."""
        seen = look_at(self.connection, self._publication, relid, self._history.leaves_of(relid))
        if seen is None:
            return False
        self._history.observe(seen)
        return True

    def look_soon(self) -> None:
        """Something is to be seen: look as soon as the stream has a pause."""
        self._due = 0.0

    def is_partitioned(self, relid: int) -> bool:
        """Return whether that is a partitioned table now. psycopg errors are the caller's."""
        row = self.connection.execute(_PARTITIONED, (relid,)).fetchone()
        return row is not None

    def close(self) -> None:
        """May be called twice."""
        if self._connection is not None:
            self._connection.close()

    def say_skipped(self, table: TableId, position: str, reason: str) -> None:
        """Log that rows cannot be read, and that the table is copied again for them."""
        self._context.log(
            "rows are skipped, and the table is copied again",
            level="warning",
            table=str(table),
            position=position,
            reason=reason,
        )

    def _look_at_publication(self, connection: Connection) -> None:
        known = self._publication_oid
        self._publication_oid = find_publication(connection, self._publication, known, self._connector.where)

    def _look_at_slot(self, connection: Connection) -> None:
        state = check_slot(read_slot(connection, self._slot), self._slot, self._connector.where)
        if state.wal_status == "unreserved":
            self._context.log(
                "the slot is about to lose WAL", slot=self._slot, safe_wal_bytes=state.safe_wal_size
            )
            self._context.count("slot_unreserved", 1)

    def _look_at_tables(self, connection: Connection) -> None:
        relids = self._history.relids()
        look, seen, gone, _ = self._looker.look(connection, relids, self._history.leaves())
        was_reported = self._history.is_reported
        self._history.sees_triggers(look)
        if was_reported and not self._history.is_reported:
            self._context.log(
                "the event triggers no longer report DDL: reading it from the catalog",
                level="warning",
                remedy=f"Run the statements that this command prints: {SHOW_SQL}",
            )
        for found in seen.values():
            self._history.observe(found)
        self._history.confirm(set(relids) - seen.keys() - gone, look)
        self._history.dropped(gone, look)
        self._money.look(connection, self._history, look)
