"""Second reads of the binlog on connections of their own: statements, the rows of XA transactions that were
committed, and the GTIDs before a place of MariaDB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto

from cdc.errors import CdcError, SourceGap, SourceUnavailable
from cdc_source_mysql.binlog.dump import Dump, Replica, dump_after, dump_from
from cdc_source_mysql.binlog.events import parse_query
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids
from cdc_source_mysql.binlog.lookahead import Statement
from cdc_source_mysql.binlog.positions import FIRST_OFFSET, parse_gtids
from cdc_source_mysql.binlog.tracking import Tracking
from cdc_source_mysql.binlog.transactions import (
    Grammar,
    Meaning,
    Prepared,
    Rollbacks,
    RolledBackRows,
    Savepoint,
    Savepoints,
    XaPrepared,
    XaStarted,
    Xid,
)
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.errors import translate_packet
from cdc_source_mysql.options import DEFAULTS
from cdc_source_mysql.schema.charsets import Collation
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire import decoder as wire
from cdc_source_mysql.wire.poor_images import PoorImage

# One read of the socket.
RECEIVE_BYTES = 256 * 1024
# How long one read waits before control returns to the caller.
WAIT_SECONDS = 0.5
# A server that scans a file for the start position sends nothing; a longer silence means a lost server.
SILENT_SECONDS = 60.0


class ReplayStep(Enum):
    """Why a replay stops for its caller."""

    PART = auto()
    WAITING = auto()


# Where to read from: a file and an offset in it, or after transactions.
Place = tuple[str, int] | Gtids


@dataclass(frozen=True, slots=True)
class BinlogReader:
    """Opens second reads of the server that the stream reads. `collations` by id."""

    connector: Connector
    flavour: codes.Flavour
    unrepresentable: str
    count: Callable[[str, int], None]
    collations: Mapping[int, Collation]

    def decoder(self) -> wire.Binlog:
        return wire.BinlogDecoder(self.unrepresentable, self.count, self.flavour)

    def dump(self, file: str, offset: int) -> Dump:
        return dump_from(self.connector, file, offset, Replica.random(), stop_at_end=True)

    def dump_after(self, gtids: Gtids) -> Dump:
        return dump_after(self.connector, gtids, Replica.random(), stop_at_end=True)

    def charset(self, collation_id: int) -> str:
        found = self.collations.get(collation_id)
        return found.charset if found else "utf8mb4"


class BinlogReading:
    """Drives one decoder to the end of its dump."""

    def __init__(self, dump: Dump, decoder: wire.Binlog, part_bytes: int = DEFAULTS.part_bytes) -> None:
        """Rows that are not skipped come in parts of `part_bytes`."""
        self._dump = dump
        self.decoder = decoder
        self._part_bytes = part_bytes
        self._heard_at = time.monotonic()

    def next(self, soft_bytes: int | None = None) -> tuple[int, bytes | None]:
        """The decoder's next code; NEED only after `WAIT_SECONDS` without data. The decoder stops between
        two transactions once it holds `soft_bytes` of rows; None: a part's.

        Raises:
            SourceUnavailable: the connection was lost, or the server is silent.
            SourceGap: the server has purged the start position.
        """
        hard_bytes = self._part_bytes
        soft_bytes = hard_bytes if soft_bytes is None else soft_bytes
        while True:
            code, payload = self.decoder.next(soft_bytes, hard_bytes)
            if code == wire.REFUSED:
                raise self._refused(payload or b"")
            if code != wire.NEED:
                return code, payload
            data = self._dump.recv(RECEIVE_BYTES, WAIT_SECONDS)
            now = time.monotonic()
            if not data:
                if now - self._heard_at > SILENT_SECONDS:
                    raise SourceUnavailable(
                        "reading the binary log again: the server is silent", where=self._dump.where
                    )
                return code, None
            self._heard_at = now
            self.decoder.feed(data)

    def _refused(self, packet: bytes) -> CdcError:
        return translate_packet(packet, self._dump.where, "reading the binary log again")

    def close(self) -> None:
        self._dump.close()


class Statements:
    """The statements between the stream's position and the binlog's end: a `lookahead.StatementReader`."""

    def __init__(self, reader: BinlogReader, place: Place) -> None:
        self._reader = reader
        self._place = place
        self.end = place if isinstance(place, tuple) else ("", 0)

    def statements(self) -> Iterator[Statement]:
        reader = self._reader
        place = self._place
        dump = reader.dump(*place) if isinstance(place, tuple) else reader.dump_after(place)
        with closing(BinlogReading(dump, reader.decoder())) as reading:
            while True:
                code, payload = reading.next()
                if reading.decoder.file:
                    self.end = (reading.decoder.file, reading.decoder.offset)
                if code == wire.ENDED:
                    return
                if payload is None:
                    continue
                if code == wire.TABLE:
                    reading.decoder.set_table(payload, None)
                elif code == wire.EVENT and payload[4] == codes.QUERY_EVENT:
                    query = parse_query(payload[codes.HEADER_BYTES :])
                    charset = reader.charset(query.charset_id)
                    where = reading.decoder.position_text
                    place = reading.decoder.file, reading.decoder.offset
                    yield Statement(query.sql, query.database, query.sql_mode, charset, where, *place)


class XaReplay:
    """The rows of one prepared transaction."""

    def __init__(
        self, reading: BinlogReading, grammar: Grammar, xid: Xid, rolled_back: RolledBackRows
    ) -> None:
        self._reading = reading
        self._rollbacks = Rollbacks(reading.decoder, rolled_back)
        self._grammar = grammar
        self._xid = xid

    def attribute(self, main: wire.Binlog) -> None:
        """Attribute the rows to the main decoder's current transaction."""
        self._reading.decoder.attribute(main.tx, main.position_text, main.commit_ts_us or 0)

    def steps(self, tracking: Tracking) -> Iterator[ReplayStep]:
        """Gather all rows into the tracking; yield in between.

        Raises:
            SourceGap: the transaction is not in the binlog any more.
            SourceUnavailable: delivered rows were rolled back; the next replay skips them.
        """
        decoder = self._reading.decoder
        savepoints = Savepoints(decoder, self._rollbacks, tracking.copy_everything)
        found = False
        while True:
            code, payload = self._next(tracking)
            if code == wire.NEED:
                yield ReplayStep.WAITING
            elif code == wire.ENDED:
                raise self._missing()
            elif code == wire.TABLE and payload is not None:
                if found:
                    tracking.table(payload, decoder)
                else:
                    decoder.skip_transaction()
                    decoder.set_table(payload, None)
            elif code == wire.EVENT and payload is not None:
                meaning: Meaning = self._grammar.read(payload, decoder.gtid_flags)
                if isinstance(meaning, XaStarted):
                    found = meaning.xid == self._xid
                    decoder.forget()
                elif found and _ends(meaning, savepoints, tracking):
                    self._rollbacks.require_none_late()
                    tracking.gather(decoder)
                    return
            elif found:
                yield from self._part(tracking)

    def _next(self, tracking: Tracking) -> tuple[int, bytes | None]:
        """The next code; rows that the decoder refuses are skipped, and their table is refused."""
        while True:
            try:
                return self._reading.next()
            except PoorImage as poor:
                tracking.leave_out(poor, self._reading.decoder)

    def _part(self, tracking: Tracking) -> Iterator[ReplayStep]:
        if self._rollbacks.is_late:
            self._reading.decoder.take()
            yield ReplayStep.WAITING
            return
        self._rollbacks.drop_known()
        tracking.gather(self._reading.decoder)
        yield ReplayStep.PART

    def _missing(self) -> SourceGap:
        return SourceGap(
            "the rows of a prepared XA transaction that was just committed are no longer in the binary log",
            remedy="Copy all tables again, or start with an empty state_dir and new, empty sinks."
            " End prepared transactions before the binary log is purged.",
        )

    def close(self) -> None:
        self._reading.close()


