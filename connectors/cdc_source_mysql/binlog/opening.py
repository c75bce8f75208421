"""Where a stream begins: the end of the binlog for an empty log, else the end of our log, once it is sure
that the server has everything after it.

Files and offsets name places on one server. On another one, and where the protocol can't say the offset, the
stream continues by GTID, and the positions begin a new epoch.

A failover, or a deleted domain, can lose transactions that our log has. Only the operator's word makes the
source continue without them: `accept_lost_gtids` names each of them, so it holds for one loss and for no
later one. The stream then continues after the last transaction that both have.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from cdc.errors import SourceGap, SourceUnavailable
from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.dump import Replica, dump_from
from cdc_source_mysql.binlog.events import parse_header
from cdc_source_mysql.binlog.gtid import AcceptedLoss, GtidSet, MariadbGtid, MariadbGtids, parse_mariadb_gtid
from cdc_source_mysql.binlog.positions import (
    FIRST_OFFSET,
    BinlogPosition,
    ServerMemory,
    file_number,
    order_of,
)
from cdc_source_mysql.binlog.queries import BinlogQueries
from cdc_source_mysql.binlog.replay import BinlogReader, BinlogReading, Place, gtids_before
from cdc_source_mysql.binlog.transactions import Prepared
from cdc_source_mysql.binlog.xa_prepared import Branches, Search, no_gtids
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.errors import (
    binlog_gone,
    binlog_shorter,
    other_server,
    transactions_purged,
    transactions_unknown,
)
from cdc_source_mysql.wire import codes
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
                # Stops after every transaction.
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


# The moments in which a server writes nothing are longer than three questions, even on a busy one.
REST_ATTEMPTS = 200
# A ROTATE has an offset before the name of the file.
ROTATE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Start:
    """Where to stream from: `position` as file and offset, or, `by_gtid`, after its GTIDs. `lost`: why every
    table is to be copied again, and what is known of its columns may be wrong. `prepared`: XA transactions
    before the position that have not ended, by `Xid.key`.
    """

    position: BinlogPosition
    server: ServerMemory
    by_gtid: bool = False
    lost: str = ""
    prepared: Mapping[str, Prepared] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        gtids = self.position.gtids if self.by_gtid else None
        return (self.position.file, self.position.offset) if gtids is None else gtids


def _ends(following: str) -> frozenset[int]:
    """How many bytes are in a file after its last transaction: none after a crash, a STOP, or a ROTATE to
    the following file; perhaps with a checksum.
    """
    events = (codes.HEADER_BYTES, codes.HEADER_BYTES + ROTATE_BYTES + len(following.encode()))
    return frozenset({0, *events, *(size + codes.CHECKSUM_BYTES for size in events)})


class Opening:
    """Looks at the server through one connection."""

    def __init__(
        self, connector: Connector, context: SourceContext, connection: Connection, facts: ServerFacts
    ) -> None:
        self._connector = connector
        self._where = connector.where
        self._context = context
        self._connection = connection
        self._facts = facts
        self.queries = BinlogQueries(connection, facts, connector.where)

    def begin(self, reader: BinlogReader, epoch: int) -> Start:
        """From now on.

        Raises:
            SourceRefused: the server writes no binlog.
            SourceUnavailable: XA transactions are prepared whose rows are lost.
        """
        self.queries.require_binlog()
        position = replace(self._end(reader), epoch=epoch)
        # Asked for afterwards, so that none that was prepared before the position is missing.
        branches = Branches(self._connection, self._facts.flavour, self._context, self._where)
        patience_seconds = self._connector.limits.xa_patience_seconds
        found = branches.places(lambda names: self._search(reader, names, epoch), patience_seconds)
        settled = replace(self.queries.end(), epoch=epoch).order
        # The stream delivers those after the position.
        earlier = {
            name: place
            for name, place in found.items()
            if order_of(file_number(place.file), place.offset, epoch) < position.order
        }
        return Start(position, self._server(position, epoch, settled), prepared=earlier)

    def _search(self, reader: BinlogReader, names: frozenset[str], epoch: int) -> Search:
        gtids_at = self.queries.mariadb_gtids if self._facts.is_mariadb else no_gtids
        return Search(reader, self.queries.files(), epoch, names, gtids_at)

    def resume(self, after: BinlogPosition, memory: ServerMemory | None) -> Start:
        """From the end of our log on.

        Raises:
            SourceGap: the server does not have everything after it any more.
            SourceMismatch: the server never had what is before it.
        """
        self.queries.require_binlog()
        after = self._with_gtids(after, had_gtids=memory is not None and memory.gtids)
        if self._facts.is_mariadb:
            return self._resume_mariadb(after, memory)
        same = memory is None or memory.uuid == self._facts.server_uuid
        if isinstance(after.gtids, GtidSet):
            is_same = self._is_same_binlog(memory)
            is_ours = bool(is_same) and self._holds(after, memory)
            left = self._losses(is_ours=is_ours).mysql(after.gtids)
            self._require_same(memory, is_same=is_same)
            if left != after.gtids:
                return self._take_over(replace(after, gtids=left), left, memory, lost=True)
            self._require_whole(after, memory, is_same=is_same)
            if not same or after.file not in self.queries.sizes():
                return self._take_over(after, after.gtids, memory)
        elif not same and memory is not None:
            raise other_server(self._where, self._facts.server_uuid, memory.uuid)
        else:
            self._require_same(memory, is_same=self._is_same_binlog(memory))
        self._check_file(after)
        return self._by_file(after, memory)

    def _with_gtids(self, after: BinlogPosition, *, had_gtids: bool) -> BinlogPosition:
        """An empty set leaves no trace in a position. Without GTIDs now, those before say nothing."""
        if not self._facts.has_gtids:
            return replace(after, gtids=None)
        if after.gtids is None and (had_gtids or self._facts.is_mariadb):
            return replace(after, gtids=MariadbGtids() if self._facts.is_mariadb else GtidSet())
        return after

    def _server(self, place: BinlogPosition, epoch: int, settled: int) -> ServerMemory:
        facts, last = self._facts, self.queries.end().file
        return ServerMemory(
            flavour=facts.flavour,
            uuid=facts.server_uuid,
            epoch=epoch,
            gtids=place.gtids is not None,
            settled=settled,
            server_id=facts.server_id,
            file=last,
            began_at=self._began_at(last),
        )

    def _began_at(self, file: str) -> int:
        """The time in the file's first event; only a dump has it."""
        replica = Replica.random()
        with closing(dump_from(self._connector, file, FIRST_OFFSET, replica, stop_at_end=True)) as dump:
            while True:
                packet = dump.answer("reading the beginning of a binlog")
                if packet[:1] != b"\0":
                    message = f"the server does not send the beginning of {file}"
                    raise SourceUnavailable(message, where=self._where, remedy="It is retried automatically.")
                header = parse_header(packet[1:])
                if header.type == codes.FORMAT_DESCRIPTION_EVENT:
                    return header.timestamp_seconds

    def _is_same_binlog(self, memory: ServerMemory | None) -> bool | None:
        """GTIDs don't reveal a reset server: it counts them from 1 again. None: it is another server,
        or what it was is not known.
        """
        facts = self._facts
        if memory is None or not memory.file:
            return None
        if (memory.uuid, memory.server_id) != (facts.server_uuid, facts.server_id):
            return None
        names = self.queries.files()
        if memory.file in names:
            return self._began_at(memory.file) == memory.began_at
        return all(file_number(name) > file_number(memory.file) for name in names)

    def _require_same(self, memory: ServerMemory | None, *, is_same: bool | None) -> None:
        if memory is not None and is_same is False:
            raise SourceGap(
                f"{memory.file} is not the same binlog as before: the binary logs were reset, or the "
                "server was"
                " restored from a backup or rebuilt",
                where=self._where,
                remedy="Copy all tables again, or start with an empty state_dir and new, empty sinks.",
            )

    def _end(self, reader: BinlogReader) -> BinlogPosition:
        """The end of the binlog with exactly the GTIDs before it."""
        end = self.queries.end()
        if self._facts.is_mariadb:
            gtids = self.queries.mariadb_gtids(end.file, end.offset)
            return self._end_at_rest() if gtids is None else replace(end, gtids=gtids)
        return self._end_by_gtid(reader) if self._facts.has_gtids else end

    def _end_at_rest(self) -> BinlogPosition:
        """MariaDB 10 returns no place's GTIDs if its file holds an event over max_allowed_packet. Its newest
        ones are those of the end if nothing was written meanwhile.
        """
        for _ in range(REST_ATTEMPTS):
            end = self.queries.end()
            gtids = MariadbGtids.parse(str(self.queries.value("select @@global.gtid_binlog_pos")))
            if end == self.queries.end():
                return replace(end, gtids=gtids)
        raise SourceUnavailable(
            f"the server did not return the GTIDs of a position in {end.file}",
            where=self._where,
            remedy="Run FLUSH BINARY LOGS; the source then starts in the next file.",
        )

    def _end_by_gtid(self, reader: BinlogReader) -> BinlogPosition:
        """Asked to send what is not in the set of executed transactions, the server sends what it commits
        just now, and ends at a place of which both are known: file and offset, and all GTIDs before.
        """
        gtids = GtidSet.parse(str(self.queries.value("select @@global.gtid_executed")))
        with closing(BinlogReading(reader.dump_after(gtids), reader.decoder())) as reading:
            while True:
                code, payload = reading.next()
                if code == wire.ENDED:
                    break
                if code == wire.TABLE and payload is not None:
                    reading.decoder.set_table(payload, None)
            for run in reading.decoder.gtid_runs():
                if len(run) == 4:
                    gtids.add_run(*run)
            return BinlogPosition(reading.decoder.file, reading.decoder.offset, gtids=gtids)

    def _holds(self, after: BinlogPosition, memory: ServerMemory | None) -> bool:
        """Return whether the place is in a file of this server, which is the one that we remember."""
        is_its = memory is not None and memory.epoch == after.epoch
        return is_its and self.queries.sizes().get(after.file, -1) >= after.offset

    def _losses(self, *, is_ours: bool = False) -> Losses:
        accepted = AcceptedLoss.parse(self._connector.options.accept_lost_gtids)
        return Losses(self.queries, self._reader(), accepted, is_ours)

    def _take_over(
        self, after: BinlogPosition, ours: GtidSet, memory: ServerMemory | None, *, lost: bool = False
    ) -> Start:
        """Another server with our transactions, a failover, or the same one that has purged our file, but
        nothing that is not in our log.
        """
        purged = GtidSet.parse(str(self.queries.value("select @@global.gtid_purged")))
        missing = purged.subtract(ours)
        if missing:
            raise transactions_purged(self._where, str(missing))
        return self._new_epoch(after, memory, lost=lost)

    def _new_epoch(self, after: BinlogPosition, memory: ServerMemory | None, *, lost: bool) -> Start:
        epoch = max(after.epoch, memory.epoch if memory else 0) + 1
        self._context.log(
            f"{after.file} is not a file of this server, or was purged: using GTIDs",
            server=self._facts.server_uuid,
        )
        reason = "the server lost transactions of the table (accept_lost_gtids)" if lost else ""
        if lost:
            gtids = self._connector.options.accept_lost_gtids
            self._context.log("continuing without lost transactions", level="warning", gtids=gtids)
        return Start(after, self._server(after, epoch, 0), by_gtid=True, lost=reason)

    def _by_file(self, after: BinlogPosition, memory: ServerMemory | None) -> Start:
        server = self._server(after, after.epoch, memory.settled if memory else 0)
        if after.offset <= self._connector.limits.max_dump_offset:
            return Start(after, server)
        if after.gtids is not None:
            return Start(after, server, by_gtid=True)
        return Start(replace(after, file=self._next_file(after), offset=FIRST_OFFSET), server)

    def _next_file(self, after: BinlogPosition) -> str:
        """The file to continue in, once nothing is left in ours but its last event: without GTIDs no server
        sends what is past 4 GiB.
        """
        sizes = self.queries.sizes()
        later = next((name for name in sizes if file_number(name) > after.file_number), None)
        if later is None:
            raise SourceUnavailable(
                f"the end of our log is past 4 GiB in {after.file}, where the protocol cannot start",
                where=self._where,
                remedy="Run FLUSH BINARY LOGS; the source then continues in the next file.",
            )
        left = sizes[after.file] - after.offset
        if left not in _ends(later):
            raise SourceGap(
                f"{left} bytes of {after.file} past 4 GiB are not in our log, where the protocol "
                "cannot start",
                where=self._where,
                remedy="Copy all tables again, or start with an empty state_dir and new, empty sinks. Set"
                " gtid_mode = ON, or keep transactions small: a file ends after max_binlog_size.",
            )
        return later

    def _check_file(self, after: BinlogPosition) -> None:
        """Return whether the server's own files still hold our place."""
        size = self.queries.sizes().get(after.file)
        if size is None:
            raise binlog_gone(self._where, after.file)
        if size < after.offset:
            raise binlog_shorter(self._where, after.file, after.offset)

    def _require_whole(
        self, after: BinlogPosition, memory: ServerMemory | None, *, is_same: bool | None
    ) -> None:
        """GTIDs don't reveal a server that lost the end of its binlog and gave their numbers to others."""
        # Positions of our memory's epoch are in the files of its server.
        if memory is None or memory.epoch != after.epoch or not is_same:
            return
        sizes = self.queries.sizes()
        is_past = max(map(file_number, sizes)) < after.file_number
        if is_past or sizes.get(after.file, after.offset) < after.offset:
            raise binlog_shorter(self._where, after.file, after.offset)

    def _resume_mariadb(self, after: BinlogPosition, memory: ServerMemory | None) -> Start:
        """The same server is one whose GTIDs at our file and offset are ours."""
        ours = after.gtids if isinstance(after.gtids, MariadbGtids) else MariadbGtids()
        is_same = self._is_same_binlog(memory)
        if is_same is not False and self.queries.sizes().get(after.file, -1) >= after.offset:
            here = self.queries.mariadb_gtids(after.file, after.offset)
            if here is None and is_same:
                here = self._read_gtids(after)
            # Domains that were deleted had nothing after our place.
            if here is not None and here == (ours.within(here.last) if is_same else ours):
                return self._by_file(replace(after, gtids=here), memory)
        if is_same:
            ours = self._losses().without_deleted(ours)
        left = self._losses().mariadb(ours)
        self._require_same(memory, is_same=is_same)
        if left == ours:
            self._require_whole(after, memory, is_same=is_same)
        if not ours:
            raise binlog_gone(self._where, after.file)
        self._losses().require_kept(left)
        return self._new_epoch(replace(after, gtids=left), memory, lost=left != ours)

    def _read_gtids(self, place: BinlogPosition) -> MariadbGtids | None:
        """The GTIDs before that place, read from the file: MariaDB 10 returns none for a place after an event
        larger than max_allowed_packet, and without them each start would count as a failover.
        """
        begun = self.queries.mariadb_gtids(place.file, FIRST_OFFSET)
        return None if begun is None else gtids_before(self._reader(), begun, place.file, place.offset)

    def _reader(self) -> BinlogReader:
        """A reader for what needs no collations."""
        return BinlogReader(
            self._connector,
            self._facts.flavour,
            self._connector.options.unrepresentable,
            self._context.count,
            {},
        )
