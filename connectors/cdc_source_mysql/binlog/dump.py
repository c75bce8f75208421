"""Asks a server for its binlog, as a replica does, and gives the bytes that follow.

We register under a number and a uuid that are the same at every start of one source: a server that still
sends to an earlier process of ours ends that dump (MySQL by the uuid, MariaDB by the number), and a zombie
gets nothing more. Second reads use a number and a uuid of their own.
"""

from __future__ import annotations

import secrets
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cdc.errors import SourceGap, SourceMismatch
from cdc.spi.source import LogIdentity
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids
from cdc_source_mysql.binlog.positions import FIRST_OFFSET
from cdc_source_mysql.channel import Channel, Connection
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.options import FIRST_SERVER_ID, MAX_DUMP_OFFSET, MAX_SERVER_ID, MysqlOptions
from cdc_source_mysql.statements import literal

_REGISTER = 0x15
_DUMP = 0x12
_DUMP_GTID = 0x1E
_STOP_AT_END = 0x01
# MySQL from 8.0.26 on: heartbeats whose position does not wrap at 4 GiB.
_HEARTBEAT_V2 = 0x02
# MariaDB: the text of each statement before its rows, as its own replicas ask for.
_ANNOTATIONS = 0x02
_HEARTBEAT_V2_SINCE = (8, 0, 26)
_BY_GTID = 0x04
# MariaDB sends GTIDs (and all its other events) only to a replica that says it knows them.
_CAPABILITY_GTID = 4
# A host's name in SHOW REPLICAS.
_MAX_HOST_BYTES = 60


@dataclass(frozen=True, slots=True)
class Replica:
    """Under which number and uuid the server knows us; `label` follows our name in SHOW REPLICAS."""

    server_id: int
    uuid: str
    label: str = ""

    @classmethod
    def of(cls, options: MysqlOptions, source: str, owner: LogIdentity | None = None) -> Replica:
        """The source's own: takes the place of its predecessor on the same log."""
        log_id = owner.log_id if owner else ""
        return cls(options.replica_id(source), options.replica_uuid(source, log_id), label_of(log_id))

    @classmethod
    def random(cls) -> Replica:
        """A random identity, for a second read that must not end the stream."""
        number = FIRST_SERVER_ID + secrets.randbelow(MAX_SERVER_ID - FIRST_SERVER_ID)
        return cls(number, str(uuid.uuid4()))


def label_of(log_id: str) -> str:
    """The part of a log's uuid that distinguishes it in a list of replicas."""
    return log_id[:8]


class Dump(Channel):
    """A binlog on its way to us: packets of 0x00 and an event, at last 0xff and an error (for
    `errors.translate_packet`), or 0xfe at the end of a dump that does not wait for more.
    """

    def __init__(self, connection: Connection, where: str, facts: ServerFacts) -> None:
        super().__init__(connection, where)
        self.facts = facts


def dump_from(
    connector: Connector, file: str, offset: int, replica: Replica, *, stop_at_end: bool = False
) -> Dump:
    """The binlog from that offset of that file on, which must be the beginning of an event.

    `stop_at_end`: the server ends with an EOF packet instead of waiting for more.

    Raises:
        SourceGap: the offset is past what the protocol can say.
    """
    if offset > MAX_DUMP_OFFSET:
        raise SourceGap(
            f"the binlog {file} cannot be read from offset {offset}: without GTIDs the protocol ends "
            "at 4 GiB",
            where=connector.where,
            remedy="Set gtid_mode = ON, or keep max_binlog_size at 1 GiB. Then copy all tables again.",
        )

    def command(facts: ServerFacts) -> bytes:
        return (
            struct.pack("<BIHI", _DUMP, offset, _flags(facts, stop_at_end=stop_at_end), replica.server_id)
            + file.encode()
        )

    return _dump(connector, replica, command, None)


def dump_after(connector: Connector, gtids: Gtids, replica: Replica, *, stop_at_end: bool = False) -> Dump:
    """The binlog without the transactions of that set (MySQL), or after that place in every domain (MariaDB).

    Raises:
        SourceMismatch: the set is of the other kind of server.
    """

    def command(facts: ServerFacts) -> bytes:
        if isinstance(gtids, GtidSet) == facts.is_mariadb:
            raise _other_kind(connector.where)
        flags = _flags(facts, stop_at_end=stop_at_end)
        if isinstance(gtids, MariadbGtids):
            return struct.pack("<BIHI", _DUMP, FIRST_OFFSET, flags, replica.server_id)
        known = gtids.encode()
        # No file's name: the server looks for the first one that it needs.
        head = struct.pack(
            "<BHIIQI", _DUMP_GTID, flags | _BY_GTID, replica.server_id, 0, FIRST_OFFSET, len(known)
        )
        return head + known

    return _dump(connector, replica, command, str(gtids) if isinstance(gtids, MariadbGtids) else None)


def _dump(
    connector: Connector, replica: Replica, command: Callable[[ServerFacts], bytes], place: str | None
) -> Dump:
    """Introduce ourselves and send the command; the events follow."""
    connection = connector.connect("for the binlog")
    try:
        facts = connector.facts(connection)
        with connector.translated("preparing to read the binlog"), connection.cursor() as cursor:
            for assignments in _introductions(connector.options, replica, facts, place):
                cursor.execute(f"set {', '.join(assignments)}")
        dump = Dump(connection, connector.where, facts)
        dump.send(_registration(connector, replica))
        dump.answer("registering as a replica")
        dump.send(command(facts))
    except BaseException:
        connection.close()
        raise
    return dump


def _introductions(
    options: MysqlOptions, replica: Replica, facts: ServerFacts, place: str | None
) -> Iterator[list[str]]:
    """Yield the settings by which a replica introduces itself, under the names of old and new servers."""
    ours = literal(replica.uuid)
    period = round(options.heartbeat.total_seconds() * 1e9)
    for name in ("master", "source"):
        # Our decoder reads both; without a word of it the server refuses to send events with checksums.
        yield [f"@{name}_binlog_checksum = 'NONE'", f"@{name}_heartbeat_period = {period}"]
    yield [f"@slave_uuid = {ours}", f"@replica_uuid = {ours}"]
    if facts.is_mariadb:
        yield [f"@mariadb_slave_capability = {_CAPABILITY_GTID}"]
        if place is not None:
            # Strict: the place must be in the binlog, not only somewhere before its end.
            yield [
                f"@slave_connect_state = {literal(place)}",
                "@slave_gtid_strict_mode = 1",
                "@slave_gtid_ignore_duplicates = 0",
            ]


def _registration(connector: Connector, replica: Replica) -> bytes:
    """Makes us visible in SHOW REPLICAS, by the name of the source."""
    host = " ".join(filter(None, (connector.program_name, replica.label))).encode()[:_MAX_HOST_BYTES]
    # Then no user, no password, no port, no rank, and the source's number, which the server knows.
    return struct.pack("<BIB", _REGISTER, replica.server_id, len(host)) + host + bytes(1 + 1 + 2 + 4 + 4)


def _flags(facts: ServerFacts, *, stop_at_end: bool) -> int:
    flags = _STOP_AT_END if stop_at_end else 0
    if facts.is_mariadb:
        return flags | _ANNOTATIONS
    return flags | (_HEARTBEAT_V2 if facts.version >= _HEARTBEAT_V2_SINCE else 0)


def _other_kind(where: str) -> SourceMismatch:
    return SourceMismatch(
        "the position is of another kind of server: MySQL and MariaDB have different GTIDs",
        where=where,
        remedy="Connect to the server that the log was written from, or start with an empty state_dir and"
        " new, empty sinks.",
    )
