"""DDL of tables that the stream does not tell, learned from looks at the catalog (`ddl: watch`): what can
have changed rows in silence is copied again, what is proven harmless is not, and mirror and lake equal the
source.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.support.postgres.server import Database
from tests.support.postgres.silent_ddl import Watched

ROWS = "select i, 'Row' || i from generate_series(1, 6) i"
PARTITIONED = "(id int primary key, v text) partition by range (id)"

# table → (what makes it, what happens to it). Those in HARMLESS must not be copied again.
PARTITIONS = {
    "attached": (
        [f"create table app.attached {PARTITIONED}"],
        [
            "create table app.attached_1 (id int primary key, v text)",
            "insert into app.attached_1 values (11, 'before')",
            "alter table app.attached attach partition app.attached_1 for values from (10) to (20)",
            "insert into app.attached values (12, 'behind')",
        ],
    ),
    "reattached": (
        [
            f"create table app.reattached {PARTITIONED}",
            "create table app.reattached_1 partition of app.reattached for values from (0) to (9)",
            f"insert into app.reattached {ROWS}",
        ],
        [
            "alter table app.reattached detach partition app.reattached_1",
            "update app.reattached_1 set v = 'apart'",
            "delete from app.reattached_1 where id = 3",
            "alter table app.reattached attach partition app.reattached_1 for values from (0) to (9)",
        ],
    ),
    "detached": (
        [
            f"create table app.detached {PARTITIONED}",
            "create table app.detached_1 partition of app.detached for values from (0) to (4)",
            "create table app.detached_2 partition of app.detached for values from (4) to (9)",
            f"insert into app.detached {ROWS}",
        ],
        ["alter table app.detached detach partition app.detached_2"],
    ),
    "thinned": (
        [
            f"create table app.thinned {PARTITIONED}",
            "create table app.thinned_1 partition of app.thinned for values from (0) to (4)",
            "create table app.thinned_2 partition of app.thinned for values from (4) to (9)",
            f"insert into app.thinned {ROWS}",
        ],
        ["drop table app.thinned_2"],
    ),
    "emptied": (
        [
            f"create table app.emptied {PARTITIONED}",
            "create table app.emptied_1 partition of app.emptied for values from (0) to (4)",
            "create table app.emptied_2 partition of app.emptied for values from (4) to (9)",
            f"insert into app.emptied {ROWS}",
        ],
        ["truncate app.emptied_1"],
    ),
}
COLUMNS = {
    "volatile": [
        "alter table app.volatile add c uuid default gen_random_uuid()",
        "alter table app.volatile alter c drop default",
    ],
    "widened": [
        "alter table app.widened add c int default 7",
        "alter table app.widened alter c drop default",
        "alter table app.widened alter c type bigint",
    ],
    "vacuumed": [
        "alter table app.vacuumed add c int default 7",
        "alter table app.vacuumed alter c drop default",
        "vacuum full app.vacuumed",
    ],
    "identified": [
        "alter table app.identified add c int generated always as identity",
        "alter table app.identified alter c drop identity",
    ],
    "serial": ["alter table app.serial add c serial", "alter table app.serial alter c drop default"],
    "retyped": [
        "alter table app.retyped add c int",
        "alter table app.retyped alter c type text using 'k' || id",
    ],
    "ungenerated": ["alter table app.ungenerated alter g drop expression"],
    # A backfill and a swap of names in one transaction, by which the old column's values must go.
    "lowered": [
        "begin; alter table app.lowered add e2 text; update app.lowered set e2 = lower(v);"
        " alter table app.lowered drop v; alter table app.lowered rename e2 to v; commit"
    ],
    "lowered_key": [
        "begin; alter table app.lowered_key add e2 text; update app.lowered_key set e2 = lower(v);"
        " alter table app.lowered_key drop v; alter table app.lowered_key rename e2 to v;"
        " alter table app.lowered_key add primary key (v); commit"
    ],
    "counted": [
        "begin; alter table app.counted add e2 int; update app.counted set e2 = length(v);"
        " alter table app.counted drop v; alter table app.counted rename e2 to v; commit"
    ],
    "renewed": [
        "begin; insert into app.renewed values (20, 'old'); alter table app.renewed drop v;"
        " alter table app.renewed add v text; insert into app.renewed values (21, 'new'); commit"
    ],
    # Rows under another key, which is gone again at the next look.
    "reidentified": [
        "alter table app.reidentified add u int; update app.reidentified set u = 100 + id",
        "alter table app.reidentified alter u set not null, add constraint reidentified_u unique (u)",
        "alter table app.reidentified replica identity using index reidentified_u",
        "update app.reidentified set u = 200 where id = 2; update app.reidentified set id = 60 where id = 6",
        "alter table app.reidentified replica identity default",
    ],
}
# Event triggers report each statement of these: nothing is left to guess.
EXACT = ("lowered", "counted", "renewed")
OTHER_SETUP = {
    "ungenerated": "(id int primary key, v text, g int generated always as (id * 2) stored)",
    "lowered_key": "(id int, v text primary key)",
}
TYPES = {
    "mooded": ("(id int primary key, m app.mood)", "select i, 'sad' from generate_series(1, 3) i"),
    "mood_keyed": ("(m app.mood primary key, n int)", "values ('sad', 1), ('fine', 2)"),
    "mood_keyless": ("(m app.mood, n int)", "values ('sad', 1), ('sad', 1), ('fine', 2)"),
    "mood_lists": ("(id int primary key, m app.mood[])", "values (1, '{sad,fine}'::app.mood[])"),
    "paired": ("(id int primary key, p app.pair)", "values (1, '(1,2)'::app.pair), (2, '(3,4)')"),
    "pair_keyless": ("(p app.pair)", "values ('(1,2)'::app.pair), ('(1,2)')"),
}
TYPE_CHANGES = [
    "alter type app.mood rename value 'sad' to 'blue'",
    "alter type app.pair add attribute c int",
    "update app.mooded set m = 'fine' where id = 2",
    "delete from app.mood_keyed where m = 'blue'",
    "delete from app.mood_keyless where m = 'blue' and ctid = (select min(ctid) from app.mood_keyless)",
]
OUTSIDE = {
    "moved": [
        "alter table app.moved set schema outside",
        "update outside.moved set v = 'outside'",
        "delete from outside.moved where id = 1",
        "alter table outside.moved set schema app",
    ],
    "renamed_away": [
        "alter table app.renamed_away rename to hidden_1",
        "update app.hidden_1 set v = 'hidden'",
        "delete from app.hidden_1 where id = 1",
        "alter table app.hidden_1 rename to renamed_away",
    ],
}
HARMLESS = {
    "defaulted": [
        "alter table app.defaulted add c int default 7",
        "alter table app.defaulted alter c drop default",
    ],
    "grown": [
        "alter table app.grown add c int",
        "insert into app.grown values (30, 'a', 1)",
        "alter table app.grown rename c to d",
        "insert into app.grown values (31, 'b', 2)",
    ],
    "narrowed": ["insert into app.narrowed values (30, 'a')", "alter table app.narrowed drop v"],
    "renamed": [
        "update app.renamed set v = 'before' where id = 1",
        "alter table app.renamed rename v to w",
        "update app.renamed set w = 'behind' where id = 2",
    ],
    "lengthened": [
        "alter table app.lengthened alter v type varchar(80)",
        "insert into app.lengthened values (30, 'longer')",
    ],
    "compacted": ["vacuum full app.compacted", "delete from app.compacted where id = 2"],
    "cut": ["truncate app.cut", "insert into app.cut values (1, 'again')"],
    "constrained": [
        "alter table app.constrained add check (id > 0)",
        "alter table app.constrained alter v set not null",
    ],
    "coloured": ["alter type app.colour add value 'green'", "insert into app.coloured values (9, 'green')"],
    "prepared": ["create table app.prepared_2 partition of app.prepared for values from (10) to (20)"],
    "planned": [
        "alter table app.planned add gone int; insert into app.planned values (30, 'a', 1)",
        "alter table app.planned drop gone",
        "insert into app.planned values (31, 'b')",
    ],
}
HARMLESS_SETUP = {
    "lengthened": ["create table app.lengthened (id int primary key, v varchar(40))"],
    "coloured": ["create table app.coloured (id int primary key, v app.colour)"],
    "prepared": [
        f"create table app.prepared {PARTITIONED}",
        "create table app.prepared_1 partition of app.prepared for values from (0) to (10)",
    ],
}


def plain(name: str) -> list[str]:
    columns = OTHER_SETUP.get(name, "(id int primary key, v text)")
    return [f"create table app.{name} {columns}", f"insert into app.{name} (id, v) {ROWS}"]


def setup() -> list[str]:
    statements = [
        "create schema app",
        "create schema outside",
        "create type app.mood as enum ('sad', 'fine')",
        "create type app.colour as enum ('red')",
        "create type app.pair as (a int, b int)",
    ]
    for made, _ in PARTITIONS.values():
        statements += made
    for name in (*COLUMNS, *OUTSIDE):
        statements += plain(name)
    for name, (columns, rows) in TYPES.items():
        statements.append(f"create table app.{name} {columns}")
        if "keyless" in name:
            statements.append(f"alter table app.{name} replica identity full")
        statements.append(f"insert into app.{name} {rows}")
    for name in HARMLESS:
        special = HARMLESS_SETUP.get(name)
        statements += special or plain(name)
        if name == "coloured":
            statements.append("insert into app.coloured values (1, 'red')")
        elif special:
            statements.append(f"insert into app.{name} {ROWS}")
    return statements


NOT_FOLLOWED = "a table is no longer followed by its own name"


def later() -> list[str]:
    """Row changes behind it all: they must find the rows that they are about."""
    statements = [f"update app.{name} set v = 'later' where id = 1" for name in (*PARTITIONS, *OUTSIDE)]
    statements += [f"delete from app.{name} where id = 5" for name in (*PARTITIONS, *COLUMNS, *OUTSIDE)]
    statements += [f"delete from app.{name} where id in (1, 5)" for name in HARMLESS]
    statements += [
        "update app.lowered_key set id = 99 where v = 'row2'",
        "delete from app.mood_keyless where m = 'blue'",
        "update app.mood_lists set m = '{blue}'",
        "delete from app.pair_keyless where ctid = (select min(ctid) from app.pair_keyless)",
        "update app.paired set p = '(7,8,9)' where id = 1",
        "insert into app.prepared values (12, 'new')",
    ]
    return statements


@pytest.mark.halved
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
def test_ddl_that_changes_rows_in_silence_has_the_table_copied_again(
    database: Database, tmp_path: Path, ddl: str, running: bool
) -> None:
    # Definitions and copies come without a row behind them too.
    rows_behind = later() if ddl == "trigger" else []
    database.execute(*setup())
    watched = Watched(database, tmp_path, ["app.*", "!app.hidden_*"], ddl=ddl)
    changes = [statement for _, made in PARTITIONS.values() for statement in made]
    for made in (*COLUMNS.values(), *OUTSIDE.values(), *HARMLESS.values()):
        changes += made
    exact = EXACT if ddl == "trigger" else ()
    expected = [f"app.{name}" for name in (*PARTITIONS, *COLUMNS, *TYPES, *OUTSIDE) if name not in exact]
    watched.migrate(changes + TYPE_CHANGES, expected=expected, later=rows_behind, running=running)
    # Whether a look finds the new partition still empty is a matter of time while the daemon runs.
    in_doubt = {"app.prepared"} if running else set()
    assert sorted(watched.copied.keys() - in_doubt) == sorted(expected)
    watched.assert_equal()


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_rewrite_that_a_superuser_hides_from_event_triggers_is_copied_again(
    database18: Database, tmp_path: Path, running: bool
) -> None:
    database = database18
    database.execute("create schema app", *plain("hidden"), *plain("granted"))
    database.execute(
        f"create table app.parted {PARTITIONED}",
        "create table app.parted_1 partition of app.parted for values from (0) to (9)",
        f"insert into app.parted {ROWS}",
    )
    watched = Watched(database, tmp_path, ["app.*"], ddl="trigger")
    rewrite = "set event_triggers = off; alter table app.{} alter v type text using upper(v)"
    watched.migrate(
        [rewrite.format("hidden"), rewrite.format("parted"), "grant select (v) on app.granted to public"],
        expected=["app.hidden", "app.parted"],
        later=[f"delete from app.{name} where id = 5" for name in ("hidden", "parted", "granted")],
        running=running,
    )
    reason = "ALTER TABLE rewrote its rows, or VACUUM FULL ran at the same time"
    assert watched.copied == {"app.hidden": [reason], "app.parted": [reason]}
    watched.assert_equal()


@pytest.mark.halved
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
def test_a_table_that_becomes_a_partition_is_named_as_no_longer_followed_and_keeps_its_rows(
    database: Database, tmp_path: Path, ddl: str
) -> None:
    database.execute(
        "create schema app",
        f"create table app.parent {PARTITIONED}",
        *plain("leaf"),
    )
    watched = Watched(database, tmp_path, ["app.*"], ddl=ddl)
    assert watched.pipeline.run_once().returncode == 0
    database.execute("alter table app.parent attach partition app.leaf for values from (0) to (100)")
    records = []
    for _ in range(2):
        result = watched.pipeline.run_once()
        assert result.returncode == 0
        records += [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    (said,) = [record for record in records if record["event"].startswith(NOT_FOLLOWED)]
    reason = "it became a partition of app.parent, with whose rows its rows are delivered"
    assert (said["level"], said["table"], said["reason"]) == ("warning", "app.leaf", reason)
    reasons = [
        r["reason"] for r in records if r["event"] == "copying table again" and r["table"] == "app.leaf"
    ]
    assert set(reasons) <= {"the table became a partition of another table"}
    rows = database.query("select id, v from app.leaf order by id")
    with duckdb.connect(str(watched.pipeline.mirror), read_only=True) as mirror:
        for table in ("leaf", "parent"):
            assert mirror.execute(f"select id, v from app.{table} order by id").fetchall() == rows


@pytest.mark.parametrize("ddl", ["watch", "trigger"])
def test_a_running_daemon_names_a_table_that_becomes_a_partition_once(
    database18: Database, tmp_path: Path, ddl: str
) -> None:
    database = database18
    database.execute("create schema app", f"create table app.parent {PARTITIONED}", *plain("leaf"))
    watched = Watched(database, tmp_path, ["app.*"], ddl=ddl)
    watched.migrate(
        [
            "alter table app.parent attach partition app.leaf for values from (0) to (100)",
            "insert into app.parent values (50, 'behind')",
        ],
        expected=["app.parent"],
        later=["delete from app.parent where id = 5"],
        running=True,
    )
    said = [r for r in watched.records if r["event"].startswith(NOT_FOLLOWED)]
    assert [r["table"] for r in said] == ["app.leaf"]
