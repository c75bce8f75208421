"""What a stream asks its server on other connections, at its own place in the binlog: what the catalog showed
there, proven by the statements since.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from cdc.model import TableId
from connectors.mysql.catalog import Knowledge, read_tables
from connectors.mysql.channel import Connection
from connectors.mysql.definitions import TableDefinition
from connectors.mysql.history.history import History
from connectors.mysql.history.lookahead import prove
from connectors.mysql.positions import file_number, order_of
from connectors.mysql.reach import Reach, ReachParts
from connectors.mysql.replay import Reader, Statements
from connectors.mysql.wire.decoder import Binlog


@dataclass(frozen=True, slots=True)
class Beside:
    """`look` opens the catalog; `begin` is the stream's first place (file, offset), `decoder` at its present
    one, both of `epoch`.
    """

    look: Callable[[str], AbstractContextManager[Connection]]
    reader: Reader
    knowledge: Knowledge
    decoder: Binlog
    begin: tuple[str, int]
    epoch: int

    def reread(self, table: TableId) -> TableDefinition | None:
        """The table's definition at the stream's place; see `lookahead.prove`."""
        facts = self.knowledge.facts
        where = self.decoder.position_text
        return prove(
            table, self._read, self._later(), flavour=facts.flavour, fold=facts.ignores_case, where=where
        )

    def reach(self, history: History, selects: Callable[[TableId], bool]) -> Reach:
        """What statements on other tables may change besides."""
        return Reach(
            ReachParts(
                look=self.look,
                selects=selects,
                followed=history.definitions,
                later=self._later,
                order=lambda file, offset: order_of(file_number(file), offset, self.epoch),
                flavour=self.knowledge.flavour,
                fold=self.knowledge.facts.ignores_case,
            )
        )

    def _read(self, table: TableId) -> TableDefinition | None:
        with self.look(f"reading the columns of {table}") as connection, connection.cursor() as cursor:
            infos = read_tables(cursor, [table], self.knowledge.flavour)
        info = infos.get(table)
        return info.definition if info else None

    def _later(self) -> Statements:
        decoder = self.decoder
        place = (decoder.end_file, decoder.end_offset) if decoder.end_file else self.begin
        return Statements(self.reader, *place)
