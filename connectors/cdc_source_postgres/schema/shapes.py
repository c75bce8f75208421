"""Turns what the catalog or a Relation message says of a table into its schema and the plans that decode its
rows.

One function serves discovery, snapshot and stream, so that all three give the same columns, types and key.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from cdc.errors import UnrepresentableValue, UnsupportedSchema
from cdc.model import Column, TableSchema
from cdc_source_postgres.connection import Connection
from cdc_source_postgres.schema.catalog import build_schema, read_types
from cdc_source_postgres.schema.tables import ColumnInfo, TableInfo
from cdc_source_postgres.schema.type_catalog import PgType, TypeCatalog
from cdc_source_postgres.schema.type_plan import ColumnPlan, plan_column
from cdc_source_postgres.wire.decoder import PgoutputDecoder

# attnum of a column that the catalog does not have (any more): real ones start at 1.
UNKNOWN_ATTNUM = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's schema and how its rows are decoded."""

    info: TableInfo
    schema: TableSchema
    plans: tuple[ColumnPlan, ...]

    @property
    def key_indexes(self) -> list[int]:
        names = [plan.name for plan in self.plans]
        return [names.index(name) for name in self.schema.key]

    @property
    def wants_text(self) -> bool:
        """Whether some column would come in a binary form that we do not read."""
        return any(plan.needs_text_stream for plan in self.plans)


class Shaper:
    """Plans tables under one policy; knows the types seen so far and forgets none of them.

    Used by the capture thread and the coordinator at the same time: the type catalog only grows.
    """

    def __init__(
        self,
        unrepresentable: str,
        money_scale: Callable[[], int] = lambda: 2,
        count: Callable[[str, int], None] = lambda name, amount: None,
    ) -> None:
        self._unrepresentable = unrepresentable
        self._money_scale = money_scale
        self._count = count
        # Columns (table and number) whose fill was counted as unrepresentable.
        self._counted: set[tuple[int, int]] = set()
        self._types = TypeCatalog()

    def learn_types(self, conn: Connection) -> None:
        """Read the database's own types."""
        self._types.add(read_types(conn))

    @property
    def money_digits(self) -> int:
        """The fraction digits that money is planned with."""
        return self._money_scale()

    def has_money(self, type_oids: Iterable[int]) -> bool:
        """Return whether columns of one of these types are read with the fraction digits of money."""
        plans = (plan_column("", oid, -1, 0, self._types, self._unrepresentable) for oid in type_oids)
        return any(plan.codec.leaf.kind == "money" for plan in plans)

    def with_current_money(self, shape: Shape) -> Shape:
        """Return the shape of the same columns, with the current fraction digits of money."""
        return self.shape(shape.info, {column.name for column in shape.info.columns})

    def unknown_types(self, oids: Iterable[int]) -> list[int]:
        return [oid for oid in oids if self._types.get(oid) is None]

    def learn_dropped(self, oid: int, schema: str, name: str) -> None:
        """A type that only the stream still names: its values are delivered as the text that the server
        makes of them.
        """
        self._types.add([PgType(oid, name, schema, "b")])

    def shape(self, info: TableInfo, sent: Collection[str]) -> Shape:
        """The shape of the columns that are sent, in the table's order.

        Raises:
            UnsupportedSchema: a column name or type that can't be delivered.
            UnrepresentableValue: the policy is `error`, and older rows have such a value in an added column.
        """
        columns = info.sent_columns(sent)
        self._types.money_scale = self._money_scale()
        plans = tuple(self._plan(info, column) for column in columns)
        fills = {
            plan.name: self._fill(info, plan, column)
            for plan, column in zip(plans, columns, strict=True)
            if column.has_missing and column.missing_text is not None
        }
        schema = build_schema(info, plans, fills)
        known = tuple(_without_unknown_id(column) for column in schema.columns)
        return Shape(info, replace(schema, columns=known), plans)

    def _plan(self, info: TableInfo, column: ColumnInfo) -> ColumnPlan:
        try:
            return plan_column(
                column.name,
                column.type_oid,
                column.typmod,
                column.ndims,
                self._types,
                self._unrepresentable,
            )
        except UnsupportedSchema as error:
            error.where = f"{info.table}, {error.where}"
            raise

    def _fill(self, info: TableInfo, plan: ColumnPlan, column: ColumnInfo) -> pa.Scalar:
        """Return the value of rows that are older than a column: null where Arrow has no such value and the
        policy says so.
        """
        is_new = (info.relid, column.attnum) not in self._counted
        try:
            return scalar_of_text(
                plan,
                column.missing_text or "",
                "null" if self._unrepresentable == "null" else "error",
                self._count if is_new else lambda name, amount: None,
            )
        except UnrepresentableValue as error:
            error.where = f"{info.table}, column {plan.name}, in rows older than the column"
            raise
        finally:
            self._counted.add((info.relid, column.attnum))


def scalar_of_text(
    plan: ColumnPlan,
    text: str,
    unrepresentable: str = "error",
    count: Callable[[str, int], None] = lambda name, amount: None,
) -> pa.Scalar:
    """A value that the server printed, as the plan's Arrow type: decoded as an inserted row's one cell."""
    decoder = PgoutputDecoder(unrepresentable, count)
    decoder.set_relation(1, "", "", [plan], [], "n")
    cell = text.encode()
    decoder.feed(struct.pack(">cQqI", b"B", 1, 0, 1))
    decoder.feed(struct.pack(">cIchci", b"I", 1, b"N", 1, b"t", len(cell)) + cell)
    decoder.feed(struct.pack(">cBQQq", b"C", 0, 1, 1, 0))
    return decoder.take()[0][1].column(0)[0]


def _without_unknown_id(column: Column) -> Column:
    return replace(column, id=None) if column.id == UNKNOWN_ATTNUM else column
