"""Pause and resume sources, sinks and tables.

The state stores what is wanted: a running daemon follows within a second, the next one at its start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from cdc.control import storage
from cdc.control.composition import pick_sink, pick_source
from cdc.control.snapshot import captured_tables, pick_table
from cdc.control.status import daemon_of
from cdc.errors import ConfigError, SourceRefused
from cdc.model import TableId
from cdc.spi import StateReader
from cdc.spi.state import Pausable
from cdc.spi.status import StatusDocument
from cdc_config import Configuration

# A worker ends its current batch first; after this long the command says that it is still at it.
TAKEN_SECONDS = 20.0
POLL_SECONDS = 0.2
KINDS: tuple[Pausable, ...] = ("source", "sink")


@dataclass(frozen=True, slots=True)
class PauseTarget:
    """Target of a pause: a source, a sink, or some tables of a source."""

    kind: Pausable
    name: str
    tables: tuple[TableId, ...] = ()

    def __str__(self) -> str:
        if self.tables:
            return f"{', '.join(map(str, self.tables))} of {self.name}"
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class PauseResult(StatusDocument):
    """The result of a pause or of its end. `subject` and `tables` are names for people.

    `changed` is False if nothing was to do, `running` if no daemon runs, `taken` if it has not done it yet.
    """

    kind: Pausable
    name: str
    tables: list[str]
    subject: str
    changed: bool
    running: bool
    taken: bool


def pause_target(
    configuration: Configuration, name: str, tables: Sequence[str], kind: str | None, where: str
) -> PauseTarget:
    """Resolve these names; `where` names the place of `name` in messages.

    Raises:
        ConfigError: nothing has the name, both a source and a sink have it, or a table is not captured.
        StateError: tables are named, and there is no log yet.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(
            f"{kind!r} is neither source nor sink", where="--kind", remedy="Write source or sink."
        )
    found = [
        one
        for one, known in zip(KINDS, (configuration.sources, configuration.sinks), strict=True)
        if name in known
    ]
    if kind is None and len(found) > 1 and not tables:
        remedy = f"Add --kind source or --kind sink, such as: cdc pause {name} --kind sink"
        raise ConfigError(f"both a source and a sink are named {name!r}", where=where, remedy=remedy)
    if tables or kind == "source" or (kind is None and found[:1] == ["source"]):
        source = pick_source(configuration, name, where)
        known = captured_tables(configuration, source.name) if tables else ()
        return PauseTarget(
            "source", source.name, tuple(pick_table(one, known, name, where) for one in tables)
        )
    if kind is None and not found:
        names = ", ".join([*configuration.sources, *configuration.sinks])
        raise ConfigError(f"there is no source or sink {name!r}", where=where, remedy=f"Name one of {names}.")
    return PauseTarget("sink", pick_sink(configuration, name, where).name)


def pause(configuration: Configuration, target: PauseTarget, by: str) -> PauseResult:
    """Pause the target until `resume`, and wait for a running daemon to do it. `by` names the operator.

    Raises:
        StateError: there is no state yet.
        SourceRefused: the daemon refused (a table that is being copied).
    """
    return _change(
        configuration, target, lambda state: state.add_pause(target.kind, target.name, by), pauses=True
    )


def resume(configuration: Configuration, target: PauseTarget) -> PauseResult:
    """Resume the target, and wait for a running daemon to do it. Errors as `pause`."""
    return _change(
        configuration, target, lambda state: state.remove_pause(target.kind, target.name), pauses=False
    )


def _change(
    configuration: Configuration, target: PauseTarget, write: Callable[[StateReader], None], *, pauses: bool
) -> PauseResult:
    running = daemon_of(configuration).running
    with closing(storage.state(configuration).reader()) as state:
        if target.tables:
            return _change_tables(state, target, pauses=pauses, running=running)
        was_paused = (target.kind, target.name) in {(one.kind, one.name) for one in state.pauses()}
        write(state)
    taken = running and _is_followed(configuration, target, pauses=pauses)
    return _result(target, changed=was_paused != pauses, running=running, taken=taken)


def _result(target: PauseTarget, *, changed: bool, running: bool, taken: bool) -> PauseResult:
    tables = [str(table) for table in target.tables]
    return PauseResult(target.kind, target.name, tables, str(target), changed, running, taken)


def _is_followed(configuration: Configuration, target: PauseTarget, *, pauses: bool) -> bool:
    """Return whether the daemon shows it in time."""
    deadline = time.monotonic() + TAKEN_SECONDS
    while time.monotonic() < deadline:
        daemon = daemon_of(configuration)
        report = daemon.report
        if report is None or not daemon.running:
            return False
        reports = (
            [report.sources.get(target.name)]
            if target.kind == "source"
            else report.sinks.get(target.name, [])
        )
        if all(one is not None and (one.state == "paused") == pauses for one in reports):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _change_tables(state: StateReader, target: PauseTarget, *, pauses: bool, running: bool) -> PauseResult:
    numbers = [state.request_table_pause(target.name, table, pauses=pauses) for table in target.tables]
    deadline = time.monotonic() + TAKEN_SECONDS
    while running and time.monotonic() < deadline:
        requests = [state.table_pause_request(number) for number in numbers]
        refused = next((one.error for one in requests if one is not None and one.error), None)
        if refused is not None:
            raise SourceRefused(refused, where=f"sources.{target.name}", remedy="cdc status")
        if all(one is None or one.finished_at is not None for one in requests):
            return _result(target, changed=True, running=True, taken=True)
        time.sleep(POLL_SECONDS)
    return _result(target, changed=True, running=running, taken=False)
