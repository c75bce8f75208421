"""Feeds the history with the DDL messages of the stream, each at its place in its transaction.

What a message says is one statement's step. Where it does not describe a table (too many at once, a
transaction that sees an old catalog, a message that somebody else wrote), the next look at the catalog judges
instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc_source_postgres.catalog_looks import is_since
from cdc_source_postgres.ddl_messages import DdlReport, Malformed, parse_report, relid_of, whole_definition
from cdc_source_postgres.ddl_objects import PREFIX
from cdc_source_postgres.definition import Definition
from cdc_source_postgres.history_entries import Place
from cdc_source_postgres.messages import parse_message
from cdc_source_postgres.monitor import Monitor
from cdc_source_postgres.reported_history import ReportedHistory

# The server keeps texts in its own encoding, and hands messages on as they are.
_TO_TEXT = "select convert_from(%s, getdatabaseencoding())"


class DdlReader:
    """Used by the capture thread."""

    def __init__(self, history: ReportedHistory, monitor: Monitor) -> None:
        self._history = history
        self._monitor = monitor

    def message(self, payload: memoryview, place: Place) -> None:
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
            self._tell(place, known, reason)

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
            self._tell(place, found)

    def _tell(self, place: Place, definition: Definition, rewriting: int = 0) -> None:
        """What leads to a copy is told behind a look, which the copy then contains."""
        self._monitor.warn_of_partition(definition)
        if not self._history.told(place, definition, rewriting=rewriting):
            self._monitor.look_at(definition.relid)
            self._history.told(place, definition, rewriting=rewriting, must=True)

    def _text(self, content: bytes) -> str:
        if content.isascii() or self._monitor.connection.info.parameter_status("server_encoding") == "UTF8":
            try:
                return bytes(content).decode()
            except UnicodeDecodeError as error:
                raise Malformed("not UTF-8") from error
        row = self._monitor.connection.execute(_TO_TEXT, (bytes(content),)).fetchone()
        return str(row[0]) if row else ""


def _fits(before: Definition, found: Definition, xid: int) -> bool:
    """Whether a statement of this transaction can have led from one to the other: the catalog row of each
    column that differs is of the transaction itself, or of a subtransaction, which has a later number.
    """
    former = {column.number: column.meaning for column in before.columns}
    return found.attributes >= before.attributes and all(
        is_since(int(column.version), xid)
        for column in found.columns
        if column.meaning != former.get(column.number)
    )
