"""The Parquet sink: the history of every table as immutable files in a folder."""

from cdc_sink_parquet.sink import ParquetSink

__all__ = ["ParquetSink"]
