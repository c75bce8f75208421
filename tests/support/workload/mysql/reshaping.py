"""DDL of MySQL and MariaDB: each statement commits by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.support.workload import values
from tests.support.workload.mysql.tables import GHOST_PREFIX, numbers
from tests.support.workload.reshaping import Reshaper
from tests.support.workload.specs import SCHEMA
from tests.support.workload.writers import Conflict, Session


class MysqlReshaper(Reshaper):
    # What changes rows without telling makes the daemon read the table again, so it is rarer than the rest.
    operations = (
        ("add_plain", 4),
        ("add_first", 2),
        ("add_with_default", 3),
        ("add_with_volatile_default", 1),
        ("drop", 3),
        ("rename", 3),
        ("widen", 2),
        ("swap", 2),
        ("create_table", 2),
    )
    widenings = (
        ("int", "bigint", values.integer(31)),
        ("varchar(30)", "text", values.text(30)),
        ("decimal(10,2)", "decimal(14,2)", values.decimal(10, 2)),
    )

    def add_first(self, session: Session, _counts: Counter[str]) -> None:
        """In front of the others, so that every position changes."""
        kind, _, make = self.rng.choice(self.widenings)
        self.add(session, kind, make, self.rng.choice(["first", "after id"]))

    def add_with_volatile_default(self, session: Session, _counts: Counter[str]) -> None:
        self.add(session, "varchar(40)", values.text(30), "default (concat('of ', id))")

    def swap(self, session: Session, _counts: Counter[str]) -> None:
        """As gh-ost and pt-online-schema-change do it: a copy with another shape takes the table's name."""
        table, copy, old = self.shape.name, f"{GHOST_PREFIX}shape_gho", f"{GHOST_PREFIX}shape_del"
        kind, _, make = self.rng.choice(self.widenings)
        name = self.fresh("swapped_")
        names = ", ".join(f'"{n}"' for n in ("id", "n", "note", *sorted(self.columns)))
        self.execute(session, f"drop table if exists {SCHEMA}.{copy}, {SCHEMA}.{old}")
        self.execute(session, f"create table {SCHEMA}.{copy} like {SCHEMA}.{table}")
        self.execute(session, f'alter table {SCHEMA}.{copy} add column "{name}" {kind}')
        # What is written between copy and swap is lost, at the source and so everywhere.
        self.execute(session, f"insert into {SCHEMA}.{copy} ({names}) select {names} from {SCHEMA}.{table}")
        renames = f"{SCHEMA}.{table} to {SCHEMA}.{old}, {SCHEMA}.{copy} to {SCHEMA}.{table}"
        self.execute(session, f"rename table {renames}")
        self.columns[name] = (kind, make)
        self.execute(session, f"drop table {SCHEMA}.{old}")

    def retype(self, column: str, kind: str) -> str:
        return f'modify column "{column}" {kind}'

    def fill(self, table: str, start: int, end: int) -> str:
        return f"insert into {SCHEMA}.{table} select i, concat('row ', i) from {numbers(start, end)}"

    def reshape(self, session: Session, operation: Callable[[Session, Counter[str]], None]) -> None:
        for step in (operation, self.touch):
            counts = Counter[str]()
            try:
                step(session, counts)
                session.commit()
            except Conflict:
                session.rollback()
            else:
                self.tally(counts)
