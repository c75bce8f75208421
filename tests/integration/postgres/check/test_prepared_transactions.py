from __future__ import annotations

from psycopg import sql

from cdc.spi.finding import Severity
from cdc_source_postgres.limits import Limits
from tests.support.findings import Check
from tests.support.postgres.server import Database


def test_check_names_the_statement_that_ends_a_prepared_transaction(check: Check, database: Database) -> None:
    database.execute("create table t (id int primary key)")
    gid = f"it's {database.name}"
    with database.connect() as connection:
        connection.execute("begin")
        connection.execute("insert into t values (1)")
        connection.execute(sql.SQL("prepare transaction {}").format(gid))
        try:
            findings = check(database.url, limits=Limits(prepared_seconds=0.0)).all_of("prepared-transaction")
        finally:
            connection.execute(sql.SQL("rollback prepared {}").format(gid))
    quoted = gid.replace("'", "''")
    (finding,) = [finding for finding in findings if quoted in finding.message]
    assert finding.severity is Severity.WARNING
    assert finding.fix == f"In the database {database.name}, run: rollback prepared '{quoted}';"
