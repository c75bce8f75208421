"""The state of one deployment in its state directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cdc.state.status_file import read_status
from cdc.state.store import SqliteState, SqliteStateReader


class LocalState:
    """Implements `cdc.spi.StateStore`: a SQLite database, and the file with the status document."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def open(self) -> SqliteState:
        return SqliteState(self._state_dir)

    def reader(self) -> SqliteStateReader:
        return SqliteStateReader(self._state_dir)

    def status(self) -> Any | None:
        return read_status(self._state_dir)

    def is_alive(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
