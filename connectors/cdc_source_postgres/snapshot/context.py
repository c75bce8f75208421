"""Parts that a snapshot shares with its source."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.spi.source import SourceContext
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.history import History
from cdc_source_postgres.schema.shapes import Shaper
from cdc_source_postgres.snapshot.planning import Turns


@dataclass(frozen=True, slots=True)
class SnapshotContext:
    """Used by every thread of the snapshot."""

    connector: Connector
    source: SourceContext
    options: PostgresOptions
    publication: str
    shaper: Shaper
    history: History
    turns: Turns
