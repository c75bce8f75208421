"""Looks for values in everything that a pipeline wrote: bytes of files, and what compressed formats hide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from cdc.log import LogView
from tests.support.logs import schemas


def leaks(folder: Path, values: Sequence[str]) -> list[str]:
    """`place: value` for every value that is found; the configuration and the key are no output."""
    found = []
    for place, text in _texts(folder):
        lower = text.lower()
        found += [f"{place}: {value}" for value in values if value.lower().encode() in lower]
    return found


def _texts(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ("cdc.yaml", "mask.key"):
            continue
        name = str(path.relative_to(folder))
        yield name, path.read_bytes()
        if path.suffix == ".parquet":
            yield f"{name} (decoded)", repr(pq.read_table(path).to_pylist()).encode()
        if path.suffix == ".duckdb":
            yield f"{name} (decoded)", _duckdb_text(path).encode()
    for log in sorted((folder / "state" / "log").iterdir()):
        yield f"log of {log.name} (decoded)", _log_text(log).encode()


def _duckdb_text(path: Path) -> str:
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute(
            "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE'"
        ).fetchall()
        return repr([connection.execute(f'select * from "{s}"."{t}"').fetchall() for s, t in tables])


def _log_text(folder: Path) -> str:
    view = LogView(folder)
    assert view.end is not None
    rows = [[list(batch.rows()), batch.schema] for batch in view.read(view.start, view.end.next)]
    metadata = dict(view.metadata)
    memory = {key: text for key, text in metadata.items() if key.startswith("memory:")}
    assert memory, "the source keeps nothing in the log: the test sees too little"
    assert all(text.startswith("sealed:") for text in memory.values()), sorted(memory)
    return repr([rows, metadata, schemas(view)])
