"""What the daemon remembers beside its logs: delivery plans, checkpoints, epochs, replay requests, its
status.
"""

from cdc.state.status_file import read_status
from cdc.state.store import StateReader, StateStore

__all__ = [
    "StateReader",
    "StateStore",
    "read_status",
]
