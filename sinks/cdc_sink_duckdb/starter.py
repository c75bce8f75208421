"""The entry that `cdc init` writes for a DuckDB sink."""

from __future__ import annotations

from collections.abc import Collection

from cdc.kit.urls import local_path
from cdc.spi import UrlEntry

# The file is called so unless a schema is.
STEM = "warehouse"

URL_SCHEMES = ("duckdb",)
URL_SHAPE = "duckdb:///shop.duckdb"


def entry(source: str, schemas: Collection[str]) -> list[str]:
    """See `WritesSinkStarter.starter`."""
    return [
        "warehouse:",
        "  type: duckdb",
        f"  from: [{source}]",
        f"  path: ./{_file_stem(schemas)}.duckdb",
        "  mode: mirror                  # the current state; append keeps every change",
    ]


def _file_stem(schemas: Collection[str]) -> str:
    """A name for the file that no schema has: DuckDB names a database after its file, and
    `select … from shop.orders` is ambiguous when both are called `shop`.
    """
    taken = {schema.lower() for schema in schemas}
    stem = STEM
    while stem in taken:
        stem += "_mirror"
    return stem


def from_url(url: str) -> UrlEntry:
    """See `cdc.spi.ReadsUrl`."""
    return UrlEntry("duckdb", {"path": local_path(url, URL_SHAPE)})
