"""Where the configuration keeps logs and state: the one place that names what they are stored in."""

from __future__ import annotations

from cdc.log import LocalLogs
from cdc.spi import LogStore, StateStore
from cdc.state import LocalState
from cdc_config import Configuration


def logs(configuration: Configuration) -> LogStore:
    """Return the logs of the configuration's sources."""
    return LocalLogs(configuration.state_dir)


def state(configuration: Configuration) -> StateStore:
    """Return the state of the configuration's daemon."""
    return LocalState(configuration.state_dir)
