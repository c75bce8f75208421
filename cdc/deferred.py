"""Modules that take long to import and that not every run needs, imported when they are first used.

The rule: `from cdc.deferred import compute as pc` in place of `import pyarrow.compute as pc` (ruff refuses
the latter). All else is imported at the head of a module, as usual.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any


class _Deferred:
    """Stands for a module until one of its names is asked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self._module), name)
        # Asked for once: from now on it is an attribute like those of a module.
        setattr(self, name, found)
        return found


# A Python function for each of 300 kernels is made at import: a tenth of the start of `cdc run`.
compute: Any = _Deferred("pyarrow.compute")
# Brings the clients of four object stores, though the lake writes through its own.
parquet: Any = _Deferred("pyarrow.parquet")
# 18 MiB, for the few binlogs that hold changes of rows as statements.
sqlglot: Any = _Deferred("sqlglot")


def use_pandas() -> None:
    """Have Arrow know the types of pandas where it is installed, for code of others: in a Series that Arrow
    takes for any sequence, what is missing would become NaN. Commands are imported without pandas.
    """
    with suppress(ImportError):
        # A conversion that needs pandas has Arrow look for it again.
        importlib.import_module("pyarrow").nulls(0).to_pandas()
