from __future__ import annotations

import pytest

from cdc.spi.finding import Finding, Severity
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.options import PostgresOptions
from tests.integration.postgres.conftest import FollowerFactory
from tests.support.findings import Check
from tests.support.postgres.server import Database

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR
CHUNKS = (
    "create schema chunks",
    "create table public.metrics (id int primary key, n int)",
    *(f"create table chunks._hyper_1_{i}_chunk (primary key (id)) inherits (metrics)" for i in range(5)),
    "create table chunks.other (id int primary key)",
    "create table public.people (id int primary key)",
    'create table public."staff members" (primary key (id)) inherits (people)',
)


KEYLESS = 'alter table public.t replica identity full; or give it a primary key, or exclude it: "!public.t"'
KEYED = 'alter table public.t replica identity default; or exclude it: "!public.t"'


@pytest.mark.parametrize(
    ("ddl", "reason", "fix"),
    [
        ("create table t (id int)", "has no primary key and no replica identity", KEYLESS),
        (
            "create table t (id int primary key deferrable)",
            "has only a deferrable primary key, which is no replica identity",
            KEYLESS,
        ),
        (
            "create table t (id int primary key); alter table t replica identity nothing",
            "has REPLICA IDENTITY NOTHING",
            KEYED,
        ),
        (
            "create table t (id int not null, x int primary key); create unique index i on t (id);"
            " alter table t replica identity using index i; drop index i",
            "has lost the index of its REPLICA IDENTITY",
            KEYED,
        ),
    ],
)
def test_check_refuses_tables_whose_updates_would_fail(
    check: Check, database: Database, ddl: str, reason: str, fix: str
) -> None:
    database.execute(ddl)
    finding = check(database.url).of("replica-identity")
    assert finding == Finding(
        ERROR,
        "replica-identity",
        f"public.t {reason}: once it is published, its application's updates and deletes fail",
        fix,
    )
    database.execute(finding.fix.partition(";")[0])
    assert check(database.url).errors == []
    assert check(database.url, tables=["public.*", "!public.t"]).all_of("replica-identity") == []


def test_check_is_right_that_updates_would_fail(database: Database) -> None:
    database.execute(
        "create table t (id int)", "insert into t values (1)", "create publication p for table t"
    )
    with database.connect() as connection, pytest.raises(Exception, match="does not have a replica identity"):
        connection.execute("update t set id = 2")


def test_check_warns_of_tables_without_a_key(check: Check, database: Database) -> None:
    database.execute("create table t (id int)", "alter table t replica identity full")
    findings = check(database.url)
    assert findings.of("no-key") == Finding(
        WARNING,
        "no-key",
        "public.t has no primary key: a mirror identifies rows by all their values, and counts equal rows",
        "If its rows have a unique key, declare it as the primary key.",
    )
    assert findings.errors == []


def test_check_warns_that_a_deferrable_primary_key_is_no_key(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key deferrable)", "alter table t replica identity full")
    finding = check(database.url).of("no-key")
    assert finding.message.startswith("public.t has only a deferrable primary key: a mirror identifies rows")
    assert finding.fix == "Make the primary key not deferrable if the application allows it."


def test_check_mentions_full_identity_of_wide_tables(check: Check, database: Database) -> None:
    columns = ", ".join(f"c{i} int" for i in range(20))
    database.execute(f"create table t (id int primary key, {columns})", "alter table t replica identity full")
    finding = check(database.url).of("replica-identity-full")
    assert (finding.severity, finding.fix) == (
        OK,
        "If the old values are not needed: alter table public.t replica identity default;",
    )


def test_check_names_the_nearest_table(check: Check, database: Database) -> None:
    database.execute("create table orders (id int primary key)")
    findings = check(database.url, tables=["public.ordres", "public.orders", "shop.*"])
    assert findings.all_of("tables-unmatched") == [
        Finding(
            WARNING,
            "tables-unmatched",
            "tables: public.ordres matches nothing in this database",
            "Did you mean public.orders?",
        ),
        Finding(
            WARNING,
            "tables-unmatched",
            "tables: shop.* matches nothing in this database",
            "Correct it, or keep it for tables that are created later.",
        ),
    ]
    assert findings.errors == []


def test_check_refuses_a_selection_of_nothing(check: Check, database: Database) -> None:
    assert check(database.url).of("tables-empty") == Finding(
        ERROR,
        "tables-empty",
        "tables selects no table of this database that can be followed",
        "Write patterns of schema.table, such as public.*. To list the tables, run: cdc init",
    )


