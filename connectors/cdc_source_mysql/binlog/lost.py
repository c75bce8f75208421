"""Transactions that our log has and the server lacks: a failover lost them, or a domain was deleted.

Only the operator's word makes the source continue without them: `accept_lost_gtids` names each of them,
so it holds for one loss and for no later one. Then the stream continues after the last transaction that both
have.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from cdc_source_mysql.binlog.gtid import AcceptedLoss, GtidSet, MariadbGtid, MariadbGtids, parse_mariadb_gtid
from cdc_source_mysql.binlog.positions import FIRST_OFFSET
from cdc_source_mysql.binlog.queries import BinlogQueries
from cdc_source_mysql.binlog.replay import BinlogReader, BinlogReading
from cdc_source_mysql.errors import transactions_purged, transactions_unknown
from cdc_source_mysql.wire import decoder as wire

# How long a transaction may be in the binlog before it counts as executed: semi-synchronous replication
# waits ten seconds for a replica by default. Shorter than a stopping daemon may take.
ARRIVAL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Losses:
    """Compares one server with our log. `is_ours`: the server's binlog holds the end of our log, so nothing
    is lost.
    """

    queries: BinlogQueries
    reader: BinlogReader
    accepted: AcceptedLoss
    is_ours: bool = False

    def mysql(self, ours: GtidSet) -> GtidSet:
        """Ours without what is lost.

        Raises:
            SourceMismatch: it is not accepted.
        """
        unknown = ours.subtract(GtidSet.parse(str(self.queries.value("select @@global.gtid_executed"))))
        if not unknown or self._arrives(unknown):
            return ours
        if not unknown.issubset(self.accepted.gtids):
            raise transactions_unknown(self.queries.where, str(unknown), str(unknown))
        return ours.subtract(unknown)

    def _arrives(self, unknown: GtidSet) -> bool:
        """The binlog runs ahead of the executed set: what we have may be on its way into it."""
        for _ in range(ARRIVAL_SECONDS if self.is_ours else 1):
            if self.queries.value(f"select wait_for_executed_gtid_set('{unknown}', 1)") == 0:
                return True
        return False

    def without_deleted(self, ours: MariadbGtids) -> MariadbGtids:
        """Ours in the domains that the server, which had all of them, has still: FLUSH BINARY LOGS
        DELETE_DOMAIN_ID forgets one whose transactions are in no binlog.
        """
        return ours.within({gtid.domain for gtid in self._state(set(ours.last))})

    def mariadb(self, ours: MariadbGtids) -> MariadbGtids:
        """Ours, and in each domain whose last transaction is lost, the last one before what is lost.

        Raises:
            SourceMismatch: it is not accepted.
            SourceGap: the place of that one is purged.
        """
        lost = self._lost(ours)
        firsts = {gtid: self.accepted.first(gtid) for gtid in lost}
        if None in firsts.values():
            named = ",".join(map(str, lost))
            have = self._state({gtid.domain for gtid in lost})
            there = f" (in these domains it has {','.join(map(str, have))})" if have else ""
            raise transactions_unknown(self.queries.where, f"{named}{there}", named)
        rest = ours.copy()
        for gtid, first in firsts.items():
            before = self._before(gtid.domain, first or 0)
            del rest.last[gtid.domain]
            if before is not None:
                rest.add(gtid.domain, *before)
        return rest

    def require_kept(self, ours: MariadbGtids) -> None:
        """See that some file begins with nothing that we lack; older ones may have a domain that was deleted.

        Raises:
            SourceGap: none does.
        """
        lacked = ""
        for file in self.queries.files():
            text = str(self.queries.value("select binlog_gtid_pos(%s, %s)", (file, FIRST_OFFSET)) or "")
            if ours.covers(MariadbGtids.parse(text)):
                return
            lacked = lacked or f"those before {text}"
        raise transactions_purged(self.queries.where, lacked)

    def _lost(self, ours: MariadbGtids) -> list[MariadbGtid]:
        """By the rule that the server itself has for its replicas."""
        last = {(gtid.domain, gtid.server_id): gtid.sequence for gtid in self._state(set(ours.last))}
        replicated = MariadbGtids.parse(str(self.queries.value("select @@global.gtid_slave_pos")))
        return [
            MariadbGtid(domain, server_id, sequence)
            for domain, (server_id, sequence) in sorted(ours.last.items())
            if last.get((domain, server_id), -1) < sequence
            and replicated.last.get(domain) != (server_id, sequence)
        ]

    def _state(self, domains: set[int]) -> list[MariadbGtid]:
        """The last transaction of each server in these domains that is or was in the binlog."""
        texts = "".join(str(self.queries.value("select @@global.gtid_binlog_state")).split()).split(",")
        found = [parse_mariadb_gtid(text) for text in texts if text]
        return [gtid for gtid in found if gtid.domain in domains]

    def _before(self, domain: int, number: int) -> tuple[int, int] | None:
        """The server's last transaction of the domain with a lower number; None when it has none."""
        begun: tuple[int, int] | None = None
        for file in reversed(self.queries.files()):
            text = str(self.queries.value("select binlog_gtid_pos(%s, %s)", (file, FIRST_OFFSET)) or "")
            begun = MariadbGtids.parse(text).last.get(domain)
            if begun is None or begun[1] < number:
                return self._last_in(file, domain, number) or begun
        raise transactions_purged(self.queries.where, f"those of domain {domain} from {number} on")

    def _last_in(self, file: str, domain: int, number: int) -> tuple[int, int] | None:
        reader = self.reader
        found: tuple[int, int] | None = None
        with closing(BinlogReading(reader.dump(file, FIRST_OFFSET), reader.decoder())) as reading:
            while True:
                # Stops behind every transaction.
                code, payload = reading.next(0)
                if code == wire.TABLE and payload is not None:
                    reading.decoder.set_table(payload, None)
                for run in reading.decoder.gtid_runs():
                    if run[0] == domain and len(run) == 3:
                        if run[2] >= number:
                            return found
                        found = (run[1], run[2])
                if code == wire.ENDED:
                    return found
