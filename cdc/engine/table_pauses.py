"""Pausing one table: its changes wait in a buffer of the log, and are released when it is resumed.

A paused table stays paused over restarts. If a copy becomes due meanwhile, its reason is stored, and the copy
follows when the table is resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cdc.engine.ledger import Ledger, Phase, TableState
from cdc.engine.release import RELEASE_RUNS, Releaser
from cdc.errors import ConfigError
from cdc.model import Position, TableId


def pause_table(ledger: Ledger, table: TableId) -> None:
    """Buffer the changes of a live table from now on; no-op if it is paused.

    Raises:
        ConfigError: the table is unknown, or it is being copied.
    """
    with ledger.begin() as entry:
        state = entry.tables.get(table)
        if state is not None and state.phase is Phase.PAUSED:
            return
        if state is None or state.phase is not Phase.LIVE:
            raise _not_live(table, state)
        buffer = entry.tables.new_buffer()
        entry.tables.put(table, replace(_plain(state), phase=Phase.PAUSED, buffer=buffer))
        entry.commit()


def resume_table(ledger: Ledger, parse: Callable[[str], Position], table: TableId) -> None:
    """Release the buffered changes, then follow the table again; no-op if it is not paused."""
    state = ledger.tables.get(table)
    if state is None or state.phase is not Phase.PAUSED:
        return
    releaser = Releaser(ledger, parse)
    if not state.reason:
        # Beside the running capture, which then waits for the rest only.
        releaser.release(table, None, None, runs=RELEASE_RUNS)
    with ledger.begin() as entry:
        state = entry.tables.get(table)
        if state is None or state.phase is not Phase.PAUSED:
            return
        if state.reason:
            after = replace(
                _plain(state),
                phase=Phase.WAITING,
                buffer=state.buffer,
                released=state.released,
                handled=state.handled,
                dirty=True,
            )
        else:
            releaser.release_rest(entry, table, None)
            after = _plain(state)
        entry.tables.put(table, after)
        entry.commit()


def _plain(state: TableState) -> TableState:
    """The table as a live one."""
    return TableState(Phase.LIVE, state.relation, dirty=state.dirty, transforms=state.transforms)


def _not_live(table: TableId, state: TableState | None) -> ConfigError:
    if state is None:
        return ConfigError("this table is not known", where=str(table))
    return ConfigError(
        "this table is being copied", where=str(table), remedy="Pause it when its copy is finished."
    )
