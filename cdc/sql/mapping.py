"""How the changes of one table under one schema version are written to its table: pieces of SQL and the Arrow
tables that they read, the input of the three modes.

Arrow columns are passed under positions (`c0`, `c1`, …), so that no source name meets the target's rules for
names there. Beside them: `s` (`_cdc_seq`) and `at` (`_cdc_commit_at`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from cdc.deferred import compute as pc
from cdc.model import ChangeBatch, Envelope, TableSchema
from cdc.sql.dialect import GIVEN, Connection, Dialect
from cdc.sql.evolve import match
from cdc.sql.steps import Room
from cdc.sql.stored import StoredColumn, StoredTable


def by_chunk(column: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert an array, or each chunk of a chunked one."""
    if not isinstance(column, pa.ChunkedArray):
        return convert(column)
    return pa.chunked_array([convert(chunk) for chunk in column.chunks or [pa.nulls(0, column.type)]])


def decimal_text(array: Any) -> Any:
    """Plain digits; Arrow writes small numbers as 1E-10, so those few are written again."""
    text = array.cast(pa.string())
    odd = np.flatnonzero(np.asarray(pc.fill_null(pc.match_substring(text, "E"), fill_value=False)))
    if len(odd) == 0:
        return text
    plain = pa.array([format(array[i].as_py(), "f") for i in odd.tolist()], pa.string())
    mask = np.zeros(len(text), np.bool_)
    mask[odd] = True
    return pc.replace_with_mask(text, pa.array(mask), plain)


def duration_text(array: Any) -> Any:
    """Durations as hh:mm:ss.ffffff; hours may be more than a day has, and negative."""
    micros = array.cast(pa.duration("us")).cast(pa.int64()).to_pylist()
    return pa.array([None if value is None else _clock(value) for value in micros], pa.string())


def _clock(micros: int) -> str:
    seconds, rest = divmod(abs(micros), 1_000_000)
    sign = "-" if micros < 0 else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:06}"


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column of the target's table: `index` is the place of its source column in the schema, None when that
    has none; then `absent` is the expression for its value.
    """

    name: str
    type: str
    index: int | None
    absent: str


class ColumnMapping:
    """A schema version's way into a table of the sink, whose qualified name is `target`; its first change is
    `first`.
    """

    def __init__(
        self, stored: StoredTable, schema: TableSchema, target: str, dialect: Dialect, first: int
    ) -> None:
        self.stored = stored
        self.schema = schema
        self.target = target
        self.dialect = dialect
        pairs = match(stored, schema)
        places = {pairs[c.name].name: i for i, c in enumerate(schema.columns) if c.name in pairs}
        self.columns = [
            TargetColumn(dialect.quoted(c.name), c.type, places.get(c.name), _absent(c, stored, first))
            for c in stored.columns
        ]
        self._types = [dialect.column_type(c, str(schema.table)) for c in schema.columns]
        self._by_index = {c.index: c for c in self.columns if c.index is not None}
        self._index = {c.name: i for i, c in enumerate(schema.columns)}

    @property
    def names(self) -> str:
        """The table's columns from the source, for an insert; a comma follows when there are any."""
        return "".join(f"{c.name}, " for c in self.columns)

    @property
    def key_names(self) -> tuple[str, ...]:
        """The table's columns that hold the schema's key."""
        return tuple(self._by_index[self._index[name]].name for name in self.schema.key)

    @property
    def has_key(self) -> bool:
        """Whether the table has every column of the schema's key."""
        return bool(self.schema.key) and all(self._index[name] in self._by_index for name in self.schema.key)

    def values(self, alias: str) -> str:
        """The expressions for `names` from a staged table."""
        return "".join(f"{self.value(alias, c)}, " for c in self.columns)

    def value(self, alias: str, column: TargetColumn) -> str:
        """Return the value of one column of the table, or the value of rows that lack it."""
        return column.absent if column.index is None else f"cast({alias}.c{column.index} as {column.type})"

    def key_equals(self, alias: str, keys: pa.Table, prefix: str = "c") -> str:
        """A join condition between the table, as `t`, and staged keys."""
        terms = []
        for name in self.schema.key:
            column = self._by_index[self._index[name]]
            place = f"{prefix}{column.index}"
            # Joining by plain equality is faster, and a null in a key is rare.
            equals = "=" if keys[place].null_count == 0 else "is not distinct from"
            terms.append(f"t.{column.name} {equals} cast({alias}.{place} as {column.type})")
        return " and ".join(terms)

    def stored_rows(self, prefix: str) -> str:
        """The table, as `t`, in a FROM clause; in a target with versions, the newest rows of the keys that
        are staged under a prefix.
        """
        if not self.dialect.is_versioned:
            return f"{self.target} t"
        return f"{self.dialect.newest(self.target, self.key_in(prefix))} t"

    def key_in(self, prefix: str, origin: str = GIVEN) -> str:
        """A condition on rows of the table: their key is one of the staged keys."""
        columns = [self._by_index[self._index[name]] for name in self.schema.key]
        given = ", ".join(f"cast({prefix}{c.index} as {c.type})" for c in columns)
        return f"({', '.join(c.name for c in columns)}) in (select {given} from {origin})"

    def keys_match(self, stored: str, staged: str) -> str:
        """A join condition between rows of the table and staged rows, under these aliases; nulls match."""
        columns = [self._by_index[self._index[name]] for name in self.schema.key]
        terms = (
            f"{stored}.{c.name} is not distinct from cast({staged}.c{c.index} as {c.type})" for c in columns
        )
        return " and ".join(terms)

    def row_equals(self, alias: str) -> str:
        """A join condition between whole rows of the table, as `t`, and staged rows."""
        return self.dialect.rows_equal(
            [(f"t.{c.name}", self.value(alias, c)) for c in self.columns if c.index is not None]
        )

    def loaded(self, own: Mapping[str, tuple[str, str]]) -> list[tuple[str, str, str]] | None:
        """The columns of `Connection.load`, with the sink's own: the type and staged column of each, by name.
        None if the rows have values that are not staged.
        """
        if any(c.index is None and c.absent != f"cast(null as {c.type})" for c in self.columns):
            return None
        ours = [(c.name, c.type, f"c{c.index}") for c in self.columns if c.index is not None]
        return [*ours, *((name, kind, staged) for name, (kind, staged) in own.items())]

    def staged(self, rows: pa.Table, extra: Mapping[str, Any] | None = None) -> pa.Table:
        """Rows as the target reads them; columns that the rows lack (keys only) are left out."""
        made: dict[str, Any] = {}
        for name in rows.column_names:
            if name in self._index:
                index = self._index[name]
                made[f"c{index}"] = self.readable(index, rows[name])
        made["s"] = rows[Envelope.SEQ]
        made["at"] = rows[Envelope.COMMIT_AT]
        return pa.table({**made, **(extra or {})})

    def staged_keys(self, keys: pa.Table, prefix: str) -> dict[str, Any]:
        """Key columns under `prefix` and their places."""
        return {
            f"{prefix}{self._index[name]}": self.readable(self._index[name], keys[name])
            for name in keys.column_names
        }

    def readable(self, index: int, array: Any) -> Any:
        """Values of the schema's column at that place, as the target reads them."""
        return by_chunk(array, lambda one: self.dialect.readable(one, self._types[index]))

    def place(self, name: str) -> int:
        """The place of the schema's column of that name."""
        return self._index[name]