def test_check_says_once_that_nothing_is_left(check: Check, database: Database) -> None:
    database.execute("create unlogged table fast (id int primary key)")
    assert check(database.url, tables=["public.fast"]).errors == ["table-kind"]
    wrong = check(database.url, tables=["public.fats"])
    assert (wrong.errors, wrong.all_of("tables-unmatched")) == (["tables-empty"], [])
    assert wrong.of("tables-empty").fix.startswith("Did you mean public.fast?")


def test_check_names_unlogged_tables_under_a_pattern(check: Check, database: Database) -> None:
    database.execute(
        "create table t (id int primary key)",
        "create unlogged table fast (id int primary key)",
        'create unlogged table "fast.er" (id int primary key)',
    )
    finding = check(database.url).of("tables-unlogged")
    assert finding.message == (
        'public.fast, public."fast.er" are unlogged, so they are not followed: Postgres sends no changes of'
        " unlogged tables"
    )
    database.execute(finding.fix)
    assert check(database.url).all_of("tables-unlogged") == []


def test_check_refuses_named_relations_without_changes(check: Check, database: Database) -> None:
    database.execute(
        "create table t (id int primary key)",
        "create unlogged table fast (id int primary key)",
        "create view v as select * from t",
        "create materialized view m as select * from t",
        "create foreign data wrapper w",
        "create server s foreign data wrapper w",
        "create foreign table f (id int) server s",
    )
    findings = check(database.url, tables=["public.t", "public.fast", "public.v", "public.m", "public.f"])
    take_out = "Name the tables that it is made of, or remove it from tables."
    assert [(f.message, f.fix) for f in findings.all_of("table-kind")] == [
        ("public.f is a foreign table: Postgres sends no changes of it", take_out),
        ("public.fast is unlogged: Postgres sends no changes of it", "alter table public.fast set logged;"),
        ("public.m is a materialized view: Postgres sends no changes of it", take_out),
        ("public.v is a view: Postgres sends no changes of it", take_out),
    ]
    assert check(database.url).errors == []


def test_check_refuses_reserved_column_names(check: Check, database: Database) -> None:
    database.execute('create table "T" (id int primary key, _cdc_op text)')
    findings = check(database.url)
    assert findings.of("reserved-column") == Finding(
        ERROR,
        "reserved-column",
        "public.T has a column _cdc_op; names that begin with _cdc_ are reserved",
        'alter table public."T" rename column _cdc_op to ...; or exclude the table: "!public.T"',
    )
    assert findings.errors == ["reserved-column"]


def test_check_lists_types_that_come_as_text(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key, a aclitem, b text)")
    finding = check(database.url).of("column-types")
    assert (finding.severity, finding.message) == (OK, "delivered as the server's text: aclitem")


@pytest.mark.every_server
def test_check_warns_of_generated_columns(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key, twice int generated always as (id * 2) stored)")
    finding = check(database.url).of("generated-columns")
    assert (finding.severity, finding.message) == (
        WARNING,
        "Postgres does not send generated columns: public.t.twice",
    )
    if database.server.major < 18:
        assert (
            finding.fix == "Compute it when you read the data. Postgres 18 can send stored generated columns."
        )
        return
    assert finding.fix == (
        "Once the publication exists: alter publication cdc_shop set (publish_generated_columns = stored);"
    )
    database.execute("create publication cdc_shop for table t", finding.fix.partition(": ")[2])
    assert check(database.url).all_of("generated-columns") == []


def test_check_describes_partitioned_tables(check: Check, database: Database) -> None:
    database.execute(
        "create table root (id int primary key) partition by range (id)",
        "create table low partition of root for values from (0) to (10)",
        "create table high partition of root for values from (10) to (20)",
        "alter table high replica identity full",
    )
    findings = check(database.url)
    assert findings.of("tables").message == "1 table will be followed: public.root"
    assert findings.of("partitioned") == Finding(
        WARNING,
        "partitioned",
        "public.root is delivered as one table with its 2 partitions; Postgres does not send"
        " TRUNCATE, DETACH or DROP"
        " of a single partition, so the daemon copies the table again when that happens",
        "To avoid the copy, delete a partition's rows before it is detached or dropped.",
    )
    different = findings.of("partition-identity")
    assert different.message == (
        "partitions of public.root have another replica identity than the table itself: public.high"
    )
    assert different.fix == "alter table public.high replica identity default;"
    database.execute(different.fix)
    assert check(database.url).all_of("partition-identity") == []

    apart = check(database.url, publish_via_partition_root=False)
    assert apart.of("tables").message == "2 tables will be followed: public.high, public.low"
    assert apart.errors == []


