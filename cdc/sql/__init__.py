"""Shared code of SQL targets: tables, their evolution, the cursor, and the three modes.

A target adds a `Dialect` (how its SQL is written), a `Connection` (how it is run) and a subclass of
`SqlSink`.
"""

from cdc.sql.dialect import Connection, Dialect, OwnTypes
from cdc.sql.options import TableOptions
from cdc.sql.sink import SqlSink
from cdc.sql.steps import StepLimits

__all__ = ["Connection", "Dialect", "OwnTypes", "SqlSink", "StepLimits", "TableOptions"]
