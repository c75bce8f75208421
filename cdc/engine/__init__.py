"""The engine: capture (source → log), snapshot, delivery (log → sink), supervision."""

from cdc.engine.engine import Engine, Outcome, RunResult
from cdc.engine.specs import FlushPolicy, Retention, SinkSpec, SourceSpec

__all__ = ["Engine", "FlushPolicy", "Outcome", "Retention", "RunResult", "SinkSpec", "SourceSpec"]
