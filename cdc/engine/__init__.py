"""The engine: capture (source → log), snapshot, delivery (log → sink), supervision."""

from cdc.engine.engine import Engine, Outcome, RunResult
from cdc.engine.specs import Retention, SinkSpec, SourceSpec

__all__ = ["Engine", "Outcome", "Retention", "RunResult", "SinkSpec", "SourceSpec"]
