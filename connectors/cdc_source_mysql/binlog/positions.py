"""Places in the binlog as the engine's positions: ordered numbers with a text that says where to go on.

`Position.order` is epoch<<72 | number of the file<<40 | offset: it compares within one source's history, and
a failover to another server begins a new epoch, whose files may have smaller numbers. Offsets are counted by
ourselves, for the log_pos of an event wraps at 4 GiB and is 0 in some; a file is at most 1 TiB by that order.
An empty GTID set leaves no trace in the text: before the first transaction the place says all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cdc.errors import ConfigError
from cdc.model import Position
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids

OFFSET_BITS = 40
FILE_BITS = 32
MAX_OFFSET = (1 << OFFSET_BITS) - 1
MAX_FILE_NUMBER = (1 << FILE_BITS) - 1
# The first event of a file stands behind four bytes of magic.
FIRST_OFFSET = 4

_PLACE = re.compile(r"(?:(\d{1,9})/)?([^\s:/][^\s:]*\.(\d{1,10})):(\d{1,13})")


@dataclass(frozen=True, slots=True)
class BinlogPosition:
    """A place in the binlog: the offset is that of the next event. `gtids`: all transactions before it, where
    the server has GTIDs; None without them, and for the positions of rows.
    """

    file: str
    offset: int
    epoch: int = 0
    gtids: Gtids | None = None

    @property
    def file_number(self) -> int:
        """`binlog.000003` → 3."""
        return file_number(self.file)

    @property
    def place(self) -> str:
        """`binlog.000003:1234`, after failovers `2/binlog.000003:1234`."""
        head = f"{self.epoch}/" if self.epoch else ""
        return f"{head}{self.file}:{self.offset}"

    @property
    def order(self) -> int:
        return order_of(self.file_number, self.offset, self.epoch)

    def to_position(self) -> Position:
        text = self.place if self.gtids is None else f"{self.place} {self.gtids}".rstrip()
        return Position(self.order, text)


def order_of(number: int, offset: int, epoch: int = 0) -> int:
    """`Position.order` of an offset in the file of that number."""
    return epoch << (FILE_BITS + OFFSET_BITS) | number << OFFSET_BITS | offset


def file_number(file: str) -> int:
    """The number at the end of a binlog's name; ValueError when there is none."""
    digits = file.rpartition(".")[2]
    if not (digits.isascii() and digits.isdigit()) or int(digits) > MAX_FILE_NUMBER:
        raise ValueError("the name of a binlog file ends in a dot and its number")
    return int(digits)


def parse(text: str, where: str = "") -> BinlogPosition:
    """A position as it stands in `_cdc_position`, a checkpoint or the log.

    Raises:
        ConfigError: the text is not one.
    """
    place, _, rest = text.strip().partition(" ")
    found = _PLACE.fullmatch(place)
    if found is None or int(found[3]) > MAX_FILE_NUMBER or int(found[4]) > MAX_OFFSET:
        raise _not_a_position(where)
    epoch, file, offset = int(found[1] or 0), found[2], int(found[4])
    try:
        return BinlogPosition(file, offset, epoch, parse_gtids(rest) if rest else None)
    except ValueError as error:
        raise _not_a_position(where) from error


def parse_gtids(text: str) -> Gtids:
    """A set of either kind; the colon tells them apart. Empty text is MySQL's empty set."""
    return GtidSet.parse(text) if ":" in text or not text.strip() else MariadbGtids.parse(text)


def to_position(text: str, where: str = "") -> Position:
    """As `parse`, for the engine."""
    return parse(text, where).to_position()


def _not_a_position(where: str) -> ConfigError:
    return ConfigError(
        "not a position in a binlog",
        where=where,
        remedy="Expected file:offset, as binlog.000003:1234, and after a space the GTIDs, if there are any.",
    )
