"""The log contract on the segmented log."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdc.log import LocalLogs
from cdc.spi import LogStore
from cdc.testing.log_contract import LogContract


class TestLocalLogs(LogContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def store(self, place: Path) -> LogStore:
        return LocalLogs(place)

    def divided_store(self, place: Path) -> LogStore:
        return LocalLogs(place, segment_bytes=1)
