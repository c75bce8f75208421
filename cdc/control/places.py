"""Find the offset of a place in the log: a time, a position, a checkpoint, earliest, ….

Every result is a commit boundary, so that no reader begins in the middle of a source transaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from cdc.errors import ConfigError, LogTrimmed
from cdc.model import Commit, Position
from cdc.readable import show_time
from cdc.spi import LogReader

EARLIEST = "earliest"
LATEST = "latest"
HELP = "earliest, latest, an offset, a time (2026-11-23T12:00Z), a source position, or a checkpoint (c12)"

_CHECKPOINT = re.compile(r"c([0-9]{1,18})")
_OFFSET = re.compile(r"[0-9]{1,18}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")


class Finder:
    """Answers for one source's log; `checkpoint` gives the offset of one, `position` parses one."""

    def __init__(
        self,
        log: LogReader,
        where: str,
        checkpoint: Callable[[int], int | None],
        position: Callable[[str], Position],
    ) -> None:
        self._log = log
        self._where = where
        self._checkpoint = checkpoint
        self._position = position

    def offset(self, text: str) -> int:
        """Return the commit boundary at or before that place.

        Raises:
            LogTrimmed: the log no longer reaches back so far.
            ConfigError: the text is not a place, or is a place after the log's end.
        """
        if text == EARLIEST:
            return self._log.start
        if text == LATEST:
            return self._end()
        if match := _CHECKPOINT.fullmatch(text):
            return self._boundary(self._of_checkpoint(int(match[1])))
        if _OFFSET.fullmatch(text):
            return self._boundary(int(text))
        if _TIME.fullmatch(text):
            return self._after(self._log.find(at=self._parse_time(text)), text)
        return self._after(self._log.find(position=self._parse_position(text)), text)

    def _end(self) -> int:
        end = self._log.end
        return end.next if end else self._log.start

    def _boundary(self, offset: int) -> int:
        if offset > self._end():
            remedy = f"The log holds {self._log.start} to {self._end()}."
            raise ConfigError(f"offset {offset} is after the log's end", where=self._where, remedy=remedy)
        if offset < self._log.start:
            raise self._trimmed(f"offset {offset}")
        if offset == self._end():
            return offset
        return next(iter(self._log.commits(offset))).first

    def _after(self, commit: Commit | None, text: str) -> int:
        """Return the offset after the newest commit that is not later than the place."""
        if commit is not None:
            return commit.next
        if self._log.start == 0:
            return 0
        raise self._trimmed(text)

    def _trimmed(self, text: str) -> LogTrimmed:
        oldest = next(iter(self._log.commits(self._log.start)), None)
        since = f" ({show_time(oldest.written_at)}, position {oldest.position})" if oldest else ""
        return LogTrimmed(
            f"the log no longer reaches back to {text}: it begins at offset {self._log.start}{since}",
            where=self._where,
            remedy=f"Start at {EARLIEST}, and raise log.retain to keep more from now on.",
        )

    def _of_checkpoint(self, number: int) -> int:
        offset = self._checkpoint(number)
        if offset is None:
            remedy = "`cdc checkpoints` lists those that are kept."
            raise ConfigError(f"there is no checkpoint c{number}", where=self._where, remedy=remedy)
        return offset

    def _parse_time(self, text: str) -> datetime:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            remedy = "Write 2026-11-23, 2026-11-23T12:00 (UTC) or 2026-11-23T12:00+02:00."
            raise ConfigError(f"{text!r} is not a time", where=self._where, remedy=remedy) from None
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def _parse_position(self, text: str) -> Position:
        try:
            return self._position(text)
        except ConfigError as error:
            message = f"{text!r} is not a place in the log: {error.message}"
            raise ConfigError(message, where=self._where, remedy=f"Write {HELP}.") from error
