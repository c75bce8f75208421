"""The tables of one stream session: which decoder plan and which schema each relation id has at this point of
the stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from cdc.errors import UnrepresentableValue, UnsupportedSchema
from cdc.kit.selection import TableSelection
from cdc.model import ChangeBatch, TableId
from cdc.model.batch import altered_batch
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.schema.ddl_messages import DdlReader
from cdc_source_postgres.schema.definition import Definition
from cdc_source_postgres.schema.history_entries import AlteredTable, Place, RelationMeaning
from cdc_source_postgres.schema.relations import as_message, exact, shape_of_message, table_of
from cdc_source_postgres.schema.reported_history import ReportedHistory
from cdc_source_postgres.schema.shapes import Shape, Shaper
from cdc_source_postgres.schema.steps import PARTITIONED
from cdc_source_postgres.stream.monitor import Monitor
from cdc_source_postgres.stream.publication import Layout
from cdc_source_postgres.wire import messages
from cdc_source_postgres.wire.decoder import Pgoutput

# A commit that waits for a synchronous standby (which may wait for us) is in the stream before anybody can
# see it: this long the catalog is asked again, before the newest definition has to do.
PATIENCE_SECONDS = 0.5
PAUSE_SECONDS = 0.02


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
        history: ReportedHistory,
        layout: Layout,
        shaper: Shaper,
        selection: TableSelection,
        decoder: Pgoutput,
    ) -> None:
        self._connector = connector
        self._monitor = monitor
        self._history = history
        self._layout = layout
        self._shaper = shaper
        self._selection = selection
        self._decoder = decoder
        self._ddl = DdlReader(history, monitor)
        self._shapes: dict[int, Shape] = {}
        self._money_digits = shaper.money_digits
        # The partitioned table whose message came last: the server sends it ahead of its partition's own.
        self._root: int | None = None
        self._type_names: dict[int, messages.TypeInfo] = {}
        self._batches: list[ChangeBatch] = []
        self._ordinals = 0
        self._transactions = 0

    def relation(self, payload: bytes, *, binary: bool) -> None:
        """Take in a Relation message.

        Raises:
            TextWanted: the session is binary and can't be.
        """
        relation = messages.parse_relation(payload)
        table = table_of(relation)
        shape = self._readable(relation, table) if self._is_captured(relation, table) else None
        if shape is None:
            self.gather()
            self._decoder.set_relation(relation.relid, table.schema, table.name, None, [], relation.replident)
            self._shapes.pop(relation.relid, None)
            return
        if shape.info.is_partitioned:
            self._root = relation.relid
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

    def type(self, payload: bytes) -> None:
        """Take in a Type message: all that is left of a type that was dropped since."""
        found = messages.parse_type(payload)
        self._type_names[found.oid] = found

    def message(self, payload: bytes) -> None:
        """Take in a logical message: DDL that an event trigger reports, or something that is not for us."""
        with self._connector.translated("reading a DDL message"):
            self._ddl.message(payload, self._place)
        self.alter(self._history.take_altered())

    def alter(self, altered: Iterable[AlteredTable]) -> None:
        """Deliver the new definitions of tables, after all rows so far. What cannot be shaped waits for the
        next row,
        which says why.
        """
        for known, lsn in altered:
            message = as_message(known.definition, known.sent)
            if message is None or not self._is_table(known.definition):
                continue
            self.gather()
            with self._connector.translated(f"reading the catalog for {known.definition.table}"):
                self._learn_types(message)
            numbers = exact(message, known.definition, known.sent)
            try:
                shape = shape_of_message(message, numbers or [], (known.definition,), self._shaper)
            except (UnsupportedSchema, UnrepresentableValue):
                continue
            self._batches.append(altered_batch(shape.schema, messages.lsn_text(lsn), self._ordinals))
            self._ordinals += 1

    def _is_table(self, definition: Definition) -> bool:
        """Return whether rows come under this table's own name."""
        if not self._layout.via_root:
            return definition.kind != PARTITIONED
        return self._history.root_of(definition.relid) is None

    def follow_money(self) -> None:
        """Plan tables again whose money has other fraction digits since a look: the server doesn't send their
        Relation messages again. To be called between transactions.
        """
        if self._money_digits == self._shaper.money_digits:
            return
        self.gather()
        self._money_digits = self._shaper.money_digits
        for relid, shape in self._shapes.items():
            if self._shaper.has_money(column.type_oid for column in shape.info.columns):
                now = self._shaper.with_current_money(shape)
                table = now.schema.table
                self._decoder.set_relation(
                    relid, table.schema, table.name, now.plans, now.key_indexes, now.info.replica_identity
                )
                self._shapes[relid] = now

    def truncate(self, payload: bytes) -> None:
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

    def _readable(self, relation: messages.Relation, table: TableId) -> Shape | None:
        """Return the shape that decodes the rows; None if they are skipped, and the table is copied again."""
        try:
            return self._shape(relation, table)
        except UnsupportedSchema as error:
            self._history.unreadable(relation.relid, self._place)
            self._monitor.say_skipped(table, messages.lsn_text(self._decoder.commit_lsn), error.message)
            return None

    def _shape(self, relation: messages.Relation, table: TableId) -> Shape:
        with self._connector.translated(f"reading the catalog for {table}"):
            meaning = self._meaning(relation)
            self._learn_types(relation)
        shape = shape_of_message(relation, meaning.numbers, meaning.around, self._shaper)
        key = [column.id for column in shape.schema.columns if column.name in shape.schema.key]
        self._history.keyed(relation.relid, key, self._place)
        return shape

    @property
    def _place(self) -> Place:
        return Place(self._decoder.xid, self._decoder.commit_lsn)

    def _meaning(self, relation: messages.Relation) -> RelationMeaning:
        """Looked up in the history, with as many looks as it takes until one contains this transaction."""
        place = self._place
        if not self._history.knows(relation.relid) and not self._monitor.look_at(relation.relid):
            return self._history.meaning_dropped(relation)
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            meaning = self._history.meaning(relation, place)
            if meaning is not None:
                return meaning
            if not self._monitor.look_at(relation.relid):
                return self._history.meaning_dropped(relation)
            meaning = self._history.meaning(relation, place)
            if meaning is not None:
                return meaning
            if time.monotonic() >= patience:
                return self._history.meaning_unseen(relation, place)
            time.sleep(PAUSE_SECONDS)

    def _is_captured(self, relation: messages.Relation, table: TableId) -> bool:
        """Return whether rows of this relation belong to a table that the config selects by itself."""
        follows_root, self._root = self._root, None
        if not self._selection.matches(table):
            self._history.left_out(relation.relid, self._place)
            return False
        if not self._layout.via_root:
            # Roots are no tables here; the publication may send them for a while.
            return not self._is_root(relation.relid)
        root = self._history.root_of(relation.relid)
        if root is None or follows_root == root:
            return root is None
        with self._connector.translated(f"reading the catalog for {table}"):
            self._monitor.look_at(root)
        return self._history.root_of(relation.relid) is None

    def _is_root(self, relid: int) -> bool:
        with self._connector.translated("reading the catalog"):
            return self._monitor.is_partitioned(relid)

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
    """Return whether nothing that decodes a row, or that a sink sees, has changed."""
    return (before.schema, before.plans, before.info.replica_identity) == (
        now.schema,
        now.plans,
        now.info.replica_identity,
    )
