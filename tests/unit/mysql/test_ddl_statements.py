from __future__ import annotations

import pytest

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import (
    Altered,
    Created,
    DatabaseDefaults,
    DatabaseDropped,
    Dml,
    Dropped,
    ObjectChanged,
    Renamed,
    Repaired,
    RowsChanged,
    TableChange,
    Truncated,
    Unknown,
)
from cdc_source_mysql.schema.ddl.classify import classify
from cdc_source_mysql.schema.ddl.tokens import SessionSettings

ANSI_QUOTES, NO_BACKSLASH_ESCAPES = 4, 1 << 20
T = TableId("db", "t")
U = TableId("db", "u")

OBJECTS = """
CREATE VIEW v AS SELECT * FROM t
CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW `v` AS select 1
CREATE OR REPLACE ALGORITHM=MERGE VIEW v AS SELECT 1
ALTER ALGORITHM=MERGE DEFINER=CURRENT_USER SQL SECURITY INVOKER VIEW v AS SELECT 1
DROP VIEW IF EXISTS v, w
CREATE DEFINER=`root`@`%` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW UPDATE u SET a = 1
CREATE TRIGGER IF NOT EXISTS tr AFTER DELETE ON t FOR EACH ROW BEGIN DELETE FROM u; TRUNCATE t; END
DROP TRIGGER db.tr
CREATE DEFINER=`a b`@`%` PROCEDURE p(IN x INT) BEGIN ALTER TABLE t ADD c INT; INSERT INTO t VALUES (1); END
ALTER PROCEDURE p COMMENT 'x'
DROP PROCEDURE IF EXISTS p
CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1
CREATE AGGREGATE FUNCTION f RETURNS INTEGER SONAME 'x.so'
CREATE OR REPLACE FUNCTION f() RETURNS INT RETURN 1
DROP FUNCTION f
""".strip().splitlines()

