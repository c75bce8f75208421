"""A process that ends at any COPY or commit, before or after it, leaves what the next one makes right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ended import Ended, Points, deliver_rest
from tests.support.postgres.server import Database
from tests.support.warehouses import Warehouse

MODES: list[dict[str, Any]] = [
    {"deletes": "hard"},
    {"deletes": "soft"},
    {"mode": "append"},
    {"mode": "history"},
]


def deliver(
    database: Database, options: dict[str, Any], epoch: int, part_commits: int, points: Points
) -> None:
    deliver_rest(lambda: Warehouse(database, epoch=epoch, **options), part_commits, points)


def contents(database: Database) -> dict[str, list[str]]:
    """All rows of all tables that the sink has made of the source's."""
    tables = database.query(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('app', 'shop')"
    )
    return {
        name: sorted(text for (text,) in database.query(f"select t::text from {name} t"))
        for (name,) in tables
    }


def empty(database: Database) -> None:
    database.execute("drop schema if exists app, shop, _cdc cascade")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", MODES, ids=lambda options: "-".join(options.values()))
def test_process_that_ends_at_a_point_is_continued_by_the_next_one(
    database15: Database, options: dict[str, Any]
) -> None:
    points = Points()
    deliver(database15, options, 1, 3, points)
    expected = contents(database15)
    assert len(expected) == 3, "orders, events and batches"
    assert points.passed > 20
    for end in range(1, points.passed + 1):
        empty(database15)
        with pytest.raises(Ended):
            deliver(database15, options, 1, 3, Points(end))
        try:
            deliver(database15, options, 2, 3, Points(2))
        except Ended:
            deliver(database15, options, 3, 1, Points())
        assert contents(database15) == expected, f"ended at point {end}"
