"""The state contract on SQLite."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cdc.model import TableId
from cdc.spi import State
from cdc.state import StateReader, StateStore
from cdc.testing.state_contract import StateContract


class TestStateStore(StateContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def open_state(self, place: Path) -> State:
        return StateStore(place)

    def request_replay(self, place: Path, sink: str, source: str, offset: int) -> int:
        with closing(StateReader(place)) as reader:
            return reader.request_replay(sink, source, offset)

    def request_table_pause(self, place: Path, source: str, table: TableId, *, pauses: bool) -> int:
        with closing(StateReader(place)) as reader:
            return reader.request_table_pause(source, table, pauses=pauses)
