"""The one place that makes connections to a source server.

A session begins with the server's global values and whatever `init_connect` runs. Each variable that can
change what a statement of ours returns, or whether it returns at all, is set to a value of ours (`SETTINGS`),
never to `default`, which is the global value again: a value has the same form whatever the server's and the
user's defaults say. tests/support/mysql/session_variables.py classifies all others. PyMySQL's errors leave
this boundary translated (`cdc_source_mysql.errors`); the url, which holds the password, never does.

`ssl-mode`, `ssl-ca`, `ssl-cert` and `ssl-key` of the url mean what they mean in the mysql client. disabled:
none. preferred (the default): where the server has it, unverified. required: always, unverified. verify_ca:
the certificate is signed by ssl-ca (or by a CA that this machine trusts); the default with ssl-ca.
verify_identity: and it names the host of the url.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from pymysql.connections import Connection as PyConnection
from pymysql.err import MySQLError

from cdc.errors import ConfigError
from cdc.kit.connections import closed_on_error
from cdc_source_mysql.channel import Connection, notice_death
from cdc_source_mysql.errors import translate
from cdc_source_mysql.options import DEFAULTS, Address, Limits, MysqlOptions
from cdc_source_mysql.wire.codes import Flavour

# If another session holds a lock longer, the statement fails and is retried.
LOCK_TIMEOUT_SECONDS = 10
# A connection can be idle between two chunks of a snapshot that takes hours.
IDLE_SECONDS = 86_400
_NO_LIMIT = 2**64 - 1

# Variables of every supported server. The limit comes first: it applies to all later questions.
SETTINGS: Mapping[str, str] = {
    "sql_select_limit": str(_NO_LIMIT),
    # Setting max_join_size turns sql_big_selects off.
    "max_join_size": str(_NO_LIMIT),
    "sql_big_selects": "1",
    "sql_safe_updates": "0",
    "sql_auto_is_null": "0",
    "sql_buffer_result": "0",
    # No padding of CHAR, double quotes are strings, backslashes escape. Dates that no calendar has may be
    # part of a key, and MySQL accepts them in a condition only in this mode (else error 1525).
    "sql_mode": "'ALLOW_INVALID_DATES'",
    "time_zone": "'+00:00'",
    # A server whose default is off says in its greeting that it is on.
    "autocommit": "1",
    # CHAIN would begin a transaction after COMMIT, RELEASE would close the connection.
    "completion_type": "NO_CHAIN",
    "group_concat_max_len": "1048576",
    "div_precision_increment": "4",
    "default_week_format": "0",
    "lc_time_names": "'en_US'",
    # Messages that we pass on are in one language, and the few that distinguish errors of one number.
    "lc_messages": "'en_US'",
    # MySQL before 8.0.20 and MariaDB order longer values by their first bytes only.
    "max_sort_length": "1024",
    "sql_quote_show_create": "1",
    "lock_wait_timeout": str(LOCK_TIMEOUT_SECONDS),
    "innodb_lock_wait_timeout": str(LOCK_TIMEOUT_SECONDS),
    "wait_timeout": str(IDLE_SECONDS),
}
# How long the server waits for us; the value is in the limits.
PATIENCE_VARIABLES = ("net_write_timeout", "net_read_timeout")
# Variables that only some versions or builds have.
OPTIONAL_SETTINGS: Mapping[str, str] = {
    "max_execution_time": "0",
    "max_statement_time": "0",
    "idle_transaction_timeout": "0",
    "idle_readonly_transaction_timeout": "0",
    "idle_write_transaction_timeout": "0",
    # MariaDB would show versioned tables as of another time. Of this variable alone DEFAULT is a value of its
    # own, the present, whatever the global value is.
    "system_versioning_asof": "default",
    "old_mode": "''",
    "default_regex_flags": "''",
    "character_set_collations": "''",
    "query_cache_type": "0",
    # A node of a Galera cluster without a quorum, and HeatWave's copy of a table, answer with old rows.
    "wsrep_dirty_reads": "0",
    "use_secondary_engine": "OFF",
    # information_schema may hide generated invisible primary keys, which row images contain.
    "show_gipk_in_create_table_and_information_schema": "1",
}
# What SET TRANSACTION sets, under the names of old and of new servers.
TRANSACTION_VARIABLES = ("transaction_isolation", "tx_isolation", "transaction_read_only", "tx_read_only")
_TRANSACTION = "set session transaction isolation level repeatable read, read write"
# One known character set and collation for texts of ours and for the server's answers.
CHARACTER_VARIABLES: Mapping[str, str] = {
    "character_set_client": "utf8mb4",
    "character_set_connection": "utf8mb4",
    "character_set_results": "utf8mb4",
    "collation_connection": "utf8mb4_general_ci",
}
_NAMES = "set names utf8mb4 collate utf8mb4_general_ci"


def prepare_session(cursor: Any, limits: Limits = DEFAULTS) -> None:
    """Set every variable on the cursor's new connection. PyMySQL's errors are the caller's."""
    patience = dict.fromkeys(PATIENCE_VARIABLES, str(limits.server_patience_seconds))
    cursor.execute(_assignments({**SETTINGS, **patience}))
    cursor.execute(_NAMES)
    cursor.execute(_TRANSACTION)
    listed = ", ".join(f"'{name}'" for name in OPTIONAL_SETTINGS)
    cursor.execute(f"show session variables where variable_name in ({listed})")
    present = {str(name).lower() for name, _ in cursor.fetchall()}
    cursor.execute(
        _assignments({name: OPTIONAL_SETTINGS[name] for name in OPTIONAL_SETTINGS if name in present})
    )


