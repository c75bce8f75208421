"""The one thread that migrates a Postgres database while others write to it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import psycopg

from tests.support.migrations import recipes
from tests.support.migrations.postgres_writer import connect, operate
from tests.support.postgres import Database

PAUSE_SECONDS = 0.4
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
# One recipe in so many is run as one transaction, where its statements allow it.
TOGETHER_EVERY = 2
# Names that the migrator gives to columns, tables, labels and constraints.
PREFIX = "m"
PUBLISH_ALL = "insert, update, delete, truncate"

_RESTORE = (
    f"alter publication {{pub}} set (publish = '{PUBLISH_ALL}', publish_via_partition_root = true)",
    f"alter table {recipes.OUTSIDE}.things set schema extra",
    f"alter table app.{recipes.HIDDEN}twin rename to twin_a",
    "alter table app.twin_x rename to twin_b",
)
_PARTITION_BOUNDS = {"app.parted_0": (0, 20), "app.parted_1": (20, 40)}


class Migrator(threading.Thread):
    """Draws recipes until stopped; `done` counts those that were committed, by their first statement."""

    def __init__(self, database: Database, publication: str, seed: int) -> None:
        super().__init__(name=f"migrator-{seed}", daemon=True)
        self._database = database
        self._publication = publication
        self._rng = random.Random(seed)
        self._stopping = threading.Event()
        self._serial = 0
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                self._migrate()
            self._restore()
        except BaseException as error:
            self.error = error
            raise

    def _migrate(self) -> None:
        kind = self._rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
        recipe = self._rng.choice(_RECIPES[kind])
        with connect(self._database) as connection:
            names = self._names(connection, kind)
            if names is None:
                return
            statements = [statement.format(**names) for statement in recipe]
            together = self._rng.randrange(TOGETHER_EVERY) == 0 and not _needs_own_transactions(statements)
            if self._run(connection, statements, together=together):
                self.done[recipe[0]] += 1

    def _run(self, connection: psycopg.Connection[Any], statements: list[str], *, together: bool) -> bool:
        """Whether all of it was committed. What fails half way stays half done, as in real life."""
        for statement in statements:
            try:
                if statement == "write":
                    self._write(connection)
                elif statement.startswith("vacuum"):
                    connection.commit()
                    connection.autocommit = True
                    connection.execute(statement.encode())
                    connection.autocommit = False
                else:
                    connection.execute(statement.encode())
                if together and self._rng.randrange(3) == 0:
                    self._write(connection)
                if not together:
                    connection.commit()
                    self._stopping.wait(self._rng.choice([0, 0, 0.05, 0.3]))
            except psycopg.Error:
                connection.rollback()
                return False
        connection.commit()
        return True

    def _write(self, connection: psycopg.Connection[Any]) -> None:
        """Rows of the migration's own; a change that doesn't fit is given up alone."""
        for _ in range(4):
            try:
                with connection.transaction():
                    operate(connection, self._rng)
            except psycopg.Error:
                continue

    def _names(self, connection: psycopg.Connection[Any], kind: str) -> dict[str, Any] | None:
        """What the placeholders of a recipe stand for; None when there is nothing to do it to."""
        table = self._a_table(connection)
        first = self._a_column(connection, table, "")
        names: dict[str, Any] = {"t": table, "c": self._fresh(), "d": self._fresh(), "first": first}
        names |= {"pub": self._publication, "write": "write"}
        if kind == "old_columns":
            old = self._a_column(connection, table, PREFIX)
            if old is None:
                return None
            names["c"] = old
        labels = connection.execute("select unnest(enum_range(null::app.mood))::text").fetchall()
        names["label"] = self._rng.choice(labels)[0]
        connection.rollback()
        partition, (low, high) = self._rng.choice(list(_PARTITION_BOUNDS.items()))
        more = self._extra_columns(connection)
        attach = f"alter table app.parted attach partition {partition} for values from ({low}) to ({high})"
        names |= {"p": partition, "low": low, "attach": attach, "more": more}
        return names

    def _a_table(self, connection: psycopg.Connection[Any]) -> str:
        rows = connection.execute(
            "select format('%%I.%%I', n.nspname, c.relname) from pg_class c "
            "join pg_namespace n on n.oid = c.relnamespace where n.nspname = any(%s) "
            "and c.relkind in ('r', 'p') and not c.relispartition order by 1",
            [list(recipes.SCHEMAS)],
        ).fetchall()
        name: str = self._rng.choice(rows)[0]
        return name

    def _a_column(self, connection: psycopg.Connection[Any], table: str, prefix: str) -> str | None:
        rows = connection.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 "
            "and not attisdropped and attgenerated = '' and starts_with(attname, %s) order by attnum",
            [table, prefix],
        ).fetchall()
        if not rows:
            return None
        name: str = self._rng.choice(rows)[0] if prefix else rows[0][0]
        return name

    def _extra_columns(self, connection: psycopg.Connection[Any]) -> str:
        """The columns that app.parted has gained, as a new partition has to have them."""
        rows = connection.execute(
            "select format('%I %s', attname, format_type(atttypid, atttypmod)) from pg_attribute "
            "where attrelid = 'app.parted'::regclass and attnum > 2 and not attisdropped order by attnum"
        ).fetchall()
        connection.rollback()
        return "".join(f", {row[0]}" for row in rows)

    def _fresh(self) -> str:
        self._serial += 1
        return f"{PREFIX}{self._serial}"

    def _restore(self) -> None:
        """Undo what a recipe left half done: tables out of the selection, changes out of the stream."""
        for statement in _RESTORE:
            try:
                self._database.execute(statement.format(pub=self._publication))
            except psycopg.Error:
                continue
        for partition, (low, high) in _PARTITION_BOUNDS.items():
            try:
                self._database.execute(
                    f"alter table app.parted attach partition {partition} for values from ({low}) to ({high})"
                )
            except psycopg.Error:
                continue


def _needs_own_transactions(statements: list[str]) -> bool:
    return any(statement.startswith("vacuum") for statement in statements)


_RECIPES = {
    "columns": recipes.COLUMNS,
    "old_columns": recipes.OLD_COLUMNS,
    "partitions": recipes.PARTITIONS,
    "publication": recipes.PUBLICATION,
    "types": recipes.TYPES,
    "names": recipes.NAMES,
    "whole": recipes.WHOLE_TABLES,
}
