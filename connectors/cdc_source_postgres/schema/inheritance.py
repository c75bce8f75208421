"""Tables that inherit from a selected one and are not selected themselves, as TimescaleDB's chunks.

A query of the parent shows their rows; the publication sends them as changes of the child alone, and the copy
of the parent reads the parent alone. So without its children a parent's mirror lacks their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from cdc.kit.selection import entry_for, quoted_part
from cdc.model import TableId
from cdc_source_postgres.schema.catalog import Connection, read_relations
from cdc_source_postgres.schema.tables import CatalogRelation

_HEIRS = """
    with recursive tree (root, relid) as (
        select r.relid, r.relid from unnest(%s::oid[]) as r (relid)
         union
        select t.root, i.inhrelid
          from tree t
          join pg_inherits i on i.inhparent = t.relid
          join pg_class c on c.oid = i.inhrelid and not c.relispartition and c.relkind = 'r'
    )
    select root::int8, relid::int8 from tree where relid <> root
"""
# More names than this are said by a pattern.
_NAMED = 3
_LOGGED = 10


@dataclass(frozen=True, slots=True)
class Outside:
    """A selected table with the tables under it that are not selected; `patterns` selects exactly these."""

    parent: TableId
    children: tuple[TableId, ...]
    patterns: tuple[str, ...]


def heirs_outside(
    conn: Connection, followed: Collection[CatalogRelation], relations: Sequence[CatalogRelation]
) -> list[Outside]:
    """The parents among the followed tables whose children are not all followed, in name order."""
    own = {relation.relid: relation.table for relation in followed}
    names = {relation.relid: relation.table for relation in relations}
    missing: dict[TableId, list[TableId]] = {}
    for root, relid in _missing(conn, own):
        if relid in names:
            missing.setdefault(own[root], []).append(names[relid])
    everything = [relation.table for relation in relations]
    return [
        Outside(parent, tuple(sorted(children)), _patterns(sorted(children), everything))
        for parent, children in sorted(missing.items())
    ]


class HeirsWarning:
    """Logs the parents whose children are not followed, once for each set of children."""

    def __init__(self, log: Callable[..., None]) -> None:
        self._log = log
        self._known: set[tuple[int, int]] = set()

    def look(self, conn: Connection, followed: Collection[CatalogRelation]) -> None:
        """Look at the children of the followed tables."""
        missing = set(_missing(conn, [relation.relid for relation in followed]))
        if missing - self._known:
            for outside in heirs_outside(conn, followed, read_relations(conn)):
                self._log(
                    "a table is followed without the rows of tables that inherit from it",
                    level="warning",
                    table=str(outside.parent),
                    children=[str(child) for child in outside.children[:_LOGGED]],
                    remedy=f"Add to tables: {', '.join(outside.patterns)}",
                )
        self._known = missing


def _missing(conn: Connection, relids: Collection[int]) -> list[tuple[int, int]]:
    """Pairs of a followed table and a table under it that is not followed."""
    found = conn.execute(_HEIRS, (list(relids),)).fetchall()
    return [(root, relid) for root, relid in found if relid not in relids]


def _patterns(children: Sequence[TableId], everything: Sequence[TableId]) -> tuple[str, ...]:
    """Entries of `tables` that match the children and nothing else."""
    entries = tuple(entry_for(child) for child in children)
    schemas = {child.schema for child in children}
    if len(entries) <= _NAMED or len(schemas) > 1:
        return entries
    (schema,) = schemas
    prefix = _common_prefix([child.name for child in children])
    others = [t for t in everything if t.schema == schema and t.name.startswith(prefix) and t not in children]
    if others or not prefix or quoted_part(prefix) != prefix:
        return entries
    return (f"{quoted_part(schema)}.{prefix}*",)


def _common_prefix(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    same = [a == b for a, b in zip(first, last, strict=False)]
    return first[: same.index(False)] if False in same else first
