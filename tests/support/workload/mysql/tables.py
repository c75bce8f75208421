"""The workload's tables on MySQL and MariaDB: every kind of key, and every type."""

from __future__ import annotations

import random

from tests.support.workload import values
from tests.support.workload.mysql.types import every_type, instant
from tests.support.workload.specs import BULK_ROWS, KEY_SPACE, SCHEMA, TableSpec
from tests.support.workload.values import ColumnSpec

# Names that begin so are no part of the source: what an online schema change works on.
GHOST_PREFIX = "_"
REGIONS = ("north", "south", "east", "west")


def _small_key(rng: random.Random) -> str:
    return str(rng.randrange(KEY_SPACE))


def _id() -> ColumnSpec:
    return ColumnSpec("id", "bigint", _small_key, nullable=False)


def _note(limit: int = 40) -> ColumnSpec:
    return ColumnSpec("note", "varchar(200)", values.text(limit))


def _amount() -> ColumnSpec:
    return ColumnSpec("amount", "decimal(12,2)", values.decimal(12, 2))


def _number() -> ColumnSpec:
    return ColumnSpec("n", "int", lambda rng: str(rng.randrange(50)))


def _big(name: str = "big") -> ColumnSpec:
    return ColumnSpec(name, "longtext", values.big_text)


def _at() -> ColumnSpec:
    return ColumnSpec("at", "timestamp(6) null", instant(6))


def _everything(flavour: str) -> TableSpec:
    return TableSpec("everything", (_id(),), every_type(flavour))


COMPOSITE = TableSpec(
    "composite",
    (
        ColumnSpec("tenant", "int", values.one_of("1", "2", "3"), nullable=False),
        ColumnSpec(
            'Code "q"\'s`',
            "varchar(40)",
            lambda rng: f"k{rng.randrange(KEY_SPACE // 3)} \u00e4",
            nullable=False,
        ),
    ),
    (_note(), _amount(), _at()),
    truncates=True,
)
KEYLESS = TableSpec("keyless", (), (_number(), _note(10), _amount(), _at(), _big()))
BY_INDEX = TableSpec(
    "by_index",
    (ColumnSpec("code", "varchar(20)", lambda rng: f"c{rng.randrange(KEY_SPACE)}", nullable=False),),
    (_number(), _note(), _big()),
    after=(f"alter table {SCHEMA}.by_index add unique index by_code (code)",),
)
PARTED = TableSpec(
    "parted",
    (_id(), ColumnSpec("region", "varchar(10)", values.one_of(*REGIONS), nullable=False)),
    (_note(), _amount()),
    tail="partition by list columns (region) (partition p0 values in ('north'),"
    " partition p1 values in ('south'), partition p2 values in ('east', 'west'))",
    truncates=True,
)
WIDE = TableSpec(
    "wide",
    (_id(),),
    (
        _number(),
        _note(),
        _big("big_a"),
        _big("big_b"),
        ColumnSpec("doc", "json", lambda rng: f'{{"v":"{values.big_text(rng)}"}}'),
    ),
)
GENERATED = TableSpec(
    "generated",
    (_id(),),
    (_number(), _note()),
    after=(
        f"alter table {SCHEMA}.generated add column twice int generated always as (n * 2) virtual after id",
        f"alter table {SCHEMA}.generated add column kept varchar(300) generated always as"
        " (concat(note, '!')) stored",
        f"alter table {SCHEMA}.generated add column unseen int invisible default 7",
    ),
)
SHAPE = TableSpec("shape", (_id(),), (_number(), _note()))
BULK = TableSpec(
    "bulk",
    (ColumnSpec("id", "bigint", lambda rng: str(rng.randrange(BULK_ROWS)), nullable=False),),
    (_number(), _note(), _amount()),
)
# A primary key would be chosen over the index as the key of a table without one; this one has only the index.
WITHOUT_PRIMARY_KEY = frozenset({"by_index"})


def tables(flavour: str) -> tuple[TableSpec, ...]:
    everything = _everything(flavour)
    return (everything, COMPOSITE, KEYLESS, BY_INDEX, PARTED, WIDE, GENERATED, SHAPE, BULK)


def numbers(start: int, end: int) -> str:
    """A table expression with the numbers from `start` to below `end` as `i`."""
    digits = "(select 0 d union all select 1 union all select 2 union all select 3 union all select 4"
    digits += (
        " union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)"
    )
    places = len(str(end - start - 1))
    total = " + ".join(f"t{p}.d * {10**p}" for p in range(places))
    joined = " cross join ".join(f"{digits} t{p}" for p in range(places))
    return f"(select {start} + {total} i from {joined} where {total} < {end - start}) numbers"


def create_statements(flavour: str) -> list[str]:
    """Everything that has to be there before the first writer."""
    made = [
        statement
        for table in tables(flavour)
        for statement in table.create_statements(table.name not in WITHOUT_PRIMARY_KEY)
    ]
    rows = f"select i, i % 50, concat('row ', i), i / 4.0 from {numbers(0, BULK_ROWS)}"
    return [f"create database {SCHEMA} character set utf8mb4", *made, f"insert into {BULK.sql_name} {rows}"]