def _assignments(settings: Mapping[str, str]) -> str:
    return "set " + ", ".join(f"session {name} = {value}" for name, value in settings.items())


_VERIFYING = ("verify_ca", "verify_identity")
CONNECT_TIMEOUT_SECONDS = 10
# The longest that a statement of ours may be silent: the walk to a far bound of a large table, not a dead
# server, which the kernel notices sooner.
READ_TIMEOUT_SECONDS = 600
WRITE_TIMEOUT_SECONDS = 60
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def tls_context(address: Address, where: str) -> ssl.SSLContext | None:
    """None where PyMySQL needs none from us: TLS is off, or preferred without certificates.

    Raises:
        ConfigError: a file of certificates can't be used.
    """
    mode = address.ssl_mode or ("verify_ca" if address.ssl_ca else "preferred")
    if mode == "disabled":
        return None
    if mode == "preferred" and not address.ssl_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify_identity"
    context.verify_mode = ssl.CERT_REQUIRED if mode in _VERIFYING else ssl.CERT_NONE
    if mode in _VERIFYING:
        _load_authorities(context, address, where)
    if address.ssl_cert:
        _load_own(context, address, where)
    return context


@functools.cache
def _unverified() -> ssl.SSLContext:
    """The context of every connection that looks at no certificate; it holds nothing of one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _PreferringTls(PyConnection):
    """Asks for TLS where the server has it and looks at no certificate, PyMySQL's default. PyMySQL
    loads the machine's authorities for it nevertheless: 20 ms of processor time a connection.
    """

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        return sslp if isinstance(sslp, ssl.SSLContext) else _unverified()


def _load_authorities(context: ssl.SSLContext, address: Address, where: str) -> None:
    if not address.ssl_ca:
        context.load_default_certs()
        return
    # A certificate of an authority that the server made for itself lacks what the strict reading wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=address.ssl_ca)
    except OSError as error:  # ssl.SSLError is one.
        raise _unusable("ssl-ca", "certificates of authorities", where) from error


def _load_own(context: ssl.SSLContext, address: Address, where: str) -> None:
    try:
        context.load_cert_chain(address.ssl_cert, address.ssl_key or None)
    except OSError as error:
        raise _unusable("ssl-cert and ssl-key", "a certificate and its key", where) from error


def _unusable(setting: str, expected: str, where: str) -> ConfigError:
    return ConfigError(
        f"the files of {setting} cannot be used",
        where=f"{where}.url",
        remedy=f"Expected readable PEM files with {expected}.",
    )


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Facts of a server. `flavour` is `mysql` or `mariadb`; `server_uuid` is empty on MariaDB; `gtid_mode` is
    ON, ON_PERMISSIVE, OFF_PERMISSIVE or OFF, on MariaDB always ON.
    """

    flavour: Flavour
    version: tuple[int, int, int]
    version_text: str
    server_id: int
    server_uuid: str
    gtid_mode: str
    lower_case_table_names: int
    log_bin: bool

    @property
    def is_mariadb(self) -> bool:
        return self.flavour == "mariadb"

    @property
    def identity(self) -> tuple[str, int]:
        """Which server it is: MySQL's number may be set while it runs."""
        return (self.server_uuid, 0) if self.server_uuid else ("", self.server_id)

    @property
    def ignores_case(self) -> bool:
        """Whether names of tables and databases that differ only in case are the same."""
        return self.lower_case_table_names != 0

    @property
    def has_gtids(self) -> bool:
        """Whether every transaction has a GTID, so that positions carry them."""
        return self.gtid_mode == "ON"


