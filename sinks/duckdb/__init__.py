"""The DuckDB sink: a local database file as mirror, changelog or history of the source."""

from sinks.duckdb.sink import DuckDBSink

__all__ = ["DuckDBSink"]
