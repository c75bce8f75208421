"""Tables that a statement in text form changes and names: INSERT, UPDATE, DELETE and their like.

sqlglot reads which tables an UPDATE or DELETE changes; a statement that it cannot read
counts for every table whose name is in it. The text does not show what triggers and foreign keys change
besides. So the Dml also holds every table and function that the statement names, found by its tokens, and
never too few: a word that only looks like a table or a function is one more name that the catalog must
explain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc.deferred import sqlglot
from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Dml, TableChange, Truncated
from cdc_source_mysql.schema.ddl.tokens import (
    BYTE_TEXT,
    BYTES,
    END,
    QUOTED,
    STRING,
    SYMBOL,
    WORD,
    NotUnderstood,
    Token,
    TokenCursor,
)

if TYPE_CHECKING:
    from sqlglot import exp

NATIVE_FUNCTIONS: Final = frozenset(
    """
    abs acos adddate addtime aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg benchmark bin
    bit_and bit_count bit_length bit_or bit_xor cast ceil ceiling char character_length charset char_length
    coalesce coercibility collation compress concat concat_ws connection_id conv convert convert_tz cos cot
    count crc32 curdate current_date current_time current_timestamp current_user curtime database date
    datediff date_add date_format date_sub day dayname dayofmonth dayofweek dayofyear default degrees elt exp
    export_set extract extractvalue field find_in_set floor format found_rows from_base64 from_days
    from_unixtime get_format get_lock greatest group_concat gtid_subset gtid_subtract hex hour if ifnull
    inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval isnull is_free_lock is_ipv4
    is_ipv4_compat is_ipv4_mapped is_ipv6 is_used_lock is_uuid bin_to_uuid uuid_to_bin
    json_array json_arrayagg json_array_append json_array_insert json_contains json_contains_path json_depth
    json_extract json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve
    json_object json_objectagg json_pretty json_quote json_remove json_replace json_search json_set
    json_storage_size json_table json_type json_unquote json_valid json_value
    last_day last_insert_id lastval lcase least left length ln load_file localtime localtimestamp locate log
    log10 log2 lower lpad ltrim makedate maketime make_set match max mbrcontains mbrequals mbrintersects
    mbroverlaps mbrtouches mbrwithin md5 microsecond mid min minute mod month monthname name_const nextval
    now nullif oct octet_length ord password period_add period_diff pi position pow power quarter quote
    radians rand random_bytes regexp_instr regexp_like regexp_replace regexp_substr release_all_locks
    release_lock repeat replace reverse right round row_count rpad rtrim schema second sec_to_time
    session_user setval sha sha1 sha2 sign sin sleep soundex space sqrt std stddev stddev_pop stddev_samp
    strcmp str_to_date subdate substr substring substring_index subtime sum sysdate system_user tan time
    timediff timestamp timestampadd timestampdiff time_format time_to_sec to_base64 to_days to_seconds trim
    truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date utc_time
    utc_timestamp uuid uuid_short values variance var_pop var_samp version week weekday weekofyear
    weight_string year yearweek
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
    geometrycollection linestring multilinestring multipoint multipolygon point polygon
    st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains
    st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere
    st_endpoint st_envelope st_equals st_exteriorring st_geohash st_geometryfromtext st_geometryfromwkb
    st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb st_interiorringn
    st_intersection st_intersects st_isclosed st_isempty st_issimple st_isvalid st_length st_linefromtext
    st_makeenvelope st_numgeometries st_numinteriorrings st_numpoints st_overlaps st_pointfromtext
    st_pointfromwkb st_pointn st_polyfromtext st_simplify st_srid st_startpoint st_symdifference st_touches
    st_transform st_union st_validate st_within st_x st_y
    """.upper().split()
)

# Words of the grammar that an opening parenthesis may follow.
GRAMMAR_WORDS: Final = frozenset(
    """
    against all and any as asc between binary by case char character collate cross dec decimal desc distinct
    distinctrow div double else escape except exists float for from group having in index inner intersect
    into is join key lateral like limit match mod natural nchar not of on or order over partition primary
    regexp returning rlike row select set signed some straight_join table then time datetime union unsigned
    using value values varchar when where with xor
    """.upper().split()
)


# Functions with a FROM between their parentheses.
_FROM_FUNCTIONS = frozenset({"EXTRACT", "TRIM", "SUBSTR", "SUBSTRING", "MID"})
# What ends a list of tables.
_ENDS = frozenset(
    {"SELECT", "WHERE", "SET", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "WINDOW"}
    | {"PROCEDURE", "RETURNING", "VALUES", "VALUE", "LOCK", "DUPLICATE"}
)
_TABLE_FUNCTIONS = frozenset({"JSON_TABLE"})
_HINTS = frozenset({"USE", "FORCE", "IGNORE"})
_NO_TABLES = frozenset({"OUTFILE", "DUMPFILE", "DUAL", "TABLE", "LATERAL"})
_NAMES = frozenset({WORD, QUOTED})
# What changes tables only by the functions that it calls.
CALLING = frozenset({"DO", "SELECT", "VALUES"})
# What may call a function or procedure that changes any table.
OPAQUE = frozenset({*CALLING, "CALL", "EXECUTE", "HANDLER"})
CHANGING = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH"})
_LOWER = frozenset({"LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "QUICK"})


class Named(NamedTuple):
    """`calls` are the functions that aren't the server's own."""

    tables: tuple[TableId, ...]
    calls: tuple[TableId, ...]


@dataclass(slots=True)
class _Level:
    """State since an open parenthesis: a list of tables, of which one may come next."""

    in_list: bool = False
    expects: bool = False
    of_function: bool = False


@dataclass(slots=True)
class _Scan:
    tokens: Sequence[Token]
    database: str
    tables: set[TableId] = field(default_factory=set)
    calls: set[TableId] = field(default_factory=set)
    common: set[str] = field(default_factory=set)
    levels: list[_Level] = field(default_factory=lambda: [_Level()])
    at: int = 0

    def peek(self, ahead: int = 0) -> Token:
        index = self.at + ahead
        return self.tokens[index] if 0 <= index < len(self.tokens) else END

    def sees(self, symbol: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token.kind == SYMBOL and token.text == symbol


def named_in(tokens: Sequence[Token], database: str, *, begins_with_table: bool = False) -> Named:
    """Return the tables that the tokens name. `begins_with_table`: a list of tables opens them, as after
    UPDATE.
    """
    scan = _Scan(tokens, database)
    scan.levels[0].in_list = scan.levels[0].expects = begins_with_table
    while scan.at < len(tokens):
        _step(scan)
    tables = {t for t in scan.tables if t.schema != database or t.name.lower() not in scan.common}
    return Named(tuple(sorted(tables)), tuple(sorted(scan.calls)))


def every_name(tokens: Sequence[Token], database: str) -> set[TableId]:
    """Everything in the tokens that may be the name of a table."""
    found: set[TableId] = set()
    for at, token in enumerate(tokens):
        if token.kind not in _NAMES:
            continue
        found.add(TableId(database, token.text))
        dot, name = tokens[at + 1 : at + 2], tokens[at + 2 : at + 3]
        if dot and name and dot[0].kind == SYMBOL and dot[0].text == "." and name[0].kind in _NAMES:
            found.add(TableId(token.text, name[0].text))
    return found


def _step(scan: _Scan) -> None:
    token, level = scan.peek(), scan.levels[-1]
    if token.kind == SYMBOL:
        _symbol(scan, token.text)
    elif token.kind not in _NAMES or scan.sees(".", -1):
        level.expects = level.expects and token.kind not in _NAMES
        _call(scan)
    elif not _keyword(scan, token.upper, level):
        if level.expects and token.upper not in _TABLE_FUNCTIONS:
            _table(scan, level)
            return
        level.expects = False
        _call(scan)
    scan.at += 1


def _symbol(scan: _Scan, symbol: str) -> None:
    level = scan.levels[-1]
    if symbol == "(":
        opened = _Level(in_list=level.expects, expects=level.expects)
        opened.of_function = scan.peek(-1).upper in _FROM_FUNCTIONS
        level.expects = False
        scan.levels.append(opened)
    elif symbol == ")" and len(scan.levels) > 1:
        scan.levels.pop()
    elif symbol == "," and level.in_list:
        level.expects = True


def _keyword(scan: _Scan, word: str, level: _Level) -> bool:
    """Take a word that opens or ends a list of tables; False for another."""
    if scan.peek(-1).upper == "FOR" and word in {"JOIN", "ORDER", "GROUP"}:
        return True  # Of a hint: FORCE INDEX FOR ORDER BY (…).
    if word == "FROM":
        level.in_list = level.expects = not level.of_function
    elif word == "JOIN" or (word == "STRAIGHT_JOIN" and level.in_list):
        level.in_list = level.expects = True
    elif word == "UPDATE":
        # Not that of FOR UPDATE and ON DUPLICATE KEY UPDATE.
        level.in_list = level.expects = scan.peek(-1).upper not in {"FOR", "KEY"}
    elif word == "USING" and not scan.sees("(", 1):
        level.in_list = level.expects = True
    elif word in {"INTO", "TABLE"}:
        level.in_list, level.expects = False, True
    elif word in _ENDS:
        level.in_list = level.expects = False
    elif word in _HINTS and scan.peek(1).upper in {"INDEX", "KEY"}:
        level.expects = False
    else:
        return word in _NO_TABLES
    return True


def _table(scan: _Scan, level: _Level) -> None:
    """Take `[database.]table`, with the list of columns that an INSERT may have after it."""
    level.expects = False
    first = scan.peek().text
    if _is_common(scan):
        scan.common.add(first.lower())
    scan.at += 1
    if scan.sees(".") and scan.peek(1).kind in _NAMES:
        scan.tables.add(TableId(first, scan.peek(1).text))
        scan.at += 2
    else:
        scan.tables.add(TableId(scan.database, first))


def _call(scan: _Scan) -> None:
    """Note the function that a name before a parenthesis calls."""
    token, before = scan.peek(), scan.peek(-1)
    if token.kind in _NAMES and _is_common(scan):
        scan.common.add(token.text.lower())
    elif token.kind not in _NAMES or not scan.sees("(", 1):
        return
    elif scan.sees(".", -1):
        scan.calls.add(TableId(scan.peek(-2).text, token.text))
    elif token.upper not in GRAMMAR_WORDS | NATIVE_FUNCTIONS and before.upper != "AS":
        scan.calls.add(TableId(scan.database, token.text))


def _is_common(scan: _Scan) -> bool:
    """Return whether a common table expression gets this name: `WITH name [(column, …)] AS (`."""
    is_first = scan.at == 0 or scan.peek(-1).upper in {"WITH", "RECURSIVE"}
    if not is_first and not scan.sees(",", -1):
        return False
    ahead = 1
    if scan.sees("(", ahead):
        while not scan.sees(")", ahead) and scan.peek(ahead) is not END:
            ahead += 1
        ahead += 1
    return scan.peek(ahead).upper == "AS" and scan.sees("(", ahead + 1)


def parse_dml(cursor: TokenCursor, keyword: str) -> tuple[TableChange, ...]:
    """The statement that begins with `keyword`, which the cursor has passed."""
    if keyword in CALLING:
        # Servers log a query where it called a function that changes rows.
        named = named_in(cursor.rest(), cursor.context.database)
        return (Dml(keyword, (), named.tables, (), named.calls),)
    if keyword in OPAQUE:
        return (Dml(keyword, None),)
    while cursor.accept_any(_LOWER):
        pass
    if keyword in {"INSERT", "REPLACE"}:
        cursor.accept("INTO")
    emptied = _emptied(cursor) if keyword == "DELETE" else None
    if emptied is not None:
        # What hangs on the table may change more; servers empty MEMORY tables so after a start.
        return (Truncated(emptied), Dml(keyword, (), (emptied,), (emptied,)))
    tokens = cursor.rest()
    named = named_in(
        tokens, cursor.context.database, begins_with_table=keyword in {"INSERT", "REPLACE", "UPDATE"}
    )
    dml = Dml(keyword, None, named.tables, named.tables, named.calls)
    if keyword in {"INSERT", "REPLACE", "LOAD"}:
        table = _loaded(cursor) if keyword == "LOAD" else cursor.table()
        return (replace(dml, tables=(table,), written=(table,)),)
    found = _read_whole(keyword, tokens, cursor.context.database)
    if found is None:
        return (replace(dml, tables=tuple(sorted(every_name(tokens, cursor.context.database))) or None),)
    return (replace(dml, tables=found or None, written=found),)


def _emptied(cursor: TokenCursor) -> TableId | None:
    """The table of a DELETE FROM that has nothing else."""
    tokens = cursor.rest()
    is_qualified = len(tokens) == 4 and cursor.sees_symbol(".", 2)
    if not cursor.sees("FROM") or not (len(tokens) == 2 or is_qualified):
        return None
    cursor.take()
    return cursor.table()


def _loaded(cursor: TokenCursor) -> TableId:
    while not cursor.at_end:
        if cursor.accept("INTO", "TABLE"):
            return cursor.table()
        cursor.take()
    raise NotUnderstood("LOAD names no table")


def _read_whole(keyword: str, tokens: Sequence[Token], database: str) -> tuple[TableId, ...] | None:
    """The tables that the statement changes; None when it can't be read."""
    return _tables_of(f"{keyword} {_without_values(tokens)}", database)


