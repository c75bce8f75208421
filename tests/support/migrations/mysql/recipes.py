"""Migrations on MySQL and MariaDB, by statement kind; each statement commits by itself.

`{t}` is a table, `{c}` and `{d}` fresh column names; the migrator fills them in.
"""

from __future__ import annotations

SCHEMAS = ("app", "extra")
# Matches the exclusion in the source's `tables`.
HIDDEN = "hidden_"
# A database that the selection does not have.
OUTSIDE = "outside"
SELECTED = ("app.*", "extra.*", f"!app.{HIDDEN}*", "!app._*")
LOW, MIDDLE = "partition p0 values less than (20)", "partition p1 values less than (40)"

CREATE = (
    "create database app character set utf8mb4",
    "create database extra character set latin1",
    f"create database {OUTSIDE}",
    "create table app.users (id bigint primary key, email varchar(99), n int, mood enum('sad','ok','happy'))",
    "create table app.orders (id int primary key, note varchar(30), amount decimal(10,2), at datetime)",
    "create table app.by_text (code varchar(20) primary key, n int)",
    "create table app.keyless (n int, note varchar(50))",
    "create table app.parted (id int primary key, note varchar(50)) partition by range (id) "
    f"({LOW}, {MIDDLE}, partition p2 values less than (1000))",
    "create table app.twin_a (id int primary key, v varchar(50))",
    "create table app.twin_b (id int primary key, v varchar(50))",
    "create table extra.things (id int primary key, v varchar(50))",
)

COLUMNS: tuple[tuple[str, ...], ...] = (
    ("alter table {t} add {c} int",),
    ("alter table {t} add {c} varchar(20) default 'fresh' first",),
    ("alter table {t} add {c} int not null default 7", "alter table {t} alter {c} drop default"),
    ("alter table {t} add {c} int default 7", "alter table {t} modify {c} bigint"),
    ("alter table {t} add {c} varchar(40) default (concat('x', {first}))",),
    ("alter table {t} add {c} int", "update {t} set {c} = 3", "alter table {t} modify {c} varchar(20)"),
    ("alter table {t} add {c} varchar(20)", "alter table {t} modify {c} text"),
    ("alter table {t} add {c} decimal(8,2) default 1.5", "alter table {t} modify {c} decimal(12,2)"),
    (
        "alter table {t} add {c} enum('a','b')",
        "update {t} set {c} = 'b'",
        "alter table {t} modify {c} enum('b','a','c')",
    ),
    ("alter table {t} add {c} int, add {d} varchar(10) default 'two'",),
    ("alter table {t} add {c} timestamp null", "update {t} set {c} = '2026-01-01 00:00:00'"),
)
OLD_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("alter table {t} drop {c}",),
    ("alter table {t} rename column {c} to {d}",),
    ("alter table {t} modify {c} varchar(60)",),
    (
        "alter table {t} add {d} varchar(60)",
        "update {t} set {d} = lower({c})",
        "alter table {t} drop {c}",
    ),
)
# A column's name used again. A lake without column numbers can't tell the two apart without a copy.
REUSED: tuple[tuple[str, ...], ...] = (
    ("alter table {t} drop {c}, add {c} varchar(20)",),
    ("alter table {t} drop {c}", "alter table {t} add {c} varchar(20)"),
    (
        "alter table {t} add {d} varchar(60)",
        "update {t} set {d} = lower({c})",
        "alter table {t} drop {c}",
        "alter table {t} rename column {d} to {c}",
    ),
)
PARTITIONS: tuple[tuple[str, ...], ...] = (
    ("alter table app.parted truncate partition p0",),
    (
        "alter table app.parted drop partition p0",
        f"alter table app.parted reorganize partition p1 into ({LOW}, {MIDDLE})",
    ),
    (
        "create table app._loose like app.parted",
        "alter table app._loose remove partitioning",
        "insert into app._loose (id, note) select id, 'exchanged' from app.parted where id >= 20 and id < 40",
        "alter table app.parted exchange partition p1 with table app._loose",
        "drop table app._loose",
    ),
)
NAMES: tuple[tuple[str, ...], ...] = (
    ("rename table app.twin_a to app.twin_x, app.twin_b to app.twin_a, app.twin_x to app.twin_b",),
    (
        f"rename table app.twin_a to app.{HIDDEN}twin",
        f"update app.{HIDDEN}twin set v = 'hidden'",
        f"rename table app.{HIDDEN}twin to app.twin_a",
    ),
    (
        f"rename table extra.things to {OUTSIDE}.things",
        f"update {OUTSIDE}.things set v = 'outside'",
        f"rename table {OUTSIDE}.things to extra.things",
    ),
    (
        "create table app._ghost like app.orders",
        "alter table app._ghost add {c} int default 5",
        "insert into app._ghost ({orders}) select {orders} from app.orders",
        "rename table app.orders to app._gone, app._ghost to app.orders",
        "drop table app._gone",
    ),
)
WHOLE_TABLES: tuple[tuple[str, ...], ...] = (
    ("optimize table {t}",),
    ("truncate table {t}",),
    ("alter table {t} engine = innodb",),
    ("alter table extra.things convert to character set utf8mb4",),
    ("alter table extra.things convert to character set latin1",),
    (
        "create table app.{c} (id int primary key, v varchar(20))",
        "insert into app.{c} values (1, 'new'), (2, 'new')",
    ),
    ("create index {c} on {t} ({first})",),
    (
        "set session binlog_row_image = minimal",
        "{write}",
        "{write}",
        "{write}",
        "set session binlog_row_image = full",
    ),
    ("alter table app.users modify mood enum('sad','ok','happy','{c}')",),
    ("alter table app.users modify mood enum('ok','happy','sad')",),
    (
        "create table app._scratch (id int primary key, t varchar(20))",
        "insert into app._scratch values (1, 'x')",
        "alter table app._scratch add unique (t)",
        "drop table app._scratch",
    ),
)

RECIPES = {
    "columns": COLUMNS,
    "old_columns": OLD_COLUMNS,
    "reused": REUSED,
    "partitions": PARTITIONS,
    "names": NAMES,
    "whole": WHOLE_TABLES,
}
# How often each kind is drawn.
WEIGHTS = {"columns": 8, "old_columns": 5, "reused": 2, "partitions": 2, "names": 2, "whole": 5}
