"""Meanings of a MySQL or MariaDB server's errors, decided by error number at this one boundary, and the
errors that the stream raises by name.

The server's message is kept (it names the object), but for those that can quote a value: of rows, or of the
bounds that are in our own statements. Error 1236 is one number for everything that ends a dump; there alone
the words decide, in the wordings of MySQL 5.7 to 9 (`master`, `slave`, since 8.0.26 `source`, `replica`) and
of MariaDB. A server that speaks another language than English gives SourceRefused there.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct

from pymysql.err import MySQLError

from cdc.errors import (
    CdcError,
    SourceBusy,
    SourceGap,
    SourceMismatch,
    SourceRefused,
    SourceUnavailable,
)
from cdc.kit.errors import (
    LOCKED,
    NO_DATABASE,
    NO_PRIVILEGE,
    TOO_MANY_CONNECTIONS,
    UNKNOWN,
    WAIT,
    ErrorMeaning,
)

_USER_LIMIT = ErrorMeaning(
    SourceUnavailable,
    "It is retried automatically. If it lasts, raise the account's limit: alter user ... with"
    " max_user_connections 0 max_connections_per_hour 0 max_queries_per_hour 0; or the server's: set global"
    " max_user_connections = 0;",
)
_EXPIRED = ErrorMeaning(
    SourceRefused,
    "The password has expired: alter user ... identified by '...'; and write it in url.",
)
_INIT = ErrorMeaning(
    SourceUnavailable,
    "It is retried automatically. If it lasts, init_connect fails for the account: select @@init_connect;",
)
_ALTERED = ErrorMeaning(
    SourceUnavailable, "The table was altered, dropped or renamed; the tables are looked up again."
)
_LOGIN = ErrorMeaning(
    SourceRefused,
    "Check user and password in url, and that the account may log in from this host, and without TLS if"
    " ssl-mode says so.",
)
_REPLICATION = ErrorMeaning(
    SourceRefused, "Run: grant replication slave on *.* to the account; cdc check prints the statement."
)
_PLUGIN = ErrorMeaning(
    SourceRefused,
    "Create the account with caching_sha2_password (MySQL) or mysql_native_password (MariaDB).",
)
_TLS = ErrorMeaning(SourceRefused, "Check ssl-mode, ssl-ca, ssl-cert and ssl-key in url.")
_NEEDS_TLS = ErrorMeaning(SourceRefused, "Add ?ssl-mode=required to url, or a stricter mode with ssl-ca.")
_PACKET = ErrorMeaning(SourceRefused, "Raise it on the server: set global max_allowed_packet = 1073741824;")
_READ_ONLY = ErrorMeaning(SourceRefused, "The server is read-only: run the statement on its primary.")
_GTIDS_OFF = ErrorMeaning(
    SourceRefused, "The server must keep gtid_mode = ON: positions of this source are GTIDs."
)
_NO_BINLOG = ErrorMeaning(SourceRefused, "Start the server with log_bin; run cdc check.")
_GONE = ErrorMeaning(
    SourceGap,
    "Copy all tables again, and keep binlogs longer (binlog_expire_logs_seconds).",
)
_MISPLACED = ErrorMeaning(
    SourceGap,
    "The file is not the one that the log was read from (a restore, RESET, another server behind the "
    "name), or damaged."
    " Copy all tables again.",
)
_DIVERGED = ErrorMeaning(
    SourceMismatch,
    "It is another server, was restored from a backup, or lost the end of its binlog in a failover. Connect"
    " to the server that has them, or start with an empty state_dir and new, empty sinks.",
)
_TAKEN = ErrorMeaning(
    SourceBusy,
    "Stop the other process that follows this source under the same name; or give one of the two another"
    " name, or another server_id.",
)

_MEANINGS: dict[int, ErrorMeaning] = {
    1037: WAIT,
    1038: WAIT,
    1040: TOO_MANY_CONNECTIONS,
    1041: WAIT,
    1042: WAIT,
    1043: WAIT,
    1044: NO_PRIVILEGE,
    1045: _LOGIN,
    1046: ErrorMeaning(SourceRefused, "Name the database in url."),
    1047: ErrorMeaning(
        SourceRefused, "Give the url of the server itself: a proxy does not support replication."
    ),
    1049: NO_DATABASE,
    1051: _ALTERED,
    1053: WAIT,
    1054: _ALTERED,
    1077: WAIT,
    1078: WAIT,
    1079: WAIT,
    1129: ErrorMeaning(
        SourceRefused, "On the server: FLUSH HOSTS; or truncate performance_schema.host_cache;"
    ),
    1130: ErrorMeaning(
        SourceRefused, "Create the account for this host, as 'cdc'@'%', or check the url's host."
    ),
    1132: NO_PRIVILEGE,
    1135: WAIT,
    1142: NO_PRIVILEGE,
    1143: NO_PRIVILEGE,
    1146: _ALTERED,
    1153: _PACKET,
    1154: WAIT,
    1158: WAIT,
    1159: WAIT,
    1160: WAIT,
    1161: WAIT,
    1184: _INIT,
    1203: _USER_LIMIT,
    1205: LOCKED,
    1213: LOCKED,
    1226: _USER_LIMIT,
    1227: NO_PRIVILEGE,
    1251: _PLUGIN,
    1275: _PLUGIN,
    1290: _READ_ONLY,
    1301: _PACKET,
    1317: WAIT,
    1370: NO_PRIVILEGE,
    1381: _NO_BINLOG,
    1412: _ALTERED,
    1524: _PLUGIN,
    1526: _ALTERED,
    1698: _LOGIN,
    1735: _ALTERED,
    1789: _GONE,
    1792: _READ_ONLY,
    1820: _EXPIRED,
    1836: _READ_ONLY,
    1862: _EXPIRED,
    1927: WAIT,
    1969: WAIT,
    2002: WAIT,
    2003: WAIT,
    2005: ErrorMeaning(SourceUnavailable, "Check the host in url. It is retried automatically."),
    2006: WAIT,
    2013: WAIT,
    2014: WAIT,
    2026: _TLS,
    2055: WAIT,
    2059: _PLUGIN,
    2061: _NEEDS_TLS,
    3024: WAIT,
    3058: LOCKED,
    3118: ErrorMeaning(SourceRefused, "The account is locked: alter user … account unlock;"),
    3159: _NEEDS_TLS,
    3168: WAIT,
    3572: LOCKED,
    4031: WAIT,
    4052: _TAKEN,
    4151: ErrorMeaning(SourceRefused, "The account is locked: alter user … account unlock;"),
}

# Whose message can quote a value: of a row, or of a statement of ours that has bounds of keys in it.
_QUOTES = frozenset(
    {1062, 1064, 1149, 1264, 1265, 1292, 1300, 1366, 1367, 1406, 1411, 1416, 1525, 1586, 1644, 1690, 1761}
    | {1859, 3140, 3141, 3156, 3593, 3617, 3854, 4025, 4078}
)
_QUOTING_STATES = ("22", "23", "45")
_NOT_SHOWN = "the server refused a statement or a value"

ACCESS_DENIED = 1045
FATAL_DUMP_ERROR = 1236
_DUMP_ENDS = (
    (r"same server_uuid/server_id", _TAKEN),
    (r"purged required binary logs|has purged|required binlog files have been purged", _GONE),
    (r"Could not find first log file name|could not find next log", _GONE),
    (r"Could not find GTID state", _GONE),
    (r"position > file size|impossible position", _MISPLACED),
    (r"bogus data in log event|did not pass checksum|truncated in the middle", _MISPLACED),
    (r"more GTIDs than the (?:source|master)|is not in the master's binlog|has diverged", _DIVERGED),
    (r"binlog on the master is missing the GTID", _DIVERGED),
    (r"AUTO_POSITION|anonymous transaction|GTID_MODE", _GTIDS_OFF),
    (r"Binary log is not open", _NO_BINLOG),
    (r"max_allowed_packet", _PACKET),
    # MySQL's open dumps also get an I/O error from RESET BINARY LOGS AND GTIDS: the next start shows which.
    (r"memory allocation|read error|I/O error|communication packets", WAIT),
    (
        r"server id was not set|misconfigured",
        ErrorMeaning(SourceRefused, "Give the server a server_id other than 0."),
    ),
)
_DUMP_MEANINGS = tuple((re.compile(pattern, re.IGNORECASE), meaning) for pattern, meaning in _DUMP_ENDS)


def translate(error: MySQLError | OSError | RuntimeError, where: str, doing: str = "") -> CdcError:
    """One of PyMySQL's errors as one of ours, to be raised `from` it; `doing` is a gerund (`logging in`)."""
    cause = getattr(error, "original_exception", error)
    if isinstance(cause, OSError):
        return _of_the_network(cause, where, doing)
    if isinstance(error, RuntimeError):  # PyMySQL misses a package that a login needs.
        return _PLUGIN.error("a package for this kind of login is not installed", where, doing)
    number, message = _parts(error)
    return translate_number(number, message, where, doing, getattr(error, "sqlstate", None) or "")


