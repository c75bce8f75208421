"""The GTIDs before a place in a MariaDB binlog, read from the file."""

from __future__ import annotations

from contextlib import closing

from cdc_source_mysql.binlog.gtid import MariadbGtids
from cdc_source_mysql.binlog.positions import FIRST_OFFSET
from cdc_source_mysql.binlog.replay import BinlogReader, BinlogReading
from cdc_source_mysql.wire import decoder as wire


def gtids_before(reader: BinlogReader, begun: MariadbGtids, file: str, offset: int) -> MariadbGtids | None:
    """Return all GTIDs before the place, where `begun` are those at the file's beginning; None when no event
    ends there, or a transaction is open.

    Raises:
        SourceUnavailable: the connection was lost.
    """
    found, decoder = begun.copy(), reader.decoder()
    with closing(BinlogReading(reader.dump(file, FIRST_OFFSET), decoder)) as reading:
        while True:
            # Stops behind every event outside of transactions, and behind every transaction.
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
