"""Asks a server for its binlog, as a replica does, and gives the bytes that follow.

We register under a number and a uuid that are the same at every start of one source: a server that still sends
to an earlier process of ours ends that one (MySQL by the uuid, MariaDB by the number), so a zombie can't go on.
Reads beside the main stream use numbers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.mysql.channel import Channel
from connectors.mysql.connection import Connector, ServerFacts
from connectors.mysql.gtid import Gtids
from connectors.mysql.options import MysqlOptions


@dataclass(frozen=True, slots=True)
class Replica:
    """Under which number and uuid the server knows us."""

    server_id: int
    uuid: str

    @classmethod
    def of(cls, options: MysqlOptions, source: str) -> Replica:
        """The source's own: takes the place of its predecessor."""
        return cls(options.replica_id(source), options.replica_uuid(source))

    @classmethod
    def beside(cls) -> Replica:
        """A random one, for a read beside the main stream that must not end it."""
        raise NotImplementedError


class Dump(Channel):
    """A binlog on its way to us: packets of 0x00 + event, later 0xff + error, or 0xfe at the end of a dump that
    does not wait. `recv`, `wait` and `close` as in Channel.
    """

    facts: ServerFacts


def dump_from(
    connector: Connector, file: str, offset: int, replica: Replica, *, stop_at_end: bool = False
) -> Dump:
    """The binlog from that offset of that file on, which must be the beginning of an event.

    `stop_at_end`: the server ends with an EOF packet instead of waiting for more.
    """
    raise NotImplementedError


def dump_after(connector: Connector, gtids: Gtids, replica: Replica, *, stop_at_end: bool = False) -> Dump:
    """The binlog without the transactions of that set (MySQL), or after that place (MariaDB)."""
    raise NotImplementedError
