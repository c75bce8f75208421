"""Functions of the operator's own on batches: `python: acme.hooks:clean`.

A hook is given the rows' columns as a `pyarrow.RecordBatch`, named as at the source, and returns one with
the same rows in the same order. It may change values and types, add columns, and leave out columns that are
not in the key. It is called with no rows to learn the columns that it returns, and must not keep state
between calls. Old images and deletes of a table with a key keep their key only.
"""

from __future__ import annotations

import functools
import importlib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from cdc.errors import ConfigError, UnsupportedSchema

_CORRECT = "Correct the function and restart the daemon. `where` filters rows."
Function = Callable[[pa.RecordBatch], pa.RecordBatch]


class Hook:
    """One function; `place` is where the configuration names it."""

    def __init__(self, path: str, place: str) -> None:
        """Raises ConfigError if there is no such function."""
        self._path = path
        self._place = place
        self._function = _load(path, place)

    def columns(self, schema: pa.Schema, table: str) -> pa.Schema:
        """The columns that it makes of these."""
        empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
        found: pa.Schema = self._call(empty, table).schema
        return found

    def apply(self, batch: pa.RecordBatch, expected: pa.Schema, table: str) -> pa.RecordBatch:
        """Raises UnsupportedSchema naming hook and table, never the values."""
        made = self._call(batch, table)
        if made.schema.remove_metadata() != expected.remove_metadata():
            raise self._wrong("returned other columns than for a batch without rows", table)
        return made

    def _call(self, batch: pa.RecordBatch, table: str) -> pa.RecordBatch:
        try:
            made = self._function(batch)
        except Exception as error:  # noqa: BLE001  (whatever a function of others raises)
            frame = _own_frame(traceback.extract_tb(error.__traceback__))
            reason = f"raised {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
            # Its text, and the exception itself, may hold row values.
            raise self._wrong(reason, table) from None
        if not isinstance(made, pa.RecordBatch):
            raise self._wrong(f"returned {type(made).__name__}, not a pyarrow.RecordBatch", table)
        if made.num_rows != batch.num_rows:
            raise self._wrong(f"returned {made.num_rows} rows for {batch.num_rows}", table)
        return made

    def changes_key(self, column: str, table: str) -> UnsupportedSchema:
        """Return the error of a function that leaves out or changes this column."""
        remedy = f"Have the function leave it as it is. To hide it, write mask: {{{column}: hash}}."
        return self._wrong(f"changes the column {column!r}, which is part of the key", table, remedy)

    def _wrong(self, reason: str, table: str, remedy: str = _CORRECT) -> UnsupportedSchema:
        return UnsupportedSchema(
            f"the hook {self._path} {reason}",
            where=f"{self._place}: {table}",
            remedy=remedy,
        )


def _own_frame(frames: Sequence[traceback.FrameSummary]) -> traceback.FrameSummary:
    """Return the place in the function's own file, and not in a library that it called."""
    called = frames[min(1, len(frames) - 1)]  # The first is the call of the function.
    return [frame for frame in frames if frame.filename == called.filename][-1]


@functools.lru_cache(maxsize=64)
def _load(path: str, place: str) -> Function:
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        message = f"importing the hook {path}: {type(error).__name__}"
        remedy = "Install its package in the daemon's environment, or put its folder on PYTHONPATH."
        raise ConfigError(message, where=place, remedy=remedy) from error
    function: Any = module
    for name in attribute.split("."):
        function = getattr(function, name, None)
    if not callable(function):
        raise ConfigError(f"the module {module_name} has no function {attribute!r}", where=place)
    return function
