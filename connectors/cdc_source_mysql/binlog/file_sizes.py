"""The sizes of the server's binlog files, which measure the way from one position to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from cdc.model import Position
from cdc_source_mysql.binlog.positions import file_number, parse

# The sizes only measure the way to go; the server looks at every file to tell them.
SIZES_SECONDS = 30.0


class FileSizes:
    """Sizes by file number, read again when they are older than SIZES_SECONDS."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._read_at = float("-inf")

    def read_if_due(self, files: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Read the names and sizes that `files` returns, when the known ones are old."""
        if time.monotonic() - self._read_at >= SIZES_SECONDS:
            self._sizes = {file_number(name): size for name, size in files()}
            self._read_at = time.monotonic()

    def distance(self, position: Position, target: Position) -> int | None:
        """Return the bytes of binlog between two positions of one server, None where a file isn't known."""
        if position.order >= target.order:
            return 0
        start, end = parse(position.text), parse(target.text)
        if start.epoch != end.epoch:
            return None
        between = range(start.file_number, end.file_number)
        if any(number not in self._sizes for number in between):
            return None
        return max(0, sum(self._sizes[number] for number in between) + end.offset - start.offset)
