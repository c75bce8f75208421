"""DDL messages of the stream: what `cdc_ddl.emit` wrote, checked and parsed.

Whoever may connect can write a message with our prefix. So nothing here is taken on trust: what does not have
the form is refused, and what has it is held against the catalog by the history.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdc_source_postgres.schema.catalog_looks import is_since
from cdc_source_postgres.schema.ddl_objects import FORM, PREFIX
from cdc_source_postgres.schema.definition import Definition, Node
from cdc_source_postgres.schema.history_entries import Place
from cdc_source_postgres.schema.reported_history import ReportedHistory
from cdc_source_postgres.stream.monitor import Monitor
from cdc_source_postgres.wire.messages import parse_message

# In a column of a brief definition: its number, its missing value, and the version of its pg_attribute row.
_NUMBER, _MISSING, _VERSION = 0, 9, 10
# The kinds of all values of a column.
_COLUMN = (int, str, int, int, int, int, str, str, bool, (str, type(None), bool), str, str)
_NUMBERS = ("relid", "namespace", "attributes", "file", "toast")
_TEXTS = ("schema", "name", "kind", "persistence", "identity")
# What reading a message raises that is none of ours.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class Malformed(ValueError):
    """A message with our prefix that the event trigger cannot have written."""


@dataclass(frozen=True, slots=True)
class DdlReport:
    """Effect of one statement.

    `tables` are brief definitions; `unknown` tables were altered, but are not described. `rewritten` is the
    table whose rows are about to be rewritten, for the `reason` bits of `table_rewrite`. `look`: types,
    schemas, the publication or partitions may have changed. `many`: more tables were concerned than named.
    """

    tables: tuple[Mapping[str, Any], ...] = ()
    unknown: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    rewritten: int | None = None
    reason: int = 0
    look: bool = False
    many: bool = False


def parse_report(content: str) -> DdlReport:
    """Malformed for what `cdc_ddl.emit` of this version does not write."""
    try:
        document = json.loads(content)
        if document["form"] != FORM:
            raise Malformed(f"form {document['form']!r}")
        rewritten = document.get("rewritten")
        return DdlReport(
            tables=tuple(_table(table) for table in document.get("tables", ())),
            unknown=_relids(document.get("unknown", ())),
            dropped=_relids(document.get("dropped", ())),
            rewritten=None if rewritten is None else _relids([rewritten])[0],
            reason=int(document.get("reason", 0)),
            look=bool(document.get("look", False)),
            many=bool(document.get("many", False)),
        )
    except _MALFORMED as error:
        raise Malformed(f"not a DDL message: {type(error).__name__}") from error


def relid_of(table: Mapping[str, Any]) -> int:
    relid: int = table["relid"]
    return relid


def whole_definition(
    table: Mapping[str, Any], before: Definition, now: Definition | None
) -> Definition | None:
    """Return the definition that a brief one abbreviates. None when missing values that it lacks can't be
    known: neither from `before`, what held until then, nor from `now`, what the catalog has at present.

    The partition tree, the types and `named` are those of `before`: looks at the catalog judge what moves in
    them.
    """
    missing = {column.number: column.missing for d in (now, before) if d for column in d.columns}
    columns = []
    for values in table["columns"] or ():
        number, told = values[_NUMBER], values[_MISSING]
        if told is False and number not in missing:
            return None
        value = missing[number] if told is False else told
        columns.append([*values[:_MISSING], value, *values[_MISSING + 1 :]])
    found = Definition.parse({**table, "columns": columns, "tree": [], "types": None})
    tree = tuple(_node(node, table) for node in before.tree)
    return replace(found, tree=tree, types=before.types, named=before.named)


def _node(node: Node, table: Mapping[str, Any]) -> Node:
    if node.relid != table["relid"]:
        return node
    return replace(node, persistence=table["persistence"], file=table["file"], toast=table["toast"])


def _table(table: Any) -> Mapping[str, Any]:
    """Malformed unless every value is of the kind that the event trigger writes."""
    _expect(int, (table[name] for name in _NUMBERS))
    _expect(str, (table[name] for name in _TEXTS))
    _expect(int, table["ancestors"] or ())
    for values in table["columns"] or ():
        _expect_kinds(values, _COLUMN)
        if values[_MISSING] is True:
            raise Malformed("a missing value")
        _expect(int, [int(values[_VERSION])])
    for *flags, version, numbers in table["keys"] or ():
        _expect_kinds([*flags, version], (bool, bool, bool, str))
        _expect(int, numbers)
    found: Mapping[str, Any] = table
    return found


def _expect_kinds(values: Sequence[Any], kinds: Sequence[Any]) -> None:
    if len(values) != len(kinds) or not all(map(isinstance, values, kinds)):
        raise Malformed("a value of another kind")


def _expect(kind: type, values: Iterable[Any]) -> None:
    found = tuple(values)
    _expect_kinds(found, (kind,) * len(found))


def _relids(values: Any) -> tuple[int, ...]:
    relids = tuple(values)
    _expect(int, relids)
    return relids


# The server keeps texts in its own encoding, and hands messages on as they are.
_TO_TEXT = "select convert_from(%s, getdatabaseencoding())"


class DdlReader:
    """Used by the capture thread."""

    def __init__(self, history: ReportedHistory, monitor: Monitor) -> None:
        self._history = history
        self._monitor = monitor

    def message(self, payload: bytes, place: Place) -> None:
        """Take in a logical message; those of others are left alone. psycopg errors are the caller's."""
        message = parse_message(payload)
        if message.prefix != PREFIX or not message.transactional:
            return
        try:
            report = parse_report(self._text(message.content))
        except Malformed:
            # Somebody else wrote it, or a newer version of the event triggers, which the next look sees.
            report = DdlReport(many=True)
        self._take(report, place)

    def _take(self, report: DdlReport, place: Place) -> None:
        if report.many:
            self._history.unexplained(self._history.relids(), place)
        self._history.unexplained(report.unknown, place)
        if report.rewritten is not None:
            self._rewritten(report.rewritten, report.reason, place)
        for table in report.tables:
            self._described(table, place)
        if report.look or report.many or report.unknown or report.dropped:
            self._monitor.look_soon()

    def _rewritten(self, relid: int, reason: int, place: Place) -> None:
        root = self._history.root_of(relid)
        known = self._history.current(relid if root is None else root, place)
        if known is not None:
            self._report(place, known, reason)

    def _described(self, table: Mapping[str, Any], place: Place) -> None:
        relid = relid_of(table)
        before = self._history.current(relid, place)
        if before is None:
            return
        found = whole_definition(table, before, None)
        if found is None and self._monitor.look_at(relid):
            found = whole_definition(table, before, self._history.definition(relid))
        if found is None or not _fits(before, found, place.xid):
            self._history.unexplained([relid], place)
            self._monitor.look_soon()
        else:
            self._report(place, found)

    def _report(self, place: Place, definition: Definition, rewriting: int = 0) -> None:
        """Report changes that lead to a copy after a look, so that the copy contains them."""
        if not self._history.report(place, definition, rewriting=rewriting):
            self._monitor.look_at(definition.relid)
            self._history.report(place, definition, rewriting=rewriting, must=True)

    def _text(self, content: bytes) -> str:
        if content.isascii() or self._monitor.connection.info.parameter_status("server_encoding") == "UTF8":
            try:
                return bytes(content).decode()
            except UnicodeDecodeError as error:
                raise Malformed("not UTF-8") from error
        row = self._monitor.connection.execute(_TO_TEXT, (bytes(content),)).fetchone()
        return str(row[0]) if row else ""


def _fits(before: Definition, found: Definition, xid: int) -> bool:
    """Return whether a statement of this transaction can have led from one to the other: the catalog row of
    each column that differs is of the transaction itself, or of a subtransaction, which has a later number.
    """
    former = {column.number: column.meaning for column in before.columns}
    return found.attributes >= before.attributes and all(
        is_since(int(column.version), xid)
        for column in found.columns
        if column.meaning != former.get(column.number)
    )
