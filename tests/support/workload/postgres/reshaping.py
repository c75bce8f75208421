"""DDL of PostgreSQL: part of the transaction that writes to what it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tests.support.workload import values
from tests.support.workload.reshaping import Reshaper
from tests.support.workload.specs import SCHEMA
from tests.support.workload.writers import Conflict, Session


class PostgresReshaper(Reshaper):
    # A rewrite makes the daemon read the table again, so it is rarer than the rest.
    operations = (
        ("add_plain", 3),
        ("add_with_default", 4),
        ("add_with_volatile_default", 1),
        ("drop", 3),
        ("rename", 3),
        ("widen", 2),
        ("create_table", 2),
    )
    # The first needs a rewrite of the table, the second none.
    widenings = (
        ("integer", "bigint", values.integer(31)),
        ("varchar(30)", "text", values.text(30)),
        ("numeric(10,2)", "numeric(14,2)", values.decimal(10, 2)),
    )

    def add_with_volatile_default(self, session: Session, _counts: Counter[str]) -> None:
        self.add(session, "double precision", values.floating, "default random()")

    def retype(self, column: str, kind: str) -> str:
        return f'alter column "{column}" type {kind}'

    def fill(self, table: str, start: int, end: int) -> str:
        return (
            f"insert into {SCHEMA}.{table} select i, 'row ' || i from generate_series({start}, {end - 1}) i"
        )

    def reshape(self, session: Session, operation: Callable[[Session, Counter[str]], None]) -> None:
        columns, counts = dict(self.columns), Counter[str]()
        renamed, created, statements = list(self.renamed), list(self.created), list(self.statements)
        try:
            operation(session, counts)
            self.touch(session, counts)
            session.commit()
        except Conflict:
            session.rollback()
            self.columns, self.renamed, self.created, self.statements = columns, renamed, created, statements
            return
        self.tally(counts)
