"""With how many fraction digits money is read: one number for a log, until the server has another.

A stored amount counts the smallest unit of a currency, and how many of them make one is up to the server's
`lc_monetary`. Copied rows keep the number that they were read with. So it is remembered, and where the
server comes to have another, the tables that have such a column are copied again.
"""

from __future__ import annotations

from collections.abc import Mapping

from cdc.kit.report import counted
from cdc_source_postgres.connection import Connection, Connector
from cdc_source_postgres.schema.catalog_looks import Look
from cdc_source_postgres.schema.history import MEMORY_PREFIX, History
from cdc_source_postgres.schema.shapes import Shaper

MEMORY_MONEY = "money-digits"
UNKNOWN = "the log was written by a release that did not store the fraction digits of money"

# What database and role give a new session, empty where they give nothing, and what this session began with,
# which the server's file changes in a running session too.
_SETTINGS = """
    select coalesce((select split_part(setting, '=', 2)
                       from pg_db_role_setting s
                       cross join lateral unnest(s.setconfig) as setting
                      where setting like 'lc\\_monetary=%'
                        and s.setdatabase in (0, (select oid from pg_database
                                                   where datname = current_database()))
                        and s.setrole in (0, (select oid from pg_roles where rolname = session_user))
                      order by s.setrole <> 0 desc, s.setdatabase <> 0 desc limit 1), ''),
           reset_val
      from pg_settings where name = 'lc_monetary'
"""


class MoneyScale:
    """Looked at by the capture thread; `digits` is read by every thread."""

    def __init__(self, connector: Connector, shaper: Shaper) -> None:
        self._connector = connector
        self._shaper = shaper
        self._digits: int | None = None
        self._saved: int | None = None
        self._is_unknown = False
        self._settings: tuple[str, str] | None = None

    def restore(self, memory: Mapping[str, str]) -> None:
        """Begin from what the log remembers."""
        text = memory.get(MEMORY_MONEY)
        self._saved = None if text is None else int(text)
        self._is_unknown = text is None and any(key.startswith(MEMORY_PREFIX) for key in memory)
        if self._saved is not None:
            self._digits = self._saved

    @property
    def digits(self) -> int:
        """Return the fraction digits that rows are read with; the number stays until `look` finds another."""
        if self._digits is None:
            self._digits = self._connector.money_scale
        return self._digits

    def look(self, connection: Connection, history: History, look: Look) -> None:
        """Ask the server. Where it has another number than rows were read with, their tables are copied
        again. psycopg errors are the caller's.
        """
        reason = self._why_wrong(connection)
        if reason:
            self._shaper.learn_types(connection)
            history.copy_again(self._tables(history), reason, look)

    @property
    def unsaved(self) -> dict[str, str]:
        """Return the facts that the log does not have yet."""
        return {} if self._digits in (None, self._saved) else {MEMORY_MONEY: str(self._digits)}

    def delivered(self, memory: Mapping[str, str | None]) -> None:
        """The log has it."""
        text = memory.get(MEMORY_MONEY)
        if text is not None:
            self._saved = int(text)

    def _tables(self, history: History) -> list[int]:
        found = ((relid, history.definition(relid)) for relid in history.relids())
        return [
            relid
            for relid, definition in found
            if definition and self._shaper.has_money(column.type_oid for column in definition.columns)
        ]

    def _why_wrong(self, connection: Connection) -> str:
        self._measure(connection)
        found, former = self._connector.money_scale, self.digits
        is_unknown, self._is_unknown = self._is_unknown, False
        self._digits = found
        if is_unknown:
            return UNKNOWN
        if found == former:
            return ""
        return f"lc_monetary was changed: money has {counted(found, 'fraction digit')} now, {former} before"

    def _measure(self, connection: Connection) -> None:
        """A session keeps what it began with: where a new one would get something else, open one."""
        row = connection.execute(_SETTINGS.encode()).fetchone()
        assert row is not None
        settings = (str(row[0]), str(row[1]))
        is_ours = self._settings is None and settings[0] in ("", settings[1])
        if settings != self._settings and not is_ours:
            self._connector.connect("to ask for the fraction digits of money").close()
        self._settings = settings
