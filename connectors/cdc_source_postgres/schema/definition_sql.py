"""The SQL that describes tables and the publication, for our looks at the catalog and for the database's own
event trigger.

Both use the same text, so that a description read by us and one that a DDL message carries can be compared.
It only reads `pg_catalog` and takes no lock on a user's table. Whoever runs it sets `search_path =
pg_catalog` and `PRINTING`, under which values are printed as our own connections print them. It holds no
percent sign, which psycopg would take for a parameter.
"""

from __future__ import annotations

# What decides how the server prints a missing value; a function that embeds the query sets the same.
PRINTING = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
}
# Multiranges came with the one version, publications of schemas with the other.
MULTIRANGES_SINCE = 140000
SCHEMAS_SINCE = 150000
# Built-in types never change.
FIRST_OWN_TYPE = 16384
# What the event trigger sends of a missing value, in characters; almost all are numbers and words.
MAX_MISSING = 4096

# The partition tree, the table itself first: all that a row of it may be stored in.
_TREE = """
    with recursive tree (relid, parent, version, bound) as (
        select c.oid, 0::oid, '', ''::text collate "C"
        union all
        select i.inhrelid, i.inhparent, i.xmin::text, md5(coalesce(l.relpartbound::text, '')) collate "C"
          from tree t
          join pg_catalog.pg_inherits i on i.inhparent = t.relid
          join pg_catalog.pg_class l on l.oid = i.inhrelid and l.relispartition
    )
"""
_ANCESTORS = """
    with recursive up (relid) as (
        select i.inhparent from pg_catalog.pg_inherits i where i.inhrelid = c.oid and c.relispartition
        union all
        select i.inhparent
          from up u
          join pg_catalog.pg_class l on l.oid = u.relid and l.relispartition
          join pg_catalog.pg_inherits i on i.inhrelid = u.relid
    )
    select jsonb_agg(u.relid::int8) from up u
"""
# The row type of a table has its name, schema and owner, and nothing else that moves.
_NAMED = """
    select string_agg(y.oid::text || ':' || y.xmin::text, ',' order by y.oid)
      from pg_catalog.pg_class x join pg_catalog.pg_type y on y.oid = x.reltype
     where x.oid = any(array[c.oid] || array(select jsonb_array_elements(({ancestors}))::text::oid))
"""
# A partitioned table has no rows, so only its partitions know what rows older than a column have.
_COLUMNS = f"""
    select jsonb_agg(jsonb_build_array(
               a.attnum, a.attname, a.atttypid::int8, a.atttypmod, a.attndims, a.attcollation::int8,
               a.attgenerated::text, a.attidentity::text, a.attnotnull,
               case when a.atthasmissing then a.attmissingval::text
                    when c.relkind = 'p' then (
                        {_TREE}
                        select m.attmissingval::text
                          from tree t join pg_catalog.pg_attribute m on m.attrelid = t.relid
                         where m.attname = a.attname and m.attnum > 0 and m.atthasmissing
                         order by m.attrelid limit 1)
               end,
               a.xmin::text, coalesce(d.xmin::text, '')
           ) order by a.attnum)
      from pg_catalog.pg_attribute a
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
"""
_KEYS = """
    select jsonb_agg(jsonb_build_array(
               i.indisprimary, i.indisreplident, i.indimmediate, i.indexrelid::text || ':' || i.xmin::text,
               (select jsonb_agg(k.number order by k.place)
                  from unnest(i.indkey::int2[]) with ordinality as k (number, place)
                 where k.place <= i.indnkeyatts)
           ) order by i.indexrelid)
      from pg_catalog.pg_index i
     where i.indrelid = c.oid and i.indisvalid and (i.indisprimary or i.indisreplident)
"""
_NODES = f"""
    {_TREE}
    select jsonb_agg(jsonb_build_array(
               t.relid::int8, t.parent::int8, l.relkind::text, l.relpersistence::text, l.relfilenode::int8,
               l.reltoastrelid::int8, t.version, t.bound
           ) order by t.relid)
      from tree t join pg_catalog.pg_class l on l.oid = t.relid
"""
_MULTIRANGES = "union all select r.rngtypid from pg_catalog.pg_range r where r.rngmultitypid = t.oid"
_TYPES = """
    with recursive used (oid) as (
        select a.atttypid
          from pg_catalog.pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.atttypid >= {first}
        union
        select part.oid
          from used u
          join pg_catalog.pg_type t on t.oid = u.oid
         cross join lateral (
               select t.typelem
               union all select t.typbasetype
               union all select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid
               {multiranges}
               union all
               select f.atttypid
                 from pg_catalog.pg_attribute f
                where t.typtype = 'c' and f.attrelid = t.typrelid and f.attnum > 0 and not f.attisdropped
               ) as part (oid)
         where part.oid >= {first}
    )
    select jsonb_object_agg(t.oid::text, case t.typtype
               when 'e' then (
                   select jsonb_object_agg(e.oid::text, e.xmin::text || ':' || e.enumlabel)
                     from pg_catalog.pg_enum e where e.enumtypid = t.oid)
               when 'c' then (
                   select jsonb_object_agg(f.attnum::text, jsonb_build_array(
                              f.attname, f.atttypid::int8, f.atttypmod, f.attisdropped, f.xmin::text))
                     from pg_catalog.pg_attribute f where f.attrelid = t.typrelid and f.attnum > 0)
               else jsonb_build_object('base', jsonb_build_array(
                        t.typbasetype::int8, t.typtypmod, t.typcollation::int8))
           end)
      from used u join pg_catalog.pg_type t on t.oid = u.oid
     where t.typtype in ('c', 'd', 'e')
"""
_DEFINITION = """
    select jsonb_build_object(
               'relid', c.oid::int8, 'schema', n.nspname, 'namespace', n.oid::int8, 'name', c.relname,
               'kind', c.relkind::text, 'persistence', c.relpersistence::text,
               'identity', c.relreplident::text, 'attributes', c.relnatts,
               'ancestors', ({ancestors}),
               'named', ({named}),
               'columns', ({columns}),
               'keys', ({keys}),
               'tree', ({nodes}),
               'types', ({types}))
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = {relid}
"""
_SCHEMAS = """
    (select jsonb_object_agg(s.pnnspid::text, s.oid::text || ':' || s.xmin::text)
       from pg_catalog.pg_publication_namespace s where s.pnpubid = p.oid)
"""
# Columns that versions lack are read through JSON; those that we do not know yet count as a whole.
_PUBLICATION = """
    select jsonb_build_object(
               'oid', p.oid::int8, 'version', p.xmin::text, 'all_tables', p.puballtables,
               'operations', concat(case when p.pubinsert then 'i' end, case when p.pubupdate then 'u' end,
                                    case when p.pubdelete then 'd' end, case when p.pubtruncate then 't' end),
               'via_root', p.pubviaroot, 'generated', coalesce(to_jsonb(p) ->> 'pubgencols', 'n'),
               'members', (
                   select jsonb_object_agg(m.prrelid::text, jsonb_build_array(
                              m.oid::text || ':' || m.xmin::text, to_jsonb(m) ->> 'prattrs',
                              md5(to_jsonb(m) ->> 'prqual'),
                              md5((to_jsonb(m) - array['oid', 'prqual', 'prattrs'])::text)))
                     from pg_catalog.pg_publication_rel m where m.prpubid = p.oid{members}),
               'schemas', {schemas})
      from pg_catalog.pg_publication p
     where p.pubname = {name}
"""


