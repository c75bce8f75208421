"""The Parquet sink: the history of every table as immutable files in a folder."""

from sinks.parquet.sink import ParquetSink

__all__ = ["ParquetSink"]