HARMLESS = """
BEGIN
COMMIT
ROLLBACK
START TRANSACTION
SAVEPOINT `s 1`
ROLLBACK TO `s 1`
ROLLBACK TO SAVEPOINT s
RELEASE SAVEPOINT s
XA START X'61',X'',1
XA END X'61',X'',1
XA PREPARE X'61',X'',1
XA COMMIT X'61',X'',1
XA ROLLBACK X'61',X'',1
ALTER SCHEMA x READ ONLY = 1
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t
ALTER EVENT e DISABLE
ALTER DEFINER=`r`@`%` EVENT e ON SCHEDULE EVERY 1 HOUR
DROP EVENT e
CREATE USER 'a'@'%' IDENTIFIED WITH 'caching_sha2_password' AS 'x'
ALTER USER 'a'@'%' ACCOUNT LOCK
DROP USER a
RENAME USER a TO b
CREATE ROLE r
DROP ROLE r
SET PASSWORD FOR 'a'@'%'='x'
SET DEFAULT ROLE r FOR a
SET @@session.x = 1
GRANT SELECT ON *.* TO `a`@`%`
REVOKE ALL ON db.t FROM a
FLUSH PRIVILEGES
FLUSH TABLES t WITH READ LOCK
FLUSH LOCAL LOGS
ANALYZE TABLE t
ANALYZE NO_WRITE_TO_BINLOG TABLE t
OPTIMIZE TABLE t
CHECK TABLE t
CREATE INDEX i ON t (a)
CREATE FULLTEXT INDEX i ON t (a) WITH PARSER ngram
CREATE SPATIAL INDEX i ON t (g)
CREATE INDEX IF NOT EXISTS i USING BTREE ON t (a) COMMENT 'x'
CREATE VECTOR INDEX i ON t (v)
ALTER TABLE t ADD INDEX i (a, b(10) DESC), ADD KEY (c), ADD FULLTEXT (d)
ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES u (id) ON DELETE SET NULL ON UPDATE CASCADE
ALTER TABLE t DROP FOREIGN KEY fk
ALTER TABLE t ADD CHECK (a > 0), ADD CONSTRAINT c CHECK (b in (1,2)) NOT ENFORCED
ALTER TABLE t ALTER CHECK c ENFORCED
ALTER TABLE t DROP CHECK c
ALTER TABLE t RENAME INDEX i TO j
ALTER TABLE t RENAME KEY i TO j, ALGORITHM=INPLACE, LOCK=NONE
ALTER TABLE t ALTER INDEX i INVISIBLE
ALTER TABLE t FORCE
ALTER TABLE t ENABLE KEYS
/*!40000 ALTER TABLE `t` DISABLE KEYS */
ALTER TABLE t ORDER BY a, b DESC
ALTER TABLE t AUTO_INCREMENT=5, COMMENT='drop table t', ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
ALTER TABLE t STATS_PERSISTENT=0, MAX_ROWS 10
ALTER TABLE t ADD PARTITION (PARTITION p3 VALUES LESS THAN (40))
ALTER TABLE t ADD PARTITION PARTITIONS 2
ALTER TABLE t COALESCE PARTITION 2
ALTER TABLE t REORGANIZE PARTITION p1,p2 INTO (PARTITION p VALUES LESS THAN MAXVALUE)
ALTER TABLE t ANALYZE PARTITION ALL
ALTER TABLE t REBUILD PARTITION p0
ALTER TABLE t PARTITION BY HASH(id) PARTITIONS 4
ALTER TABLE t /*!50100 PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (1) ENGINE = InnoDB) */
ALTER TABLE t REMOVE PARTITIONING
ALTER TABLE t SECONDARY_LOAD
CREATE SEQUENCE s START WITH 1
ALTER SEQUENCE s RESTART 5
DROP SEQUENCE s
CREATE TABLESPACE ts ADD DATAFILE 'x.ibd'
CREATE UNDO TABLESPACE u ADD DATAFILE 'x.ibu'
DROP TABLESPACE ts
CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')
CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x' DEFINITION 'y'
ALTER INSTANCE ROTATE INNODB MASTER KEY
INSTALL PLUGIN x SONAME 'y'
UNINSTALL COMPONENT 'x'
CREATE RESOURCE GROUP g TYPE = USER
# Dum
-- nothing
/* only a comment */
;
SET STATEMENT max_statement_time=1 FOR ANALYZE TABLE t
CREATE OR REPLACE PACKAGE BODY p AS x INT; END
"""


@pytest.mark.parametrize("sql", [line for line in HARMLESS.splitlines() if line])
@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_statement_without_effect_on_rows_and_shapes_is_harmless(sql: str, flavour: str) -> None:
    keys = ObjectChanged("FOREIGN KEY", T)
    # The server may copy the rows, and compute generated columns again.
    rebuilt = Altered(T, (), strict=False, rebuilds=True)
    assert set(classify(sql, "db", flavour=flavour)) <= {keys, rebuilt}


@pytest.mark.parametrize(
    "sql", ["REPAIR TABLE t QUICK", "REPAIR LOCAL TABLE u, t", "ALTER TABLE t REPAIR PARTITION p0, p1"]
)
def test_a_repair_may_drop_rows(sql: str) -> None:
    change = classify(sql, "db")[-1]
    assert isinstance(change, Altered)
    assert (change.table, change.edits) == (T, (Repaired(),))


def test_a_repaired_view_has_no_rows() -> None:
    assert classify("REPAIR VIEW v", "db", flavour="mariadb") == ()


@pytest.mark.parametrize("sql", OBJECTS)
@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_stored_object_is_told_by_its_name(sql: str, flavour: str) -> None:
    (change, *_) = classify(sql, "db", flavour=flavour)
    assert isinstance(change, ObjectChanged)
    assert f"{change.kind} " in sql
    assert change.name in {TableId("db", name) for name in ("v", "tr", "p", "f")}


