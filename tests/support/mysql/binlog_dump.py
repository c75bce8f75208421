"""Records what real servers send after a dump command, and decodes it by what the events themselves tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

from cdc_source_mysql.binlog.dump import Replica, dump_from
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.schema.catalog import read_collations
from cdc_source_mysql.schema.history.event_definitions import definition_of
from cdc_source_mysql.schema.table_map import parse_table_map
from cdc_source_mysql.schema.type_plan import TablePlan, plan_table
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.decoder import Binlog
from tests.support.mysql.server import MysqlServer
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

RECEIVE_BYTES = 1 << 20
SOFT_BYTES = 1 << 30


def record(server: MysqlServer, file: str = "binlog.000001", offset: int = 4) -> bytes:
    """Everything from there to the end of the server's binlog, as it came over the connection."""
    options = MysqlOptions.model_validate({"url": server.url()})
    data = bytearray()
    at = 0
    with closing(
        dump_from(Connector(options, "recorder"), file, offset, Replica.random(), stop_at_end=True)
    ) as dump:
        while True:
            data += dump.recv(RECEIVE_BYTES, DEFAULT_TIMEOUT_SECONDS)
            while len(data) >= at + 5:
                size = int.from_bytes(data[at : at + 3], "little")
                assert data[at + 4] != 0xFF, bytes(data[at + 4 : at + 4 + size])
                if data[at + 4] == 0xFE and size < 9:
                    return bytes(data)
                at += 4 + size


def collations_of(server: MysqlServer) -> dict[int, Any]:
    with server.connect() as connection, connection.cursor() as cursor:
        return read_collations(cursor)


class Reader:
    """Drives a decoder over recorded bytes; tables come from their own full metadata."""

    def __init__(
        self,
        decoder: Binlog,
        flavour: str,
        collations: dict[int, Any],
        *,
        only: Callable[[str], bool] = lambda name: True,
        policy: str = "null",
        on_event: Callable[[bytes], None] | None = None,
        **extra: Any,
    ) -> None:
        self.decoder = decoder
        self.events: list[bytes] = []
        self.plans: dict[str, TablePlan] = {}
        self.batches: list[tuple[int, Any]] = []
        self.codes: list[int] = []
        self._flavour = flavour
        self._collations = collations
        self._only = only
        self._policy = policy
        self._on_event = on_event or self.events.append
        self._extra = extra

    def read(
        self, pieces: Iterable[bytes], soft_bytes: int = SOFT_BYTES, hard_bytes: int = SOFT_BYTES
    ) -> None:
        for piece in pieces:
            self.decoder.feed(piece)
            while True:
                code, payload = self.decoder.next(soft_bytes, hard_bytes)
                if code in (codes.NEED, codes.ENDED):
                    break
                self._answer(code, payload)
        self.batches += self.decoder.take()

    def _answer(self, code: int, payload: bytes | None) -> None:
        if code == codes.TABLE:
            assert payload is not None
            self.decoder.set_table(payload, self._table_plan(payload))
        elif code == codes.EVENT:
            assert payload is not None
            self._on_event(payload)
        else:
            self.codes.append(code)
            self.batches += self.decoder.take()

    def _table_plan(self, body: bytes) -> TablePlan | None:
        table_map = parse_table_map(body, self._flavour)
        name = str(table_map.table)
        if not self._only(name):
            return None
        definition = definition_of(table_map, self._collations, self._flavour)
        assert definition is not None, "the server must log full metadata"
        columns = plan_table(definition, table_map, self._flavour, self._policy)
        names = [column.name for column in columns]
        key = tuple(names.index(name) for name in definition.key)
        former = self.plans.get(name)
        handle = len(self.plans) if former is None else former.handle
        row_end = names.index("row_end") if "row_end" in names else None
        self.plans[name] = TablePlan(handle, name, columns, key, row_end)
        return self.plans[name]
