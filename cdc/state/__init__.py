"""State of the daemon beside its logs: delivery plans, checkpoints, epochs, replay requests, its
status.
"""

from cdc.state.local import LocalState

__all__ = ["LocalState"]
