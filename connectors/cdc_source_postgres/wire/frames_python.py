"""CopyData frames of one connection: the twin of `frames.pyx`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdc.native.cursor_python import Reader


class Frames:
    """See `cdc_source_postgres.wire.decoder.CopyData`."""

    __slots__ = ("_get_copy_data",)

    def __init__(self, pgconn: Any) -> None:
        self._get_copy_data = pgconn.get_copy_data

    def next(self, reader: Reader) -> int:
        """Open the reader on the next frame: its bytes, 0 for none now, -1 for none ever."""
        length, frame = self._get_copy_data(1)
        if length > 0:
            reader.open(frame)
        return int(length)

    def release(self) -> None:
        """Nothing to give back: the frame goes with the reader's view of it."""