QUERIED = Created(T, reason="it was created from a query")
QUERY = Dml("CREATE TABLE", ())
CASES: list[tuple[str, tuple[TableChange, ...]]] = [
    ("DROP TABLE t", (Dropped(T),)),
    ("DROP TABLE `t`,`u` /* generated by server */", (Dropped(T), Dropped(U))),
    ("DROP TABLE IF EXISTS `x`.`t` CASCADE", (Dropped(TableId("x", "t")),)),
    ("DROP TABLES t, x.`a.b`", (Dropped(T), Dropped(TableId("x", "a.b")))),
    ("DROP TABLE t WAIT 5", (Dropped(T),)),
    ("drop/**/table\n\tt;", (Dropped(T),)),
    ("DROP TABLE `a``b`", (Dropped(TableId("db", "a`b")),)),
    ("DROP TABLE `drop table`", (Dropped(TableId("db", "drop table")),)),
    ("DROP TABLE таблица, `テーブル`",
     (Dropped(TableId("db", "таблица")), Dropped(TableId("db", "テーブル")))),
    ("DROP TABLE 2020_orders", (Dropped(TableId("db", "2020_orders")),)),
    ("DROP TABLE `x`.2020", (Dropped(TableId("x", "2020")),)),
    ("DROP TABLE x . t", (Dropped(TableId("x", "t")),)),
    ("DROP TABLE $t$", (Dropped(TableId("db", "$t$")),)),
    ("DROP DATABASE x", (DatabaseDropped("x"),)),
    ("DROP SCHEMA IF EXISTS `x y`", (DatabaseDropped("x y"),)),
    ("CREATE OR REPLACE DATABASE x", (DatabaseDropped("x"), DatabaseDefaults("x"))),
    ("RENAME TABLE t TO u", (Renamed(T, U),)),
    ("RENAME TABLE IF EXISTS t NOWAIT TO u", (Renamed(T, U),)),
    ("RENAME TABLES t TO u, u TO x.t", (Renamed(T, U), Renamed(U, TableId("x", "t")))),
    (
        "rename /* gh-ost */ table `db`.`t` to `db`.`_t_del`, `db`.`_t_gho` to `db`.`t`",
        (Renamed(T, TableId("db", "_t_del")), Renamed(TableId("db", "_t_gho"), T)),
    ),
    ("ALTER TABLE t RENAME u", (Renamed(T, U),)),
    ("ALTER TABLE t RENAME TO x.u", (Renamed(T, TableId("x", "u")),)),
    ("ALTER TABLE t RENAME AS u, ALGORITHM=INPLACE", (Renamed(T, U),)),
    ("ALTER TABLE t RENAME = u", (Renamed(T, U),)),
    ("TRUNCATE t", (Truncated(T),)),
    ("TRUNCATE TABLE `x`.`u`", (Truncated(TableId("x", "u")),)),
    ("TRUNCATE TABLE t NOWAIT", (Truncated(T),)),
    ("ALTER TABLE t DROP PARTITION p0, p1", (RowsChanged(T, "DROP PARTITION"),)),
    ("ALTER TABLE t DROP PARTITION IF EXISTS p0", (RowsChanged(T, "DROP PARTITION"),)),
    ("ALTER TABLE t TRUNCATE PARTITION ALL", (RowsChanged(T, "TRUNCATE PARTITION"),)),
    (
        "ALTER TABLE t EXCHANGE PARTITION p0 WITH TABLE u WITHOUT VALIDATION",
        (RowsChanged(T, "EXCHANGE PARTITION"), RowsChanged(U, "EXCHANGE PARTITION")),
    ),
    ("ALTER TABLE t DISCARD TABLESPACE", (RowsChanged(T, "DISCARD TABLESPACE"),)),
    ("ALTER TABLE t IMPORT TABLESPACE", (RowsChanged(T, "IMPORT TABLESPACE"),)),
    ("ALTER TABLE t IMPORT PARTITION p0 TABLESPACE", (RowsChanged(T, "IMPORT TABLESPACE"),)),
    ("ALTER IGNORE TABLE t COMMENT = 'x'", (RowsChanged(T, "ALTER IGNORE TABLE may delete rows"),)),
    (
        "ALTER TABLE t CONVERT PARTITION p0 TO TABLE u",
        (
            RowsChanged(T, "CONVERT PARTITION TO TABLE"),
            Created(U, reason="it was made of a partition"),
        ),
    ),
    (
        "ALTER TABLE t CONVERT TABLE u TO PARTITION p0 VALUES LESS THAN (5)",
        (RowsChanged(T, "CONVERT TABLE TO PARTITION"), Dropped(U)),
    ),
    ("CREATE TABLE t LIKE u", (Created(T, like=U, reason="it was created like db.u"),)),
    ("CREATE TABLE t (LIKE u)", (Created(T, like=U, reason="it was created like db.u"),)),
    ("CREATE TABLE t SELECT * FROM u", (QUERIED, QUERY)),
    ("CREATE TABLE t AS (SELECT 1)", (QUERIED, QUERY)),
    ("CREATE TABLE t (SELECT 1 a)", (QUERIED, QUERY)),
    ("CREATE TABLE t (a int) ENGINE=MEMORY IGNORE AS SELECT 1", (QUERIED, QUERY)),
    ("CREATE TABLE t (a int) REPLACE SELECT 1", (QUERIED, QUERY)),
    ("CREATE TABLE t TABLE u", (QUERIED, QUERY)),
    ("CREATE TABLE t (a int) PARTITION BY HASH (a) AS SELECT 1 a", (QUERIED, QUERY)),
    ("INSERT INTO t VALUES (1)", (Dml("INSERT", (T,)),)),
    ("INSERT LOW_PRIORITY IGNORE `x`.u (a) SELECT a FROM t", (Dml("INSERT", (TableId("x", "u"),)),)),
    ("INSERT INTO mysql.rds_heartbeat2(id, value) values (1,2) ON DUPLICATE KEY UPDATE value = 2",
     (Dml("INSERT", (TableId("mysql", "rds_heartbeat2"),)),)),
    ("REPLACE DELAYED INTO t SET a = 1", (Dml("REPLACE", (T,)),)),
    ("UPDATE t SET a = 1 WHERE b IN (SELECT c FROM u)", (Dml("UPDATE", (T,)),)),
    ("UPDATE t, u SET t.a = 1, u.a = 2 WHERE t.id = u.id", (Dml("UPDATE", (T, U)),)),
    ("UPDATE t x JOIN u y ON x.id = y.id SET y.a = 1", (Dml("UPDATE", (U,)),)),
    ("UPDATE t JOIN u ON t.id = u.id SET a = 1", (Dml("UPDATE", (T, U)),)),
    ("DELETE FROM t WHERE a = 1 LIMIT 5", (Dml("DELETE", (T,)),)),
    ("DELETE t FROM t JOIN u ON t.id = u.id", (Dml("DELETE", (T,)),)),
    ("WITH q AS (SELECT 1 id) UPDATE t JOIN q ON t.id = q.id SET t.a = 1", (Dml("WITH", (T,)),)),
    ("WITH q AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM q)", (Dml("WITH", (T,)),)),
    ("LOAD DATA INFILE 'x' INTO TABLE t FIELDS TERMINATED BY ','", (Dml("LOAD", (T,)),)),
    ("LOAD XML LOCAL INFILE 'x' IGNORE INTO TABLE x.u", (Dml("LOAD", (TableId("x", "u"),)),)),
    ("ANALYZE UPDATE t SET a = 1", (Dml("UPDATE", (T,)),)),
    ("ANALYZE FORMAT=JSON DELETE FROM t", (Truncated(T), Dml("DELETE", ()))),
    ("DELETE FROM `db`.`t`", (Truncated(T), Dml("DELETE", ()))),
    ("DELETE FROM t LIMIT 5", (Dml("DELETE", (T,)),)),
    ("CALL p(1)", (Dml("CALL", None),)),
    ("SELECT `db`.`f`(1)", (Dml("SELECT", ()),)),
    ("DO f()", (Dml("DO", ()),)),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), CASES, ids=[sql[:60] for sql, _ in CASES])
