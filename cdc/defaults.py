"""Defaults of the configuration, for the models of the file and for callers that make specs themselves.

How a sink is flushed is in `cdc.spi.capabilities`: each sink has its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

SnapshotMode = Literal["initial", "never", "only"]
AcknowledgeMode = Literal["log", "sinks"]
GapMode = Literal["fail", "resnapshot"]
BackfillMode = Literal["snapshot", "log", "fail"]

# A copy of what is there already is what nearly everyone wants first.
DEFAULT_SNAPSHOT: SnapshotMode = "initial"
# What is fsynced in our log is safe, and no sink's outage fills the production disk.
DEFAULT_ACKNOWLEDGE: AcknowledgeMode = "log"
# Lost changes are shown to an operator before anything is copied again.
DEFAULT_ON_GAP: GapMode = "fail"
# A new sink is whole without anyone's doing, as it is while the log has its beginning.
DEFAULT_BACKFILL: BackfillMode = "snapshot"
# A week survives a long weekend's outage of a sink and allows replay from last Monday.
DEFAULT_RETAIN_AGE = timedelta(days=7)
# What a small machine's disk has to spare.
DEFAULT_RETAIN_BYTES = 20 * 1024**3
# Two readers keep one core of a small source busy and leave the other to its users; more rarely help below 8
# cores.
DEFAULT_SNAPSHOT_WORKERS = 2
# More readers than this only queue on the source's disks.
MAX_SNAPSHOT_WORKERS = 32
