"""Copies: requests that are not finished, and tables that are copied."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from cdc.engine.tables import Phase, TableBook
from cdc.errors import StateError
from cdc.state import StateReader
from cdc_config import Configuration


def copies_of(metadata: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the tables that wait for a copy or are copied, as the metadata of their source's log has it."""
    return [
        {
            "table": str(table),
            "state": state.phase.value,
            "sinks": None if state.audience.is_everyone else sorted(state.audience.sinks),
            "reason": state.reason or None,
        }
        for table, state in sorted(TableBook.from_metadata(metadata).items())
        if state.phase is not Phase.LIVE
    ]


def requests_of(configuration: Configuration) -> list[dict[str, Any]]:
    """Return the requests of `cdc snapshot` that are not finished."""
    try:
        with closing(StateReader(configuration.state_dir)) as state:
            found = state.unfinished_copies()
    except StateError:
        return []
    return [
        {
            "request": request.id,
            "source": request.source,
            "tables": None if request.tables is None else [str(table) for table in request.tables],
            "sink": request.sink,
            "state": "waiting" if request.taken_at is None else "copying",
            "requested_at": request.requested_at,
        }
        for request in found
        if request.reason is None
    ]