def test_a_statement_names_the_tables_that_it_changes(sql: str, expected: tuple[TableChange, ...]) -> None:
    assert classify(sql, "db", flavour="mariadb") == expected


@pytest.mark.parametrize(
    "sql",
    [
        "FROBNICATE TABLE t",
        "ALTER FROB t",
        "CREATE FROB t",
        "RENAME FROB t TO u",
        "DROP TABLE t FROB",
        "DROP TABLE 't'",
        "ALTER DATABASE `#mysql50#t` UPGRADE DATA DIRECTORY NAME",
        "IMPORT TABLE FROM 't.sdi'",
        "ALTER TABLE t FROB (1), RENAME TO u",
        "DROP TABLE `t",
        "UPDATE t SET a = 'x",
        "SET STATEMENT a=1",
    ],
)
def test_what_is_not_understood_is_unknown_and_names_its_words(sql: str) -> None:
    (change,) = classify(sql, "db")
    assert isinstance(change, Unknown)
    assert change.database == "db"
    assert change.reason
    if "t.sdi" not in sql and "STATEMENT" not in sql and "'t'" not in sql:
        assert {"t", "#mysql50#t"} & change.words


def test_a_clause_that_is_not_understood_makes_shape_and_rows_suspect() -> None:
    rows, altered = classify("ALTER TABLE t ADD c INT, FROB (1)", "db")
    assert isinstance(rows, RowsChanged)
    assert rows.table == T
    assert isinstance(altered, Altered)
    assert [type(edit).__name__ for edit in altered.edits] == ["AddColumn", "Unsure"]


