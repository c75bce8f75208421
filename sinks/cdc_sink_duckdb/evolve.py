"""From a table as it is to the shape of a new schema version: which statements, and what the table is then.

A mirror drops what the source dropped. Changelogs and histories keep it (retired), since their older rows
have values there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cdc.errors import SchemaChangeRefused
from cdc.model import Column, TableSchema
from cdc_sink_duckdb.catalog import StoredColumn, StoredTable
from cdc_sink_duckdb.layout import before_type, own_columns, reserved_names
from cdc_sink_duckdb.literals import expression
from cdc_sink_duckdb.names import column_names, folded, quoted
from cdc_sink_duckdb.options import Deletes, Identifiers, Mode, Options, SchemaChanges
from cdc_sink_duckdb.types import column_type


@dataclass(slots=True)
class Evolution:
    """`changes` names the differences for people; `ignored` are the columns left out; `origins` says which
    column of before each column now goes on from; `converts` whether stored values get another type.
    """

    stored: StoredTable
    target: str
    statements: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    converts: bool = False


def create(stored: StoredTable, target: str) -> str:
    """The statement that creates the table under the qualified name `target`."""
    columns = [(column.name, column.type) for column in stored.columns]
    columns += own_columns(stored.mode, stored.deletes)
    if stored.mode == "append" and stored.columns:
        columns.append(("_cdc_before", before_type(stored.columns)))
    return f"create table {target} (" + ", ".join(f"{quoted(n)} {t}" for n, t in columns) + ")"


def fresh_columns(
    schema: TableSchema, mode: Mode, deletes: Deletes, identifiers: Identifiers
) -> tuple[StoredColumn, ...]:
    """The columns of a new table."""
    names = column_names(schema, reserved_names(mode, deletes), {}, identifiers)
    return tuple(_fresh(column, schema, names) for column in schema.columns)


def evolve(stored: StoredTable, schema: TableSchema, options: Options, seq: int, target: str) -> Evolution:
    """What it takes to bring `stored`, the table `target`, to `schema`, whose first change is `seq`.

    Raises:
        SchemaChangeRefused: the policy is `stop` and columns differ.
        SinkRefused: a column's name is taken, and `identifiers` is `fail`.
    """
    policy = options.schema_changes
    pairs = match(stored, schema)
    held = {name: column.name for name, column in pairs.items() if column.source_name == name}
    names = column_names(schema, reserved_names(stored.mode, stored.deletes), held, options.identifiers)
    same_key = stored.relation == schema.relation and _key_of(stored, pairs, schema) == _stored_key(stored)
    since = stored.since_seq if same_key else seq
    step = Evolution(
        replace(
            stored,
            relation=schema.relation,
            version=schema.version,
            key=schema.key,
            identity=schema.identity,
            schema_seq=seq,
            since_seq=since,
        ),
        target,
    )
    matched = {id(column) for column in pairs.values()}
    columns = _leave(step, [c for c in stored.columns if id(c) not in matched], names, policy)
    columns += _carry_over(step, pairs, schema, names, policy)
    columns += _add(step, schema, pairs, names, policy)
    if policy == "stop" and step.changes:
        raise SchemaChangeRefused(
            f"the source's table changed ({'; '.join(step.changes)}) and schema_changes is stop",
            where=str(schema.table),
            remedy="Set schema_changes to evolve or freeze for this sink and start again.",
        )
    step.stored = replace(step.stored, columns=tuple(columns))
    if stored.mode == "append" and step.statements:
        step.statements.append(_rebuild_before(step, was_empty=not stored.columns))
    return step


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


def _leave(
    step: Evolution, left: Sequence[StoredColumn], names: Mapping[str, str], policy: SchemaChanges
) -> list[StoredColumn]:
    """Columns that the source doesn't have: dropped just now, or retired before."""
    if policy == "freeze":
        step.origins.update({c.name: c.name for c in left})
        return list(left)
    step.changes += [f"column {c.source_name!r} was dropped" for c in left if not c.retired]
    if step.stored.mode == "mirror":
        step.statements += [f"alter table {step.target} drop column {quoted(c.name)}" for c in left]
        return []
    wanted = {folded(name) for name in names.values()}
    taken = wanted | {folded(c.name) for c in left}
    kept = []
    for column in left:
        name = column.name
        if folded(name) in wanted:
            # A new column has its name: the old one steps aside, with the source's number of it.
            while folded(name) in taken:
                name = f"{name}__{column.id or 'old'}"
            taken.add(folded(name))
            step.statements.append(_rename(step.target, column.name, name))
        step.origins[name] = column.name
        kept.append(replace(column, name=name, retired=True))
    return kept


