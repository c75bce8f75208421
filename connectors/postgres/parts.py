"""What a snapshot needs of its source."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.spi.source import SourceContext
from connectors.postgres.connection import Connector
from connectors.postgres.history import History
from connectors.postgres.options import PostgresOptions
from connectors.postgres.shapes import Shaper
from connectors.postgres.turns import Turns


@dataclass(frozen=True, slots=True)
class Parts:
    """Used by every thread of the snapshot."""

    connector: Connector
    context: SourceContext
    options: PostgresOptions
    publication: str
    shaper: Shaper
    history: History
    turns: Turns
