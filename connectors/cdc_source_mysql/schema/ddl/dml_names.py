"""The tables and functions that a statement names, by its tokens.

Never too few: what only looks like a table or a function is one more name that the catalog must explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.native_functions import GRAMMAR_WORDS, NATIVE_FUNCTIONS
from cdc_source_mysql.schema.ddl.tokens import END, QUOTED, SYMBOL, WORD, Token

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


class Named(NamedTuple):
    """`calls` are the functions that aren't the server's own."""

    tables: tuple[TableId, ...]
    calls: tuple[TableId, ...]


@dataclass(slots=True)
class _Level:
    """What is open since a parenthesis: a list of tables, of which one may come next."""

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
    """What the tokens name. `begins_with_table`: a list of tables opens them, as after UPDATE."""
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
    """Take `[database.]table`, with the list of columns that an INSERT may have behind it."""
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
    """Whether a common table expression gets this name: `WITH name [(column, …)] AS (`."""
    is_first = scan.at == 0 or scan.peek(-1).upper in {"WITH", "RECURSIVE"}
    if not is_first and not scan.sees(",", -1):
        return False
    ahead = 1
    if scan.sees("(", ahead):
        while not scan.sees(")", ahead) and scan.peek(ahead) is not END:
            ahead += 1
        ahead += 1
    return scan.peek(ahead).upper == "AS" and scan.sees("(", ahead + 1)
