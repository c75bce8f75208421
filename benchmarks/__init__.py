"""Measurements of speed, memory and latency."""

import cdc.cli  # noqa: F401  (chooses what libraries read when they are loaded, as for a command)
