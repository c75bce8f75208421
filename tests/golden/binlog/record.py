"""Records what real servers send of a binlog, one packet a line in hex.

Usage: python -m tests.golden.binlog.record SERVER > FILE, with mysql9, mariadb10 or mariadb11. The recordings
are kept, so that a change of the decoders is held against what servers really sent.
"""

from __future__ import annotations

import sys

from tests.support.mysql.binlog_dump import record
from tests.support.mysql.server import MysqlServer

COMMON = [
    "create table t (id int primary key, a varchar(20), doc json, b int)",
    "create table pile (a int, at datetime(3))",
    """insert into t values (1, 'é', '{"a": "xxxxxxxxxxxxxxxxxxxx", "b": 1}', 2), (2, null, null, null)""",
    "update t set a = 'zz' where id = 1",
    "update t set id = 3 where id = 1",
    "delete from t where id = 2",
    "insert into pile values (1, '2020-02-29 12:00:00.125'), (1, '2020-02-29 12:00:00.125')",
    "delete from pile limit 1",
    "begin",
    "insert into pile values (2, null)",
    "savepoint s",
    "insert into pile values (3, null)",
    "rollback to s",
    "commit",
    "set binlog_row_image = minimal",
    "update t set a = 'minimal' where id = 3",
    "update t set id = 4 where id = 3",
    "set binlog_row_image = full",
    "xa start 'g', 'b'",
    "insert into pile values (4, null)",
    "xa end 'g', 'b'",
    "xa prepare 'g', 'b'",
    "xa commit 'g', 'b'",
    "flush binary logs",
]
MYSQL = [
    "set binlog_row_value_options = partial_json",
    """update t set doc = json_set(doc, '$.a', 'y', '$.b', 2)""",
    "set binlog_transaction_compression = 1",
    "insert into pile values (5, null), (6, null)",
    "set binlog_transaction_compression = 0",
    "set gtid_next = 'automatic:golden'",
    "insert into pile values (7, null)",
]
MARIADB = [
    "set global log_bin_compress = 1",
    "set global log_bin_compress_min_len = 10",
    "insert into pile values (5, '2020-02-29'), (6, '2020-02-29'), (7, '2020-02-29')",
    "set global log_bin_compress = 0",
    "create table versioned (id int primary key, a int) with system versioning",
    "insert into versioned values (1, 1)",
    "update versioned set a = 2",
    "delete from versioned",
]
LAST = ["truncate t"]


def main() -> None:
    server = MysqlServer(sys.argv[1]).start()
    try:
        server.execute("create database golden")
        own = MYSQL if server.flavour == "mysql" else MARIADB
        server.execute("use golden", *COMMON, *own, *LAST)
        data = record(server)
    finally:
        server.destroy()
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 3], "little")
        sys.stdout.write(f"{data[at:end].hex()}\n")
        at = end


if __name__ == "__main__":
    main()