def _absent(column: StoredColumn, stored: StoredTable, first: int) -> str:
    """Return the SQL value of rows from offset `first` on in a column that their schema lacks: the rows are
    older than the column, or the column was dropped before them.
    """
    since = column.since
    if since is None:
        since = 0 if column.retired else stored.schema_seq
    return column.fill if column.fill is not None and first < since else f"cast(null as {column.type})"


@dataclass(frozen=True, slots=True)
class Change:
    """The changes of one table under one schema version, and their mapping to its table.

    `replayed_below`: changes with a lower `_cdc_seq` have been in this sink before; 0 when nothing is
    replayed. `room` counts values that are copied from stored rows.
    """

    connection: Connection
    mapping: ColumnMapping
    batches: Sequence[ChangeBatch]
    replayed_below: int
    count: Callable[[str, int], None]
    room: Room

    @property
    def is_replay(self) -> bool:
        return bool(self.batches) and self.batches[0].seq[0].as_py() < self.replayed_below

    def lacked_by_mirror(self) -> Change:
        """Return the changes that a mirror may lack: a replay leaves out what its rows reflect."""
        if not self.mapping.schema.key:
            # Equal rows have no identity that a replay could compare: it passes over what has been here.
            return self.not_below(self.replayed_below)
        if self.is_replay:
            since = self.mapping.stored.since_seq
            return self.not_below(since if self.mapping.has_key else self.replayed_below)
        return self

    def split_at(self, seq: int) -> list[Change]:
        """Return the changes below `seq`, then the others; omit empty parts."""
        if not self.is_replay:
            return [self]
        below = [batch.filtered(pc.less(batch.seq, pa.scalar(seq, pa.int64()))) for batch in self.batches]
        kept = [batch for batch in below if batch.row_count]
        return [one for one in (replace(self, batches=kept), self.not_below(seq)) if one.batches]

    def not_below(self, seq: int) -> Change:
        """Return the changes at `seq` and after it."""
        kept = [_from(batch, seq) for batch in self.batches]
        return replace(self, batches=[batch for batch in kept if batch.row_count])


def _from(batch: ChangeBatch, seq: int) -> ChangeBatch:
    if batch.row_count and batch.seq[0].as_py() >= seq:
        return batch
    return batch.filtered(pc.greater_equal(batch.seq, pa.scalar(seq, pa.int64())))
