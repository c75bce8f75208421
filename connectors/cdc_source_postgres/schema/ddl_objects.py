"""The event triggers that report DDL in the stream: their SQL, and whether they are installed and intact.

The function `cdc_ddl.emit` writes one transactional logical message per statement that can matter to the rows
of a table. It runs inside of the application's own statement, so it must not fail and must not wait:

- no exception block: a message in a subtransaction of its own is decoded after later changes of its parent.
- no name is looked up, no lock is taken but ACCESS SHARE on catalogs, nothing is deparsed (`pg_get_expr` and
  `pg_partition_tree` lock tables), and no output function runs that is not the server's own.
- work and size are bounded by the limits below; beyond them the message names tables without describing them.
- it does nothing on another major version than the one that it was made for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdc_source_postgres.schema.catalog import Connection
from cdc_source_postgres.schema.definition_sql import PRINTING, brief_definition_query

SCHEMA = "cdc_ddl"
# The prefix of our messages in the stream.
PREFIX = "cdc.ddl"
# The form of the messages. Another form gets another number, in the function's first line too.
FORM = 1
# pgoutput hands messages on from this version on.
MESSAGES_SINCE = 140000
# Everything in one statement: it removes the event triggers, which depend on the function.
REMOVE = f"drop schema {SCHEMA} cascade"

# One command describes at most so many columns: 1,600 is the most that a table can have, and a description of
# 5,000 takes about 20 ms.
MAX_COLUMNS = 5_000
# One message names at most so many tables; a command that concerns more is followed by a look at all of them.
MAX_TABLES = 1_000
# Longer messages only cost WAL: a table of 1,600 columns takes about 200 kB.
MAX_BYTES = 4 * 1024 * 1024

# Commands after which a table's definition, a type or the publication can differ. Everything that drops comes
# by sql_drop; ALTER INDEX ... RENAME also renames tables.
_TAGS = (
    "ALTER DOMAIN",
    "ALTER INDEX",
    "ALTER PUBLICATION",
    "ALTER SCHEMA",
    "ALTER TABLE",
    "ALTER TYPE",
    "CREATE PUBLICATION",
    "CREATE SCHEMA",
    "CREATE TABLE",
    "CREATE TABLE AS",
    "SELECT INTO",
)
_TRIGGERS = {
    "cdc_ddl_end": ("ddl_command_end", f"when tag in ({', '.join(repr(tag) for tag in _TAGS)})"),
    "cdc_ddl_drop": ("sql_drop", ""),
    "cdc_ddl_rewrite": ("table_rewrite", ""),
}
# How values are printed, what the planner may do, and how much it may sort in memory, whatever the session
# has set.
_SETTINGS = {
    "search_path": "pg_catalog",
    **PRINTING,
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "work_mem": "32MB",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}
# Catalogs by oid, which never changes: pg_class 1259, pg_type 1247, pg_namespace 2615, pg_publication 6104,
# pg_publication_rel 6106, pg_publication_namespace 6237.
_BODY = """
-- {prefix} {form}: reports DDL in the replication stream. Remove it with: {remove};
declare
  cdc_said jsonb;
  cdc_relids oid[];
  cdc_columns int8;
  cdc_tables jsonb;
begin
  if current_setting('server_version_num')::int / 10000 <> {major} then
    return;
  end if;
  if tg_event = 'table_rewrite' then
    select jsonb_build_object('rewritten', w.oid::int8, 'reason', pg_event_trigger_table_rewrite_reason())
      into cdc_said
      from pg_class w
     where w.oid = pg_event_trigger_table_rewrite_oid() and w.relkind <> 'm' and w.relpersistence <> 't';
  elsif tg_event = 'sql_drop' then
    select array_agg(distinct o.objid) filter (where o.objsubid > 0),
           case when count(*) > 0 then jsonb_build_object(
             'dropped', coalesce(jsonb_agg(o.objid::int8) filter (where o.classid = 1259 and o.objsubid = 0),
                                 '[]'),
             'look', bool_or(o.classid <> 1259), 'many', count(*) > {max_tables}) end
      into cdc_relids, cdc_said
      from (select d.classid, d.objid, d.objsubid
              from pg_event_trigger_dropped_objects() d
             where not d.is_temporary
               and d.object_type in ('table', 'table column', 'publication', 'publication relation',
                                     'publication namespace')
               -- What ALTER TABLE drops of its table comes with ddl_command_end.
               and (d.objsubid = 0 or tg_tag <> 'ALTER TABLE')
             limit {max_tables} + 1) o;
  else
    select array_agg(distinct w.oid) filter (where w.relkind in ('r', 'p')),
           case when count(*) > 0 then jsonb_build_object(
             'look', bool_or(w.oid is null or w.relkind <> 'r' or w.relispartition),
             'many', count(*) > {max_tables}) end
      into cdc_relids, cdc_said
      from (select d.classid, d.objid
              from pg_event_trigger_ddl_commands() d
             where d.classid in (1247, 1259, 2615, 6104, 6106, 6237)
               and d.schema_name is distinct from 'pg_temp'
             limit {max_tables} + 1) o
      left join pg_class w on o.classid = 1259 and w.oid = o.objid
     where o.classid <> 1259 or w.relkind in ('r', 'p', 'c') and w.relpersistence <> 't';
  end if;
  if cdc_said is null then
    return;
  end if;
  if cdc_relids is not null then
    select sum(w.relnatts) into cdc_columns from pg_class w where w.oid = any(cdc_relids);
    if cdc_columns <= {max_columns}
       and current_setting('transaction_isolation') in ('read committed', 'read uncommitted') then
      select jsonb_agg(o.definition) into cdc_tables
        from (select ({definition}) as definition from unnest(cdc_relids) as o (relid) offset 0) o
       where o.definition is not null;
    end if;
    if cdc_tables is null or octet_length(cdc_tables::text) > {max_bytes} then
      cdc_said := cdc_said || jsonb_build_object('unknown', to_jsonb(cdc_relids::int8[]));
    else
      cdc_said := cdc_said || jsonb_build_object('tables', cdc_tables);
    end if;
  end if;
  cdc_said := jsonb_build_object('form', {form}, 'event', tg_event, 'tag', tg_tag) || cdc_said;
  perform pg_logical_emit_message(true, '{prefix}', cdc_said::text);
