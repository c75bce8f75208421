"""A gap at the source, as the operator reads it: with the command that closes it."""

from __future__ import annotations

import shlex

from cdc.errors import SourceGap


def for_operator(gap: SourceGap, source: str, *, copies: bool) -> SourceGap:
    """Return the gap with its remedy completed. `copies`: the source's tables may be copied."""
    command = shlex.join(["cdc", "snapshot", source])
    how = (
        f"To copy all tables again, run: {command}"
        if copies
        else f"To have tables copied, set `snapshot: initial`, then run: {command}"
    )
    return SourceGap(gap.message, where=gap.where, remedy=f"{gap.remedy} {how}".strip())