def translate_packet(payload: bytes, where: str, doing: str = "") -> CdcError:
    """An ERR packet (0xff, number, `#` and SQLSTATE, message) as one of ours."""
    if len(payload) < 3 or payload[0] != 0xFF:
        return WAIT.error("the server ended the connection with a packet that is not an error", where, doing)
    (number,) = struct.unpack_from("<H", payload, 1)
    rest = payload[3:]
    state, text = (rest[1:6], rest[6:]) if rest[:1] == b"#" else (b"", rest)
    message = text.decode("utf-8", "replace")
    if number == ACCESS_DENIED:  # We are logged in: what is denied is to be a replica.
        return _REPLICATION.error("the account lacks the privilege REPLICATION SLAVE", where, doing)
    return translate_number(number, message, where, doing, state.decode("ascii", "replace"))


def translate_number(number: int, message: str, where: str, doing: str = "", state: str = "") -> CdcError:
    """The kind of error and its remedy by number, with the server's message where it is safe."""
    said = _NOT_SHOWN if number in _QUOTES or state[:2] in _QUOTING_STATES else " ".join(message.split())
    if number == 0 and not said:
        said = "the connection was closed"
    code = f" (error {number})" if number else ""
    return meaning_of(number, message).error(f"{said.rstrip('.')}{code}", where, doing)


