"""The contracts that plug-ins implement and the engine relies on."""

from cdc.spi.finding import Finding, Severity
from cdc.spi.log import BufferReader, LogReader, LogRetention, LogStore, LogTransaction, LogWriter, Trimmed
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
    "BufferReader",
    "Cursor",
    "Delivery",
    "EarlierSnapshot",
    "Finding",
    "LogIdentity",
    "LogReader",
    "LogRetention",
    "LogStore",
    "LogTransaction",
    "LogWriter",
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
    "Trimmed",
    "VerifiesReach",
]