def open_replay(
    reader: BinlogReader,
    grammar: Grammar,
    rolled_back: RolledBackRows,
    xid: Xid,
    place: Prepared,
    epoch: int,
    now: Gtids | None,
) -> XaReplay:
    """A replay on the server of `epoch`; `now` are the GTIDs executed before the outcome."""
    if place.file and place.epoch == epoch:
        dump = reader.dump(place.file, place.offset)
    elif isinstance(now, GtidSet):
        dump = reader.dump_after(now.subtract(GtidSet.parse(place.tx)))
    else:
        dump = reader.dump_after(parse_gtids(place.before))
    reading = BinlogReading(dump, reader.decoder(), reader.connector.limits.part_bytes)
    return XaReplay(reading, grammar, xid, rolled_back)


def _ends(meaning: Meaning, savepoints: Savepoints, tracking: Tracking) -> bool:
    """Return whether the transaction was prepared; apply its savepoints."""
    if isinstance(meaning, Savepoint) and savepoints.apply(meaning):
        tracking.copy_again_without_transactions()
    return isinstance(meaning, XaPrepared)


def gtids_before(reader: BinlogReader, begun: MariadbGtids, file: str, offset: int) -> MariadbGtids | None:
    """Return all GTIDs before the place, where `begun` are those at the file's beginning; None when no event
    ends there, or a transaction is open.

    Raises:
        SourceUnavailable: the connection was lost.
    """
    found, decoder = begun.copy(), reader.decoder()
    with closing(BinlogReading(reader.dump(file, FIRST_OFFSET), decoder)) as reading:
        while True:
            # Stops after every event outside of transactions, and after every transaction.
            code, payload = reading.next(0)
            if code == wire.TABLE and payload is not None:
                decoder.set_table(payload, None)
            for run in decoder.gtid_runs():
                if len(run) == 3:
                    found.add(*run)
            if code == wire.ENDED or decoder.file not in ("", file):
                return None
            if decoder.file and not decoder.in_transaction and decoder.offset >= offset:
                return found if decoder.offset == offset else None