def _without_values(tokens: Sequence[Token]) -> str:
    """The text of the tokens in the plainest spelling, with no literal's value in it."""
    text, end = "", tokens[0].start if tokens else 0
    for token in tokens:
        text += " " if token.start > end else ""
        text += _spelled(token)
        end = token.end
    return text


def _spelled(token: Token) -> str:
    if token.kind in {STRING, BYTES, BYTE_TEXT}:
        return "''"
    return "`" + token.text.replace("`", "``") + "`" if token.kind == QUOTED else token.text


def _tables_of(sql: str, database: str) -> tuple[TableId, ...] | None:
    """In name order; none for a query; None when the statement can't be read."""
    try:
        tree = sqlglot.parse_one(sql, read="mysql")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    if isinstance(tree, sqlglot.exp.Update):
        targets = _updated(tree)
    elif isinstance(tree, sqlglot.exp.Delete):
        targets = _deleted(tree)
    elif isinstance(tree, sqlglot.exp.Insert):
        targets = list(tree.this.find_all(sqlglot.exp.Table))[:1]
    else:
        return () if isinstance(tree, sqlglot.exp.Query) else None
    return _ids(targets, database)


def _updated(tree: exp.Update) -> list[exp.Table]:
    """The joined tables whose columns are set; all of them for a column without a table."""
    joined = _joined(tree)
    if len(joined) == 1:
        return joined
    named: list[exp.Table] = []
    for assignment in tree.expressions:
        column = assignment.this
        if not isinstance(column, sqlglot.exp.Column) or not column.table:
            return joined
        named += [table for table in joined if column.table in {table.alias, table.name}]
    return named or joined


def _deleted(tree: exp.Delete) -> list[exp.Table]:
    joined = _joined(tree)
    listed = tree.args.get("tables") or []
    if not listed:
        return joined
    names = {table.name for table in listed}
    return [table for table in joined if names & {table.alias, table.name}] or joined


def _joined(tree: exp.Expression) -> list[exp.Table]:
    """The tables that may be changed: those outside of queries and common table expressions."""
    common = {expression.alias for expression in tree.find_all(sqlglot.exp.CTE)}
    tables = [
        table for table in tree.find_all(sqlglot.exp.Table) if table.find_ancestor(sqlglot.exp.Select) is None
    ]
    return [table for table in tables if table.name not in common or table.db]


def _ids(tables: Iterable[exp.Table], database: str) -> tuple[TableId, ...]:
    found = {TableId(table.db or database, table.name) for table in tables if table.name}
    return tuple(sorted(found))
