"""What the sources of commit a888ef9 stored in a log is read, and has no table copied again.

Recorded from real servers: `memory` and the copies' `tokens`, and what the catalog then showed the release
that reads them (`seen`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc_source_mysql.binlog.positions import MEMORY_SERVER, ServerMemory, parse
from cdc_source_mysql.binlog.temporary_tables import MEMORY_HORIZON, Horizon
from cdc_source_mysql.binlog.transactions import XaBook, Xid, memory_of
from cdc_source_mysql.schema.history.states import HistoryState
from cdc_source_mysql.schema.type_plan import delivered, plan_table
from cdc_source_mysql.snapshot.chunks import ResumeToken
from cdc_source_mysql.snapshot.snapshot import fingerprint
from cdc_source_postgres.options import select
from cdc_source_postgres.schema.catalog_looks import Look, Seen
from cdc_source_postgres.schema.definition import Definition, Sent
from cdc_source_postgres.schema.history import History
from cdc_source_postgres.snapshot.chunks import ResumeToken as PostgresToken

HERE = Path(__file__).parent
XID = Xid(1, b"g", b"b")
MYSQL = pytest.mark.parametrize("server", ["mysql9", "mariadb10"])


def recorded(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((HERE / f"{name}.json").read_bytes())
    return value


def test_recorded_postgres_definitions_are_what_the_catalog_shows() -> None:
    found = recorded("postgres18")
    history = History(select(["public.*"]))
    history.restore(found["memory"])
    assert history.relids() == sorted(map(int, found["seen"]))
    for shown in found["seen"].values():
        definition = Definition.parse(shown["definition"])
        stored = history.definition(definition.relid)
        assert stored is not None
        # The one fact that the release did not store.
        assert replace(stored, named=definition.named) == definition
        history.observe(Seen(Look.from_text(shown["look"]), definition, Sent.from_text(shown["sent"])))
    history.passed(1 << 62)
    assert history.news().stale == ()


def test_recorded_postgres_copies_are_continued() -> None:
    for text in recorded("postgres18")["tokens"].values():
        token = PostgresToken.parse(text)
        assert token is not None
        assert token.holds_for(token, token.xmin + 1)
        assert json.loads(token.text()) == json.loads(text)


@MYSQL
def test_recorded_mysql_tables_are_known(server: str) -> None:
    for key, text in recorded(server)["memory"].items():
        if key.startswith("table:"):
            state = HistoryState.from_json(text)
            assert state.definition is not None
            assert json.loads(state.to_json()) == json.loads(text)


@MYSQL
def test_recorded_mysql_copies_are_continued(server: str) -> None:
    found = recorded(server)
    for name, text in found["tokens"].items():
        definition = HistoryState.from_json(found["memory"][f"table:{name}"]).definition
        assert definition is not None
        plans = delivered(plan_table(definition, None, server.rstrip("019"), "error"))
        token = ResumeToken.parse(text)
        assert token.text() == text
        # This table was altered after its copy.
        if name != "golden.orders":
            assert fingerprint(definition, plans, is_full=True) == token.shape


@MYSQL
def test_recorded_mysql_servers_sessions_and_xa_transactions_are_read(server: str) -> None:
    found = recorded(server)
    memory = found["memory"]
    remembered = ServerMemory.from_json(memory[MEMORY_SERVER])
    assert remembered.to_json() == memory[MEMORY_SERVER]
    assert parse(found["position"], server).file == remembered.file
    horizon = Horizon(remembered.server_id, remembered.epoch, 0, 0).continues(memory[MEMORY_HORIZON])
    assert horizon is not None
    assert horizon.to_json() == memory[MEMORY_HORIZON]
    place = XaBook(memory).get(XID)
    assert place is not None
    assert memory_of({XID.key: place}).items() <= memory.items()
