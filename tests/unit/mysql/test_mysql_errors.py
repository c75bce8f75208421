from __future__ import annotations

import socket
import ssl
import struct

import pymysql
import pytest

from cdc.errors import (
    CdcError,
    SourceBusy,
    SourceGap,
    SourceMismatch,
    SourceRefused,
    SourceUnavailable,
)
from cdc_source_mysql import errors

WHERE = "sources.shop"


@pytest.mark.parametrize(
    ("number", "message", "kind"),
    [
        (1040, "Too many connections", SourceUnavailable),
        (1045, "Access denied for user 'x'@'h' (using password: YES)", SourceRefused),
        (1053, "Server shutdown in progress", SourceUnavailable),
        (1129, "Host 'h' is blocked because of many connection errors", SourceRefused),
        (1130, "Host 'h' is not allowed to connect to this MySQL server", SourceRefused),
        (1142, "SELECT command denied to user 'x'@'h' for table 't'", SourceRefused),
        (1146, "Table 'd.t' doesn't exist", SourceUnavailable),
        (1205, "Lock wait timeout exceeded", SourceUnavailable),
        (1227, "you need (at least one of) the REPLICATION SLAVE privilege(s)", SourceRefused),
        (1290, "running with the --super-read-only option", SourceRefused),
        (1412, "Table definition has changed", SourceUnavailable),
        (2006, "MySQL server has gone away", SourceUnavailable),
        (2013, "Lost connection to MySQL server during query", SourceUnavailable),
        (3159, "Connections using insecure transport are prohibited", SourceRefused),
        (4052, "A slave with the same server_uuid/server_id is already connected", SourceBusy),
        (9999, "what nobody thought of", SourceRefused),
    ],
)
def test_number_decides_the_kind(number: int, message: str, kind: type[CdcError]) -> None:
    error = errors.translate(pymysql.err.OperationalError(number, message), WHERE, "reading")
    assert type(error) is kind
    assert error.message == f"reading: {message} (error {number})"
    assert error.remedy


# As MySQL 5.7, 8 and 9 and MariaDB 10.11 word them.
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Could not find first log file name in binary log index file", SourceGap),
        (
            "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has"
            " purged binary logs containing GTIDs that the slave requires.",
            SourceGap,
        ),
        (
            "Cannot replicate because the source purged required binary logs. Replicate the missing"
            " transactions from elsewhere. The GTID set sent by the replica is ''",
            SourceGap,
        ),
        ("Could not find GTID state requested by slave in any binlog files.", SourceGap),
        ("Client requested master to start replication from position > file size", SourceGap),
        ("Client requested source to start replication from position > file size", SourceGap),
        ("Client requested master to start replication from impossible position", SourceGap),
        ("bogus data in log event; the first event 'binlog.000001' at 10", SourceGap),
        ("I/O error reading log event; the first event 'binlog.000001' at 855", SourceUnavailable),
        ("binlog truncated in the middle of event; consider out of disk space on source", SourceGap),
        ("Slave has more GTIDs than the master has, using the master's SERVER_UUID.", SourceMismatch),
        ("Replica has more GTIDs than the source has, using the source's SERVER_UUID.", SourceMismatch),
        (
            "connecting slave requested to start from GTID 0-1-99, which is not in the master's binlog",
            SourceMismatch,
        ),
        ("The binlog on the master is missing the GTID 0-1-5 requested by the slave", SourceMismatch),
        (
            "A slave with the same server_uuid/server_id as this slave has connected to the master;",
            SourceBusy,
        ),
        (
            "A replica with the same server_uuid/server_id as this replica has connected to the source;",
            SourceBusy,
        ),
        ("Binary log is not open", SourceRefused),
        ("log event entry exceeded max_allowed_packet; Increase max_allowed_packet on master", SourceRefused),
        ("Misconfigured master - master server_id is 0", SourceRefused),
        ("The replication sender thread cannot start in AUTO_POSITION mode: GTID_MODE = OFF", SourceRefused),
        ("what nobody thought of", SourceRefused),
    ],
)
def test_words_decide_what_ended_a_dump(message: str, kind: type[CdcError]) -> None:
    payload = b"\xff" + struct.pack("<H", 1236) + b"#HY000" + message.encode()
    error = errors.translate_packet(payload, WHERE, "reading the binlog")
    assert type(error) is kind
    assert error.remedy


def test_packet_without_sqlstate_is_read_too() -> None:
    error = errors.translate_packet(b"\xff" + struct.pack("<H", 1040) + b"Too many connections", WHERE)
    assert str(error).startswith("sources.shop: Too many connections (error 1040). ")


@pytest.mark.parametrize(
    ("number", "state"),
    [(1062, "23000"), (1064, "42000"), (1292, "22007"), (1366, "HY000"), (1644, "45000"), (9998, "22003")],
)
def test_messages_that_can_quote_a_value_are_dropped(number: int, state: str) -> None:
    message = "near 'a customer''s name'"
    error = errors.translate_number(number, message, WHERE, "copying", state)
    assert "customer" not in str(error)
    assert str(number) in str(error)


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), SourceUnavailable, "connection refused"),
        (TimeoutError("timed out"), SourceUnavailable, "timed out"),
        (socket.gaierror(-2, "Name or service not known"), SourceUnavailable, "host name"),
        (ssl.SSLError(1, "[SSL] wrong version number"), SourceRefused, "TLS"),
        (ssl.SSLCertVerificationError("bad"), SourceRefused, "certificate is not accepted"),
    ],
)
def test_network_errors_say_what_happened(cause: OSError, kind: type[CdcError], said: str) -> None:
    wrapped = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'h' (…)")
    vars(wrapped)["original_exception"] = cause
    error = errors.translate(wrapped, WHERE, "connecting")
    assert type(error) is kind
    assert said in error.message


def test_closed_connection_is_made_again() -> None:
    error = errors.translate(pymysql.err.InterfaceError(0, ""), WHERE)
    assert type(error) is SourceUnavailable
    assert error.message == "the connection was closed"
