"""What the catalog says of tables and of the definitions that they have had."""

from __future__ import annotations

from cdc.control.catalog import TableQuery, schemas_of, tables_of
from cdc.control.status import DaemonView, SourceView, Status
from cdc.model import TableId
from cdc.spi.state import DefinedColumn, DefinedTable, TableVersion
from cdc.spi.status import SourceReport, UnfollowedReport

ID = DefinedColumn("id", "int64", "bigint", nullable=False)
NOTE = DefinedColumn("note", "string", "text", nullable=True)


class Kept:
    """The definitions of a state: this one after that one."""

    def __init__(self, now: DefinedTable, earlier: DefinedTable | None) -> None:
        self._version = TableVersion(7, "shop", TableId("app", "t"), 2, None, None, now, earlier)

    def definitions(self, *_: object) -> list[TableVersion]:
        return [self._version]


def changes(now: DefinedTable, earlier: DefinedTable | None) -> list[str]:
    page = schemas_of(Kept(now, earlier), "", None, 10, None)  # type: ignore[arg-type]
    assert page.next is None
    return page.schemas[0].changes


def definition(
    *columns: DefinedColumn, key: tuple[str, ...] = ("id",), identity: str = "key"
) -> DefinedTable:
    return DefinedTable(columns, key, identity)


def test_a_definition_says_what_it_changed() -> None:
    first = definition(ID, NOTE)
    wide = DefinedColumn("id", "int64", "int8", nullable=True)
    assert changes(first, None) == []
    assert changes(definition(ID), first) == ["note dropped"]
    assert changes(first, definition(ID)) == ["note added (text)"]
    assert changes(definition(NOTE, ID), first) == ["columns in another order"]
    assert changes(definition(wide, NOTE), first) == ["id: int8 (was bigint)", "id may be null"]
    assert changes(definition(ID, NOTE, key=("id", "note")), first) == ["key: id, note (was id)"]
    assert changes(definition(ID, NOTE, key=(), identity="full"), first) == [
        "key: none (was id)",
        "old rows: full (was key)",
    ]


def test_a_table_that_is_not_followed_is_listed_with_reason_and_remedy() -> None:
    one = UnfollowedReport("app.leaf", "app.parent", "it became a partition of app.parent", "Exclude it.")
    sources = {"shop": SourceView(SourceReport(state="streaming", unfollowed=[one]))}
    page = tables_of(Status(DaemonView(None), sources, {}), {}, TableQuery(state="unfollowed"))
    assert (page.total, page.by_state) == (1, {"unfollowed": 1})
    (found,) = page.tables
    assert (found.name, found.reason, found.remedy, found.error) == ("app.leaf", one.reason, one.remedy, None)
