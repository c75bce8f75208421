"""A new definition reaches mirror and lake though no row of its table follows."""

from __future__ import annotations

import signal
from pathlib import Path

import duckdb
import orjson
import pytest

from tests.support.equality.postgres import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.postgres.server import Database
from tests.support.postgres.silent_ddl import Watched

ROWS = "select i, 'Row' || i, i, 10 * i from generate_series(1, 5) i"
CHANGES = {
    "circled": [
        "begin; alter table app.circled rename a to c; alter table app.circled rename b to a;"
        " alter table app.circled rename c to b; commit"
    ],
    "circled_parts": [
        "begin; alter table app.circled_parts rename a to c; alter table app.circled_parts rename b to a;"
        " alter table app.circled_parts rename c to b; commit"
    ],
    "moved_parts": ["alter table app.moved_parts rename to moved_parts_on"],
    "grown": ["alter table app.grown add c int"],
    "passing": [
        "alter table app.passing add c int",
        "insert into app.passing values (98, 'passing', 1, 1, 5)",
        "alter table app.passing drop c",
    ],
    "filled": ["alter table app.filled add c int default 7", "alter table app.filled alter c drop default"],
    "narrowed": ["alter table app.narrowed drop b"],
    "renamed": ["alter table app.renamed rename a to other"],
    "moved": ["alter table app.moved rename to moved_on"],
    "lengthened": ["alter table app.lengthened alter v type varchar(80)"],
    "swapped_1": [
        "begin; alter table app.swapped_1 rename to x; alter table app.swapped_2 rename to swapped_1;"
        " alter table app.x rename to swapped_2; commit"
    ],
    "swapped_2": [],
    "reported": [
        "begin; alter table app.reported add e2 text; update app.reported set e2 = lower(v);"
        " alter table app.reported drop v; alter table app.reported rename e2 to v; commit"
    ],
    # A new table takes the name.
    "kept": [
        "alter table app.kept rename to kept_old",
        "create table app.kept (id int primary key, v varchar(40))",
        "insert into app.kept values (1, 'new')",
    ],
    "live": ["insert into app.live values (99, 'live', 1, 1)"],
}


@pytest.mark.halved
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
def test_a_definition_reaches_the_sinks_without_a_row(
    database: Database, tmp_path: Path, ddl: str, running: bool
) -> None:
    database.execute("create schema app")
    for name in CHANGES:
        parts = [f"create table app.{name}_1 partition of app.{name} for values from (0) to (100)"]
        is_parted = name.endswith("_parts")
        database.execute(
            f"create table app.{name} (id int primary key, v varchar(40), a int, b int)"
            + " partition by range (id)" * is_parted,
            *parts * is_parted,
            f"insert into app.{name} {ROWS if name != 'swapped_2' else ROWS.replace('1, 5', '4, 9')}",
        )
    watched = Watched(database, tmp_path, ["app.*"], ddl=ddl)
    changes = [statement for made in CHANGES.values() for statement in made]
    watched.migrate(changes, expected=[], later=[], running=running)
    watched.catch_up()
    watched.assert_equal()
    guessed = {"app.reported"} if ddl == "watch" else set()
    assert {table for table, reasons in watched.copied.items() if _is_guess(reasons)} == guessed
    manifests = sorted((watched.pipeline.lake / "_cdc" / "commits").rglob("*.json"))
    told = {one["table"] for path in manifests for one in orjson.loads(path.read_bytes())["set_aside"]}
    assert {"swapped_1", "swapped_2"} <= told


@pytest.mark.parametrize("ddl", ["trigger", pytest.param("watch", marks=pytest.mark.slow)])
def test_a_daemon_that_dies_around_a_definition_delivers_it_all_the_same(
    database18: Database, tmp_path: Path, ddl: str
) -> None:
    database18.execute(
        "create schema app",
        "create table app.circled (id int primary key, v varchar(40), a int, b int)",
        f"insert into app.circled {ROWS}",
        "create table app.masked (id int primary key, v varchar(40), a int, b int)",
        f"insert into app.masked {ROWS}",
    )
    masks = [{"table": "app.masked", "mask": {"v": "hash"}, "route": "raw.routed"}]
    watched = Watched(database18, tmp_path, ["app.*"], ddl=ddl, transforms=masks, mask_key="${file:mask.key}")
    pipeline = watched.pipeline
    (tmp_path / "mask.key").write_text("0f" * 32)
    pipeline.catch_up()
    for point in ("capture.routed", "capture.durable", "delivery.planned", "delivery.applied"):
        # The second hit too: the first set may come before the definition.
        for count in (1, 2):
            database18.execute(CHANGES["circled"][0], CHANGES["circled"][0].replace("circled", "masked"))
            with pipeline.start({"CDC_FAILPOINT": f"{point}={count}"}) as daemon:
                assert daemon.wait() == -signal.SIGKILL
    database18.execute(CHANGES["circled"][0], CHANGES["circled"][0].replace("circled", "masked"))
    pipeline.catch_up()
    source = read_source(database18, "app.circled", ("id",))
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    expected = database18.query("select id, a, b from app.masked order by id")
    with duckdb.connect(str(pipeline.mirror), read_only=True) as mirror:
        assert mirror.execute("select id, a, b from raw.routed order by id").fetchall() == expected


@pytest.mark.halved
@pytest.mark.parametrize("ddl", ["watch", "trigger"])
def test_ddl_before_a_type_that_is_read_as_text_is_taken_once(
    database: Database, tmp_path: Path, ddl: str
) -> None:
    database.execute("create schema app")
    for name in ("grown", "circled"):
        columns = "(id int primary key, v varchar(40), a int, b int)"
        database.execute(f"create table app.{name} {columns}", f"insert into app.{name} {ROWS}")
    database.execute("create table app.granted (id int primary key, c aclitem[])")
    watched = Watched(database, tmp_path, ["app.*"], ddl=ddl)
    watched.catch_up()
    # The row of the last table ends the binary stream inside of the transaction.
    (circle,) = CHANGES["circled"]
    database.execute(
        "begin; update app.circled set a = 77 where id = 1;"
        f" {circle.removeprefix('begin;').removesuffix('commit')} {CHANGES['grown'][0]};"
        " update app.circled set a = 88 where id = 2; insert into app.granted values (1, null); commit"
    )
    for _ in range(2):
        watched.catch_up()
    watched.assert_equal()
    if ddl == "trigger":
        assert watched.copied == {}


def _is_guess(reasons: list[str]) -> bool:
    return any("columns were" in reason or "catalog" in reason for reason in reasons)
