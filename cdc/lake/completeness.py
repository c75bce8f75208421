"""The tables of the lake that lack rows or changes at present: by the marks of their copies, or because the
lake cannot store them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cdc.model import ChangeBatch, CopyStep, TableId
from cdc.spi import SetAside


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A table whose copy is due or in progress: its files have not had all of its current rows since `since`.

    `relation` is the source's number of the table, which it keeps when it is renamed.
    """

    table: str
    since: str
    relation: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Aside:
    """A table that the lake cannot store, or whose folder contains rows of another table; `relation` is the
    source's number of it.
    """

    relation: int | None
    details: SetAside

    def to_json(self) -> dict[str, Any]:
        details = self.details
        return {
            "schema": details.table.schema,
            "table": details.table.name,
            "relation": self.relation,
            "since": details.since,
            "kind": details.kind,
            "message": details.message,
            "remedy": details.remedy,
            "deliverable": details.deliverable,
            "skips": details.skips,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Aside:
        table = TableId(value["schema"], value["table"])
        fields = {
            name: value[name] for name in ("since", "kind", "message", "remedy", "deliverable", "skips")
        }
        return cls(value["relation"], SetAside(table, **fields))


def after_marks(before: Iterable[Incomplete], batches: Iterable[ChangeBatch]) -> tuple[Incomplete, ...]:
    """Return the incomplete tables after these batches, in name order."""
    tables = {one.table: one for one in before}
    for batch in batches:
        if batch.mark is None:
            continue
        if batch.mark.step is CopyStep.ALTERED:
            _renamed(tables, batch)
            continue
        name, relation = str(batch.table), batch.schema.relation
        known = tables.pop(name, None)
        for other in [o for o in tables.values() if relation is not None and o.relation == relation]:
            # Renamed since: the copy continues under the new name.
            known = tables.pop(other.table)
        if batch.mark.step is not CopyStep.FINISHED:
            since = known.since if known else batch.mark.at.isoformat()
            tables[name] = Incomplete(name, since, relation)
    return tuple(tables[name] for name in sorted(tables))


def _renamed(tables: dict[str, Incomplete], batch: ChangeBatch) -> None:
    """Move an incomplete table to its new name. A table that had that name gets the old one for now: they
    swap names, or its own mark follows.
    """
    name, relation = str(batch.table), batch.schema.relation
    moved = next((o for o in tables.values() if relation is not None and o.relation == relation), None)
    if moved is None or moved.table == name:
        return
    displaced = tables.pop(name, None)
    del tables[moved.table]
    tables[name] = replace(moved, table=name)
    if displaced is not None:
        tables[moved.table] = replace(displaced, table=moved.table)


def from_json(values: Iterable[Mapping[str, Any]]) -> tuple[Incomplete, ...]:
    """Return the tables from their `to_json` values."""
    return tuple(Incomplete(**value) for value in values)
