"""Alter a table to a new schema version: the statements, and the resulting table.

A mirror drops what the source dropped. Changelogs and histories keep it (retired), since their older rows
have values there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cdc.errors import SchemaChangeRefused
from cdc.model import Column, TableSchema
from cdc.sql.dialect import Dialect
from cdc.sql.layout import BEFORE, own_columns, reserved_names
from cdc.sql.names import column_names, extended
from cdc.sql.options import Mode, TableOptions
from cdc.sql.stored import StoredColumn, StoredTable


@dataclass(slots=True)
class Evolution:
    """`changes` names the differences for people; `ignored` are the columns left out; `origins` says which
    column of before each column now continues from; `converts` whether stored values get another type, and
    `conversions` which columns of before get which type;
    `changes_key` whether the key is in other columns, or in columns of other types.
    """

    stored: StoredTable
    target: str
    statements: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    converts: bool = False
    conversions: list[tuple[str, str]] = field(default_factory=list)
    changes_key: bool = False


def create(stored: StoredTable, target: str, dialect: Dialect) -> str:
    """The statement that creates the table under the qualified name `target`."""
    columns = [(column.name, column.type) for column in stored.columns]
    columns += own_columns(stored.mode, stored.deletes, dialect, is_keyed=bool(stored.key))
    if stored.mode == "append" and stored.columns:
        columns.append((BEFORE, _image_type(stored, dialect)))
    return dialect.create_table(target, columns, stored)


def fresh_columns(
    schema: TableSchema, options: TableOptions, dialect: Dialect, seq: int
) -> tuple[StoredColumn, ...]:
    """The columns of a new table, whose first change is `seq`."""
    reserved = [*reserved_names(options.mode, options.deletes, dialect), *dialect.system_columns]
    names = column_names(schema, reserved, {}, options.identifiers, dialect)
    return tuple(
        _fresh(column, schema, names, kind_of(column, schema, options.mode, dialect), dialect, seq)
        for column in schema.columns
    )


def evolve(
    stored: StoredTable, schema: TableSchema, options: TableOptions, seq: int, target: str, dialect: Dialect
) -> Evolution:
    """Return how to alter `stored`, the table `target`, to `schema`, whose first change is `seq`.

    Raises:
        SchemaChangeRefused: the policy is `stop` and columns differ.
        SinkRefused: a column's name is taken, and `identifiers` is `fail`.
    """
    return _Evolver(stored, schema, options, target, dialect).evolve(seq)


def kind_of(column: Column, schema: TableSchema, mode: Mode, dialect: Dialect) -> str:
    """The type of a column of the schema.

    Raises:
        SinkRefused: no type holds its values exactly.
    """
    kind = dialect.column_type(column, str(schema.table))
    is_key = mode != "append" and column.name in schema.key and not column.nullable
    return dialect.key_type(kind) if is_key else kind


def match(stored: StoredTable, schema: TableSchema) -> dict[str, StoredColumn]:
    """Which stored column holds each of the schema's columns, by the source's numbers, else by name."""
    by_id: dict[tuple[int | None, int | None], StoredColumn] = {
        (c.relation, c.id): c for c in stored.columns if c.id is not None
    }
    by_name = {c.source_name: c for c in stored.columns if not c.retired}
    pairs: dict[str, StoredColumn] = {}
    for column in schema.columns:
        found = by_id.get((schema.relation, column.id))
        if found is not None:
            pairs[column.name] = found
    taken = {id(column) for column in pairs.values()}
    for column in schema.columns:
        found = by_name.get(column.name)
        if column.name in pairs or found is None or id(found) in taken:
            continue
        # Same table, other number: that one was dropped, and this one added under its name.
        if found.relation != schema.relation or found.id is None or column.id is None:
            pairs[column.name] = found
    return pairs


class _Evolver:
    def __init__(
        self, stored: StoredTable, schema: TableSchema, options: TableOptions, target: str, dialect: Dialect
    ) -> None:
        self._stored = stored
        self._schema = schema
        self._policy = options.schema_changes
        self._target = target
        self._dialect = dialect
        self._pairs = match(stored, schema)
        held = {name: column.name for name, column in self._pairs.items() if column.source_name == name}
        reserved = [*reserved_names(stored.mode, stored.deletes, dialect), *dialect.system_columns]
        self._names = column_names(schema, reserved, held, options.identifiers, dialect)
        self._step = Evolution(stored, target)

    def evolve(self, seq: int) -> Evolution:
        stored, schema, step = self._stored, self._schema, self._step
        step.changes_key = self._key() != _stored_key(stored)
        same_key = stored.relation == schema.relation and not step.changes_key
        matched = {id(column) for column in self._pairs.values()}
        columns = self._leave([c for c in stored.columns if id(c) not in matched])
        columns += self._carry_over()
        columns += self._add(seq)
        if self._policy == "stop" and step.changes:
            raise SchemaChangeRefused(
                f"the source's table changed ({'; '.join(step.changes)}) and schema_changes is stop",
                where=str(schema.table),
                remedy="Set schema_changes to evolve or freeze for this sink, then run: cdc reload",
            )
        step.stored = replace(
            stored,
            columns=tuple(columns),
            relation=schema.relation,
            version=schema.version,
            key=schema.key,
            identity=schema.identity,
            schema_seq=seq,
            since_seq=stored.since_seq if same_key else seq,
        )
        if stored.mode == "append" and step.statements and self._dialect.rebuilds_images:
            step.statements += self._rebuild_before()
        return step

    def _leave(self, left: Sequence[StoredColumn]) -> list[StoredColumn]:
        """Columns that the source doesn't have: dropped just now, or retired before."""
        step, folded = self._step, self._dialect.folded
        if self._policy == "freeze":
            step.origins.update({c.name: c.name for c in left})
            return list(left)
        step.changes += [f"column {c.source_name!r} was dropped" for c in left if not c.retired]
        if self._stored.mode == "mirror":
            step.statements += [self._dialect.drop_column(self._target, c.name) for c in left]
            return []
        wanted = {folded(name) for name in self._names.values()}
        taken = wanted | {folded(c.name) for c in left}
        kept = []
        for column in left:
            name, number = column.name, str(column.id or "old")
            if folded(name) in wanted:
                # A new column has its name: the old one steps aside, with the source's number of it.
                suffix = number
                while folded(name := extended(column.name, suffix, self._dialect)) in taken:
                    suffix = f"{suffix}__{number}"
                taken.add(folded(name))
                step.statements.append(self._rename(column.name, name))
            step.origins[name] = column.name
            kept.append(replace(column, name=name, retired=True))
        return kept

    def _carry_over(self) -> list[StoredColumn]:
        """Columns on both sides: renamed, of another type, or as they were."""
        step, dialect = self._step, self._dialect
        renames: list[tuple[str, str]] = []
        types: list[str] = []
        made = []
        for column in self._schema.columns:
            if column.name not in self._pairs:
                continue
            old = self._pairs[column.name]
            new = replace(
                old, source_name=column.name, relation=self._schema.relation, id=column.id, retired=False
            )
            wanted = self._type(column)
            if self._policy != "freeze":
                name = self._names[column.name]
                if old.name != name:
                    step.changes.append(f"column {old.source_name!r} was renamed to {column.name!r}")
                    renames.append((old.name, name))
                if old.type != wanted:
                    step.changes.append(
                        f"column {column.name!r} changed its type from {old.type} to {wanted}"
                    )
                    value = dialect.converted(dialect.quoted(name), old.type, wanted)
                    step.conversions.append((old.name, wanted))
                    types += dialect.change_type(self._target, name, wanted, value)
                fill = old.fill
                if fill is not None and old.type != wanted:
                    fill = dialect.cast(fill, wanted)
                new = replace(new, name=name, type=wanted, fill=fill)
            step.origins[new.name] = old.name
            made.append(new)
        # By way of names that nothing has: two columns may have swapped theirs.
        step.statements += [self._rename(old, f"_cdc_rename_{i}") for i, (old, _) in enumerate(renames)]
        step.statements += [self._rename(f"_cdc_rename_{i}", new) for i, (_, new) in enumerate(renames)]
        step.statements += types
        step.converts = bool(types)
        return made

    def _add(self, seq: int) -> list[StoredColumn]:
        step, dialect = self._step, self._dialect
        columns = [c for c in self._schema.columns if c.name not in self._pairs]
        if self._policy == "freeze":
            step.ignored = [c.name for c in columns]
            return []
        made = [
            _fresh(column, self._schema, self._names, self._type(column), dialect, seq) for column in columns
        ]
        for new in made:
            step.changes.append(f"column {new.source_name!r} was added")
            step.statements += dialect.add_column(self._target, new.name, new.type, new.fill)
            if self._stored.mode == "append" and new.fill is not None and not dialect.is_versioned:
                # A truncate is no row that could have the column's value.
                none = f"set {dialect.quoted(new.name)} = null where _cdc_op = 't'"
                step.statements.append(f"update {self._target} {none}")
        return made

    def _rebuild_before(self) -> list[str]:
        """The old images hold the same columns as the rows: give them the new names and types."""
        dialect, stored = self._dialect, self._step.stored
        kind = _image_type(stored, dialect)
        if kind == _image_type(self._stored, dialect) and self._only_adds():
            return []
        if not self._stored.columns:
            return dialect.add_column(self._target, BEFORE, kind)
        fields = []
        for column in stored.columns:
            origin = self._step.origins.get(column.name)
            value = column.fill or "null" if origin is None else dialect.image_field(BEFORE, origin)
            fields.append((column.name, dialect.cast(value, column.type)))
        image = f"case when {BEFORE} is null then null else {dialect.image(fields)} end"
        return dialect.change_type(self._target, BEFORE, kind, image)

    def _only_adds(self) -> bool:
        """Whether old images without a type of their own stay right: what they lack is null."""
        before = {column.name: column.type for column in self._stored.columns}
        return bool(before) and all(
            column.fill is None if origin is None else (origin, before[origin]) == (column.name, column.type)
            for column in self._step.stored.columns
            for origin in [self._step.origins.get(column.name)]
        )

    def _key(self) -> list[tuple[str, str]] | None:
        key = self._schema.key
        if any(name not in self._pairs for name in key):
            return None
        found = [(self._pairs[name].name, self._type(self._schema.column(name))) for name in key]
        return [*found, ("", self._schema.identity)]

    def _type(self, column: Column) -> str:
        return kind_of(column, self._schema, self._stored.mode, self._dialect)

    def _rename(self, old: str, new: str) -> str:
        return self._dialect.rename_column(self._target, old, new)


def _fresh(
    column: Column, schema: TableSchema, names: Mapping[str, str], kind: str, dialect: Dialect, seq: int
) -> StoredColumn:
    fill = None if column.fill is None else dialect.value(column.fill, kind)
    since = None if fill is None else seq
    return StoredColumn(names[column.name], kind, column.name, schema.relation, column.id, fill, since=since)


def _stored_key(stored: StoredTable) -> list[tuple[str, str]]:
    by_source = {c.source_name: c for c in stored.columns if not c.retired}
    found = [by_source[name] for name in stored.key if name in by_source]
    return [(c.name, c.type) for c in found] + [("", stored.identity)]


def _image_type(stored: StoredTable, dialect: Dialect) -> str:
    return dialect.image_type([(column.name, column.type) for column in stored.columns])