def test_check_finds_partitions_without_identity_or_changes(check: Check, database: Database) -> None:
    database.execute(
        "create table root (id int) partition by range (id)",
        "create table low partition of root (primary key (id)) for values from (0) to (10)",
        "create table high partition of root for values from (10) to (20)",
        "create foreign data wrapper w",
        "create server s foreign data wrapper w",
        "create foreign table far partition of root for values from (20) to (30) server s",
    )
    findings = check(database.url)
    assert findings.of("replica-identity").message.startswith("public.high has no primary key")
    assert findings.of("partition-kind") == Finding(
        ERROR,
        "partition-kind",
        "partitions of public.root are foreign or unlogged tables, whose changes Postgres does not"
        " send: public.far",
        'Exclude the table: "!public.root"',
    )


def test_check_prints_odd_names_quoted_and_in_one_line(check: Check, database15: Database) -> None:
    database15.execute(
        'create table "odd.one" (id int primary key)',
        'create table "line\nbreak" ("na\nme" int, "_cdc_ ""x" int)',
        'create table "esc\x1b[2J" (id int)',
    )
    findings = check(database15.url)
    said = "\n".join(f"{finding.message} {finding.fix}" for finding in findings)
    for name in ('public."odd.one"', 'public."line\\nbreak"', 'public."esc\\x1b[2J"', '"_cdc_ ""x"'):
        assert name in said
    assert [f for f in findings if not f"{f.message}{f.fix}".replace("\n", "").isprintable()] == []
    for finding in findings.all_of("replica-identity"):
        database15.execute(finding.fix.partition(";")[0])
    assert "replica-identity" not in check(database15.url).errors


def test_check_and_connection_work_for_a_role_that_is_read_only(check: Check, database15: Database) -> None:
    role = f"reader_{database15.name}"
    database15.execute(
        "create table t (id int primary key)",
        f"create role {role} superuser login",
        f"alter role {role} set default_transaction_read_only = on",
    )
    url = database15.dsn(
        user=role, application_name="nightly", options="-c work_mem=123kB -c datestyle=German"
    )
    assert check(url).errors == []
    with Connector(PostgresOptions.model_validate({"url": url}), "shop").connect("to try it") as connection:
        connection.execute("create table public.made (id int)")
        assert connection.execute(
            "select current_setting('work_mem'), current_setting('datestyle'), application_name"
            " from pg_stat_activity where pid = pg_backend_pid()"
        ).fetchone() == ("123kB", "ISO, DMY", "nightly")
    database15.execute(f"drop owned by {role}", f"drop role {role}")


def test_check_and_run_name_children_that_are_not_selected_and_how_to_select_them(
    check: Check, database: Database, follow: FollowerFactory
) -> None:
    database.execute(*CHUNKS)
    found = check(database.url, tables=["public.metrics", "public.people"]).all_of("inheritance")
    assert [finding.severity for finding in found] == [WARNING] * 2
    assert "public.metrics is followed without the rows of chunks._hyper_1_0_chunk" in found[0].message
    assert found[0].fix == 'Add to tables: "chunks._hyper_1_*"'
    assert found[1].fix == 'Add to tables: "public.staff members"'
    assert check(database.url, tables=["public.*", "chunks._hyper_1_*"]).all_of("inheritance") == []
    follower = follow(database, tables=["public.metrics", "public.people"])
    follower.source.discover()
    said = [fields for event, fields in follower.events if "inherit from it" in event]
    assert [fields["table"] for fields in said] == ["public.metrics", "public.people"]
    assert said[0]["remedy"] == "Add to tables: chunks._hyper_1_*"


def test_check_says_how_money_is_read(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key, price money)")
    found = check(database.url).of("money")
    assert (found.severity, "2 fraction digits" in found.message) == (OK, True)
    role = f"app_{database.name}"
    database.execute(f"create role {role}", f"alter role {role} set lc_monetary = 'C.UTF-8'")
    try:
        found = check(database.url).of("money")
    finally:
        database.execute(f"drop role {role}")
    assert found.severity is WARNING
    assert role in found.message
