"""Findings of `cdc check` on transforms: entries that fit no table or column, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cdc.errors import CdcError
from cdc.model import TableId, TableSchema
from cdc.spi import Finding, Severity, WholeRowsOnRequest
from cdc.transform.rules import Rules
from cdc.transform.tables import TableTransform


def findings(
    rules: Rules,
    schemas: Sequence[TableSchema],
    transforms: Mapping[TableId, TableTransform | None],
    errors: Mapping[TableId, CdcError],
    source: object,
) -> Iterator[Finding]:
    """`schemas` are the tables of `source`, `errors` why some can't be captured, by their new names."""
    for error in errors.values():
        where = f"{error.where}: " if error.where else ""
        yield Finding(Severity.ERROR, "transforms", where + error.message, error.remedy)
    for place, pattern in rules.unmatched([schema.table for schema in schemas]):
        message = (
            f"{place}: {pattern!r} matches no table of the source, so nothing is masked or filtered by it"
        )
        yield Finding(
            Severity.WARNING, "transforms-table", message, "Correct the pattern, or remove the entry."
        )
    yield from _unmatched_columns(rules, schemas)
    for table, transform in transforms.items():
        if transform is not None and transform.filter is not None:
            yield from _unknown_old_values(rules.target(table), transform, whole_rows(source, table))
    if not errors:
        count = sum(transform is not None for transform in transforms.values())
        yield Finding(
            Severity.OK, "transforms", f"transforms fit: {count} of {len(schemas)} tables are changed"
        )


def _unmatched_columns(rules: Rules, schemas: Sequence[TableSchema]) -> Iterator[Finding]:
    """A mask on a column that no table has is misspelt: the column that was meant is stored in clear."""
    named: dict[tuple[str, str], bool] = {}
    for schema in schemas:
        present = {column.name.lower() for column in schema.columns}
        for place, name in rules.of(schema.table).named_columns():
            named[place, name] = named.get((place, name), False) or name in present
    for (place, name), is_found in sorted(named.items()):
        if not is_found:
            message = f"{place}: no table that the entry is for has a column {name!r}"
            yield Finding(Severity.WARNING, "transforms-column", message, "Correct the name of the column.")


def whole_rows(source: object, table: TableId) -> str:
    """The remedy for old rows of a table that the source doesn't send."""
    by = f" ({source.whole_rows_statement(table)})" if isinstance(source, WholeRowsOnRequest) else ""
    return (
        f"Have the source send whole old rows of {table}{by}, or write where_fixed: true if the columns in"
        " `where` never change."
    )


def _unknown_old_values(target: TableId, transform: TableTransform, remedy: str) -> Iterator[Finding]:
    assert transform.filter is not None
    names = transform.filter.needs_old_values
    if names:
        listed = ", ".join(names)
        yield Finding(
            Severity.WARNING,
            "transforms-where",
            f"{target}: where needs the old values of {listed}; an update for which the source sends neither"
            " these nor all new values has the table copied again",
            remedy,
        )
