"""What the daemon remembers beside its logs: delivery plans, checkpoints, epochs, replay requests, its
status.
"""

from cdc.state.copies import StoredCopyRequest
from cdc.state.store import Checkpoint, Plan, ReplayRequest, StateReader, StateStore, read_status

__all__ = [
    "Checkpoint",
    "Plan",
    "ReplayRequest",
    "StateReader",
    "StateStore",
    "StoredCopyRequest",
    "read_status",
]