end
"""
_STATE = """
    select p.prosrc, coalesce(p.proconfig, '{}'), p.prosecdef and p.proacl is not null and not exists (
               select from aclexplode(p.proacl) a where a.grantee = 0 and a.privilege_type = 'EXECUTE'),
           coalesce((select array_agg(t.evtname || ':' || t.evtevent || ':' || t.evtenabled::text
                                      || ':' || coalesce(array_to_string(t.evttags, ','), ''))
                       from pg_event_trigger t where t.evtfoid = p.oid), '{}'),
           coalesce((select string_agg(t.oid || ':' || t.xmin::text, ',' order by t.oid)
                       from pg_event_trigger t where t.evtfoid = p.oid), '') || '/' || p.xmin::text
      from pg_proc p
     where p.pronamespace = (select n.oid from pg_namespace n where n.nspname = 'cdc_ddl')
       and p.proname = 'emit' and p.pronargs = 0 and p.prorettype = 'pg_catalog.event_trigger'::regtype
"""
_FORM_LINE = re.compile(rf"--\s+{re.escape(PREFIX)}\s+(\d+):")


@dataclass(frozen=True, slots=True)
class Objects:
    """Event triggers and their function in the database. `problem` is empty when all of it works as this
    version installs it.

    `version` changes whenever the triggers or the function were altered, also when they were altered back.
    """

    exist: bool
    problem: str
    form: int
    version: str
    disabled: tuple[str, ...] = ()

    @property
    def enable(self) -> str:
        """The statements that enable again what somebody disabled."""
        return "; ".join(f"alter event trigger {name} enable always" for name in self.disabled)

    @property
    def intact(self) -> bool:
        return self.exist and not self.problem

    @property
    def newer(self) -> bool:
        """Whether a later version of the daemon made them: they are not ours to replace."""
        return self.form > FORM


def install_statements(server_version: int) -> list[str]:
    """The statements that install or renew everything; to be run in one transaction."""
    settings = "\n".join(f"  set {name} = '{value}'" for name, value in _SETTINGS.items())
    statements = [
        f"create schema if not exists {SCHEMA}",
        f"revoke all on schema {SCHEMA} from public",
        f"create or replace function {SCHEMA}.emit() returns event_trigger\n"
        f"  language plpgsql security definer\n{settings}\nas $cdc_ddl$"
        f"{_body(server_version)}$cdc_ddl$",
        f"revoke all on function {SCHEMA}.emit() from public",
    ]
    for name, (event, condition) in _TRIGGERS.items():
        statements += [
            f"drop event trigger if exists {name}",
            f"create event trigger {name} on {event} {condition}{' ' if condition else ''}"
            f"execute function {SCHEMA}.emit()",
            f"alter event trigger {name} enable always",
        ]
    return statements


def install_script(server_version: int) -> str:
    """The same as a text to paste or to pipe into psql."""
    return "".join(
        f"{statement};\n" for statement in ["begin", *install_statements(server_version), "commit"]
    )


def read_objects(conn: Connection) -> Objects:
    """Return the tables in the database now."""
    row = conn.execute(_STATE.encode()).fetchone()
    if row is None:
        return Objects(exist=False, problem="", form=0, version="")
    source, settings, is_safe, triggers, version = row
    # The server writes its own spelling of a setting's name.
    is_safe = is_safe and {f"{k}={v}" for k, v in _SETTINGS.items()} == {
        f"{name.lower()}={value}" for name, _, value in (setting.partition("=") for setting in settings)
    }
    match = _FORM_LINE.search(source)
    form = int(match[1]) if match else 0
    found = {name: rest.split(":") for name, _, rest in (trigger.partition(":") for trigger in triggers)}
    disabled = tuple(name for name in _TRIGGERS if name in found and found[name][1] == "D")
    # Pasted text may be indented otherwise.
    if not is_safe or source.split() != _body(conn.info.server_version).split():
        problem = "outdated"
    else:
        problem = "disabled" if disabled else _problem(found)
    return Objects(exist=True, problem=problem, form=form, version=version, disabled=disabled)


def standing_version(conn: Connection) -> str:
    """The version of the event triggers; empty where they don't report all DDL."""
    objects = read_objects(conn)
    return objects.version if objects.intact else ""


def _problem(found: Mapping[str, Sequence[str]]) -> str:
    """Return the problem with the event triggers, given as event, enabled and tags by name."""
    for name, (event, condition) in _TRIGGERS.items():
        if name not in found:
            return f"incomplete ({name} is missing)"
        kind, enabled, tags = found[name]
        wanted = set(_TAGS) if condition else set()
        # Not `always`: replica sessions would report nothing.
        if (kind, enabled) != (event, "A") or set(filter(None, tags.split(","))) != wanted:
            return f"outdated ({name})"
    return ""


def _body(server_version: int) -> str:
    return _BODY.format(
        prefix=PREFIX,
        form=FORM,
        remove=REMOVE,
        major=server_version // 10000,
        max_columns=MAX_COLUMNS,
        max_tables=MAX_TABLES,
        max_bytes=MAX_BYTES,
        definition=brief_definition_query("o.relid"),
    )
