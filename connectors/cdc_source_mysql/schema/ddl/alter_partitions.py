"""The clauses of ALTER TABLE that move rows by the partition or the tablespace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Created, Dropped, Edit, RowsChanged, TableChange
from cdc_source_mysql.schema.ddl.cursor import Cursor


@dataclass(slots=True)
class AlterDraft:
    """What the clauses of an ALTER TABLE make so far."""

    table: TableId
    edits: list[Edit] = field(default_factory=list)
    before: list[TableChange] = field(default_factory=list)
    after: list[TableChange] = field(default_factory=list)

    def rows_changed(self, reason: str) -> None:
        self.before.append(RowsChanged(self.table, reason))


def convert_partition(cursor: Cursor, draft: AlterDraft) -> bool:
    """MariaDB's CONVERT PARTITION … TO TABLE and CONVERT TABLE … TO PARTITION; False for another CONVERT."""
    if cursor.accept("PARTITION"):
        cursor.name()
        cursor.expect("TO", "TABLE")
        made = cursor.table()
        draft.rows_changed("CONVERT PARTITION TO TABLE")
        draft.before.append(Created(made, reason="it was made of a partition"))
        cursor.skip_all()
        return True
    if cursor.accept("TABLE"):
        taken = cursor.table()
        draft.rows_changed("CONVERT TABLE TO PARTITION")
        draft.after.append(Dropped(taken))
        cursor.skip_all()
        return True
    return False


def tablespace(clause: str) -> Callable[[Cursor, AlterDraft], None]:
    def rule(cursor: Cursor, draft: AlterDraft) -> None:
        if not cursor.accept("TABLESPACE"):
            cursor.expect("PARTITION")
            cursor.skip_all()
        draft.rows_changed(f"{clause} TABLESPACE")

    return rule


def truncate_partition(cursor: Cursor, draft: AlterDraft) -> None:
    cursor.expect("PARTITION")
    cursor.skip_all()
    draft.rows_changed("TRUNCATE PARTITION")


def exchange_partition(cursor: Cursor, draft: AlterDraft) -> None:
    cursor.expect("PARTITION")
    cursor.name()
    cursor.expect("WITH", "TABLE")
    other = cursor.table()
    draft.rows_changed("EXCHANGE PARTITION")
    draft.before.append(RowsChanged(other, "EXCHANGE PARTITION"))
    cursor.skip_all()
