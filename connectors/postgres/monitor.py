"""Looks at the source every few seconds, beside the stream: publication, slot, and rewrites of the tables
that we hold.

The stream alone does not tell: Postgres 18 skips a dropped publication with a warning in its own log, an
invalidated slot shows only as a cut connection, and rewritten rows make no event.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from cdc.errors import SourceUnavailable
from cdc.spi.source import SourceContext
from connectors.postgres.connection import Connection, Connector
from connectors.postgres.errors import publication_dropped
from connectors.postgres.rewrites import News, Watch, read_fingerprints
from connectors.postgres.slot import check_slot, read_slot

# Bounds how long a dropped publication goes unnoticed, and keeps apart what ALTER TABLE and VACUUM FULL do to
# a table's files.
INTERVAL_SECONDS = 10.0
# The publication's oid, so that one dropped and created again between two looks is noticed.
MEMORY_PUBLICATION = "publication"

_PUBLICATION = "select oid::int8 from pg_publication where pubname = %s"


class Monitor:
    """One connection for the capture thread: catalog lookups of the stream, and the periodic look."""

    def __init__(
        self, connector: Connector, context: SourceContext, slot: str, publication: str, watch: Watch
    ) -> None:
        self._connector = connector
        self._context = context
        self._slot = slot
        self._publication = publication
        self._watch = watch
        self._connection: Connection | None = None
        self._due = 0.0
        self._publication_oid: int | None = None
        self._saved_oid: int | None = None

    def restore(self, memory: Mapping[str, str]) -> None:
        """Begin from what the log remembers."""
        self._watch.restore(memory)
        text = memory.get(MEMORY_PUBLICATION)
        self._publication_oid = self._saved_oid = int(text) if text else None

    @property
    def has_news(self) -> bool:
        """Whether the next ChangeSet has something to carry."""
        return self._watch.has_news or self._publication_oid != self._saved_oid

    def news(self) -> News:
        """What the next ChangeSet carries."""
        news = self._watch.news()
        if self._publication_oid != self._saved_oid:
            news.memory[MEMORY_PUBLICATION] = str(self._publication_oid)
        return news

    def delivered(self, news: News) -> None:
        """The log has it."""
        self._watch.delivered(news)
        if MEMORY_PUBLICATION in news.memory:
            self._saved_oid = self._publication_oid

    @property
    def connection(self) -> Connection:
        """Open, or opened anew after it was lost."""
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
                self._context.log("looking at the source later", reason=error.message)

    def look(self) -> None:
        """Look now; raises what `look_if_due` raises, and SourceUnavailable."""
        self._due = time.monotonic() + INTERVAL_SECONDS
        connection = self.connection
        with self._connector.translated("looking at the source"):
            self._look_at_publication(connection)
            self._look_at_slot(connection)
            self._look_for_rewrites(connection)

    def close(self) -> None:
        """May be called twice."""
        if self._connection is not None:
            self._connection.close()

    def _look_at_publication(self, connection: Connection) -> None:
        row = connection.execute(_PUBLICATION, (self._publication,)).fetchone()
        if row is None or (self._publication_oid is not None and row[0] != self._publication_oid):
            raise publication_dropped(self._connector.where, self._publication)
        self._publication_oid = row[0]

    def _look_at_slot(self, connection: Connection) -> None:
        state = check_slot(read_slot(connection, self._slot), self._slot, self._connector.where)
        if state.wal_status == "unreserved":
            self._context.log(
                "the slot is about to lose WAL", slot=self._slot, safe_wal_bytes=state.safe_wal_size
            )
            self._context.count("slot_unreserved", 1)

    def _look_for_rewrites(self, connection: Connection) -> None:
        relids = self._watch.relids()
        if not relids:
            return
        found = read_fingerprints(connection, self._publication, relids)
        for relid, (table, fingerprint) in found.items():
            self._watch.compare(relid, table, fingerprint)
        self._watch.forget(set(relids) - set(found))
