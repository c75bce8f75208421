"""Compiled decoding and column building: bytes in, Arrow out; knows no database.

`CDC_NATIVE=c` asks for the compiled code (an error with its reason when that is not built),
`CDC_NATIVE=python` for the twins in pure Python; unset means the best there is. The choice is made once, when
it is first asked for.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Literal

from cdc.errors import ConfigError

Implementation = Literal["c", "python"]
VARIABLE = "CDC_NATIVE"
_COMPILED = (
    "cdc.native.columns",
    "cdc.native.cursor",
    "cdc.native.batch_builder_native",
    "cdc.native.rowwise",
)


@functools.cache
def implementation() -> Implementation:
    """Which decoders this process uses."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in {"", "c", "python"}:
        message = f"{wanted!r} is not an implementation of the decoders"
        raise ConfigError(message, where=VARIABLE, remedy="Set it to c or python, or unset it.")
    if wanted == "c" and unavailable_reason():
        message = f"the compiled decoders cannot be used: {unavailable_reason()}"
        raise ConfigError(message, where=VARIABLE, remedy="Build them: python setup.py build_ext --inplace.")
    if wanted:
        return "c" if wanted == "c" else "python"
    return "python" if unavailable_reason() else "c"


@functools.cache
def unavailable_reason() -> str:
    """Why the compiled code can't be used; empty when it can.

    The libraries are loaded, but not run: running them imports Arrow, which `cdc version` does not need.
    """
    try:
        for name in _COMPILED:
            spec = importlib.util.find_spec(name)
            if spec is None:
                return f"the module {name} is not built"
            importlib.util.module_from_spec(spec)
    except ImportError as error:
        return str(error)
    return ""
