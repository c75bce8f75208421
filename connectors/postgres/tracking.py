"""The tables of one stream session: which decoder plan and which schema each relation id has at this point of
the stream.
"""

from __future__ import annotations

from typing import NamedTuple

from cdc.model import ChangeBatch, TableId
from cdc.spi.selection import TableSelection
from connectors.postgres import messages
from connectors.postgres.catalog import read_relations, read_table, read_tables, select_relations
from connectors.postgres.connection import Connection, Connector
from connectors.postgres.monitor import Monitor
from connectors.postgres.relations import shape_of_message, table_of
from connectors.postgres.rewrites import Fingerprint, Watch, read_fingerprints
from connectors.postgres.shapes import Shape, Shaper
from connectors.postgres.tables import TableInfo
from connectors.postgres.wire.decoder import Pgoutput


class TextWanted(Exception):
    """A table has a type whose binary form we do not read: the session has to start again in text."""


class Gathered(NamedTuple):
    """Batches in order, the ordinals that they use, and the commits that they hold."""

    batches: tuple[ChangeBatch, ...]
    ordinals: int
    transactions: int


class Tracking:
    """Feeds the decoder with plans as Relation messages come, and gives its batches their schemas."""

    def __init__(
        self,
        connector: Connector,
        monitor: Monitor,
        watch: Watch,
        shaper: Shaper,
        selection: TableSelection,
        publication: str,
        decoder: Pgoutput,
    ) -> None:
        self._connector = connector
        self._monitor = monitor
        self._watch = watch
        self._shaper = shaper
        self._selection = selection
        self._publication = publication
        self._decoder = decoder
        self._shapes: dict[int, Shape] = {}
        self._at_start: dict[int, tuple[TableInfo, Fingerprint]] | None = None
        self._type_names: dict[int, messages.TypeInfo] = {}
        self._batches: list[ChangeBatch] = []
        self._ordinals = 0
        self._transactions = 0

    def relation(self, payload: memoryview, *, binary: bool) -> None:
        """Take in a Relation message.

        Raises:
            TextWanted: the session is binary and can't be.
        """
        relation = messages.parse_relation(payload)
        table = table_of(relation)
        if not self._selection.matches(table):
            self.gather()
            self._decoder.set_relation(relation.relid, table.schema, table.name, None, [], relation.replident)
            self._shapes.pop(relation.relid, None)
            return
        shape = self._shape(relation, table)
        before = self._shapes.get(relation.relid)
        if before is not None and _same(before, shape):
            return
        if binary and shape.wants_text:
            raise TextWanted
        self.gather()
        self._decoder.set_relation(
            relation.relid, table.schema, table.name, shape.plans, shape.key_indexes, relation.replident
        )
        self._shapes[relation.relid] = shape

    def type(self, payload: memoryview) -> None:
        """Take in a Type message: all that is left of a type that was dropped since."""
        found = messages.parse_type(payload)
        self._type_names[found.oid] = found

    def truncate(self, payload: memoryview) -> None:
        """Take in a Truncate message."""
        self._decoder.truncate(messages.parse_truncate(payload).relids)

    def gather(self) -> None:
        """Take what the decoder has, under the schemas that it was decoded with."""
        ordinals, transactions = self._decoder.changes, self._decoder.transactions
        for relid, record in self._decoder.take():
            batch = ChangeBatch(self._shapes[relid].schema, record)
            self._batches.append(batch.shifted(self._ordinals) if self._ordinals else batch)
        self._ordinals += ordinals
        self._transactions += transactions

    def take(self) -> Gathered:
        """Everything gathered, in order."""
        self.gather()
        gathered = Gathered(tuple(self._batches), self._ordinals, self._transactions)
        self._batches, self._ordinals, self._transactions = [], 0, 0
        return gathered

    @property
    def changes(self) -> int:
        """Ordinals used since the last `take`."""
        return self._ordinals + self._decoder.changes

    def _shape(self, relation: messages.Relation, table: TableId) -> Shape:
        connection = self._monitor.connection
        with self._connector.translated(f"reading the catalog for {table}"):
            if self._at_start is None:
                self._at_start = self._read_all(connection)
            now = read_fingerprints(connection, self._publication, [relation.relid]).get(relation.relid)
            known = self._known(connection, relation, now[1] if now else None)
            self._learn_types(relation)
        # The rows of a partition come under its root's id: it must not be asked for again by its own.
        is_partition = known is not None and known.relation.parent != 0
        if now is not None and (not is_partition or self._watch.knows(relation.relid)):
            self._watch.compare(relation.relid, table, now[1])
        last = self._shapes.get(relation.relid)
        return shape_of_message(relation, known, last.info if last else None, self._shaper)

    def _read_all(self, connection: Connection) -> dict[int, tuple[TableInfo, Fingerprint]]:
        """All selected tables at once: after a restart each sends its Relation message anew. Fingerprints
        first, so that an ALTER TABLE between the two shows as a difference later.
        """
        relids = [r.relid for r in select_relations(read_relations(connection), self._selection)]
        found = read_fingerprints(connection, self._publication, relids)
        infos = read_tables(connection, self._selection)
        return {info.relid: (info, found[info.relid][1]) for info in infos if info.relid in found}

    def _known(
        self, connection: Connection, relation: messages.Relation, now: Fingerprint | None
    ) -> TableInfo | None:
        """The catalog's view of the relation now: what was read at the start while it was not altered since.
        A new primary key alters no column, and counts under full identity only.
        """
        read = (self._at_start or {}).get(relation.relid)
        if read is not None and now is not None and relation.replident != "f":
            info, then = read
            if then.attributes == now.attributes:
                return info
        return read_table(connection, relation.relid)

    def _learn_types(self, relation: messages.Relation) -> None:
        """Types that are new to us: from the catalog, or from what the stream said of them."""
        oids = [column.type_oid for column in relation.columns]
        if not self._shaper.unknown_types(oids):
            return
        self._shaper.learn_types(self._monitor.connection)
        for oid in self._shaper.unknown_types(oids):
            told = self._type_names.get(oid)
            if told is not None:
                self._shaper.learn_dropped(oid, told.namespace, told.name)


def _same(before: Shape, now: Shape) -> bool:
    """Whether nothing that decodes a row, or that a sink sees, has changed."""
    return (before.schema, before.plans, before.info.replica_identity) == (
        now.schema,
        now.plans,
        now.info.replica_identity,
    )
