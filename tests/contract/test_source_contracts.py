"""The source contract on the sources that need no server of their own here."""

from __future__ import annotations

import pyarrow as pa
import pytest

from cdc.spi import Source
from cdc.testing.database import MemoryDatabase
from cdc.testing.events import source_context, table
from cdc.testing.memory import MemorySource, MemorySourceOptions
from cdc.testing.source_contract import SourceContract, Step


class TestMemorySource(SourceContract):
    @pytest.fixture(autouse=True)
    def database(self) -> MemoryDatabase:
        self.memory = MemoryDatabase()
        return self.memory

    def make_source(self) -> Source:
        return MemorySource(MemorySourceOptions(database=self.memory, chunk_rows=50), source_context())

    def create_table(self) -> None:
        self.memory.create(table(str(self.contract_table), {"id": pa.int32(), "note": pa.string()}))

    def commit(self, *steps: Step) -> None:
        self.memory.commit([_change(self.contract_table, *step) for step in steps])


def _change(table: object, op: str, key: int | None = None, note: str | None = None) -> tuple[object, ...]:
    return (table, op, None if op == "t" else {"id": key, "note": note})
