"""Options of a MySQL or MariaDB source, validated before anything connects.

Keys that every source has (`snapshot`, `acknowledge`, `on_gap`, `log`) belong to the engine and are not here.
Validation errors never show a value, because `url` holds a password.
"""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator

from cdc.defaults import DEFAULT_SNAPSHOT_WORKERS
from cdc.kit.options import DEFAULT_HEARTBEAT, STRICT, SnapshotWorkers, Unrepresentable
from cdc.kit.pacing import IDLE_SECONDS
from cdc.kit.selection import TableSelection, quoted_part
from cdc.kit.urls import REMOVE, UrlRules
from cdc.units import Duration
from cdc_source_mysql.binlog.gtid import AcceptedLoss

# Everything that isn't the server's own, when the url names no database.
ALL_TABLES = ("*.*",)
# The server takes 0 for "no heartbeat at all", and a dead connection would then never be noticed.
MIN_HEARTBEAT = timedelta(milliseconds=100)
# slave_max_heartbeat_period is 4294967 s; an hour of silence is already too long to notice anything.
MAX_HEARTBEAT = timedelta(hours=1)
DEFAULT_PORT = 3306
# server_id is a u32; small numbers are what people give their servers.
MAX_SERVER_ID = 2**32 - 1
FIRST_SERVER_ID = 2**31
# The namespace of our replica uuids, so that the same source always shows itself under the same one.
_NAMESPACE = uuid.UUID("6d0a8b1c-3d24-5c5e-9d43-0f6a3d1f7c55")
URL_SHAPE = "mysql://user:password@host:port/database"

