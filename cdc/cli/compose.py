"""The compose.yaml that `cdc init --compose` writes beside a configuration."""

from __future__ import annotations

from collections.abc import Sequence

# The folder of the image that is a volume: relative paths of the configuration mean it.
FOLDER = "/var/lib/cdc"


def compose_text(config: str, variables: Sequence[str]) -> str:
    """Return the file for a configuration of that name beside it; the variables hold the secrets of both."""
    target = f"{FOLDER}/{config}"
    lines = [
        "# Written by cdc init. Build the image once, in a checkout: make image",
        "# Start: docker compose up --detach        Look: docker compose exec cdc cdc status",
        f"# After a change of {config}: docker compose restart cdc",
        "# In the container, localhost is the container: name the host of the database in the URL.",
        "services:",
        "  cdc:",
        "    image: cdcd",
        "    restart: unless-stopped",
        "    read_only: true",
        "    cap_drop: [ALL]",
        '    security_opt: ["no-new-privileges:true"]',
        "    mem_limit: 1g",
        "    stop_grace_period: 60s          # the daemon ends within 30 s",
        "    environment:",
        f"      CDC_CONFIG: {target}",
        *(f"      {name}: ${{{name}:?export {name} with the URL of the database}}" for name in variables),
        "    volumes:",
        f"      - ./{config}:{target}:ro",
        f"      - cdc:{FOLDER}          # the log, the cursors, and files of sinks",
        "volumes:",
        "  cdc:",
    ]
    return "\n".join(lines) + "\n"