def test_mysql_ignores_comments_that_are_code_on_mariadb() -> None:
    sql = "/*M!100100 DROP TABLE t */"
    assert classify(sql, "db", flavour="mysql") == ()
    assert classify(sql, "db", flavour="mariadb") == (Dropped(T),)


def test_versioned_comments_may_hold_comments() -> None:
    sql = "DROP TABLE /*!50001 IF EXISTS /* why */ t */, u"
    assert classify(sql, "db") == (Dropped(T), Dropped(U))


def test_set_statement_wraps_any_statement() -> None:
    sql = "SET STATEMENT max_statement_time=(1+1), sql_mode='FOR' FOR SET STATEMENT a=1 FOR DROP TABLE t"
    assert classify(sql, "db", flavour="mariadb") == (Dropped(T),)


def test_ansi_quotes_make_double_quotes_names() -> None:
    assert classify('DROP TABLE "t", "x"."a""b"', "db", ANSI_QUOTES) == (
        Dropped(T),
        Dropped(TableId("x", 'a"b')),
    )
    assert isinstance(classify('DROP TABLE "t"', "db")[0], Unknown)


def test_backslashes_escape_unless_the_mode_forbids_it() -> None:
    assert classify(r"ALTER TABLE t COMMENT='\'', RENAME TO u", "db") == (Renamed(T, U),)
    assert classify(r"ALTER TABLE t COMMENT='\', RENAME TO u", "db", NO_BACKSLASH_ESCAPES) == (Renamed(T, U),)
    assert isinstance(classify(r"ALTER TABLE t COMMENT='\', RENAME TO u", "db")[0], Unknown)


