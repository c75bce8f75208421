"""The rare events of the binlog, made by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.errors import DecodeError
from cdc_source_mysql.binlog.events import (
    Header,
    Incident,
    XaPrepare,
    parse_header,
    parse_incident,
    parse_prepared_xid,
    parse_query,
    parse_xa_prepare,
)

_CHARSET = b"\x04" + struct.pack("<HHH", 28, 28, 45)


def _query(status: bytes = b"", database: bytes = b"shop", sql: bytes = b"drop table t") -> bytes:
    head = struct.pack("<IIBHH", 7, 2, len(database), 0, len(status))
    return head + status + database + b"\0" + sql


def test_a_header_has_its_fields_in_order() -> None:
    data = struct.pack("<IBIIIH", 1700000000, 19, 3, 60, 1234, 0x20)
    assert parse_header(data + b"more") == Header(1700000000, 19, 3, 60, 1234, 0x20)


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


def test_an_xa_prepare_has_both_parts_of_the_id() -> None:
    body = b"\x00" + struct.pack("<III", 1, 3, 2) + b"abcde"
    assert parse_xa_prepare(body) == XaPrepare(False, 1, b"abc", b"de")


def test_an_xa_id_that_is_too_long_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse_xa_prepare(b"\x01" + struct.pack("<III", 1, 65, 0) + bytes(65))


def test_an_incident_has_a_message() -> None:
    assert parse_incident(b"\x01\x00\x04lost") == Incident(1, "lost")


def _mariadb_gtid(flags: int, rest: bytes = b"") -> bytes:
    return (struct.pack("<QIB", 42, 3, flags) + rest).ljust(19, b"\0")


@pytest.mark.parametrize(("flags", "group"), [(0x40, b""), (0x40 | 0x02 | 0x04, bytes(8))])
def test_a_mariadb_gtid_of_a_prepared_transaction_has_its_id(flags: int, group: bytes) -> None:
    body = _mariadb_gtid(flags, group + struct.pack("<IBB", 1, 2, 1) + b"abc")
    assert parse_prepared_xid(body) == (1, b"ab", b"c")


@pytest.mark.parametrize(
    ("flags", "rest"),
    [(0x01 | 0x20, b""), (0x02 | 0x04, bytes(8)), (0x80, struct.pack("<IBB", 1, 1, 0) + b"a")],
)
def test_a_mariadb_gtid_of_another_transaction_has_none(flags: int, rest: bytes) -> None:
    assert parse_prepared_xid(_mariadb_gtid(flags, rest)) is None


_WHOLE: list[tuple[Callable[[bytes], object], bytes]] = [
    (parse_header, struct.pack("<IBIIIH", 1, 2, 3, 4, 5, 6)),
    (parse_query, _query(sql=b"")),
    (parse_xa_prepare, b"\x00" + struct.pack("<III", 1, 3, 2) + b"abcde"),
    (parse_incident, b"\x01\x00\x04lost"),
    (parse_prepared_xid, struct.pack("<QIBIBB", 1, 0, 0x40, 1, 1, 1) + b"ab"),
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
    for parse, _ in _WHOLE:
        try:
            parse(data)
        except DecodeError:
            continue
