"""A value catalogue: SQL expressions for every type, the ugly ones first; `setup_types` creates what they
need.
"""

from __future__ import annotations

from typing import Any

EXTENSIONS = ("hstore", "ltree", "citext", "vector", "cube")
SETUP = """
create schema odd;
create type odd."Mo'od" as enum ('h''a"p', 'x y', '');
create domain odd.money2 as numeric(10,2);
create domain odd.grid as int[][];
create type odd.pair as (a int, b text, c int[]);
create type odd.nest as (p odd.pair, r int4range, "T x" timestamptz, f float4, m odd.money2);
create type odd.words as range (subtype = text);
create table odd.rowtype (id int, note text);
"""
DIGITS_1000 = "123456789" * 111 + "1"

VALUES: dict[str, list[str]] = {
    "bool": ["true", "false", "null"],
    "bytea": [r"'\x00ff'", "''", "decode(repeat('ab', 100), 'hex')"],
    '"char"': ["'a'", "''", r"'\'"],
    "int8": ["-9223372036854775808", "9223372036854775807"],
    "int2": ["-32768", "32767"],
    "int4": ["0", "-2147483648"],
    "int2vector": ["'1 2 -3'", "''"],
    "oidvector": ["'1 2'"],
    "oid": ["4294967295"],
    "tid": ["'(4294967295,65535)'"],
    "xid": ["'4294967295'"],
    "xid8": ["'18446744073709551615'"],
    "cid": ["'7'"],
    "point": ["'(1,2)'", "'(NaN,-Infinity)'", "'(1e300,-0)'", "'(1e23,9007199254740993)'"],
    "lseg": ["'[(1,2),(3,4.5)]'"],
    "path": ["'((1,2),(3,4))'", "'[(1,2)]'"],
    "box": ["'(1,2),(3,4)'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "line": ["'{1,2,3}'"],
    "circle": ["'<(1,2),3.5>'"],
    "cidr": ["'10/8'", "'::/0'", "'2001:db8::/32'", "'192.168.1.0/24'", "'1.2.3.4/32'"],
    "inet": [
        *("'10.1.2.3/8'", "'::1'", "'::ffff:1.2.3.4'", "'::1.2.3.4'", "'1:0:0:2:0:0:0:3'", "'::'", "'1::'"),
        *("'0:0:1::'", "'fe80::1/64'", "'::2'", "'1:2:3:4:5:6:7:8'", "'1:2:3:0:5:6:7:8'", "'::ffff:0:0'"),
        *("'::5:1.2.3.4'", "'192.168.0.1'", "'0:0:0:1:0:0:0:0'", "'1:0:0:0:0:0:0:1/127'"),
    ],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "float4": ["1.5", "'NaN'", "'-Infinity'", "1e-45", "1e6", "123456.7", "3.4028235e38", "'-0'"],
    "float8": ["0.1", "1e15", "'-0'", "123456789012345678", "5e-324", "1.7976931348623157e308", "'NaN'"],
    "money": ["'-92233720368547758.08'", "'12.34'", "'1234567.89'", "'-0.01'", "null"],
    "date": [
        *(
            "'2020-02-29'",
            "'infinity'",
            "'-infinity'",
            "'0001-01-01 BC'",
            "'5874897-12-31'",
            "'4713-01-01 BC'",
        ),
        *("'10000-01-01'", "'0001-01-01'", "'1970-01-01'", "'1582-10-10'", "'1969-12-31'"),
    ],
    "time": ["'24:00:00'", "'23:59:59.999999'", "'00:00:00.1'"],
    "time(2)": ["'23:59:59.99'"],
    "timetz": ["'24:00:00-15:59:59'", "'01:02:03.04+05:30'", "'12:00+00'"],
    "timestamp": [
        *(
            "'294276-12-31 23:59:59.999999'",
            "'4713-01-01 00:00:00 BC'",
            "'2020-01-01 00:00:00.5'",
            "'infinity'",
        ),
        *("'1999-12-31 23:59:59.999999'", "'0044-03-15 12:00 BC'", "'294247-01-10 04:00:54.775807'"),
        *("'294247-01-10 04:00:54.775808'", "'0001-01-01 00:00:00'", "'0001-12-31 23:59:59.999999 BC'"),
    ],
    "timestamptz": [
        *(
            "'-infinity'",
            "'2020-06-01 12:34:56+05'",
            "'4714-11-24 00:00:00+00 BC'",
            "'1890-01-01 00:00:00+00'",
        ),
        "'294276-12-31 23:59:59.999999+00'",
    ],
    "interval": [
        *(
            "'1 year 2 mons -3 days 04:05:06.789'",
            "'-1 year -2 mons +3 days -04:05:06'",
            "'0'",
            "'-1 mons 5 days'",
        ),
        *(
            "'178000000 years'",
            "'1 day'",
            "'-00:00:00.000001'",
            "'-1 day +00:00:01'",
            "'1 mon -1 day 00:00:01'",
        ),
        *("'2562047788:00:54.775807'", "'-13 mons'", "'-11 mons 1 year 00:00:01'", "'-178000000 years'"),
    ],
    "bit(5)": ["B'10110'"],
    "varbit": ["B'1'", "B''", "B'000000001'"],
    "numeric": [
        *("'NaN'", "0", "0.00", "-0.0001", "1e-1000", "1e1000", "12345678901234567890.123456789", "10000"),
        *("0.00010000", "-9999.9999", DIGITS_1000, f"-0.{DIGITS_1000}", "null"),
    ],
    "numeric(12,2)": ["'NaN'", "-9999999999.99", "0", "0.01", "100000000", "12345.6", "-0.10", "null"],
    "numeric(38,10)": ["9999999999999999999999999999.9999999999", "-0.0000000001", "1"],
    "numeric(76,38)": [f"-{'9' * 38}.{'9' * 38}", "0.1", "10000000000000000000000"],
    "numeric(100,3)": ["1.500", f"{'9' * 97}.999"],
    "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "null"],
    "txid_snapshot": ["'10:20:10,14,15'", "'1:1:'"],
    "pg_snapshot": ["'10:20:10,14,15'"],
    "pg_lsn": ["'16/B374D848'", "'0/0'"],
    "tsvector": ["'a fat cat'", r"$$'it''s':1A,2B,3C,4 'b\\s':16383$$", "''"],
    "tsquery": [
        *("'fat & rat'", "'fat & (rat | !cat)'", "'a <-> (b <-> c)'", "'(a <-> b) <-> c'", "'a <5> b'"),
        *("'super:*AB & !!x'", "''", "'!(a & b) | c'", "'!(a|b) <-> c'", "$$'it''s'$$", "'a:ABCD'"),
    ],
    "json": ["""'{"a": 1,  "a":2}'""", "'null'", "null"],
    "jsonb": ["""'{"a":1e400,"b":[1,null,"é"]}'""", "'null'", "null"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "text": ["''", "'NULL'", r"""E'a\n\t\\"''é\x01'""", "'日本🙂'", "null", "repeat('x', 100000)"],
    "varchar(10)": ["'ab'"],
    "char(5)": ["'ab'"],
    "name": ["'n'"],
    "refcursor": ["'c'"],
    "int4range": ["'[1,5]'", "'empty'", "'(,)'", "'[3,)'"],
    "numrange": ["'(1.50,2.5]'"],
    "tsrange": ["'[2020-01-01,infinity)'", "'(,2020-01-01 00:00:00.5]'"],
    "tstzrange": ["'[2020-01-01 00:00+00,)'"],
    "daterange": ["'[2020-01-01,2020-02-01]'", "'[infinity,infinity]'"],
    "int8range": ["'[1,5)'"],
    "int4multirange": ["'{[1,2],[5,6]}'", "'{}'"],
    "tsmultirange": ["'{[2020-01-01,2021-01-01)}'"],
    'odd."Mo\'od"': ["""'h''a"p'""", "'x y'", "''"],
    "odd.money2": ["1.5", "'NaN'"],
    "odd.grid": ["'{{1,2},{3,4}}'", "'{1}'"],
    "odd.pair": [
        *(
            "row(1,'a b',null)",
            "row(null,'',array[1,2])",
            r"""row(1,E'q"\\,)',null)""",
            "row(null,null,null)",
        ),
        "row(1,' ',array[[1,null]])",
    ],
    "odd.nest": ["""row(row(1,'a "b',array[3]),'[1,2)','2020-01-01 00:00+00',1e6,1.5)"""],
    "odd.words": ["'[a,b c]'", """'["","(")'"""],
    "odd.rowtype": ["row(1,'x')"],
    "aclitem": ["'=r/postgres'"],
    "int4[]": ["'{1,NULL,3}'", "'{}'", "'[2:3]={1,2}'", "'{{1,2},{3,4}}'", "null"],
    "int4[][]": ["'{{1,2},{3,4}}'", "'{{1},{null}}'", "'{}'", "'{1}'", "'[1:2][0:0]={{1},{2}}'"],
    "text[]": [r"""array['a','NULL',null,'','q"','b\','c,d','{x}',' ','nul','é']"""],
    "text[][][]": ["array[[['a','b'],['c','d']]]"],
    "numeric[]": ["'{1.5,NaN,-0.00}'"],
    "numeric(10,2)[]": ["'{1.5,-2,NULL}'", "'{NaN,1}'"],
    "timestamptz[]": ["'{2020-01-01 00:00+00,infinity}'", "'{2020-01-01 00:00+00}'"],
    "timestamp[]": ["'{2020-01-01 00:00:00.5}'"],
    "interval[]": ["'{1 day,-1 mon,NULL}'"],
    "box[]": ["array['(1,2),(3,4)'::box,'(1,1),(0,0)']"],
    "odd.pair[]": ["array[row(1,'a',null)::odd.pair,null]"],
    'odd."Mo\'od"[]': ["""array['x y','']::odd."Mo'od"[]"""],
    "odd.money2[]": ["array[1.5]::odd.money2[]"],
    "jsonb[]": ["""array['{"a":1}'::jsonb]"""],
    "bool[]": ["'{t,f}'"],
    "bytea[]": [r"array['\x01'::bytea]"],
    "uuid[]": ["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"],
    "date[]": ["'{2020-01-01}'"],
    "time[]": ["'{10:00}'"],
    "float8[]": ["'{1.5,NaN}'"],
    "float4[]": ["'{1.5,1e10}'"],
    "int4range[]": ["array['[1,3)'::int4range]"],
    "inet[]": ["'{1.2.3.4}'"],
    "money[]": ["'{1.23}'"],
    "char(3)[]": ["'{a}'"],
    "varbit[]": ["array[B'101']"],
}
# Where the server has the type, and the version of what it does.
EXTENSION_VALUES: dict[str, dict[str, list[str]]] = {
    "hstore": {"hstore": [r"""'a=>1,b=>NULL,"q\"x"=>"\\ y"'""", "''"], "hstore[]": ["array['a=>1'::hstore]"]},
    "ltree": {"ltree": ["'a.b.c'"], "lquery": ["'a.*'"], "ltxtquery": ["'a & b'"]},
    "citext": {"citext": ["'AbC'", "''"], "citext[]": ["array['A'::citext]"]},
    "vector": {
        "vector": ["'[1,2.5,1e-10,33554432]'"],
        "vector(2)": ["'[0.1,-3]'"],
        "halfvec": ["'[1,2.5,0.1]'"],
        "sparsevec": ["'{1:1.5,3:2}/5'"],
    },
    # Its binary form is none of ours: it must come as text.
    "cube": {"cube": ["'(1,2),(3,4)'"]},
}
SINCE_14 = {"numeric": ["'Infinity'", "'-Infinity'"]}
SINCE_17 = {"interval": ["'infinity'", "'-infinity'"]}
XML = {"xml": ["'<a>1</a>'", """'<?xml version="1.0"?><a/>'"""]}


def setup_types(connection: Any) -> dict[str, list[str]]:
    """Create the types in this (autocommit) connection's database; the values that this server can hold."""
    connection.execute("set client_min_messages = error")
    connection.execute(SETUP)
    values = {name: list(expressions) for name, expressions in VALUES.items()}
    available = {row[0] for row in connection.execute("select name from pg_available_extensions").fetchall()}
    for extension in EXTENSIONS:
        if extension in available:
            connection.execute(f"create extension {extension}")
            values.update(EXTENSION_VALUES[extension])
    for since, more in ((140_000, SINCE_14), (170_000, SINCE_17)):
        if connection.info.server_version >= since:
            for name, expressions in more.items():
                values[name] += expressions
    if _has_xml(connection):
        values.update(XML)
    return values


def _has_xml(connection: Any) -> bool:
    import psycopg

    try:
        connection.execute("select '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        return False
    return True