@pytest.mark.parametrize(("charset", "codec"), [("gbk", "gbk"), ("sjis", "shift_jis"), ("big5", "big5")])
def test_a_trail_byte_that_looks_like_a_backslash_is_none(charset: str, codec: str) -> None:
    character = {"gbk": "誠", "sjis": "表", "big5": "功"}[charset]
    data = f"ALTER TABLE `{character}` COMMENT='{character}', RENAME TO u".encode(codec)
    assert b"\x5c" in data
    assert classify(data, "db", charset=charset) == (Renamed(TableId("db", character), U),)


def test_names_in_latin1_statements_are_decoded() -> None:
    assert classify("DROP TABLE `é`".encode("latin-1"), "db", charset="latin1") == (
        Dropped(TableId("db", "é")),
    )


def test_bytes_without_meaning_do_not_hide_the_table() -> None:
    assert classify(b"INSERT INTO t VALUES ('\xff\xfe')", "db") == (Dml("INSERT", (T,)),)


@pytest.mark.parametrize(
    ("sql", "if_not_exists", "replaces"),
    [
        ("CREATE TABLE t (a int)", False, False),
        ("CREATE TABLE IF NOT EXISTS t (a int)", True, False),
        ("CREATE OR REPLACE TABLE t (a int)", False, True),
        ("CREATE TABLE t (\n  `a` int DEFAULT NULL\n) START TRANSACTION", False, False),
    ],
)
def test_a_create_table_tells_its_columns(sql: str, if_not_exists: bool, replaces: bool) -> None:
    (created,) = classify(sql, "db")
    assert isinstance(created, Created)
    assert (created.if_not_exists, created.replaces) == (if_not_exists, replaces)
    assert created.shape is not None
    assert [column.name for column in created.shape.columns] == ["a"]


def test_dml_that_sqlglot_can_not_read_counts_for_every_name() -> None:
    sql = "DELETE HISTORY FROM t BEFORE SYSTEM_TIME (SELECT 1 FROM x.y)"
    (change,) = classify(sql, "db", flavour="mariadb")
    assert isinstance(change, Dml)
    assert change.tables is not None
    assert {T, TableId("x", "y")} <= set(change.tables)


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        ("create database x", DatabaseDefaults("x", "latin1", "latin1_swedish_ci")),
        ("create schema x default encryption='N'", DatabaseDefaults("x", "latin1", "latin1_swedish_ci")),
        ("create database x charset = default", DatabaseDefaults("x", "latin1", "latin1_swedish_ci")),
        ("create database x character set utf8mb4", DatabaseDefaults("x", "utf8mb4")),
        (
            "create database if not exists x default character set utf8mb4 collate utf8mb4_bin",
            DatabaseDefaults("x", "utf8mb4", "utf8mb4_bin", if_not_exists=True),
        ),
        ("alter database x collate utf8mb4_bin", DatabaseDefaults("x", "utf8mb4", "utf8mb4_bin")),
        ("alter database default character set = latin2", DatabaseDefaults("db", "latin2")),
        ("alter database charset latin2", DatabaseDefaults("db", "latin2")),
        ("alter database charset charset latin2", DatabaseDefaults("charset", "latin2")),
        ("alter schema x default collate = default", DatabaseDefaults("x", "latin1", "latin1_swedish_ci")),
    ],
)
def test_databases_have_a_default_character_set(sql: str, change: DatabaseDefaults) -> None:
    assert classify(sql, "db", session=SessionSettings(server_collation="latin1_swedish_ci")) == (change,)


def test_the_default_of_a_database_is_unknown_where_neither_statement_nor_event_says_it() -> None:
    assert classify("create database x", "db") == (DatabaseDefaults("x"),)
    assert classify("alter database x comment = 'y'", "db", 0, "utf8mb4", "mariadb") == ()
    assert classify("create or replace database x charset latin1", "db", 0, "utf8mb4", "mariadb") == (
        DatabaseDropped("x"),
        DatabaseDefaults("x", "latin1"),
    )
