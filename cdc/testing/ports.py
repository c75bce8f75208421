"""Free TCP ports for servers that a test, or the demo, starts."""

from __future__ import annotations

import random
import socket

# Below the ports that the kernel gives to clients (32768 and up): while a server that keeps its port is down,
# no connection of another process may sit on it.
LOWEST, HIGHEST = 15_000, 32_000
# Of 17,000 ports few are taken: so many misses are no chance.
ATTEMPTS = 100


def free_port(host: str) -> int:
    """A port that nobody listens on now; a parallel worker may take it, so the caller tries again then."""
    for _ in range(ATTEMPTS):
        port = random.SystemRandom().randint(LOWEST, HIGHEST)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    message = f"no free port between {LOWEST} and {HIGHEST} in {ATTEMPTS} tries"
    raise OSError(message)
