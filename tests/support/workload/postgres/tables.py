"""The workload's tables: every kind of identity that logical replication knows, and every type."""

from __future__ import annotations

import random

from tests.support.workload import values
from tests.support.workload.postgres.types import EVERY_TYPE
from tests.support.workload.specs import BULK_ROWS, KEY_SPACE, SCHEMA, TableSpec
from tests.support.workload.values import ColumnSpec

REGIONS = ("north", "south", "east", "west")


def _small_key(rng: random.Random) -> str:
    return str(rng.randrange(KEY_SPACE))


def _id() -> ColumnSpec:
    return ColumnSpec("id", "bigint", _small_key, nullable=False)


def _partition(region: str) -> str:
    return region if region in REGIONS[:2] else "rest"


def _moved(old: tuple[str, ...], new: tuple[str, ...]) -> int:
    return 1 if _partition(old[1]) == _partition(new[1]) else 2


def _note(limit: int = 40) -> ColumnSpec:
    return ColumnSpec("note", "text", values.text(limit))


def _amount() -> ColumnSpec:
    return ColumnSpec("amount", "numeric(12,2)", values.decimal(12, 2))


def _number() -> ColumnSpec:
    return ColumnSpec("n", "integer", lambda rng: str(rng.randrange(50)))


def _big(name: str = "big") -> ColumnSpec:
    return ColumnSpec(name, "text", values.big_text)


EVERYTHING = TableSpec(
    "everything",
    (_id(),),
    tuple(ColumnSpec(f"c{i:02d}", kind, make) for i, (kind, make) in enumerate(EVERY_TYPE)),
)
COMPOSITE = TableSpec(
    "composite",
    (
        ColumnSpec("tenant", "integer", values.one_of("1", "2", "3"), nullable=False),
        ColumnSpec(
            'Code "q"\'s', "text", lambda rng: f"k{rng.randrange(KEY_SPACE // 3)} \u00e4", nullable=False
        ),
    ),
    (_note(), _amount(), ColumnSpec("at", "timestamptz", values.timestamptz)),
    truncates=True,
)
KEYLESS = TableSpec(
    "keyless",
    (),
    (_number(), _note(10), _amount(), ColumnSpec("at", "timestamptz", values.timestamptz), _big()),
    after=(
        f"alter table {SCHEMA}.keyless replica identity full",
        f"alter table {SCHEMA}.keyless alter big set storage external",
    ),
)
BY_INDEX = TableSpec(
    "by_index",
    (ColumnSpec("code", "varchar(20)", lambda rng: f"c{rng.randrange(KEY_SPACE)}", nullable=False),),
    (_number(), _note(), _big()),
    after=(
        f"create unique index by_index_code on {SCHEMA}.by_index (code)",
        f"alter table {SCHEMA}.by_index replica identity using index by_index_code",
    ),
)
PARTED = TableSpec(
    "parted",
    (_id(), ColumnSpec("region", "text", values.one_of(*REGIONS), nullable=False)),
    (_note(), _amount()),
    tail="partition by list (region)",
    after=(
        f"create table {SCHEMA}.parted_north partition of {SCHEMA}.parted for values in ('north')",
        f"create table {SCHEMA}.parted_south partition of {SCHEMA}.parted for values in ('south')",
        f"create table {SCHEMA}.parted_rest partition of {SCHEMA}.parted default",
    ),
    truncates=True,
    moves=_moved,
)
TOASTY = TableSpec(
    "toasty",
    (_id(),),
    (
        _number(),
        _note(),
        _big("big_a"),
        _big("big_b"),
        ColumnSpec("doc", "jsonb", lambda rng: f'{{"v":"{values.big_text(rng)}"}}'),
    ),
    after=(f"alter table {SCHEMA}.toasty alter big_a set storage external",),
)
FULL_KEYED = TableSpec(
    "full_keyed",
    (_id(),),
    (_number(), _note(), _big()),
    after=(f"alter table {SCHEMA}.full_keyed replica identity full",),
)
SHAPE = TableSpec("shape", (_id(),), (_number(), _note()))
BULK = TableSpec(
    "bulk",
    (ColumnSpec("id", "bigint", lambda rng: str(rng.randrange(BULK_ROWS)), nullable=False),),
    (_number(), _note(), _amount()),
)

TABLES = (EVERYTHING, COMPOSITE, KEYLESS, BY_INDEX, PARTED, TOASTY, FULL_KEYED, SHAPE, BULK)
# A primary key would be chosen over the index as the key of a table without one; this one has only the index.
WITHOUT_PRIMARY_KEY = frozenset({"by_index"})

TYPE_STATEMENTS = (
    "create extension hstore",
    "create extension citext",
    "create extension ltree",
    f"create schema {SCHEMA}",
    f"create type {SCHEMA}.mood as enum ('sad', 'ok', 'very happy')",
    f"create domain {SCHEMA}.positive as integer check (value > 0)",
    f"create type {SCHEMA}.pair as (n integer, label text)",
)


def create_statements() -> list[str]:
    """Everything that has to be there before the first writer."""
    made = [s for table in TABLES for s in table.create_statements(table.name not in WITHOUT_PRIMARY_KEY)]
    series = f"generate_series(0, {BULK_ROWS - 1}) i"
    fill = f"insert into {BULK.sql_name} select i, i % 50, 'row ' || i, i / 4.0 from {series}"
    return [*TYPE_STATEMENTS, *made, fill]
