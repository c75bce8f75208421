"""Conditions mean what SQL means by them, and what is not supported is refused."""

from __future__ import annotations

import datetime
import sqlite3
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import UnsupportedSchema
from cdc.model import Column, TableId, TableSchema
from cdc.transform.expression import Expression, InvalidCondition

EXTREME = 2**63 + 1
VALUES: dict[str, pa.Array] = {
    "i": pa.array([1, None, 3], pa.int16()),
    "u": pa.array([EXTREME, 1, None], pa.uint64()),
    "d": pa.array([Decimal("1.00"), Decimal("-2.50"), None], pa.decimal128(38, 2)),
    "wide": pa.array([Decimal(1), None, Decimal(5)], pa.decimal256(70, 3)),
    "f": pa.array([1.5, float("nan"), None]),
    "s": pa.array(["Ab", None, "x_y"]),
    "t": pa.array([0, None, 10**15], pa.timestamp("us", "UTC")),
    "local": pa.array([0, None, 10**15], pa.timestamp("us")),
    "day": pa.array([0, 1, None], pa.date32()),
    "clock": pa.array([datetime.time(1), None, datetime.time(2)], pa.time64("us")),
    "b": pa.array([True, False, None]),
    "key": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 16, b"\1" * 16, None], pa.binary(16))),
    "doc": pa.array(["{}", None, "{}"], pa.json_()),
    "Odd Name": pa.array([1, 2, 3]),
}
SCHEMA = TableSchema(TableId("app", "t"), tuple(Column(n, v.type) for n, v in VALUES.items()))
T, F, N = True, False, None


def evaluate(text: str) -> list[bool | None]:
    found = Expression.parse(text).bind(SCHEMA, "here").evaluate(VALUES)
    return list(found.to_pylist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i <> 1", [F, N, T]),
        ("not i = 1", [F, N, T]),
        ("i is null", [F, T, F]),
        ("i is not null and s is not null", [T, F, T]),
        ("i = 1 or s is null", [T, T, F]),
        ("i = 9 or b", [T, N, N]),
        ("i = 9 and b", [F, F, F]),
        ("i > 1.5", [F, N, T]),
        ("i < 99999999999999999999", [T, N, T]),
        ("1 < i", [F, N, T]),
        ("i between 0 and 2", [T, N, F]),
        ("i in (1, 7)", [T, N, F]),
        ("i in (1, null)", [T, N, N]),
        ("i not in (1, null)", [F, N, N]),
        ("u > -1", [T, T, N]),
        (f"u = {EXTREME}", [T, F, N]),
        ("d > 0.995", [T, F, N]),
        ("d >= -2.5 and d < 1e1", [T, T, N]),
        ("d = i", [T, N, N]),
        ("wide > 4.9999", [F, N, T]),
        ("f > 1", [T, F, N]),
        ("lower(s) like 'a%'", [T, N, F]),
        ("s like 'x\\_y'", [F, N, T]),
        ("s ilike 'AB'", [T, N, F]),
        ("s = 'ab'", [F, N, F]),
        ("length(trim(s)) = 2", [T, N, F]),
        ("coalesce(i, 7) = 7", [F, T, F]),
        ("coalesce(s, '') <> ''", [T, F, T]),
        ("t >= '1970-01-02'", [F, N, T]),
        ("t >= '1970-01-01 01:00:00+01:00'", [T, N, T]),
        ("local < timestamp '1970-01-02 00:00:00'", [T, N, F]),
        ("day = date '1970-01-02'", [F, T, N]),
        ("clock > '01:30'", [F, N, T]),
        ("b", [T, F, N]),
        ("b is not true", [F, T, T]),
        ("b is false", [F, T, F]),
        ("b = true", [T, F, N]),
        ("key = '00000000-0000-0000-0000-000000000000'", [T, F, N]),
        ("doc is not null", [T, F, T]),
        ('"Odd Name" = 2', [F, T, F]),
        ("I = 1", [T, N, F]),
    ],
)
def test_a_condition_means_what_sql_means(text: str, expected: list[bool | None]) -> None:
    assert evaluate(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "i + 1 = 2",
            "now() > t",
            "random() < 1",
            "i in (select 1)",
            "t.i = 1",
            "1 = 1",
            "d = 1 or",
            "i = 1; drop table x",
        ),
        *(
            "i::text = '1'",
            "cast(i as text) = '1'",
            "case when b then b end",
            "s like d",
            "s similar to 'x'",
            "-i < 1",
        ),
        *(
            "s ~ 'x'",
            "s || 'a' = 'b'",
            "exists (select 1)",
            "",
            "select 1",
            "trim(both 'x' from s) = 'a'",
            "i % 2 = 0",
        ),
    ],
)
def test_what_is_not_supported_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(InvalidCondition) as raised:
        Expression.parse(text)
    assert str(raised.value).startswith("where ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("missing = 1", "no column 'missing'"),
        ('"I" = 1', "no column 'I'"),
        ("i = 'a'", "int16 is compared with a text"),
        ("s = 1", "string is compared with a number"),
        ("s", "is not a condition"),
        ("day > 5", "is compared with a number"),
        ("day = 'yesterday'", "and is none"),
        ("doc = '{}'", "is compared with a text"),
        ("key < '00000000-0000-0000-0000-000000000000'", "compared by its order"),
        ("i = s", "is compared with one of type"),
        ("lower(i) = 'a'", "which is no text"),
        ("local = '1970-01-01T00:00:00Z'", "and is none"),
    ],
)
def test_a_condition_that_does_not_fit_a_table_is_refused_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(UnsupportedSchema, match=reason) as raised:
        evaluate(text)
    assert raised.value.where == "here"


ATOMS = st.sampled_from(
    [
        "i = 1",
        "i > 0",
        "i is null",
        "s like 'a%'",
        "s = 'b'",
        "i in (1, 2)",
        "s is not null",
        "i between 0 and 1",
    ]
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=8,
)
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(-1, 3)), st.sampled_from([None, "a", "ab", "b"])), min_size=1
)


@given(CONDITIONS, ROWS)
def test_conditions_agree_with_a_database(text: str, rows: list[tuple[Any, Any]]) -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (n integer primary key, i integer, s text)")
        database.executemany("insert into t (i, s) values (?, ?)", rows)
        expected = [flag for (flag,) in database.execute(f"select {text} from t order by n")]
    database.close()
    schema = TableSchema(TableId("a", "t"), (Column("i", pa.int64()), Column("s", pa.string())))
    columns = {
        "i": pa.array([i for i, _ in rows], pa.int64()),
        "s": pa.array([s for _, s in rows], pa.string()),
    }
    found = Expression.parse(text).bind(schema, "here").evaluate(columns).to_pylist()
    assert [None if flag is None else int(flag) for flag in found] == expected
