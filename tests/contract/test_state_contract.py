"""The state contract on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.spi import StateStore
from cdc.state import LocalState
from cdc.testing.state_contract import StateContract


class TestLocalState(StateContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def store(self, place: Path) -> StateStore:
        return LocalState(place)
