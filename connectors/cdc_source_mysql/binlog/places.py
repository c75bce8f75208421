"""The stream's place: which server's binlog it reads, under which epoch, and the transactions behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from cdc.errors import StateError
from cdc.model import Position
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids
from cdc_source_mysql.binlog.positions import BinlogPosition, file_number, order_of
from cdc_source_mysql.wire.decoder import GtidRun

MEMORY_SERVER = "server"


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """What the log remembers of the server whose files its positions name.

    `settled`: outcomes of XA transactions before this order may concern ones that the first copy holds.
    `file` is the last one that was seen, and `began_at` the time in that file's first event: a server
    with another file of that name was reset, restored or built anew.
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
            message = "what is stored of the source's server can't be read"
            raise StateError(message, remedy="Copy the tables of this source again.") from error


class Places:
    """Names the places of one session. Belongs to the stream's thread."""

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
