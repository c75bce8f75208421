"""The tables and functions that a statement's text names."""

from __future__ import annotations

import pytest

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Dml
from cdc_source_mysql.schema.ddl.classify import classify

# Statement; its tables (`db` where none is said); what it may change; functions that aren't the server's own.
CASES = [
    ("insert into t(a, b) values (1, concat('from x', f (2)))", "t", "t", "f"),
    ("insert into t (a) values (1), (2) on duplicate key update a = values(a), b = 2", "t", "t", ""),
    ("insert into t values (1) as new(m, n) on duplicate key update a = m", "t", "t", ""),
    ("insert into t select a, trim(both 'x' from b) from u as v, (select 1 from w) x where y in (1)",
     "t u w", "t", ""),
    ("insert into t select max(a) from u on duplicate key update a = 1, b = 2", "t u", "t", ""),
    ("insert into t set a = (select max(b) from x.u), b = x.g(1)", "t x.u", "t", "x.g"),
    ("replace low_priority `a b` values row(1, 2)", "a b", "a b", ""),
    ("insert into t table u", "t u", "t", ""),
    ("insert into t partition (p0, p1) values (1)", "t", "t", ""),
    ("insert into t with q (c) as (select 1 from u) select c from q", "t u", "t", ""),
    ("insert into t select j.a from u, json_table(u.b, '$' columns (a int path '$')) as j", "t u", "t",
     "columns"),
    ("update t, u set t.a = 1 where extract(day from b) = 1", "t u", "t", ""),
    ("update low_priority ignore t use index (i), u force index for join (k) set t.a = 1, u.a = 2",
     "t u", "t u", ""),
    ("delete t from t force index for order by (i), u ignore key for group by (j), w", "t u w", "t", ""),
    ("update t left join (u join w) on t.a = u.a set t.a = `f`(1)", "t u w", "t", "f"),
    ("delete from t where a = (select b from x.u limit 1) order by a limit 3", "t x.u", "t", ""),
    ("delete t, u from t join u using (a) straight_join w", "t u w", "t u", ""),
    ("delete from t using u join t where u.a = t.a", "t u", "t", ""),
    ("delete history from t before system_time '2020-01-01'", "t", "t", ""),
    ("with q as (select 1 from u), r as (select 2) update t join q set t.a = 1", "t u", "t", ""),
    ("load data infile 'x' into table t fields terminated by ',' (a, @b) set a = f(@b)", "t", "t", "f"),
    ("insert into t values ((select a from u for update))", "t u", "t", ""),
    ("update t set a = 'select b from u' -- from w", "t", "t", ""),
]  # fmt: skip


def _ids(names: str) -> set[TableId]:
    if names == "a b":
        return {TableId("db", names)}
    return {TableId(*name.split(".")) if "." in name else TableId("db", name) for name in names.split()}


@pytest.mark.parametrize(("sql", "named", "written", "calls"), CASES, ids=[case[0][:50] for case in CASES])
def test_a_statement_tells_every_table_and_function_in_it(
    sql: str, named: str, written: str, calls: str
) -> None:
    (dml,) = classify(sql, "db", flavour="mariadb")
    assert isinstance(dml, Dml)
    assert set(dml.named) >= _ids(named)
    assert _ids(written) <= set(dml.written)
    assert set(dml.calls) == _ids(calls)
    # What only looks like a table costs a look at the catalog that fails.
    assert set(dml.named) == _ids(named) or "history" in sql
    assert set(dml.written) == _ids(written) or "history" in sql or "using (a)" in sql or "using u" in sql
