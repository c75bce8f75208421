"""Preflight: whether the server can be reached, and whether the user may do what the sink does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from cdc.errors import CdcError
from cdc.spi import Finding, Severity
from cdc.sql.own_tables import all_set_aside
from cdc_sink_clickhouse.database import ClickHouseConnection, connect, translated, where_of
from cdc_sink_clickhouse.options import ClickHouseSinkOptions

DOCS = "docs/sinks/clickhouse.md"
# The oldest version that its makers support and that has CHECK GRANT.
OLDEST = (25, 3)
# The privileges of the sink, as GRANT and CHECK GRANT write them.
PRIVILEGES = (
    "SELECT, INSERT, ALTER TABLE, ALTER VIEW, TRUNCATE",
    "CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW",
    "CREATE TEMPORARY TABLE",
)
REPLICAS_PRIVILEGES = "SYSTEM SYNC REPLICA, CLUSTER"


def findings(options: ClickHouseSinkOptions) -> list[Finding]:
    """Return the findings of `cdc check`."""
    where = where_of(options)
    try:
        with translated("connecting", where), closing(connect(options)) as connection:
            found = [Finding(Severity.OK, "clickhouse-connection", f"connected to the server {where}")]
            for check in (_server, _privileges, _replicas):
                found += check(connection, options)
            return [*found, *(one.finding(DOCS) for one in all_set_aside(connection))]
    except CdcError as error:
        message = f"{where}: {error.message}"
        return [Finding(Severity.ERROR, "clickhouse-connection", message, error.remedy, DOCS)]


def _server(connection: ClickHouseConnection, options: ClickHouseSinkOptions) -> Iterator[Finding]:
    del options
    ((version,),) = connection.query("select version()")
    numbers = tuple(int(part) for part in str(version).split(".")[:2])
    if numbers < OLDEST:
        message = f"the server is ClickHouse {version}, the sink needs {OLDEST[0]}.{OLDEST[1]} or newer"
        yield Finding(Severity.ERROR, "clickhouse-version", message, "Upgrade the server.", DOCS)
    else:
        yield Finding(Severity.OK, "clickhouse-version", f"the server is ClickHouse {version}")


def _privileges(connection: ClickHouseConnection, options: ClickHouseSinkOptions) -> Iterator[Finding]:
    ((user,),) = connection.query("select currentUser()")
    quoted = connection.dialect.quoted(str(user))
    wanted = PRIVILEGES if options.engine == "plain" else (*PRIVILEGES, REPLICAS_PRIVILEGES)
    for privileges in wanted:
        ((is_granted,),) = connection.query(f"check grant {privileges} on *.*")
        if is_granted:
            yield Finding(Severity.OK, "clickhouse-grant", f"the user {user} has {privileges}")
            continue
        message = f"the user {user} lacks one of the privileges {privileges}"
        fix = f"grant {privileges} on *.* to {quoted};"
        yield Finding(Severity.ERROR, "clickhouse-grant", message, fix, DOCS)


def _replicas(connection: ClickHouseConnection, options: ClickHouseSinkOptions) -> Sequence[Finding]:
    """Whether the cluster exists, with one shard: rows of a second shard would be elsewhere."""
    if options.cluster is None:
        return ()
    name = connection.dialect.literal(options.cluster)
    ((shards,),) = connection.query(
        f"select uniqExact(shard_num) from system.clusters where cluster = {name}"
    )
    if shards == 1:
        return [Finding(Severity.OK, "clickhouse-cluster", f"the cluster {options.cluster} has one shard")]
    message = f"the cluster {options.cluster} has {shards} shards, the sink writes to one"
    if not shards:
        message = f"the server knows no cluster {options.cluster}"
    fix = "Name a cluster of one shard: select cluster, shard_num, host_name from system.clusters"
    return [Finding(Severity.ERROR, "clickhouse-cluster", message, f"{fix};", DOCS)]