def definition_query(server_version: int, relid: str) -> str:
    """Return a query of one jsonb value, the definition of the relation whose oid the SQL expression `relid`
    gives; it finds no row when there is no such relation.

    The query can be used in parentheses as a scalar subquery and in the body of a `language sql` function. It
    uses the names a, c, d, e, f, i, k, l, m, n, r, t, u, x and y, so `relid` qualifies its columns with
    others.
    """
    multiranges = _MULTIRANGES if server_version >= MULTIRANGES_SINCE else ""
    return _DEFINITION.format(
        ancestors=_ANCESTORS,
        named=_NAMED.format(ancestors=_ANCESTORS),
        columns=_COLUMNS,
        keys=_KEYS,
        nodes=_NODES,
        types=_TYPES.format(first=FIRST_OWN_TYPE, multiranges=multiranges),
        relid=relid,
    )


def publication_query(server_version: int, name: str, relids: str = "") -> str:
    """Return a query of one jsonb value, the definition of the publication whose name the SQL expression
    gives, with those members only that the SQL array `relids` holds, if given; it finds no row when there is
    no such publication.
    """
    schemas = _SCHEMAS if server_version >= SCHEMAS_SINCE else "null"
    members = f" and m.prrelid = any({relids})" if relids else ""
    return _PUBLICATION.format(schemas=schemas, name=name, members=members)


# Only functions of the server print missing values: those of an extension, or of an enum whose labels were
# edited by hand, can fail. `false` marks a value that is not sent.
_BRIEF = f"""
    select jsonb_build_object(
             'relid', c.oid::int8, 'schema', n.nspname, 'namespace', n.oid::int8, 'name', c.relname,
             'kind', c.relkind::text, 'persistence', c.relpersistence::text,
             'identity', c.relreplident::text, 'attributes', c.relnatts,
             'ancestors', ({_ANCESTORS}),
             'columns', (
               select jsonb_agg(jsonb_build_array(
                        a.attnum, a.attname, a.atttypid::int8, a.atttypmod, a.attndims, a.attcollation::int8,
                        a.attgenerated::text, a.attidentity::text, a.attnotnull,
                        case when c.relkind = 'p' then 'false'
                             when not a.atthasmissing then 'null'
                             when a.atttypid >= {FIRST_OWN_TYPE} then 'false'
                             when length(a.attmissingval::text) > {MAX_MISSING} then 'false'
                             else to_jsonb(a.attmissingval::text) end,
                        a.xmin::text, coalesce(d.xmin::text, '')) order by a.attnum)
                 from pg_catalog.pg_attribute a
                 left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
             'keys', ({_KEYS}),
             'file', c.relfilenode::int8, 'toast', c.reltoastrelid::int8)
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where c.oid = {{relid}}
"""


def brief_definition_query(relid: str) -> str:
    """`definition_query` for the event trigger: without the partition tree and the types."""
    return _BRIEF.format(relid=relid)
