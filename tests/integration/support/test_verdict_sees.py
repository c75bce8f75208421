"""The comparison of source, mirror and lake notices what it is there to notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.support.equality.lake import Change, check_sequence, read_lake, replay
from tests.support.equality.postgres import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.workload.postgres.oracle import SlotOracle

Damage = Callable[[list[Change]], list[Change]]


def test_damage_to_mirror_or_lake_is_seen(database15: Database, tmp_path: Path) -> None:
    database15.execute("create schema app", "create table app.t (id int primary key, note text)")
    database15.execute("insert into app.t values (0, 'copied')")
    oracle = SlotOracle(database15)
    pipeline = Pipeline(database15, tmp_path)
    pipeline.catch_up()
    database15.execute(
        "insert into app.t select i, 'new' from generate_series(1, 9) i", "delete from app.t where id = 5"
    )
    pipeline.catch_up()
    source = read_source(database15, "app.t", ["id"])
    events = oracle.events()["t"]
    changes = read_lake(pipeline.lake, source)
    assert differences(source, read_mirror(pipeline.mirror, source)) == []
    assert differences(source, replay(changes, source)) == []
    check_sequence("t", changes, events)

    damages: dict[str, Damage] = {
        "lost": lambda c: [*c[:3], *c[4:]],
        "lost at the end": lambda c: c[:-1],
        "doubled": lambda c: [*c[:4], *c[3:]],
        "swapped": lambda c: [*c[:-2], c[-1], c[-2]],
        "contained in the copy": lambda c: [c[0], replace(c[1], position=1), *c[2:]],
        "never committed": lambda c: [*c, replace(c[-1], position=2**50)],
    }
    for name, damage in damages.items():
        with pytest.raises(AssertionError):
            check_sequence(name, damage(changes), events)

    with duckdb.connect(str(pipeline.mirror)) as mirror:
        mirror.execute("update app.t set note = 'other' where id = 3")
        mirror.execute("delete from app.t where id = 4")
    found = differences(source, read_mirror(pipeline.mirror, source))
    assert "key (3,), column note: the source has 'new', here is 'other'" in found
    assert "key (4,): missing" in found