def meaning_of(number: int, message: str) -> ErrorMeaning:
    """Return the meaning of an error number; the message decides only for the fatal error of a dump."""
    if number == FATAL_DUMP_ERROR:
        for pattern, meaning in _DUMP_MEANINGS:
            if pattern.search(message):
                return meaning
        return UNKNOWN
    if number == 0:  # PyMySQL's own: closed, or out of step.
        return WAIT
    return _MEANINGS.get(number, UNKNOWN)


def number_of(error: CdcError) -> int:
    """The server's number of an error that was translated; 0 without one."""
    cause = error.__cause__
    return _parts(cause)[0] if isinstance(cause, MySQLError) else 0


def _parts(error: BaseException) -> tuple[int, str]:
    """Number and message of one of PyMySQL's errors; its own have a message only."""
    arguments = error.args
    if arguments and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1]) if len(arguments) > 1 else ""
    return 0, str(arguments[0]) if arguments else ""


def _of_the_network(cause: OSError, where: str, doing: str) -> CdcError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = str(getattr(cause, "verify_message", "")).rstrip(".")
        return _TLS.error(f"the server's certificate is not accepted: {reason}", where, doing)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return WAIT.error("the server closed the connection", where, doing)
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "reason", None) or "the client and the server found no common parameters"
        return _TLS.error(f"TLS: {reason}", where, doing)
    if isinstance(cause, socket.gaierror):
        return _MEANINGS[2005].error("the host name cannot be resolved", where, doing)
    return WAIT.error((cause.strerror or str(cause) or "no answer").lower(), where, doing)


def binlog_gone(where: str, file: str) -> SourceGap:
    """The file that we must continue from is no longer among the server's."""
    message = f"the binlog {file} is no longer on the server"
    return SourceGap(message, where=where, remedy=_GONE.remedy)


def binlog_shorter(where: str, file: str, offset: int) -> SourceGap:
    """The server's binlog ends before a place that we have read up to."""
    message = (
        f"the server's binlog ends before the end of our log, {file}:{offset}: it was reset, restored from a"
        " backup, or its end was lost in a crash"
    )
    remedy = "Copy all tables again, or start with an empty state_dir and new, empty"
    return SourceGap(message, where=where, remedy=f"{remedy} sinks. sync_binlog = 1 prevents this.")


def transactions_purged(where: str, missing: str) -> SourceGap:
    """Transactions that we have not seen are in no binlog any more."""
    message = f"the server has purged transactions that are not in our log: {missing}"
    return SourceGap(message, where=where, remedy=_GONE.remedy)


def transactions_unknown(where: str, ours: str, named: str) -> SourceMismatch:
    """Our log has transactions that the server never had; `named` as `accept_lost_gtids` takes them."""
    message = f"our log has transactions that the server does not have: {ours}"
    how = " (all that a domain lost, not its last one only: 0-1-98..100)" if ":" not in named else ""
    remedy = (
        "It is another server, was restored from a backup, or lost the end of its binlog in a failover."
        " Connect to the server that has them. If they are lost, or their domain was deleted, name"
        f" them in this source's config{how}: accept_lost_gtids: {named}; the source then continues without"
        " them and copies every table again. Or start with an empty state_dir and new, empty sinks."
    )
    return SourceMismatch(message, where=where, remedy=remedy)


def other_server(where: str, found: str, expected: str) -> SourceMismatch:
    """Files and offsets mean something on one server only."""
    message = (
        f"the server is {found}, expected {expected}: without GTIDs a position is valid on one server only"
    )
    remedy = (
        "Connect to that server, or start with an empty state_dir and new, empty sinks; with gtid_mode = ON a"
        " failover works."
    )
    return SourceMismatch(message, where=where, remedy=remedy)
