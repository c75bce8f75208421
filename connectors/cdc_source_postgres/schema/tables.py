"""A source's table: plain values, without a connection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cdc.model import TableId
from cdc.model.schema import Identity

# pg_class.relkind of what pgoutput can follow.
TABLE = "r"
PARTITIONED = "p"


@dataclass(frozen=True, slots=True)
class CatalogRelation:
    """One row of pg_class that a user may think of as a table."""

    relid: int
    table: TableId
    kind: str
    persistence: str
    replica_identity: str
    filenode: int
    estimated_rows: int
    pages: int
    row_security: bool
    forced_row_security: bool
    owner: int
    parent: int
    of_extension: bool

    @property
    def can_be_followed(self) -> bool:
        return self.kind in (TABLE, PARTITIONED) and self.persistence == "p"


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A live column. `missing_text` is the value that rows older than the column have, as the server prints
    it.
    """

    name: str
    attnum: int
    type_oid: int
    typmod: int
    ndims: int
    not_null: bool
    generated: str
    has_missing: bool
    missing_text: str | None
    default_volatile: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """A physical table under a partitioned one: what a snapshot reads and what decides whether an UPDATE is
    allowed.
    """

    relid: int
    table: TableId
    filenode: int
    pages: int
    replica_identity: str
    has_identity: bool


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table that can be followed.

    `pk` and `identity_columns` are names in column order; a deferrable `pk` is not immediate.
    `identity_columns` are what the server sends of an old row (`d` with an immediate primary key, `i` with
    its index); empty for `f`, `n`, and for `d` without such a key. `leaves` of a plain table are itself.
    `attribute_xmins` (attnum → xmin of its pg_attribute row) changes for some column whenever ALTER TABLE
    rewrites the rows.
    """

    relation: CatalogRelation
    columns: tuple[ColumnInfo, ...]
    pk: tuple[str, ...]
    identity_columns: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    attribute_xmins: Mapping[int, int] = field(default_factory=dict)
    pk_is_immediate: bool = True

    @property
    def relid(self) -> int:
        return self.relation.relid

    @property
    def table(self) -> TableId:
        return self.relation.table

    @property
    def relkind(self) -> str:
        return self.relation.kind

    @property
    def persistence(self) -> str:
        return self.relation.persistence

    @property
    def replica_identity(self) -> str:
        return self.relation.replica_identity

    @property
    def filenode(self) -> int:
        return self.relation.filenode

    @property
    def immediate_pk(self) -> tuple[str, ...]:
        """The primary key where it identifies rows: until the commit two rows may share a deferrable one."""
        return self.pk if self.pk_is_immediate else ()

    @property
    def is_partitioned(self) -> bool:
        return self.relation.kind == PARTITIONED

    @property
    def estimated_rows(self) -> int:
        return self.relation.estimated_rows

    @property
    def pages(self) -> int:
        return sum(leaf.pages for leaf in self.leaves)

    @property
    def identity(self) -> Identity:
        """Return the part of the old row that an update or delete contains."""
        if self.replica_identity == "f":
            return "full"
        return "key" if self.identity_columns else "none"

    def without_identity(self) -> list[TableId]:
        """The physical tables whose UPDATE and DELETE would fail once they are published."""
        return [leaf.table for leaf in self.leaves if leaf.replica_identity != "f" and not leaf.has_identity]

    def sent_columns(self, published: Collection[str] | None = None) -> tuple[ColumnInfo, ...]:
        """The columns in the stream: those that the publication lists, or all but the generated ones."""
        if published is None:
            return tuple(column for column in self.columns if not column.generated)
        return tuple(column for column in self.columns if column.name in published)