# What the server keeps for itself; `#mysql50#` marks folders that are no databases.
_SYSTEM_SCHEMAS = re.compile(
    r"(?i:mysql|sys|information_schema|performance_schema|ndbinfo|mysql_innodb_cluster_metadata)|#mysql50#.*"
)
SslMode = Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"]
_SSL_MODES: tuple[SslMode, ...] = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
URL_SCHEMES = ("mysql", "mariadb")
_NOT_A_URL = f"the url is not valid: expected {URL_SHAPE}"
# What JDBC and MariaDB's own tools call our parameters.
_ALIASES = {"sslmode": "ssl_mode", "sslca": "ssl_ca", "sslcert": "ssl_cert", "sslkey": "ssl_key"}
_TLS = "remove it, and set ssl-mode=required (or verify_identity with ssl-ca=FILE)"
# Parameters that other tools read from the URLs of MySQL: whose they are, and what does the same here.
_FOREIGN = {
    "tls": ("go-sql-driver", _TLS),
    "parsetime": ("go-sql-driver", REMOVE),
    "sslaccept": ("Prisma", _TLS),
    "usessl": ("JDBC", _TLS),
    "requiressl": ("JDBC", _TLS),
    "verifyservercertificate": ("JDBC", _TLS),
    "allowpublickeyretrieval": ("JDBC", REMOVE),
    "servertimezone": ("JDBC", "times are always read in UTC: remove it"),
    "characterencoding": ("JDBC", "text is always read as UTF-8: remove it"),
    "zerodatetimebehavior": ("JDBC", "remove it, and set `unrepresentable: null` for zero dates"),
    "connect_timeout": ("Prisma", REMOVE),
    "unix_socket": ("SQLAlchemy", "write socket"),
}
_SETTINGS = ("socket", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is and how to log in. `ssl_mode` None: TLS where the server has it, unverified, unless
    `ssl_ca` is given.
    """

    host: str
    port: int
    user: str
    password: str
    database: str
    socket: str = ""
    ssl_mode: SslMode | None = None
    ssl_ca: str = ""
    ssl_cert: str = ""
    ssl_key: str = ""

    def __repr__(self) -> str:
        """Without the password."""
        return f"Address({self.shown})"

    @property
    def shown(self) -> str:
        """The server, as messages may show it."""
        return self.socket or f"{self.host}:{self.port}"


def select(entries: Sequence[str]) -> TableSelection:
    """The selection that these patterns make; ValueError as `TableSelection.parse`."""
    return TableSelection.parse(entries, _SYSTEM_SCHEMAS)


class MysqlOptions(BaseModel):
    """One MySQL or MariaDB server as a source."""

    model_config = STRICT

    url: SecretStr = Field(
        description=f"The address of the server: {URL_SHAPE}?ssl-mode=verify_identity&ssl-ca=…, or ?socket=…"
    )
    tables: tuple[str, ...] | None = Field(
        None,
        description=(
            "The tables to follow: globs on database.table; `!` excludes; a later entry wins. "
            "Default: all tables of the database in `url`."
        ),
    )
    server_id: Annotated[int, Field(ge=1, le=MAX_SERVER_ID)] | None = Field(
        None,
        description=(
            "The number of the daemon among the server's replicas. Default: derived from the source's name."
        ),
    )
    unrepresentable: Unrepresentable = Field(
        "error", description="How to deliver values that Arrow cannot represent, such as zero dates."
    )
    snapshot_workers: SnapshotWorkers = DEFAULT_SNAPSHOT_WORKERS
    heartbeat: Duration = Field(
        DEFAULT_HEARTBEAT,
        description=(
            "The interval of heartbeats from an idle server. A silent connection is closed and opened again."
        ),
    )

    accept_lost_gtids: str = Field(
        "",
        description=(
            "GTIDs that the log has and the server lost, to continue without them. Every table "
            "is copied again."
        ),
    )

    @property
    def address(self) -> Address:
        return parse_url(self.url.get_secret_value())

    @property
    def patterns(self) -> tuple[str, ...]:
        """The entries of `tables`, or their default."""
        if self.tables is not None:
            return self.tables
        database = self.address.database
        return (f"{quoted_part(database)}.*",) if database else ALL_TABLES

    def selection(self, *, ignores_case: bool) -> TableSelection:
        """Return the selection of tables for a server that ignores, or distinguishes, the case of names."""
        selection = select(self.patterns)
        return selection.ignoring_case() if ignores_case else selection

    def replica_id(self, source: str) -> int:
        """Our server_id: the same at every start, so that the server ends what is left of an earlier one."""
        if self.server_id is not None:
            return self.server_id
        return FIRST_SERVER_ID + zlib.crc32(source.encode()) % (MAX_SERVER_ID - FIRST_SERVER_ID)

    def replica_uuid(self, source: str, log_id: str = "") -> str:
        """The uuid under which a log registers: its next start takes its place, another log does not."""
        names = (source, str(self.replica_id(source)), log_id)
        return str(uuid.uuid5(_NAMESPACE, ":".join(filter(None, names))))

    @field_validator("url")
    @classmethod
    def _url_is_an_address(cls, value: SecretStr) -> SecretStr:
        parse_url(value.get_secret_value())
        return value

    @field_validator("tables")
    @classmethod
    def _tables_are_patterns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None:
            select(value)
        return value

    @field_validator("accept_lost_gtids")
    @classmethod
    def _lost_gtids_are_gtids(cls, value: str) -> str:
        AcceptedLoss.parse(value)
        return value

    @field_validator("heartbeat")
    @classmethod
    def _heartbeat_is_one(cls, value: timedelta) -> timedelta:
        if not MIN_HEARTBEAT <= value <= MAX_HEARTBEAT:
            raise ValueError(
                "heartbeat must be between 100ms and 1h: without it a dead connection is never detected"
            )
        return value


def parse_url(url: str) -> Address:
    """The parts of a connection URL; ValueError without a word of it, for it may hold a password."""
    UrlRules(URL_SCHEMES, URL_SHAPE, "@/?#", _FOREIGN, _as_written).check(url, _SETTINGS)
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise ValueError(_NOT_A_URL) from None
    if parts.scheme not in URL_SCHEMES:
        raise ValueError(_NOT_A_URL)
    settings = {_key(name): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    socket = settings.get("socket", "")
    if not parts.hostname and not socket:
        raise ValueError(_NOT_A_URL)
    if not parts.username:
        message = f"the url must name the user: {URL_SHAPE}"
        raise ValueError(message)
    return Address(
        host=unquote(parts.hostname or "localhost"),
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.removeprefix("/")),
        socket=socket,
        ssl_mode=_ssl_mode(settings),
        ssl_ca=settings.get("ssl_ca", ""),
        ssl_cert=settings.get("ssl_cert", ""),
        ssl_key=settings.get("ssl_key", ""),
    )


def _key(name: str) -> str:
    """A parameter's name as `_SETTINGS` has it: `ssl-mode`, `sslMode` and `SSL_MODE` are one."""
    plain = name.replace("-", "_").lower()
    return _ALIASES.get(plain, plain)


def _as_written(name: str) -> str:
    """Ours by its key, another tool's as that tool spells it."""
    key = _key(name)
    return key if key in _SETTINGS else name


def _ssl_mode(settings: dict[str, str]) -> SslMode | None:
    given = settings.get("ssl_mode")
    if given is None:
        return None
    wanted = given.lower().replace("-", "_")
    for mode in _SSL_MODES:
        if mode == wanted:
            return mode
    message = f"ssl-mode in the url must be one of {', '.join(_SSL_MODES)}"
    raise ValueError(message)


# COM_BINLOG_DUMP carries the offset in 32 bits.
MAX_DUMP_OFFSET: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """One source's; the defaults are the daemon's."""

    # How long the server waits for us while we are busy with what it sent, in whole seconds. Its default of
    # 60 s ends a reader that a full disk or a slow sink holds up.
    server_patience_seconds: int = 600

    # A set this large is worth a log frame of its own; larger ones only cost memory, so a transaction that
    # has come so far is handed on in parts.
    set_bytes: int = 2 * 1024 * 1024
    # Rows of a prepared transaction that are read again are handed on in parts of this size.
    part_bytes: int = 4 * 1024 * 1024
    idle_seconds: float = IDLE_SECONDS
    # Silence of some heartbeats is a dead connection, but never less than this: a loaded server is late.
    min_silent_seconds: float = 10.0
    # Past this offset in a file a stream continues by GTID, or in the next file.
    max_dump_offset: int = MAX_DUMP_OFFSET
    # XA transactions that were prepared before us mostly end within this time.
    xa_patience_seconds: float = 3.0

    # About half a second of reading: fine enough to share out, to show progress and to let an ALTER through,
    # coarse enough to cost nothing.
    chunk_bytes: int = 64 * 1024 * 1024
    # However wide its rows, a chunk has at least this many, and however narrow, no more than that.
    min_chunk_rows: int = 1_000
    max_chunk_rows: int = 500_000
    # A stream that is at the end of the binlog says so within seconds; one that is behind takes its time,
    # and the snapshot comes again.
    settled_seconds: float = 20.0
    # The binlog is ahead of visibility by the length of a group commit, on a replica that waits for
    # acknowledgements by seconds; more than this is a server that hangs.
    visible_seconds: float = 60.0
    # While a lock is waited for, new writers of the table wait behind it: short, whole seconds, and tried
    # again.
    lock_seconds: int = 5
    lock_attempts: int = 3


DEFAULTS: Final = Limits()
