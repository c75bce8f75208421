"""Reads the events of a server's binlog from its file: a third way beside the decoder and the library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cdc_source_mysql.binlog.events import parse_header
from cdc_source_mysql.wire.codes import (
    CHECKSUM_BYTES,
    FORMAT_DESCRIPTION_EVENT,
    HEADER_BYTES,
    TABLE_MAP_EVENT,
)
from tests.support.mysql.server import MysqlServer

_MAGIC = b"\xfebin"


class Recorded:
    """The events written since a moment, as (type, body without checksum)."""

    def __init__(self, server: MysqlServer) -> None:
        self._server = server
        self.file, self.start = server.position()

    def events(self) -> list[tuple[int, bytes]]:
        data = (self._server.data / self.file).read_bytes()
        return [(kind, body) for at, kind, body in _walk(data) if at >= self.start]

    def table_maps(self) -> list[bytes]:
        return [body for kind, body in self.events() if kind == TABLE_MAP_EVENT]


@contextmanager
def recorded(server: MysqlServer) -> Iterator[Recorded]:
    yield Recorded(server)


def _walk(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    assert data.startswith(_MAGIC)
    at, checksum_bytes = len(_MAGIC), 0
    while at < len(data):
        header = parse_header(data[at : at + HEADER_BYTES])
        body = data[at + HEADER_BYTES : at + header.size]
        if header.type == FORMAT_DESCRIPTION_EVENT:
            # The kind of checksum stands before its own, which it always has.
            checksum_bytes = CHECKSUM_BYTES if body[-1 - CHECKSUM_BYTES] else 0
            yield at, header.type, body
        else:
            yield at, header.type, body[: len(body) - checksum_bytes]
        at += header.size
