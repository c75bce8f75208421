"""Compiled decoding and column building: bytes in, Arrow out; knows no database.

`CDC_NATIVE=c` asks for the compiled code (an error with its reason when that is not built),
`CDC_NATIVE=python` for the twins in pure Python; unset means the best there is. The choice is made once, at
import.
"""

from __future__ import annotations

import os
from typing import Literal

from cdc.errors import ConfigError

Implementation = Literal["c", "python"]
VARIABLE = "CDC_NATIVE"


def implementation() -> Implementation:
    """Which decoders this process uses."""
    return _CHOSEN


def unavailable_reason() -> str:
    """Why the compiled code can't be used; empty when it can."""
    return _REASON


def _probe() -> str:
    try:
        import cdc.native.columns
        import cdc.native.cursor
        import cdc.native.gathering_native  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


def _choose() -> Implementation:
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in {"", "c", "python"}:
        message = f"{wanted!r} is not an implementation of the decoders"
        raise ConfigError(message, where=VARIABLE, remedy="Set it to c or python, or unset it.")
    if wanted == "c" and _REASON:
        message = f"the compiled decoders cannot be used: {_REASON}"
        raise ConfigError(message, where=VARIABLE, remedy="Build them: python setup.py build_ext --inplace.")
    if wanted:
        return "c" if wanted == "c" else "python"
    return "python" if _REASON else "c"


_REASON = _probe()
_CHOSEN = _choose()
