"""Checksums of tables that all engines render alike: a count, and a sum of row hashes.

The hash is of every column of a row as text (times as microseconds), NULL as a mark of its own. SHA-256:
MySQL 9.7 has no `md5`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NULL_MARK = "~null~"
Columns = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Checksum:
    """Rows and the sum of the first 60 bits of their hashes."""

    rows: int
    total: int

    @property
    def digits(self) -> str:
        """The last 48 bits of the sum, for people."""
        return f"{self.total % 16**12:012x}"


def summed_in_duckdb(target: Any, relation: str, columns: Columns) -> Checksum:
    """Return the checksum of a query's rows, by a DuckDB connection."""
    text = row_text(columns, "cast({} as varchar)", "epoch_us({})::varchar")
    hashed = f"('0x' || substr(sha256({text}), 1, 15))::bigint::hugeint"
    query = f"select count(*), coalesce(sum({hashed}), 0) from ({relation})"
    rows, total = target.execute(query).fetchall()[0]
    return Checksum(int(rows), int(total))


def row_text(
    columns: Columns, as_text: str, timestamp_as_text: str, decimal_as_text: str | None = None
) -> str:
    """Return the expression for a row as text."""
    parts = []
    for name, kind in columns:
        template = timestamp_as_text if kind.startswith("timestamp") else as_text
        if decimal_as_text is not None and kind in ("numeric", "decimal"):
            template = decimal_as_text
        rendered = template.format(f'"{name}"')
        parts.append(f"coalesce({rendered}, '{NULL_MARK}')")
    return "concat(" + ", '|', ".join(parts) + ")"
