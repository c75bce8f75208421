"""The GTIDs before a place, read from a MariaDB binlog, are those that the server returns for it."""

from __future__ import annotations

from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.gtid import MariadbGtids
from cdc_source_mysql.binlog.positions import FIRST_OFFSET
from cdc_source_mysql.binlog.replay import BinlogReader, gtids_before
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import MysqlOptions
from tests.support.mysql.server import MysqlDatabase


def asked(database: MysqlDatabase, file: str, offset: int) -> MariadbGtids:
    return MariadbGtids.parse(str(database.value("select binlog_gtid_pos(%s, %s)", (file, offset)) or ""))


def test_gtids_read_from_a_file_are_those_that_the_server_returns_at_every_event(
    mariadb10_database: MysqlDatabase,
) -> None:
    database = mariadb10_database
    database.execute("create table t (id int primary key)", "insert into t values (1)", "flush binary logs")
    database.execute(
        "insert into t values (2)",
        "set session gtid_domain_id = 7",
        "insert into t values (3), (4)",
        "alter table t add a int",
        "begin", "insert into t values (5, 5)", "update t set a = 1", "commit",
        "set session gtid_domain_id = 0",
        "begin", "insert into t values (6, 6)", "create temporary table x (a int)", "rollback",
        "delete from t",
    )  # fmt: skip
    file = database.server.position()[0]
    database.execute("flush binary logs", "insert into t values (1, 1)")
    # Behind the last one, a ROTATE, begins the next file.
    events = database.query(f"show binlog events in '{file}'")[:-1]
    ends = [int(row[4]) for row in events]
    options = MysqlOptions.model_validate({"url": database.url, "tables": [f"{database.name}.*"]})
    context = SourceContext("shop", lambda *_, **__: None, lambda *_: None)
    reader = BinlogReader(Connector(options, "shop"), "mariadb", "null", context.count, {})
    begun = asked(database, file, FIRST_OFFSET)
    assert begun
    found = {end: gtids_before(reader, begun, file, end) for end in [FIRST_OFFSET, *ends]}
    between = {end: gtids for end, gtids in found.items() if gtids is not None}
    assert between == {end: asked(database, file, end) for end in between}
    inside = {row[2] for row in events if int(row[4]) not in between}
    assert inside == {
        "Gtid",
        "Annotate_rows",
        "Table_map",
        "Write_rows_v1",
        "Update_rows_v1",
        "Delete_rows_v1",
    }
    assert len({str(gtids) for gtids in between.values()}) == 7
    assert [gtids_before(reader, begun, file, end + 1) for end in (FIRST_OFFSET, ends[-1])] == [None, None]
