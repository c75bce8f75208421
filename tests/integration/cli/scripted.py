"""A source that a configuration can name: the same small history in every process, and findings by option."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from cdc.errors import SourceRefused, SourceUnavailable
from cdc.spi import Delivery, Finding, Severity, SourceContext, SourceIdentity
from cdc.testing.database import MemoryDatabase
from cdc.testing.events import EPOCH, table
from cdc.testing.memory import MemorySink, MemorySource, MemorySourceOptions

ITEMS = table("public.items", {"id": pa.int64(), "price": pa.decimal128(10, 2)})
NOTES = table("public.notes", {"id": pa.int64(), "text": pa.string()})


RARE = table("public.rare", {"id": pa.int64()})


class ScriptedOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    transactions: int = 5
    name: str = "scripted"
    rare: int = 0
    versions: int = 1
    findings: tuple[str, ...] = ()


class ScriptedSource(MemorySource):
    """Transactions that insert an item and a note each, a minute apart, after those of a rare table. Then
    items get a column more with each version.
    """

    Options: ClassVar[Any] = ScriptedOptions

    def __init__(self, options: ScriptedOptions, context: SourceContext) -> None:
        self._scripted = options
        super().__init__(MemorySourceOptions(database=_database(options), history=True), context)

    def identity(self) -> SourceIdentity:
        return SourceIdentity({"database": self._scripted.name})

    def check(self) -> Sequence[Finding]:
        if "raise" in self._scripted.findings:
            raise SourceRefused("the login is refused", where="role cdc", remedy="ALTER ROLE cdc LOGIN")
        if "unavailable" in self._scripted.findings:
            raise SourceUnavailable("no answer", where="scripted", remedy="It is tried again until it works.")
        return [
            Finding(
                Severity(name), f"code-{name}", f"a finding of kind {name}", fix="ALTER SYSTEM\nSET x = 1"
            )
            for name in self._scripted.findings
        ]


class EndlessSink(MemorySink):
    """A delivery that does not end, inside DuckDB most of the time; says in the log that it has begun."""

    def apply(self, delivery: Delivery) -> None:
        del delivery
        connection = duckdb.connect()
        connection.execute("create table numbers (n bigint)")
        self._context.log("endless delivery")
        while True:
            connection.execute("insert into numbers select i from range(1000) r(i)").fetchall()


def _database(options: ScriptedOptions) -> MemoryDatabase:
    database = MemoryDatabase(options.name)
    database.create(ITEMS, followed=True)
    database.create(NOTES, followed=True)
    if options.rare:
        database.create(RARE, followed=True)
    for number in range(options.rare):
        database.commit([("public.rare", "c", {"id": number})], commit_at=EPOCH)
    for number in range(options.transactions):
        item, note = {"id": number, "price": None}, {"id": number, "text": "n"}
        steps = [("public.items", "c", item), ("public.notes", "c", note)]
        database.commit(steps, commit_at=EPOCH + timedelta(minutes=number))
    columns = {column.name: column.type for column in ITEMS.columns}
    for version in range(2, options.versions + 1):
        columns[f"c{version}"] = pa.int64()
        database.create(table("public.items", columns), followed=True)
        database.commit([("public.items", "c", {"id": -version})])
    return database
