"""A table of the sink and its columns, as `_cdc.tables` describes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cdc.model import TableId
from cdc.sql.options import Deletes, Mode


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """One column of a table and the source's column that it holds.

    `fill` is the SQL expression for rows older than the column, `since` the `_cdc_seq` from which on changes
    have the column (None without a fill, and where an older version did not keep it). A `retired` column is
    gone in the source and kept here.
    """

    name: str
    type: str
    source_name: str
    relation: int | None
    id: int | None
    fill: str | None = None
    retired: bool = False
    since: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the value for `_cdc.tables`: `since` only if it is known."""
        described = asdict(self)
        return described if self.since is not None else {k: v for k, v in described.items() if k != "since"}


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One table of the sink: `table` in the source, `place` in the target.

    `schema_seq` is the `_cdc_seq` from which on changes have the present shape; `since_seq` the one from
    which on the table has been the same relation with the same key: a mirror can't replay what is older, and
    needn't.

    `incomplete_since` (microseconds) is when rows or changes began to be missing, because a copy is due or
    under way; None while the table is whole. `is_new` says that it never was. `copy` is the table that a copy
    of a table with older rows grows in; its `since_seq` is the offset at which the copy began.
    """

    source: str
    table: TableId
    relation: int | None
    version: int
    columns: tuple[StoredColumn, ...]
    key: tuple[str, ...]
    identity: str
    schema_seq: int
    since_seq: int
    mode: Mode
    deletes: Deletes
    place: TableId
    incomplete_since: int | None = None
    is_new: bool = False
    copy: StoredTable | None = None

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The names of the columns that hold the key."""
        by_source = {c.source_name: c.name for c in self.columns if not c.retired}
        return tuple(by_source[name] for name in self.key if name in by_source)

    @property
    def has_unique_key(self) -> bool:
        """Whether no two rows share a key: rows that were marked deleted before the key changed may."""
        return self.mode == "mirror" and (self.deletes == "hard" or self.since_seq == 0)

    def to_row(self) -> list[Any]:
        """Return the values of a row of `_cdc.tables`."""
        described = {
            "columns": [c.to_json() for c in self.columns],
            "key": self.key,
            "identity": self.identity,
            "is_new": self.is_new,
            "copy": self.copy and self.copy.to_row(),
        }
        numbers = [self.relation, self.version, self.schema_seq, self.since_seq]
        return [
            self.source,
            self.table.schema,
            self.table.name,
            *numbers,
            self.mode,
            self.deletes,
            json.dumps(described),
            self.place.schema,
            self.place.name,
            self.incomplete_since,
        ]

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> StoredTable:
        """Return the table from the values of `to_row`."""
        source, schema_name, name, relation, version, schema_seq, since_seq, mode, deletes, text, *rest = row
        described = json.loads(text)
        columns = tuple(StoredColumn(**column) for column in described["columns"])
        return cls(
            source=source,
            table=TableId(schema_name, name),
            relation=relation,
            version=version,
            columns=columns,
            key=tuple(described["key"]),
            identity=described["identity"],
            schema_seq=schema_seq,
            since_seq=since_seq,
            mode=mode,
            deletes=deletes,
            place=TableId(rest[0] or schema_name, rest[1] or name),
            incomplete_since=rest[2],
            is_new=described.get("is_new", False),
            copy=cls.from_row(described["copy"]) if described.get("copy") else None,
        )
