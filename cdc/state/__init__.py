"""What the daemon remembers beside its logs: delivery plans, checkpoints, epochs, replay requests, its
status.
"""

from cdc.state.copies import StoredCopyRequest
from cdc.state.status_file import read_status
from cdc.state.store import Checkpoint, Plan, ReplayRequest, StateReader, StateStore

__all__ = [
    "Checkpoint",
    "Plan",
    "ReplayRequest",
    "StateReader",
    "StateStore",
    "StoredCopyRequest",
    "read_status",
]
