"""Free TCP ports for the servers of the tests."""

from __future__ import annotations

import socket


def free_port(host: str) -> int:
    """A port that nobody listens on now; a parallel worker may take it, so the caller tries again then."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