def _carry_over(
    step: Evolution,
    pairs: dict[str, StoredColumn],
    schema: TableSchema,
    names: Mapping[str, str],
    policy: SchemaChanges,
) -> list[StoredColumn]:
    """Columns on both sides: renamed, of another type, or as they were."""
    renames: list[tuple[str, str]] = []
    types: list[str] = []
    made = []
    for column in schema.columns:
        if column.name not in pairs:
            continue
        old = pairs[column.name]
        new = replace(old, source_name=column.name, relation=schema.relation, id=column.id, retired=False)
        wanted = column_type(column, str(schema.table))
        if policy != "freeze":
            name = names[column.name]
            if old.name != name:
                step.changes.append(f"column {old.source_name!r} was renamed to {column.name!r}")
                renames.append((old.name, name))
            if old.type != wanted:
                step.changes.append(f"column {column.name!r} changed its type from {old.type} to {wanted}")
                types.append(f"alter table {step.target} alter column {quoted(name)} type {wanted}")
            fill = old.fill if old.type == wanted else _recast(old.fill, wanted)
            new = replace(new, name=name, type=wanted, fill=fill)
        step.origins[new.name] = old.name
        made.append(new)
    # By way of names that nothing has: two columns may have swapped theirs.
    step.statements += [_rename(step.target, old, f"_cdc_rename_{i}") for i, (old, _) in enumerate(renames)]
    step.statements += [_rename(step.target, f"_cdc_rename_{i}", new) for i, (_, new) in enumerate(renames)]
    step.statements += types
    step.converts = bool(types)
    return made


def _add(
    step: Evolution,
    schema: TableSchema,
    pairs: Mapping[str, StoredColumn],
    names: Mapping[str, str],
    policy: SchemaChanges,
) -> list[StoredColumn]:
    columns = [c for c in schema.columns if c.name not in pairs]
    if policy == "freeze":
        step.ignored = [c.name for c in columns]
        return []
    made = [_fresh(column, schema, names) for column in columns]
    for new in made:
        step.changes.append(f"column {new.source_name!r} was added")
        added = f"alter table {step.target} add column {quoted(new.name)} {new.type}"
        if new.fill is None or step.stored.mode == "append":
            step.statements.append(added)
            continue
        step.statements.append(f"{added} default {new.fill}")
        step.statements.append(f"alter table {step.target} alter column {quoted(new.name)} drop default")
    return made


def _fresh(column: Column, schema: TableSchema, names: Mapping[str, str]) -> StoredColumn:
    kind = column_type(column, str(schema.table))
    fill = None if column.fill is None else expression(column.fill, kind)
    return StoredColumn(names[column.name], kind, column.name, schema.relation, column.id, fill)


def _rebuild_before(step: Evolution, *, was_empty: bool) -> str:
    """The old images hold the same columns as the rows: give the struct their new names and types."""
    kind = before_type(step.stored.columns)
    if was_empty:
        return f"alter table {step.target} add column _cdc_before {kind}"
    fields = []
    for column in step.stored.columns:
        origin = step.origins.get(column.name)
        value = "null" if origin is None else f"_cdc_before.{quoted(origin)}"
        fields.append(f"{quoted(column.name)} := cast({value} as {column.type})")
    packed = f"case when _cdc_before is null then null else struct_pack({', '.join(fields)}) end"
    return f"alter table {step.target} alter column _cdc_before type {kind} using {packed}"


def _key_of(
    stored: StoredTable, pairs: dict[str, StoredColumn], schema: TableSchema
) -> list[tuple[str, str]] | None:
    if any(name not in pairs for name in schema.key):
        return None
    kinds = {c.name: column_type(c, str(schema.table)) for c in schema.columns}
    return [(pairs[name].name, kinds[name]) for name in schema.key] + [("", schema.identity)]


def _stored_key(stored: StoredTable) -> list[tuple[str, str]]:
    by_source = {c.source_name: c for c in stored.columns if not c.retired}
    found = [by_source[name] for name in stored.key if name in by_source]
    return [(c.name, c.type) for c in found] + [("", stored.identity)]


def _recast(fill: str | None, kind: str) -> str | None:
    return None if fill is None else f"cast({fill} as {kind})"


def _rename(target: str, old: str, new: str) -> str:
    return f"alter table {target} rename column {quoted(old)} to {quoted(new)}"
