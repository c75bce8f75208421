"""Why known tables are not among those that are followed, though they exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc.kit.selection import TableSelection, exclusion_of, renamed
from cdc.model import TableId
from cdc.spi.source import Absence
from cdc_source_postgres.schema.catalog import root_among, select_relations
from cdc_source_postgres.schema.tables import CatalogRelation
from cdc_source_postgres.statements import table_name


def absences(
    relations: Sequence[CatalogRelation],
    known: Mapping[TableId, int | None],
    selection: TableSelection,
    *,
    via_root: bool,
) -> dict[TableId, Absence]:
    """Return those of the known tables, each with its oid, that exist and are not followed."""
    followed = select_relations(relations, selection, via_root=via_root)
    by_name = {relation.table: relation for relation in relations}
    by_relid = {relation.relid: relation for relation in relations}
    found: dict[TableId, Absence] = {}
    for table, relid in known.items():
        now = by_name.get(table) or by_relid.get(relid or 0)
        if now is None or (now.table != table and now in followed):
            continue
        root = root_among(now, followed, by_relid) if via_root else None
        if root is not None:
            found[table] = _partition(table, root.table)
        elif now.table != table and not selection.matches(now.table):
            found[table] = renamed(table, now.table)
        elif now.persistence == "u":
            found[table] = _unlogged(now.table)
    return found


def _partition(table: TableId, root: TableId) -> Absence:
    remedy = f"Add to tables: {exclusion_of(table)}. Drop the old table in the sinks when nobody reads it."
    return Absence(f"it became a partition of {root}, with whose rows its rows are delivered", remedy, root)


def _unlogged(table: TableId) -> Absence:
    reason = f"{table} is unlogged: Postgres sends no changes of it"
    logged = f"alter table {table_name(table)} set logged"
    return Absence(reason, f"Run: {logged}; or add to tables: {exclusion_of(table)}")
