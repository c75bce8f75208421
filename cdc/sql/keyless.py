"""Tables whose rows have no key: multisets, where one of several equal rows is as good as another.

A removal takes the oldest equal row, so that the outcome is the same wherever batches were cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa

from cdc.sql.dialect import GIVEN
from cdc.sql.layout import own_columns
from cdc.sql.mapping import Change, ColumnMapping


def insert_added(change: Change, rows: pa.Table, own: Mapping[str, str]) -> None:
    """Insert these rows, as `r`, with the sink's own columns by name and expression."""
    if rows.num_rows == 0:
        return
    mapping = change.mapping
    staged = mapping.staged(rows)
    columns = _loaded(mapping, own)
    if columns is not None and change.connection.load(mapping.target, columns, staged, is_new=False):
        return
    change.connection.run(
        f"insert into {mapping.target} ({mapping.names}{', '.join(own)}) "
        f"select {mapping.values('r')}{', '.join(own.values())} from {GIVEN} r",
        staged,
    )


def _loaded(mapping: ColumnMapping, own: Mapping[str, str]) -> list[tuple[str, str, str]] | None:
    """The columns of `Connection.load`; None if one of the sink's own is not staged."""
    if not all(value.startswith("r.") for value in own.values()):
        return None
    stored = mapping.stored
    is_keyed = bool(stored.key)
    kinds = dict(own_columns(stored.mode, stored.deletes, mapping.dialect, is_keyed=is_keyed))
    return mapping.loaded({name: (kinds[name], value.removeprefix("r.")) for name, value in own.items()})


@contextmanager
def oldest_removed(change: Change, rows: pa.Table, *, alive: str) -> Iterator[str]:
    """A query in brackets that gives, for each removed row, `r`, the `_cdc_seq` of the oldest equal one, and
    `s` and `at`.

    `alive` says which stored rows count. A row is found again by its `_cdc_seq`, which no two rows that count
    share, never by its rowid: DuckDB 2.0.0 damages its memory (wrong rows, a crash, or the words "Corrupted
    uncompressed string segment") when rows that the same transaction inserted are deleted by rowid.
    """
    mapping = change.mapping
    # The stored rows are numbered by kind, not by all their columns: one integer to sort by.
    places = [f"c{c.index}" for c in mapping.columns if c.index is not None]
    equal = mapping.dialect.rows_equal([(f"a.{p}", f"b.{p}") for p in places])
    partition = f"partition by {', '.join(places)}" if places else ""
    connection = change.connection
    numbered = f"select *, row_number() over ({partition} order by s) as n from {GIVEN}"
    gone = connection.keep("_cdc_gone", numbered, mapping.staged(rows))
    kinds = f"select *, row_number() over () as g from {gone} where n = 1"
    kinds = connection.keep("_cdc_kinds", kinds)
    stored = (
        "select t._cdc_seq as r, a.g, row_number() over (partition by a.g order by t._cdc_seq) as n "
        f"from {mapping.target} t join {kinds} a on {mapping.row_equals('a')} where {alive}"
    )
    removed = f"select b.*, a.g from {gone} b join {kinds} a on {equal}"
    yield f"(select o.r, b.s, b.at from ({stored}) o join ({removed}) b on o.g = b.g and o.n = b.n)"
    connection.run(f"drop table {gone}")
    connection.run(f"drop table {kinds}")
