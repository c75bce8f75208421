"""A gap at the source, as the operator reads it: with the command that closes it."""

from __future__ import annotations

import re
import shlex

from cdc.errors import SourceGap

# How sources name the remedy, which only the engine has a command for.
_COPY_ALL = re.compile("copy all tables again", re.IGNORECASE)


def for_operator(gap: SourceGap, source: str, *, copies: bool) -> SourceGap:
    """Return the gap with its remedy completed. `copies`: the source's tables may be copied."""
    command = shlex.join(["cdc", "snapshot", source])
    how = command if copies else f"set `snapshot: initial`, then run: {command}"
    remedy, count = _COPY_ALL.subn(lambda named: f"{named[0]} ({how})", gap.remedy, count=1)
    if not count:
        to_copy = f"To copy all tables again, {'run: ' if copies else ''}{how}"
        remedy = f"{gap.remedy} {to_copy}".strip()
    return SourceGap(gap.message, where=gap.where, remedy=remedy)
