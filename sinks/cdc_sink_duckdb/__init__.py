"""The DuckDB sink: a local database file as mirror, changelog or history of the source."""

from cdc_sink_duckdb.sink import DuckDBSink

__all__ = ["DuckDBSink"]
