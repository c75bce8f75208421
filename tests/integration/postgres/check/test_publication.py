from __future__ import annotations

import pytest

from cdc.spi.finding import Finding, Severity
from tests.support.findings import Check
from tests.support.postgres.server import Database

OK, WARNING, ERROR = Severity.OK, Severity.WARNING, Severity.ERROR


@pytest.fixture
def shop(database: Database) -> Database:
    database.execute("create table a (id int primary key, v text)", "create table b (id int primary key)")
    return database


def test_check_gives_the_statement_when_it_must_not_create(check: Check, shop: Database) -> None:
    finding = check(shop.url, create_publication=False).of("publication")
    assert finding == Finding(
        ERROR,
        "publication",
        "the publication 'cdc_shop' does not exist, and create_publication is false",
        "create publication cdc_shop for table public.a, public.b with (publish_via_partition_root = true);",
    )
    shop.execute(finding.fix)
    assert check(shop.url, create_publication=False).of("publication") == Finding(
        OK, "publication", "the publication 'cdc_shop' exists and sends every selected table"
    )


def test_check_names_tables_that_the_publication_lacks(check: Check, shop: Database) -> None:
    shop.execute("create publication cdc_shop for table a")
    assert check(shop.url).of("publication").message == (
        "the publication 'cdc_shop' exists; public.b will be added to it"
    )
    finding = check(shop.url, create_publication=False).of("publication-tables")
    assert finding == Finding(
        ERROR,
        "publication-tables",
        "the publication 'cdc_shop' lacks public.b, and create_publication is false",
        "alter publication cdc_shop add table public.b;",
    )
    shop.execute(finding.fix)
    assert check(shop.url, create_publication=False).errors == []


def test_check_never_says_to_publish_a_table_whose_updates_would_fail(check: Check, shop: Database) -> None:
    shop.execute("create table keyless (v int)")
    create = check(shop.url, create_publication=False).of("publication").fix
    assert create.startswith("create publication cdc_shop for table public.a, public.b with (")
    shop.execute("create publication cdc_shop for table a")
    assert check(shop.url).of("publication").message.endswith("; public.b will be added to it")
    add = check(shop.url, create_publication=False).of("publication-tables")
    assert add.fix == "alter publication cdc_shop add table public.b;"
    shop.execute(add.fix)
    findings = check(shop.url, create_publication=False)
    assert findings.of("publication").message == (
        "the publication 'cdc_shop' exists and sends every selected table that has a replica identity"
    )
    assert findings.errors == ["replica-identity"]


def test_check_says_whose_publication_it_is(check: Check, shop: Database) -> None:
    role = f"app_{shop.name}"
    shop.execute(
        f"create role {role} login replication",
        f"grant select on a, b to {role}",
        "create publication cdc_shop for table a",
    )
    finding = check(shop.dsn(user=role)).of("publication-tables")
    shop.execute(f"drop owned by {role}", f"drop role {role}")
    assert finding.message == (
        f"the publication 'cdc_shop' lacks public.b, and it belongs to 'postgres', not to '{role}'"
    )


def test_check_warns_of_operations_that_are_not_sent(check: Check, shop: Database) -> None:
    shop.execute("create publication cdc_shop for table a, b with (publish = 'insert, update')")
    finding = check(shop.url).of("publication-operations")
    assert finding == Finding(
        WARNING,
        "publication-operations",
        "the publication 'cdc_shop' does not send delete, truncate, so sinks do not receive them",
        "alter publication cdc_shop set (publish = 'insert, update, delete, truncate');",
    )
    shop.execute(finding.fix)
    assert check(shop.url).all_of("publication-operations") == []


def test_check_compares_how_partitions_are_sent(check: Check, shop: Database) -> None:
    shop.execute(
        "create table root (id int primary key) partition by range (id)",
        "create table leaf partition of root for values from (0) to (10)",
        "create publication cdc_shop for table a, b, root",
    )
    finding = check(shop.url).of("publication-partitions")
    assert finding == Finding(
        ERROR,
        "publication-partitions",
        "the publication 'cdc_shop' has publish_via_partition_root = false, the config true",
        "alter publication cdc_shop set (publish_via_partition_root = true);",
    )
    shop.execute(finding.fix)
    assert check(shop.url).errors == []


def test_check_mentions_tables_that_are_sent_for_nothing(check: Check, shop: Database) -> None:
    shop.execute("create publication cdc_shop for table a, b")
    finding = check(shop.url, tables=["public.a"]).of("publication-extra")
    assert (finding.severity, finding.fix) == (OK, "alter publication cdc_shop drop table public.b;")


def test_check_never_advises_to_drop_tables_that_another_slot_may_read(check: Check, shop: Database) -> None:
    shop.execute("create publication cdc_shop for table a, b")
    slot = f"other_{shop.name}"
    shop.query("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
    extra = check(shop.url, tables=["public.a"]).of("publication-extra")
    assert (extra.severity, extra.fix) == (OK, "")
    assert extra.message == (
        "the publication 'cdc_shop' also sends public.b, which this source does not select;"
        f" other slots may read it: {slot}"
    )
    lists = check(shop.url, columns={"public.a": ["id"]}).of("publication-lists")
    assert lists.fix == "Correct the config, or set publication: to a name of this source's own."


def test_check_finds_what_a_publication_for_all_tables_breaks(check: Check, shop: Database) -> None:
    shop.execute("create table log_lines (line text)", "create publication cdc_shop for all tables")
    finding = check(shop.url, tables=["public.a"]).of("publication-all-tables")
    assert finding == Finding(
        ERROR,
        "publication-all-tables",
        "the publication 'cdc_shop' is for all tables, so updates and deletes fail on every table"
        " without a key,"
        " selected or not: public.log_lines",
        "Use a publication that lists its tables, or give these tables a primary key.",
    )


def test_check_takes_a_publication_of_a_schema(check: Check, shop: Database) -> None:
    shop.execute("create publication cdc_shop for tables in schema public")
    assert check(shop.url, create_publication=False).errors == []


def test_check_compares_column_lists_and_filters(check: Check, shop: Database) -> None:
    shop.execute("create publication cdc_shop for table a (id), b")
    lists = {"columns": {"public.a": ["id", "v"]}, "where": {"public.b": "id > 0"}}
    found = check(shop.url, **lists).all_of("publication-lists")
    assert [finding.message for finding in found] == [
        "columns of public.a in the config is not what the publication 'cdc_shop' sends",
        "where of public.b in the config is not what the publication 'cdc_shop' sends",
    ]
    assert found[0].fix == (
        "Correct the config, or run: alter publication cdc_shop drop table public.a; the daemon"
        " then adds it as configured."
    )
    shop.execute("alter publication cdc_shop set table a (id, v), b where (id > 0)")
    assert check(shop.url, **lists).errors == []


def test_check_refuses_column_lists_without_the_key(check: Check, shop: Database) -> None:
    found = check(shop.url, columns={"public.a": ["v", "gone"]}).all_of("column-list")
    assert [(finding.message, finding.fix) for finding in found] == [
        ("columns of public.a names gone, which the table does not have", "It has: id, v."),
        (
            "columns of public.a leaves out id of its replica identity: its updates and deletes would fail",
            "Add id to columns.",
        ),
    ]
