"""The state of one deployment in its state directory."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cdc.files import holder_of
from cdc.spi import StateHolder
from cdc.spi.status import StandbyReport
from cdc.state.standbys import standbys, standing_by
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

    def standing_by(self) -> AbstractContextManager[None]:
        return standing_by(self._state_dir)

    def standbys(self) -> list[StandbyReport]:
        return standbys(self._state_dir)

    def status(self) -> Any | None:
        return read_status(self._state_dir)

    def holds(self, holder: StateHolder | None) -> bool:
        note = holder_of(self._state_dir)
        return note is not None and (holder is None or note in ("", holder.text))