class Connector:
    """Makes connections for one source; holds none."""

    def __init__(self, options: MysqlOptions, source: str, limits: Limits = DEFAULTS) -> None:
        self.options = options
        self.limits = limits
        self.source = source
        self.program_name = f"cdc_{source}"
        self.where = f"sources.{source}"

    def connect(
        self, purpose: str, *, database: str | None = None, read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    ) -> Connection:
        """An autocommit connection with our session settings, in no database; `purpose` is as in `connecting
        for the copy`. Its PyMySQL errors want `translated`.
        """
        with self.translated(f"connecting to {self.options.address.shown} {purpose}"):
            with closed_on_error(self._log_in(database, read_timeout_seconds)) as connection:
                notice_death(connection)
                self._prepare(connection)
            return connection

    def facts(self, connection: Connection) -> ServerFacts:
        """Return the facts of the connected server."""
        with self.translated("asking the server for its settings"), connection.cursor() as cursor:
            return read_facts(cursor)

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turns PyMySQL's errors inside the block into ours; `doing` is a gerund."""
        try:
            yield
        except (MySQLError, OSError) as error:
            raise translate(error, self.where, doing) from error

    def _log_in(self, database: str | None, read_timeout_seconds: float) -> Connection:
        address = self.options.address
        try:
            connection = _PreferringTls(
                user=address.user,
                # PyMySQL takes a str for latin1; the server compares bytes, and people type UTF-8.
                password=cast("str", address.password.encode()),
                database=database,
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                # Of the login alone; the caller's limit follows.
                read_timeout=CONNECT_TIMEOUT_SECONDS,
                write_timeout=WRITE_TIMEOUT_SECONDS,
                program_name=self.program_name,
                **_place(address),
                **self._tls(address),
            )
        except RuntimeError as error:  # A package for the login's kind of password is missing.
            raise translate(error, self.where, "logging in") from error
        vars(connection)["_read_timeout"] = read_timeout_seconds
        return connection

    def _tls(self, address: Address) -> dict[str, Any]:
        context = tls_context(address, self.where)
        if context is not None:
            return {"ssl": context}
        # By default PyMySQL asks for TLS where the server has it, and does not look at certificates.
        plain = address.ssl_mode == "disabled" or (address.socket and address.ssl_mode is None)
        return {"ssl_disabled": True} if plain else {}

    def _prepare(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            prepare_session(cursor, self.limits)


def read_facts(cursor: Any) -> ServerFacts:
    """Read the facts of the server on any open cursor; raise the driver's errors."""
    cursor.execute(
        "show global variables where variable_name in ('version', 'server_id', 'server_uuid', 'gtid_mode',"
        " 'lower_case_table_names', 'log_bin')"
    )
    found = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
    # Behind `SELECT VERSION()`, as in the variable, no prefix hides the version (the handshake's has 5.5.5-).
    flavour = flavour_of(found["version"])
    return ServerFacts(
        flavour=flavour,
        version=version_of(found["version"]),
        version_text=found["version"],
        server_id=int(found.get("server_id", "0")),
        server_uuid=found.get("server_uuid", "").lower() if flavour == "mysql" else "",
        gtid_mode=found.get("gtid_mode", "OFF").upper() if flavour == "mysql" else "ON",
        lower_case_table_names=int(found.get("lower_case_table_names", "0")),
        log_bin=found.get("log_bin", "OFF").upper() in ("ON", "1"),
    )


def one(cursor: Any) -> Any:
    """The first column of the first row of what was asked; None when there is no row."""
    row = cursor.fetchone()
    return row[0] if row else None


def flavour_of(version_text: str) -> Flavour:
    """`mysql` or `mariadb`, by what the server says of its version."""
    return "mariadb" if "mariadb" in version_text.lower() else "mysql"


def version_of(version_text: str) -> tuple[int, int, int]:
    """`10.11.18-MariaDB-log` → (10, 11, 18); (0, 0, 0) where there is no number."""
    found = _VERSION.search(version_text.removeprefix("5.5.5-"))
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (0, 0, 0)


def _place(address: Address) -> dict[str, Any]:
    if address.socket:
        return {"unix_socket": address.socket, "host": address.host}
    return {"host": address.host, "port": address.port}
