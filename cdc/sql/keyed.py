"""Three ways to bring staged rows into a table by key: delete and insert, INSERT … ON CONFLICT, and MERGE.

`Dialect.write_keyed` chooses one for its target; the default is delete and insert.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """Staged rows, `r`, and the table that they go into, `t`; at most one staged row for each key.

    `columns` pairs each column of the table with its value, an expression of `r`; `key` names those that are
    the key, and `matches` is the condition that `t` and `r` have the same one. `origin` is what a FROM clause
    names. `gone` is a condition on `r`: the row is to be deleted; None if no row is. With `keeps_newer`, in a
    replay, a stored row whose `_cdc_seq` is not below that of the staged row, `r.s`, stays.

    With `keeps_deleted`, a stored row may be one that was marked deleted: its key equals that of the new row,
    but may be written in another way (1.0 and 1.00).

    `is_unique`: the table has at most one row for each key, and no staged key has a null. Without it, only
    delete and insert is exact.
    """

    target: str
    origin: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    matches: str
    gone: str | None
    keeps_newer: bool
    is_unique: bool
    keeps_deleted: bool = False

    @property
    def names(self) -> str:
        """The columns of the table, for an insert."""
        return ", ".join(name for name, _ in self.columns)

    @property
    def values(self) -> str:
        """The expressions for `names`."""
        return ", ".join(value for _, value in self.columns)

    def selected(self, *conditions: str) -> str:
        """The query for the rows that are to be in the table, under further conditions."""
        found = [*([f"not {self.gone}"] if self.gone else []), *conditions]
        return f"select {self.values} from {self.origin} r" + (
            f" where {' and '.join(found)}" if found else ""
        )

    def changed(self, value_of: Callable[[str, str], str]) -> str:
        """The assignments to the columns that may differ, by name and expression."""
        others = ((name, value) for name, value in self.columns if self.keeps_deleted or name not in self.key)
        return ", ".join(f"{name} = {value_of(name, value)}" for name, value in others)


def delete_and_insert(rows: KeyedRows, delete: Callable[[str, str, str], str]) -> list[str]:
    """Return the statements for targets of any kind; `delete` is `Dialect.delete`."""
    replaced, unless_kept = rows.matches, []
    if rows.keeps_newer:
        replaced += " and t._cdc_seq < r.s"
        unless_kept = [f"not exists (select 1 from {rows.target} t where {rows.matches})"]
    return [
        delete(rows.target, f"{rows.origin} r", replaced),
        f"insert into {rows.target} ({rows.names}) {rows.selected(*unless_kept)}",
    ]


def insert_on_conflict(rows: KeyedRows, delete: Callable[[str, str, str], str]) -> list[str]:
    """Return the statements for targets with a unique index on the key (`Connection.index_key`)."""
    if not rows.is_unique:
        return delete_and_insert(rows, delete)
    newer = ("t._cdc_seq < r.s", "t._cdc_seq < excluded._cdc_seq") if rows.keeps_newer else ("true", "true")
    # SQLite takes ON for a join's unless there is a WHERE.
    upsert = (
        f"insert into {rows.target} as t ({rows.names}) {rows.selected('true')} on conflict "
        f"({', '.join(rows.key)}) do update set {rows.changed(lambda name, _: f'excluded.{name}')} "
        f"where {newer[1]}"
    )
    if rows.gone is None:
        return [upsert]
    return [delete(rows.target, f"{rows.origin} r", f"{rows.matches} and {rows.gone} and {newer[0]}"), upsert]


def merge(rows: KeyedRows, delete: Callable[[str, str, str], str]) -> list[str]:
    """Return the one statement of standard SQL."""
    if not rows.is_unique:
        return delete_and_insert(rows, delete)
    newer = " and t._cdc_seq < r.s" if rows.keeps_newer else ""
    deleted = f"when matched and {rows.gone}{newer} then delete " if rows.gone else ""
    wanted = f" and not {rows.gone}" if rows.gone else ""
    return [
        f"merge into {rows.target} as t using {rows.origin} as r on {rows.matches} {deleted}"
        f"when matched{newer} then update set {rows.changed(lambda _, value: value)} "
        f"when not matched{wanted} then insert ({rows.names}) values ({rows.values})"
    ]
