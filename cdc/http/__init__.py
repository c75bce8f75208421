"""The daemon's HTTP service: health, metrics, status and control. Only a running daemon imports it."""
