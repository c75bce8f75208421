"""Migrations as real applications run them, by statement kind: each recipe is a list of statements.

A recipe is run as one transaction or statement by statement. `{t}` is a table, `{c}` and `{d}` fresh column
names; the migrator fills them in.
"""

from __future__ import annotations

# Schemas whose tables are followed.
SCHEMAS = ("app", "extra")
# Matches the exclusion in the source's `tables`; a table with this name is out of the selection.
HIDDEN = "hidden_"
# A schema that the selection does not have.
OUTSIDE = "outside"

SELECTED = ("app.*", "extra.*", f"!app.{HIDDEN}*")

CREATE = (
    "create schema app",
    "create schema extra",
    f"create schema {OUTSIDE}",
    "create type app.mood as enum ('sad', 'ok', 'happy')",
    "create type app.pair as (a int, b int)",
    "create domain app.small as int check (value < 1000000)",
    "create table app.users (id bigint primary key, email text, n int, mood app.mood, p app.pair)",
    "create table app.orders (id int primary key, note varchar(30), amount numeric(10,2), at timestamptz)",
    "create table app.by_text (code text primary key, n int, g int generated always as (n * 2) stored)",
    "create table app.keyless (n int, mood app.mood, note text, s app.small)",
    "alter table app.keyless replica identity full",
    "create table app.parted (id int primary key, note text) partition by range (id)",
    "create table app.parted_0 partition of app.parted for values from (0) to (20)",
    "create table app.parted_1 partition of app.parted for values from (20) to (40)",
    "create table app.twin_a (id int primary key, v text)",
    "create table app.twin_b (id int primary key, v text)",
    "create table extra.things (id int primary key, v text)",
)

# Fresh columns, with what frameworks do to their defaults.
COLUMNS: tuple[tuple[str, ...], ...] = (
    ("alter table {t} add {c} int",),
    ("alter table {t} add {c} text default 'fresh'",),
    ("alter table {t} add {c} int default 7", "alter table {t} alter {c} drop default"),
    (
        "alter table {t} add {c} int default 7",
        "alter table {t} alter {c} drop default",
        "alter table {t} alter {c} type bigint",
    ),
    ("alter table {t} add {c} uuid default gen_random_uuid()", "alter table {t} alter {c} drop default"),
    ("alter table {t} add {c} int generated always as identity", "alter table {t} alter {c} drop identity"),
    ("alter table {t} add {c} serial", "alter table {t} alter {c} drop default"),
    ("alter table {t} add {c} int", "alter table {t} alter {c} type text using 'k' || {first}"),
    ("alter table {t} add {c} varchar(20)", "alter table {t} alter {c} type text"),
    ("alter table {t} add {c} numeric(8,2) default 1.5", "alter table {t} alter {c} type numeric(12,2)"),
    ("alter table {t} add {c} app.mood", "update {t} set {c} = 'ok'"),
    ("alter table {t} add {c} int", "alter table {t} rename {c} to {d}"),
    (
        "alter table {t} add {c} int",
        "update {t} set {c} = 1",
        "alter table {t} drop {c}",
        "alter table {t} add {c} int",
    ),
)
# Columns that migrations made before, changed or dropped: `{c}` is one of those.
OLD_COLUMNS: tuple[tuple[str, ...], ...] = (
    ("alter table {t} drop {c}",),
    ("alter table {t} rename {c} to {d}",),
    ("alter table {t} drop {c}", "alter table {t} add {c} text"),
    ("alter table {t} alter {c} type text using 'x' || {c}::text",),
    (
        "alter table {t} add {d} text",
        "update {t} set {d} = lower({c}::text)",
        "alter table {t} drop {c}",
        "alter table {t} rename {d} to {c}",
    ),
)
PARTITIONS: tuple[tuple[str, ...], ...] = (
    ("alter table app.parted detach partition {p}", "update {p} set note = 'apart'", "{attach}"),
    ("alter table app.parted detach partition {p}", "delete from {p} where id % 2 = 0", "{attach}"),
    ("truncate {p}",),
    (
        "alter table app.parted detach partition {p}",
        "drop table {p}",
        "create table {p} (id int primary key, note text{more})",
        "insert into {p} (id, note) select i, 'again' from generate_series({low}, {low} + 5) i",
        "{attach}",
    ),
)
PUBLICATION: tuple[tuple[str, ...], ...] = (
    (
        "alter publication {pub} set (publish = 'insert')",
        "{write}",
        "alter publication {pub} set (publish = 'insert, update, delete, truncate')",
    ),
    (
        "alter publication {pub} set (publish_via_partition_root = false)",
        "{write}",
        "alter publication {pub} set (publish_via_partition_root = true)",
    ),
    ("alter publication {pub} drop table {t}", "{write}", "alter publication {pub} add table {t}"),
)
TYPES: tuple[tuple[str, ...], ...] = (
    ("alter type app.mood add value if not exists '{c}'",),
    ("alter type app.mood rename value '{label}' to '{c}'",),
    ("alter type app.pair add attribute {c} int",),
    ("alter domain app.small add constraint {c} check (value < 2000000)",),
)
NAMES: tuple[tuple[str, ...], ...] = (
    (
        "alter table app.twin_a rename to twin_x",
        "alter table app.twin_b rename to twin_a",
        "alter table app.twin_x rename to twin_b",
    ),
    (
        f"alter table app.twin_a rename to {HIDDEN}twin",
        f"update app.{HIDDEN}twin set v = 'hidden'",
        f"alter table app.{HIDDEN}twin rename to twin_a",
    ),
    (
        f"alter table extra.things set schema {OUTSIDE}",
        f"update {OUTSIDE}.things set v = 'outside'",
        f"alter table {OUTSIDE}.things set schema extra",
    ),
)
WHOLE_TABLES: tuple[tuple[str, ...], ...] = (
    ("vacuum full {t}",),
    ("truncate {t}",),
    ("alter table {t} replica identity full",),
    ("alter table {t} replica identity default",),
    (
        "create table app.{c} (id int primary key, v text)",
        "insert into app.{c} select i, 'new' from generate_series(1, 20) i",
    ),
    (
        "alter table app.by_text add {c} int generated always as (n * 3) stored",
        "alter table app.by_text alter {c} drop expression",
    ),
)

RECIPES = {
    "columns": COLUMNS,
    "old_columns": OLD_COLUMNS,
    "partitions": PARTITIONS,
    "publication": PUBLICATION,
    "types": TYPES,
    "names": NAMES,
    "whole": WHOLE_TABLES,
}
# How often each kind is drawn.
WEIGHTS = {
    "columns": 8,
    "old_columns": 6,
    "partitions": 3,
    "publication": 2,
    "types": 2,
    "names": 2,
    "whole": 3,
}
