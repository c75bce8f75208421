"""Every type and ugly value, rendered by real servers: COPY BINARY, pgoutput binary and pgoutput text must
agree, and what is delivered as text must be the server's own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from cdc_source_postgres.schema.type_catalog import CATALOG_QUERY, TypeCatalog, types_from_rows
from cdc_source_postgres.schema.type_names import format_type
from cdc_source_postgres.schema.type_plan import ColumnPlan, plan_column
from cdc_source_postgres.wire.decoder import CopyDecoder, PgoutputDecoder
from cdc_source_postgres.wire.messages import Relation, parse_relation
from tests.support.plain_arrow import plain
from tests.support.postgres.server import Database
from tests.support.postgres.type_values import setup_types

# What the source's connections set.
SETTINGS = (
    "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c bytea_output=hex -c extra_float_digits=3 "
    "-c lc_monetary=C -c search_path=pg_catalog"
)
# cube, where it is installed.
MOST_TEXT_ONLY = 1
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "r": "\r"}


@dataclass
class Case:
    """One type: its table, and what the server says."""

    type: str
    table: str
    plans: dict[str, ColumnPlan]
    texts: list[str | None] = field(default_factory=list)


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect(options=SETTINGS) as connection:
        yield connection


def no_count(name: str, amount: int) -> None:
    assert (name, amount > 0) == ("unrepresentable_values", True)


def copied_texts(connection: psycopg.Connection[Any], table: str) -> list[str | None]:
    with connection.cursor().copy(f"copy (select v from {table} order by id) to stdout".encode()) as copy:
        lines = b"".join(map(bytes, copy)).decode().split("\n")[:-1]
    return [
        None if line == r"\N" else re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), line)
        for line in lines
    ]


def planned(connection: psycopg.Connection[Any], table: str, catalog: TypeCatalog, policy: str) -> ColumnPlan:
    [(oid, typmod, ndims, spelled)] = connection.execute(
        "select atttypid::bigint, atttypmod, attndims, format_type(atttypid, atttypmod) from pg_attribute "
        "where attrelid = %s::regclass and attname = 'v'",
        [table],
    ).fetchall()
    plan = plan_column("v", oid, typmod, ndims, catalog, policy)
    assert plan.source_type == format_type(oid, typmod, catalog)
    assert plan.source_type == spelled
    return plan


def prepare(connection: psycopg.Connection[Any]) -> tuple[list[Case], TypeCatalog]:
    values = setup_types(connection)
    # With its own types in sight, as the expressions have them.
    connection.execute("set search_path = public, pg_catalog")
    for number, type_ in enumerate(values):
        connection.execute(f"create table odd.t{number} (id int primary key, v {type_})".encode())
    connection.execute("set search_path = pg_catalog")
    catalog = TypeCatalog()
    catalog.add(types_from_rows(connection.execute(CATALOG_QUERY).fetchall()))
    cases = []
    for number, type_ in enumerate(values):
        table = f"odd.t{number}"
        plans = {policy: planned(connection, table, catalog, policy) for policy in ("null", "string")}
        cases.append(Case(type_, table, plans))
    # What binary can't carry would stop the server.
    binary = [c.table for c in cases if not any(p.needs_text_stream for p in c.plans.values())]
    for name, tables in (("p_text", [c.table for c in cases]), ("p_binary", binary)):
        connection.execute(f"create publication {name} for table {', '.join(tables)}".encode())
    connection.execute("select pg_create_logical_replication_slot('oracle_' || pg_backend_pid(), 'pgoutput')")
    connection.execute("set search_path = public, pg_catalog")
    for number, (type_, expressions) in enumerate(values.items()):
        for i, expression in enumerate(expressions):
            connection.execute(f"insert into odd.t{number} values ({i}, ({expression})::{type_})".encode())
    connection.execute("set search_path = pg_catalog")
    for case in cases:
        case.texts = copied_texts(connection, case.table)
    return cases, catalog


def copied(connection: psycopg.Connection[Any], case: Case, policy: str) -> list[Any]:
    plan = case.plans[policy]
    decoder = CopyDecoder(case.table, [plan], policy, no_count)
    cast = "::text" if plan.text_only else ""
    query = f"copy (select v{cast} from {case.table} order by id) to stdout (format binary)"
    with connection.cursor().copy(query.encode()) as copy:
        for chunk in copy:
            decoder.feed(bytes(chunk))
    assert decoder.finished
    batch = decoder.take()
    assert batch is not None
    batch.validate(full=True)
    return plain(batch.column("v"))


def streamed(
    connection: psycopg.Connection[Any], cases: list[Case], catalog: TypeCatalog, policy: str, *, binary: bool
) -> dict[str, list[Any]]:
    """Table → the column's values."""
    publication = "p_binary" if binary else "p_text"
    options = f"'proto_version', '1', 'publication_names', '{publication}', 'binary', '{binary}'"
    plans = {case.table: case.plans[policy] for case in cases}
    id_plan = plan_column("id", 23, -1, 0, catalog, policy)
    decoder = PgoutputDecoder(policy, no_count)
    names: dict[int, str] = {}
    with connection.cursor(binary=True) as cursor:
        slot = "'oracle_' || pg_backend_pid()"
        query = f"select data from pg_logical_slot_peek_binary_changes({slot}, null, null, {options})"
        for (message,) in cursor.execute(query.encode()):
            if decoder.feed(message) == ord("R"):
                relation: Relation = parse_relation(message)
                name = names[relation.relid] = f"{relation.namespace}.{relation.name}"
                decoder.set_relation(relation.relid, "odd", relation.name, [id_plan, plans[name]], (0,), "d")
    taken = decoder.take()
    for _, batch in taken:
        batch.validate(full=True)
    return {names[relid]: plain(batch.column("v")) for relid, batch in taken}


def test_all_ways_give_the_same_and_text_is_the_servers_own(connection: psycopg.Connection[Any]) -> None:
    cases, catalog = prepare(connection)
    for policy in ("null", "string"):
        streams = {
            binary: streamed(connection, cases, catalog, policy, binary=binary) for binary in (False, True)
        }
        for case in cases:
            expected = copied(connection, case, policy)
            assert len(expected) == len(case.texts)
            if str(case.plans[policy].arrow) == "string":
                assert expected == case.texts, (policy, case.type)
            assert streams[False][case.table] == expected, (policy, "text", case.type)
            if case.table in streams[True]:
                assert streams[True][case.table] == expected, (policy, "binary", case.type)
        assert len(cases) - len(streams[True]) <= MOST_TEXT_ONLY
