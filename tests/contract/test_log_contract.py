"""The log contract on the segmented log."""

from __future__ import annotations

from pathlib import Path

from cdc.log import SegmentedLog
from cdc.spi import ChangeLog
from cdc.testing.log_contract import LogContract


class TestSegmentedLog(LogContract):
    def open_log(self, place: Path) -> ChangeLog:
        return SegmentedLog(place)
