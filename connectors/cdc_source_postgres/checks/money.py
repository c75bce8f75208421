"""Whether every session means the same by a value of type money."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.kit.report import Report, counted, listed
from cdc_source_postgres.catalog import Connection
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.tables import TableInfo

_MONEY_OIDS = (790, 791)
# What roles set for themselves, everywhere or in this database.
_ROLES = """
    select distinct r.rolname
      from pg_db_role_setting s
      join pg_roles r on r.oid = s.setrole
      cross join lateral unnest(s.setconfig) as setting
     where setting like 'lc\\_monetary=%%' and r.rolname <> current_user
       and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
     order by 1
"""


def check_money(conn: Connection, connector: Connector, infos: Sequence[TableInfo], report: Report) -> None:
    """One finding, when a selected table has such a column."""
    tables = [i.table for i in infos if any(c.type_oid in _MONEY_OIDS for c in i.columns)]
    if not tables:
        return
    digits = counted(connector.money_scale, "fraction digit")
    roles = [str(name) for (name,) in conn.execute(_ROLES.encode())]
    if roles:
        report.warn(
            "money",
            f"money of {listed(tables)} is read with {digits}, but lc_monetary is set for"
            f" {counted(len(roles), 'role')}: {', '.join(roles)}",
            "If a role writes these tables, add its setting to url, such as"
            " ?options=-c%20lc_monetary%3Dja_JP.UTF-8",
        )
    else:
        report.ok("money", f"money of {listed(tables)} is read with {digits}")
