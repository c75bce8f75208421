"""Writers and the migrator on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from tests.support.migrations.postgres import recipes
from tests.support.migrations.postgres.session import TABLES, PostgresSession
from tests.support.migrations.threads import (
    PREFIX,
    WRITE,
    FollowingWriter,
    Migrator,
    Session,
)
from tests.support.postgres.server import Database

_PARTITION_BOUNDS = {"app.parted_0": (0, 20), "app.parted_1": (20, 40)}
_ATTACH = "alter table app.parted attach partition {} for values from ({}) to ({})"
_RESTORE = (
    "alter publication {pub} set (publish = 'insert, update, delete, truncate')",
    "alter publication {pub} set (publish_via_partition_root = true)",
    f"alter table {recipes.OUTSIDE}.things set schema extra",
    f"alter table app.{recipes.HIDDEN}twin rename to twin_a",
    "alter table app.twin_x rename to twin_b",
)
_COLUMN = """
    select attname::text from pg_attribute
     where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''
       and starts_with(attname::text, %s)
     order by attnum
"""
# The columns that app.parted has gained, as a new partition has to have them.
_EXTRA_COLUMNS = """
    select format('%I %s', attname, format_type(atttypid, atttypmod)) from pg_attribute
     where attrelid = 'app.parted'::regclass and attnum > 2 and not attisdropped order by attnum
"""


class PostgresWriter(FollowingWriter):
    """See `FollowingWriter`."""

    def __init__(self, database: Database, seed: int) -> None:
        super().__init__(seed)
        self._database = database

    def connect(self) -> Session:
        return PostgresSession(self._database)


class PostgresMigrator(Migrator):
    """See `Migrator`; leaves the publication and the names as it found them."""

    weights = recipes.WEIGHTS
    recipes = recipes.RECIPES

    def __init__(self, database: Database, publication: str, seed: int) -> None:
        super().__init__(seed)
        self._database = database
        self._publication = publication

    def connect(self) -> Session:
        return PostgresSession(self._database)

    def is_transactional(self, statements: Sequence[str]) -> bool:
        return not any(statement.startswith("vacuum") for statement in statements)

    def names(self, session: Session, kind: str) -> dict[str, Any] | None:
        assert isinstance(session, PostgresSession)
        table = self.rng.choice(session.query(TABLES, [list(recipes.SCHEMAS)]))[1]
        old = session.query(_COLUMN, [table, PREFIX])
        if kind == "old_columns" and not old:
            return None
        first = session.query(_COLUMN, [table, ""])
        labels = session.query("select unnest(enum_range(null::app.mood))::text")
        more = session.query(_EXTRA_COLUMNS)
        session.rollback()
        partition, (low, high) = self.rng.choice(list(_PARTITION_BOUNDS.items()))
        return {
            "t": table,
            "c": self.rng.choice(old)[0] if kind == "old_columns" else self.fresh(),
            "d": self.fresh(),
            "first": first[0][0],
            "label": self.rng.choice(labels)[0],
            "p": partition,
            "low": low,
            "attach": _ATTACH.format(partition, low, high),
            "more": "".join(f", {row[0]}" for row in more),
            "pub": self._publication,
            "write": WRITE,
        }

    def finish(self) -> None:
        """Undo what a recipe left half done, which would leave changes out of the stream."""
        attach = [_ATTACH.format(name, *bounds) for name, bounds in _PARTITION_BOUNDS.items()]
        for statement in (*_RESTORE, *attach):
            try:
                self._database.execute(statement.format(pub=self._publication))
            except psycopg.Error:
                continue
