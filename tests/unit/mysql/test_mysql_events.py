"""The rare events of the binlog, made by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from connectors.mysql.events import (
    FormatDescription,
    Header,
    Incident,
    PayloadHeader,
    Rotate,
    XaPrepare,
    parse_format_description,
    parse_gtid_list,
    parse_header,
    parse_incident,
    parse_mariadb_gtid,
    parse_payload_header,
    parse_query,
    parse_query_compressed,
    parse_rotate,
    parse_xa_prepare,
)

_CHARSET = b"\x04" + struct.pack("<HHH", 28, 28, 45)


def _query(status: bytes = b"", database: bytes = b"shop", sql: bytes = b"drop table t") -> bytes:
    head = struct.pack("<IIBHH", 7, 2, len(database), 0, len(status))
    return head + status + database + b"\0" + sql


def _format_description(checksum: int = 1, lengths: bytes = bytes((0, 13, 0, 8))) -> bytes:
    head = struct.pack("<H50sIB", 4, b"9.7.4-2", 0, 19)
    return head + lengths + bytes([checksum]) + b"\xaa\xbb\xcc\xdd"


def test_a_header_has_its_fields_in_order() -> None:
    data = struct.pack("<IBIIIH", 1700000000, 19, 3, 60, 1234, 0x20)
    assert parse_header(data + b"more") == Header(1700000000, 19, 3, 60, 1234, 0x20)


def test_a_format_description_tells_the_checksum_before_its_own() -> None:
    assert parse_format_description(_format_description()) == FormatDescription(
        binlog_version=4,
        server_version="9.7.4-2",
        created=0,
        header_bytes=19,
        post_header_bytes=(0, 13, 0, 8),
        checksum=1,
    )
    assert parse_format_description(_format_description(0)).checksum == 0


def test_a_format_description_of_another_kind_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse_format_description(_format_description(2))


def test_a_rotate_names_the_next_file() -> None:
    body = (4).to_bytes(8, "little") + b"binlog.000007"
    assert parse_rotate(body) == Rotate(4, "binlog.000007")


def test_a_query_has_the_status_that_we_need() -> None:
    status = b"\x00" + struct.pack("<I", 0x0400) + b"\x01" + struct.pack("<Q", 4 | 1 << 20)
    status += b"\x06\x03std" + _CHARSET + b"\x05\x06SYSTEM"
    query = parse_query(_query(status))
    assert (query.flags2, query.sql_mode, query.charset_id) == (0x0400, 4 | 1 << 20, 28)
    assert (query.database, query.sql) == ("shop", b"drop table t")
    assert (query.thread_id, query.execution_seconds) == (7, 2)


@pytest.mark.parametrize(
    "variable",
    [
        b"\x02\x03std\0",
        b"\x03\x01\x00\x02\x00",
        b"\x07\x01\x00",
        b"\x08\x01\x00",
        b"\x09" + bytes(8),
        b"\x0a" + bytes(4),
        b"\x0b\x04root\x09localhost",
        b"\x0c\x02one\0two\0",
        b"\x0c\xfe",
        b"\x0d\x01\x02\x03",
        b"\x10\x01",
        b"\x11" + bytes(8),
        b"\x12\x01\x00",
        b"\x13\x01",
        b"\x14\x01",
        b"\x15\x01",
        b"\x80\x01\x02\x03",
        b"\x81" + bytes(8),
        b"\x82\x02",
        b"\x82\x04" + bytes(8),
        b"\x83\x02" + bytes(8),
    ],
)
def test_a_known_status_variable_is_stepped_over(variable: bytes) -> None:
    assert parse_query(_query(variable + _CHARSET)).charset_id == 28


def test_an_unknown_status_variable_ends_no_stream() -> None:
    query = parse_query(_query(b"\x00\x01\x00\x00\x00" + b"\xf0whatever"))
    assert query.flags2 == 1
    assert query.sql == b"drop table t"


def test_a_query_keeps_the_bytes_of_its_text() -> None:
    assert parse_query(_query(sql="é".encode("latin-1"))).sql == b"\xe9"


def test_a_compressed_query_is_inflated() -> None:
    sql = b"create table " + b"x" * 400
    packed = b"\x82" + len(sql).to_bytes(2, "big") + zlib.compress(sql)
    assert parse_query_compressed(_query(sql=packed)).sql == sql


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x02\x00\x05" + zlib.compress(b"abcde"),
        b"\x80" + zlib.compress(b"abcde"),
        b"\x81\x04" + zlib.compress(b"abcde"),
        b"\x81\x06" + zlib.compress(b"abcde"),
        b"\x81\x05" + zlib.compress(b"abcde")[:-3],
        b"\x81\x05nonsense",
    ],
)
def test_a_compressed_query_of_another_length_is_refused(packed: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_query_compressed(_query(sql=packed))


def test_an_xa_prepare_has_both_parts_of_the_id() -> None:
    body = b"\x00" + struct.pack("<III", 1, 3, 2) + b"abcde"
    assert parse_xa_prepare(body) == XaPrepare(False, 1, b"abc", b"de")


def test_an_xa_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse_xa_prepare(b"\x01" + struct.pack("<III", 1, 65, 0) + bytes(65))


def test_an_incident_has_a_message() -> None:
    assert parse_incident(b"\x01\x00\x04lost") == Incident(1, "lost")


def test_a_payload_header_may_come_before_its_payload() -> None:
    # The uncompressed size is what MySQL 9.7 sent for 52 MB.
    fields = b"\x02\x01\x00" + b"\x01\x03\xfc\x00\x10" + b"\x03\x09" + bytes.fromhex("fe47f31a0300000000")
    assert parse_payload_header(fields + b"\x00" + b"\x28\xb5\x2f\xfd") == PayloadHeader(
        compression=0, uncompressed_bytes=0x31AF347, payload_bytes=4096, header_bytes=len(fields) + 1
    )


def test_an_uncompressed_payload_has_one_size() -> None:
    header = parse_payload_header(b"\x02\x03\xfc\xff\x00\x01\x01\x64\x63\x02zz\x00")
    assert (header.compression, header.uncompressed_bytes, header.payload_bytes) == (255, 100, 100)


def test_a_payload_without_its_size_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse_payload_header(b"\x02\x01\x00\x00")


def _mariadb_gtid(flags: int, rest: bytes = b"") -> bytes:
    return (struct.pack("<QIB", 42, 3, flags) + rest).ljust(19, b"\0")


def test_a_mariadb_gtid_says_what_follows() -> None:
    gtid = parse_mariadb_gtid(_mariadb_gtid(0x01 | 0x20), 9)
    assert (gtid.domain, gtid.server_id, gtid.sequence) == (3, 9, 42)
    assert (gtid.standalone, gtid.ddl, gtid.transactional) == (True, True, False)
    assert (gtid.xid, gtid.alter) == (None, "")


def test_a_mariadb_gtid_in_a_group_has_its_commit_id() -> None:
    gtid = parse_mariadb_gtid(_mariadb_gtid(0x02 | 0x04, bytes(8) + b"\x04" + struct.pack("<Q", 41)), 9)
    assert (gtid.transactional, gtid.alter, gtid.alter_start) == (True, "commit", 41)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (b"\x02", ("start", 0)),
        (b"\x08" + struct.pack("<Q", 40), ("rollback", 40)),
        (b"\x05\x02" + struct.pack("<Q", 39), ("commit", 39)),
    ],
)
def test_a_mariadb_gtid_has_the_phases_of_an_alter(extra: bytes, expected: tuple[str, int]) -> None:
    gtid = parse_mariadb_gtid(_mariadb_gtid(0x21, extra), 9)
    assert (gtid.alter, gtid.alter_start) == expected


def test_a_mariadb_gtid_of_a_prepared_transaction_has_its_id() -> None:
    gtid = parse_mariadb_gtid(_mariadb_gtid(0x40, struct.pack("<IBB", 1, 2, 1) + b"abc"), 9)
    assert gtid.prepared_xa
    assert gtid.xid == (1, b"ab", b"c")


def test_a_gtid_list_has_the_last_of_every_domain() -> None:
    entries = [(0, 1, 5), (1, 1, 9), (0, 2, 6)]
    body = struct.pack("<I", 0x10000003) + b"".join(struct.pack("<IIQ", *entry) for entry in entries)
    assert parse_gtid_list(body) == {0: (2, 6), 1: (1, 9)}


_WHOLE: list[tuple[Callable[[bytes], object], bytes]] = [
    (parse_header, struct.pack("<IBIIIH", 1, 2, 3, 4, 5, 6)),
    (parse_format_description, _format_description(lengths=b"")),
    (parse_query, _query(sql=b"")),
    (parse_xa_prepare, b"\x00" + struct.pack("<III", 1, 3, 2) + b"abcde"),
    (parse_incident, b"\x01\x00\x04lost"),
    (parse_payload_header, b"\x02\x01\x00\x01\x01\x05\x00"),
    (parse_gtid_list, struct.pack("<IIIQ", 1, 0, 1, 5)),
    (lambda data: parse_mariadb_gtid(data, 1), struct.pack("<QIBIBB", 1, 0, 0x40, 1, 1, 1) + b"ab"),
]


@pytest.mark.parametrize(("parse", "body"), _WHOLE)
def test_an_event_cut_anywhere_is_refused(parse: Callable[[bytes], object], body: bytes) -> None:
    parse(body)
    # An incident may come without any message.
    for end in (end for end in range(len(body)) if not (parse is parse_incident and end == 2)):
        with pytest.raises(DecodeError):
            parse(body[:end])


@given(st.binary(max_size=60))
def test_any_bytes_are_an_event_or_are_refused(data: bytes) -> None:
    for parse, _ in [*_WHOLE, (parse_rotate, b""), (parse_query_compressed, b"")]:
        try:
            parse(data)
        except DecodeError:
            continue
