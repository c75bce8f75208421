"""Positions in the binlog, the server and epoch they belong to, and the bytes between two of them.

`Position.order` is epoch<<72 | number of the file<<40 | offset: it compares within one source's history, and
a failover to another server begins a new epoch, whose files may have smaller numbers. Offsets are counted by
ourselves, for the log_pos of an event wraps at 4 GiB and is 0 in some; a file is at most 1 TiB by that order.
An empty GTID set leaves no trace in the text: before the first transaction the place says all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from cdc.errors import ConfigError, StateError
from cdc.model import Position
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids
from cdc_source_mysql.wire.decoder import GtidRun

OFFSET_BITS = 40
FILE_BITS = 32
MAX_OFFSET = (1 << OFFSET_BITS) - 1
MAX_FILE_NUMBER = (1 << FILE_BITS) - 1
# The first event of a file follows four bytes of magic.
FIRST_OFFSET = 4

_PLACE = re.compile(r"(?:(\d{1,9})/)?([^\s:/][^\s:]*\.(\d{1,10})):(\d{1,13})")
MEMORY_SERVER = "server"


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
    """A position as in `_cdc_position`, a checkpoint or the log.

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
    """A set of either kind; the colon distinguishes them. Empty text is MySQL's empty set."""
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


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """The log's memory of the server whose files its positions name.

    `settled`: outcomes of XA transactions before this order may concern ones that the first copy holds.
    `file` is the last one that was seen, and `began_at` the time in that file's first event: a server
    with another file of that name was reset, restored or reinstalled.
    """

    flavour: str
    uuid: str
    epoch: int = 0
    gtids: bool = False
    settled: int = 0
    server_id: int = 0
    file: str = ""
    began_at: int = 0

    @property
    def identity(self) -> tuple[str, int]:
        """As `ServerFacts.identity`."""
        return (self.uuid, 0) if self.uuid else ("", self.server_id)

    def in_file(self, file: str, began_at: int) -> ServerMemory:
        """The same, seen in this file, if that is a later one."""
        is_later = began_at > 0 and (not self.file or file_number(file) > file_number(self.file))
        return replace(self, file=file, began_at=began_at) if is_later else self

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ServerMemory:
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            message = "the stored identity of the source's server cannot be read"
            raise StateError(message, remedy="Copy the tables of this source again.") from error


class PositionTracker:
    """The positions of one session, and the transactions at them. Belongs to the stream's thread."""

    def __init__(self, epoch: int, gtids: Gtids | None) -> None:
        """`gtids` are all transactions before the session's start; None without GTIDs."""
        self.epoch = epoch
        self._gtids = None if gtids is None else gtids.copy()

    def executed(self, runs: Iterable[GtidRun]) -> None:
        """These transactions have ended too."""
        gtids = self._gtids
        if isinstance(gtids, GtidSet):
            for run in runs:
                if len(run) == 4:
                    gtids.add_run(*run)
        elif isinstance(gtids, MariadbGtids):
            for run in runs:
                if len(run) == 3:
                    gtids.add(*run)

    def order(self, file: str, offset: int) -> int:
        return order_of(file_number(file), offset, self.epoch)

    def position(self, file: str, offset: int) -> Position:
        return BinlogPosition(file, offset, self.epoch, self._gtids).to_position()

    @property
    def gtids(self) -> Gtids | None:
        """Everything before this place; the caller changes nothing in it."""
        return self._gtids
