"""The state contract on SQLite."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

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
