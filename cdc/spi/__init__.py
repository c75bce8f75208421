"""The contracts that plug-ins implement and the engine relies on."""

from cdc.spi.finding import Finding, Severity
from cdc.spi.log import ChangeLog
from cdc.spi.sink import (
    Cursor,
    Delivery,
    SetAside,
    SetsAside,
    Sink,
    SinkContext,
    SupportsPeek,
    SupportsRewind,
)
from cdc.spi.source import (
    EarlierSnapshot,
    LogIdentity,
    MeasuresDistance,
    Snapshot,
    SnapshotChunk,
    Source,
    SourceContext,
    SourceIdentity,
    VerifiesReach,
)

__all__ = [
    "ChangeLog",
    "Cursor",
    "Delivery",
    "EarlierSnapshot",
    "Finding",
    "LogIdentity",
    "MeasuresDistance",
    "SetAside",
    "SetsAside",
    "Severity",
    "Sink",
    "SinkContext",
    "Snapshot",
    "SnapshotChunk",
    "Source",
    "SourceContext",
    "SourceIdentity",
    "SupportsPeek",
    "SupportsRewind",
    "VerifiesReach",
]
