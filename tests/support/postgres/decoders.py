"""The implementations of the Postgres decoders that can be used here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cdc.native import implementation
from cdc_source_postgres.wire import copy, frames_python, stream


@dataclass(frozen=True)
class Wire:
    """One implementation."""

    name: str
    PgoutputDecoder: Any
    CopyDecoder: Any
    Frames: Any


PYTHON = Wire("python", stream.PgoutputDecoder, copy.CopyDecoder, frames_python.Frames)


def compiled() -> Wire:
    from cdc_source_postgres.wire import copy_native, frames, stream_native

    return Wire("native", stream_native.PgoutputDecoder, copy_native.CopyDecoder, frames.Frames)


def wires() -> list[Wire]:
    """Each of them."""
    return [compiled(), PYTHON] if implementation() == "c" else [PYTHON]
