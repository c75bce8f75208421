"""XA transactions that were already prepared when a source or a stream began: their rows lie before its
position, so the binlog is searched for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pymysql

from cdc.errors import SourceUnavailable
from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.events import parse_query
from cdc_source_mysql.binlog.gtid import Gtids
from cdc_source_mysql.binlog.positions import FIRST_OFFSET, file_number
from cdc_source_mysql.binlog.replay import BinlogReader, BinlogReading
from cdc_source_mysql.binlog.transactions import (
    Grammar,
    Meaning,
    Prepared,
    XaEnded,
    XaPrepared,
    XaStarted,
    listed,
    place_in,
)
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.statements import is_denied
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire import decoder as wire

_NAMING = frozenset({codes.XA_PREPARE_EVENT, codes.MARIADB_GTID_EVENT})
_PREFIX_BYTES = 20
XA_POLL_SECONDS = 0.1


@dataclass(slots=True)
class Search:
    """For the transactions of these names (`Xid.key`), from the newest file to the oldest. `before` is where
    it ends: what is there or after it is not read. `gtids_at` gives all GTIDs before a place, where a
    place needs them. `found` says where each was prepared last, without those that were ended since;
    `missing` are in no file.
    """

    reader: BinlogReader
    files: Sequence[str]
    epoch: int
    names: frozenset[str]
    gtids_at: Callable[[str, int], Gtids | None]
    before: tuple[str, int] | None = None
    found: dict[str, Prepared] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def steps(self) -> Iterator[None]:
        """Works; stops for its caller in between."""
        self.missing = missing = set(self.names)
        for file in reversed(self.files):
            if not missing:
                return
            if self.before is not None and file_number(file) > file_number(self.before[0]):
                continue
            seen: dict[str, Prepared | None] = {}
            yield from self._look(file, missing, seen)
            self.found |= {name: self._whole(place) for name, place in seen.items() if place is not None}
            missing.difference_update(seen)

    def _look(self, file: str, missing: set[str], seen: dict[str, Prepared | None]) -> Iterator[None]:
        reader = self.reader
        decoder = reader.decoder()
        grammar = Grammar(reader.flavour, reader.collations, lambda: place_in(decoder))
        begun: Prepared | None = None
        with closing(BinlogReading(reader.dump(file, FIRST_OFFSET), decoder)) as reading:
            while True:
                code, payload = reading.next()
                if code == wire.ENDED or decoder.file not in ("", file) or self._is_past(decoder):
                    return
                if code == wire.TABLE and payload is not None:
                    decoder.set_table(payload, None)
                elif code == wire.EVENT and payload is not None:
                    meaning = _meaning(grammar, payload)
                    if isinstance(meaning, XaStarted):
                        place = decoder.end_offset or FIRST_OFFSET
                        begun = Prepared(file, place, self.epoch, decoder.tx)
                    elif isinstance(meaning, XaPrepared | XaEnded) and meaning.xid.key in missing:
                        stands = isinstance(meaning, XaPrepared) and not meaning.one_phase
                        seen[meaning.xid.key] = begun if stands else None
                elif code == wire.NEED:
                    yield

    def _is_past(self, decoder: wire.Binlog) -> bool:
        if self.before is None or not decoder.file:
            return False
        file, offset = self.before
        return (file_number(decoder.file), decoder.offset) >= (file_number(file), offset)

    def _whole(self, place: Prepared) -> Prepared:
        gtids = self.gtids_at(place.file, place.offset)
        return Prepared(place.file, place.offset, place.epoch, place.tx, "" if gtids is None else str(gtids))


def no_gtids(_file: str, _offset: int) -> None:
    """Return no GTIDs: replays of MySQL need none."""


def _meaning(grammar: Grammar, event: bytes) -> Meaning:
    """Return the meaning of an event that names an XA transaction; None for other events."""
    kind = event[4]
    if kind == codes.QUERY_EVENT:
        query = parse_query(memoryview(event)[codes.HEADER_BYTES :])
        return grammar.read(event) if b"xa" in query.sql[:_PREFIX_BYTES].lower() else None
    return grammar.read(event) if kind in _NAMING else None


class Branches:
    """Asks one server for them."""

    def __init__(self, connection: Connection, flavour: str, context: SourceContext, where: str) -> None:
        self._connection = connection
        self._flavour = flavour
        self._context = context
        self._where = where

    def places(
        self, search: Callable[[frozenset[str]], Search], patience_seconds: float
    ) -> Mapping[str, Prepared]:
        """Where the rows are of those that don't end within the seconds, by `Xid.key`: they are read again at
        their commit.

        Raises:
            SourceUnavailable: the rows of some are in no binlog any more.
        """
        pending = self._prepared() or frozenset()
        deadline = time.monotonic() + patience_seconds
        while pending and time.monotonic() < deadline:
            time.sleep(XA_POLL_SECONDS)
            pending &= self._prepared() or frozenset()
        if not pending:
            return {}
        found = search(pending)
        for _ in found.steps():
            pass
        purged = found.missing & (self._prepared() or frozenset())
        if purged:
            raise SourceUnavailable(
                f"{len(purged)} prepared XA transactions have rows that are no longer in any binary log",
                where=self._where,
                remedy="Commit them or roll them back: XA RECOVER lists them. The source then starts.",
            )
        return found.found

    def _prepared(self) -> frozenset[str] | None:
        """The XA transactions that are prepared now; None when we may not know."""
        try:
            with self._connection.cursor() as cursor:
                return listed(cursor, self._flavour)
        except pymysql.MySQLError as error:
            if is_denied(error):
                self._context.log(
                    "cannot see prepared XA transactions: needs the privilege XA_RECOVER_ADMIN",
                    level="warning",
                )
                return None
            raise
