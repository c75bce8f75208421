"""Chunks of every kind of key hold every row exactly once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cdc.errors import SourceUnavailable
from cdc.spi import EarlierSnapshot
from cdc_source_mysql.options import Limits
from tests.support.mysql.server import MysqlDatabase
from tests.support.mysql.snapshots import SnapshotBench, at, rows_of

ROWS_PER_CHUNK = 7
_ROWS = 60

# Table → columns and key, and its values (SQL, one per row).
_NUMBERS = [str(i * i * (-1) ** i) for i in range(_ROWS)]
_TEXTS = [
    "''",
    "'a'",
    "'B'",
    "'ö'",
    "'ß'",
    "'z'",
    "'\U0001f600'",
    "'a b'",
    *(f"'k{i}'" for i in range(_ROWS)),
]
_KEYS: dict[str, tuple[str, list[str]]] = {
    "whole_number": ("k int primary key", [*_NUMBERS, str(2**31 - 1), str(-(2**31))]),
    "positive": ("k bigint unsigned primary key", [str(2**64 - 1 - i * 1000) for i in range(_ROWS)] + ["0"]),
    "decimals": ("k decimal(30,10) primary key", [f"{i}.{i:09d}1" for i in range(-30, 30)]),
    "folded_text": ("k varchar(50) collate utf8mb4_general_ci primary key", _TEXTS[:6] + _TEXTS[7:]),
    "binary_text": ("k varchar(50) collate utf8mb4_bin primary key", [*_TEXTS, "'A'", "'b'"]),
    "latin_text": ("k char(20) character set latin1 primary key", ["'é'", "'€'", *_TEXTS[8:]]),
    "wide_text": ("k varchar(20) character set utf16 primary key", _TEXTS[:6] + _TEXTS[7:]),
    "bytes": ("k varbinary(20) primary key", [f"x'{i:02x}00ff'" for i in range(_ROWS)] + ["''"]),
    "padded_bytes": ("k binary(4) primary key", [f"x'{i:02x}'" for i in range(_ROWS)]),
    "days": ("k date primary key", [f"'2024-{i % 12 + 1:02d}-{i // 12 + 1:02d}'" for i in range(_ROWS)]),
    # Chunks are cut at days that no calendar has: MySQL takes them in a condition only when told so.
    "odd_days": (
        "k date primary key",
        [*(f"'2024-{month:02d}-{day}'" for month in range(1, 13) for day in (29, 30, 31)), "'0000-00-00'"],
    ),
    "odd_moments": (
        "k datetime(6) primary key",
        [f"'2024-{month:02d}-31 00:00:00.{i:06d}'" for month in range(13) for i in range(5)],
    ),
    "moments": ("k datetime(6) primary key", [f"'2024-01-01 00:00:{i:02d}.{i:06d}'" for i in range(_ROWS)]),
    "stamps": (
        "k timestamp(3) not null default '2000-01-01' primary key",
        [f"'2024-01-01 00:00:{i:02d}.{i:03d}'" for i in range(_ROWS)],
    ),
    "times": ("k time(3) primary key", [f"'{i * 13}:00:00.5'" for i in range(-_ROWS, _ROWS)]),
    "years": ("k year primary key", ["0", *(str(1901 + i) for i in range(_ROWS))]),
    "floats": ("k double primary key", [f"{i}e-3" for i in range(_ROWS)]),
    "bits": ("k bit(10) primary key", [str(i) for i in range(_ROWS)]),
    "sets": ("k set('a','b','c','d','e','f') primary key", [str(i) for i in range(_ROWS)]),
    "unique": ("x int, k int not null, unique (k)", [f"null, {i}" for i in range(_ROWS)]),
    "composite": (
        "a int, b varchar(20), primary key (a, b)",
        [f"{i % 3}, 'b{i}'" for i in range(_ROWS)],
    ),
    "one_tenant": ("a int, b bigint, primary key (a, b)", [f"5, {i}" for i in range(_ROWS)]),
    "label_first": (
        "a enum('z','m','a'), b int, primary key (a, b)",
        [f"{i % 4}, {i}" for i in range(_ROWS)],
    ),
    "label_second": (
        "a int, b enum('z','m','a','e'), primary key (a, b)",
        [f"{i // 5}, {i % 5}" for i in range(_ROWS)],
    ),
    "label_alone": (
        "k enum({}) primary key".format(",".join(f"'v{i % 7}{i}'" for i in range(_ROWS))),
        [str(i) for i in range(_ROWS + 1)],
    ),
    "label_like_label": (
        "a enum('\u00e4','a') collate utf8mb4_bin, b int, primary key (a, b)",
        [f"{i % 3}, {i}" for i in range(_ROWS)],
    ),
    "shortened": (
        "k varchar(50), primary key (k(2))",
        [f"'{chr(97 + i % 26)}{i // 26}x'" for i in range(_ROWS)],
    ),
    "three": (
        "a varchar(9), b date, c decimal(9,2), primary key (a, b, c)",
        [f"'t{i % 2}', '2024-01-0{i % 4 + 1}', {i}.25" for i in range(_ROWS)],
    ),
    "empty": ("k int primary key", []),
    "descending": ("a int, b int, primary key (a desc, b)", [f"{i % 7}, {i}" for i in range(_ROWS)]),
}


def bench_of(database: MysqlDatabase, **options: Any) -> SnapshotBench:
    """With small chunks."""
    limits = Limits(min_chunk_rows=ROWS_PER_CHUNK, max_chunk_rows=ROWS_PER_CHUNK)
    return SnapshotBench(database, limits=limits, **options)


@pytest.fixture
def tables(mysql_database: MysqlDatabase) -> MysqlDatabase:
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        # Values that no strict server takes: the number 0 of an enum, the 31st of February.
        cursor.execute("set sql_mode = 'ALLOW_INVALID_DATES'")
        for name, (columns, values) in _KEYS.items():
            cursor.execute(f"create table `{name}` ({columns})")
            if values:
                cursor.execute(f"insert into `{name}` values " + ",".join(f"({v})" for v in values))
        # So that whole numbers are cut by the server's estimates.
        cursor.execute(f"analyze table {', '.join(f'`{name}`' for name in _KEYS)}")
    return mysql_database


def test_chunks_of_every_kind_of_key_hold_every_row_once(tables: MysqlDatabase) -> None:
    bench = bench_of(tables, unrepresentable="string")
    with bench.opened() as snapshot:
        found = {name: rows_of(snapshot, name) for name in _KEYS}
        chunks = Counter(chunk.table.name for chunk in snapshot.chunks)

    for name, (_, values) in _KEYS.items():
        rows = Counter(tuple(map(repr, row.values())) for row in found[name])
        assert len(rows) == tables.value(f"select count(*) from `{name}`") == len(values), name
        assert set(rows.values()) <= {1}, name
    uncut = {"floats", "bits", "sets", "shortened", "empty"}
    assert {name for name, count in chunks.items() if count == 1} == uncut
    assert min(count for name, count in chunks.items() if name not in uncut) >= 5


def test_a_table_that_grows_and_moves_keeps_every_row_in_a_chunk(tables: MysqlDatabase) -> None:
    bench = bench_of(tables)
    with bench.opened("whole_number", "label_first") as snapshot:
        tables.execute(
            "insert into whole_number values (5000), (-5000)",
            "update label_first set a = 'a' where a = 'z'",
        )
        numbers = {row["k"] for row in rows_of(snapshot, "whole_number")}
        pairs = sorted(row["b"] for row in rows_of(snapshot, "label_first"))

    assert {5000, -5000} <= numbers
    assert pairs == list(range(_ROWS))


def test_another_collation_of_the_key_ends_the_copy_and_its_chunks(mysql_database: MysqlDatabase) -> None:
    values = ", ".join(f"('{chr(65 + 32 * (i % 2) + i)}')" for i in range(26))
    mysql_database.execute(
        "create table t (k varchar(20) collate utf8mb4_bin primary key)", f"insert into t values {values}"
    )
    bench = bench_of(mysql_database)
    with bench.opened("t") as first:
        done, doing = [chunk.id for chunk in first.chunks][:2]
        rows_of(first, "t", done)
        mysql_database.execute("alter table t modify k varchar(20) collate utf8mb4_general_ci")
        with pytest.raises(SourceUnavailable, match="altered while it was copied"):
            rows_of(first, "t", doing)
        token = first.tokens[bench.table("t")]
        earlier = EarlierSnapshot(token, at(first, "t"), frozenset({done}))

    bench.look()
    with bench.opened("t", earlier={"t": earlier}) as second:
        assert second.resumed == frozenset()
        assert len(rows_of(second, "t")) == 26


def test_labels_that_the_server_takes_for_equal_are_not_cut_by(mysql_database: MysqlDatabase) -> None:
    with mysql_database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set sql_mode = ''")
        cursor.execute(
            "create table t (a enum('a','A') collate utf8mb4_general_ci, b int, primary key (a, b))"
        )
        cursor.execute("insert into t values " + ",".join(f"({i % 2 + 1}, {i})" for i in range(30)))
    with bench_of(mysql_database).opened() as snapshot:
        assert len(snapshot.chunks) == 1
        assert len(rows_of(snapshot, "t")) == 30


@pytest.mark.every_server
def test_a_chunk_is_read_by_its_range_of_the_index(tables: MysqlDatabase) -> None:
    from cdc_source_mysql.snapshot.copying import select_statement

    bench = bench_of(tables)
    with bench.opened() as snapshot:
        for name in ("whole_number", "folded_text", "composite", "label_first", "moments"):
            shape = snapshot._plan.shapes[bench.table(name)]
            second = snapshot._plan.ranges[bench.table(name)][2]
            explain = "explain" if tables.server.flavour == "mariadb" else "explain format=traditional"
            with tables.connect() as connection, connection.cursor() as cursor:
                cursor.execute(f"{explain} {select_statement(shape, second)}")
                row = dict(
                    zip(
                        [d[0].lower() for d in cursor.description or ()], cursor.fetchone() or (), strict=True
                    )
                )
            assert row["type"] == "range", name
