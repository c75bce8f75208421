"""Refuse a source that the log was not written from: a restored backup, another host."""

from __future__ import annotations

import json
from collections.abc import Mapping

from cdc.errors import SourceMismatch
from cdc.spi import SourceIdentity

IDENTITY_KEY = "identity"
# How many daemons have opened the log.
STARTS_KEY = "starts"
# A log that takes over counts so many starts at once: it may be an older copy of the former owner, which then
# has the lower number however often it is started.
TAKING_OVER_STARTS = 1_000_000


def starts_in(metadata: Mapping[str, str]) -> int:
    """Return how many daemons have opened the log that has this metadata."""
    return int(metadata.get(STARTS_KEY, "0"))


def next_start(metadata: Mapping[str, str], *, takes_over: bool) -> int:
    """Return the number of the start of the daemon that opens the log now."""
    return starts_in(metadata) + (TAKING_OVER_STARTS if takes_over else 1)


def verify_identity(now: SourceIdentity, stored: str | None, *, accept: bool) -> str:
    """Return the identity as the log stores it.

    Raises:
        SourceMismatch: it differs from the stored one and the operator did not accept that.
    """
    text = json.dumps(dict(sorted(now.values.items())), separators=(",", ":"))
    if stored is None or stored == text or accept:
        return text
    differences = SourceIdentity(json.loads(stored)).differences(now)
    listed = ", ".join(f"{key} was {was!r}, and is now {here!r}" for key, (was, here) in differences.items())
    raise SourceMismatch(
        f"this is not the database that the log was written from: {listed}",
        remedy=(
            "Correct url. After a planned failover whose slot was synchronised, start once with "
            "--accept-source NAME. For a restored or copied database, use a new source name: "
            "the daemon then copies all tables."
        ),
    )
